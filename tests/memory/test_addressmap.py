"""Address map: field order, and the closed-form split against a byte-by-byte one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archsim.errors import ConfigError, MemoryFault
from archsim.memory.addressmap import AddressMap, Location

MIB = 1 << 20


def small(channels: int = 8) -> AddressMap:
    return AddressMap(channels=channels, capacity=4 * MIB)


def test_fields_from_low_to_high() -> None:
    map_ = AddressMap(channels=64, capacity=1 << 30)
    step = 128
    assert map_.locate(127) == Location(0, 0, 0, 0, 127)
    assert map_.locate(step) == Location(1, 0, 0, 0, 0)
    assert map_.locate(step := step * 64) == Location(0, 1, 0, 0, 0)
    assert map_.locate(step := step * 4) == Location(0, 0, 0, 0, 128)
    assert map_.locate(step := step * 8) == Location(0, 0, 1, 0, 0)
    assert map_.locate(step := step * 4) == Location(0, 0, 0, 1, 0)


def test_locate_is_one_to_one() -> None:
    map_ = AddressMap(channels=2, capacity=64 << 10)
    assert len({map_.locate(address) for address in range(map_.capacity)}) == map_.capacity


def test_aligned_extents_are_one_group_of_all_channels() -> None:
    map_ = AddressMap(channels=64, capacity=1 << 30)
    (group,) = map_.split([(8192, 278_528), (1 << 20, 16_384)])
    assert group.channels is map_.all_channels
    assert group.runs == ((128, 4352), (16_384, 256))


def test_whole_chunks_make_at_most_three_groups() -> None:
    map_ = AddressMap(channels=64, capacity=1 << 30)
    groups = map_.split([(5 * 128, 100 * 128)])
    assert [(g.channels[0], g.channels[-1], g.runs) for g in groups] == [
        (0, 4, ((128, 128),)),
        (5, 40, ((0, 256),)),
        (41, 63, ((0, 128),)),
    ]


def test_a_huge_extent_costs_no_more_groups() -> None:
    map_ = AddressMap(channels=64, capacity=1 << 40)
    assert len(map_.split([(12_345, (1 << 39) + 77)])) <= 5


def by_bytes(map_: AddressMap, extents: list[tuple[int, int]]) -> dict[int, set[int]]:
    """Channel -> local addresses, one byte at a time."""
    found: dict[int, set[int]] = {}
    for address, nbytes in extents:
        for byte in range(address, address + nbytes):
            chunk = byte // map_.interleave
            local = chunk // map_.channels * map_.interleave + byte % map_.interleave
            found.setdefault(chunk % map_.channels, set()).add(local)
    return found


@given(
    st.sampled_from([1, 2, 8]),
    st.lists(st.tuples(st.integers(0, 20_000), st.integers(0, 6000)), min_size=1, max_size=4),
)
def test_split_moves_every_byte_once(channels: int, extents: list[tuple[int, int]]) -> None:
    map_ = small(channels)
    found: dict[int, set[int]] = {}
    total = 0
    for members, runs in map_.split(extents):
        for channel in members:
            assert channel not in found
            found[channel] = {byte for local, n in runs for byte in range(local, local + n)}
            total += sum(n for _, n in runs)
    assert found == by_bytes(map_, extents)
    assert total == sum(n for _, n in extents)


def test_last_byte_is_in_and_the_next_is_out() -> None:
    map_ = small()
    assert map_.split([(4 * MIB - 1, 1)])
    with pytest.raises(MemoryFault, match=r"0x3fffff\.\.0x400001 .*capacity of 0x400000"):
        map_.split([(4 * MIB - 1, 2)])
    with pytest.raises(MemoryFault):
        map_.split([(0, 8 * MIB)])
    with pytest.raises(MemoryFault):
        map_.split([(-1024, 1024)])


@pytest.mark.parametrize(
    ("field", "value"),
    [("channels", 3), ("interleave", 96), ("interleave", 2048), ("bank_groups", 0), ("capacity", 4 * MIB + 128)],
)
def test_sizes_must_nest(field: str, value: int) -> None:
    sizes = {"channels": 8, "capacity": 4 * MIB} | {field: value}
    with pytest.raises(ConfigError, match=rf"memory\.{field}"):
        AddressMap(**sizes)


def test_nothing_from_nothing() -> None:
    assert small().split([]) == []
    assert small().split([(64, 0)]) == []
