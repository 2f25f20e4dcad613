"""DMA transfers: exact times, several in flight, engines by stream, strides, Vector SRAM rows landing."""

from __future__ import annotations

import pytest

from tests.system.small import FIRST, LATENCY, LINK, VLEN, integers, machine, read_cycles, run, serial

ROWS = 16 * 64 + 16 * 2
"""Bytes of 16 rows as MXFP8, codes and scales."""
MOVING = 17
"""Cycles that the memory needs for them: 1056 B at 64 B a cycle are 16.5."""


def test_a_read_is_command_memory_network_and_conversion() -> None:
    done = serial("H_PREFETCH_V gp0, gp0, a0")
    assert done.cycles == 8 + LINK + LATENCY + MOVING + LINK + 8
    assert done.result.hbm == {"read_bytes": ROWS, "write_bytes": 0}


@pytest.mark.parametrize(
    ("field", "more"), [("command_cycles", 0), ("command_cycles", 20), ("convert_cycles", 0), ("fixed_cycles", 33)]
)
def test_each_overhead_counts_once(field: str, more: int) -> None:
    base = {"command_cycles": 8, "convert_cycles": 8, "fixed_cycles": 0}
    own = sum((base | {field: more}).values())
    for text, rest in (("H_PREFETCH_V gp0, gp0, a0", 0), ("H_STORE_V gp0, gp0, a0", 1 - LINK)):
        done = serial(text, machine(dma={field: more}))
        assert done.cycles == own + LINK + LATENCY + MOVING + LINK + rest


def test_a_write_is_buffered_whole_at_the_channel() -> None:
    """Command and conversion, 5 cycles of network and 1 of the widest link's service, then the memory."""
    done = serial("H_STORE_V gp0, gp0, a0")
    assert done.cycles == 8 + 8 + LINK + 1 + LATENCY + MOVING
    assert done.result.hbm == {"read_bytes": 0, "write_bytes": ROWS}


@pytest.mark.parametrize(
    ("mnemonic", "nbytes"),
    [
        ("H_PREFETCH_M gp0, gp0, a0", 64 * 8 // 2 + 64 * 8 // 32),
        ("H_PREFETCH_M gp0, gp0, a0, 0, 1", 64 * 16 // 2 + 64 * 16 // 32),
        ("H_PREFETCH_M gp0, gp0, a0, 0, 4", 64 * 8 + 64 * 8 // 32),
        ("H_PREFETCH_M gp0, gp0, a0, 0, 2", 64 * 8 * 2),
        ("H_PREFETCH_V gp0, gp0, a0, 0, 2", 16 * VLEN * 2),
        ("H_PREFETCH_V gp0, gp0, a0, 0, 6", 16 * VLEN * 4),
        ("H_GATHER_V gp0, gp0, a0", VLEN * 2),
        ("H_GATHER_V gp0, gp0, a0, 5", VLEN // 2 + 2),
    ],
)
def test_bytes_and_time_follow_from_format_and_amount(mnemonic: str, nbytes: int) -> None:
    done = serial(mnemonic)
    assert done.result.hbm["read_bytes"] == nbytes
    assert done.cycles == read_cycles(nbytes)


def test_rows_width_and_fetch_amounts_are_sticky() -> None:
    """5 rows of 96 elements; 3 tiles of 64 elements."""
    text = integers(gp1=5, gp2=96, gp3=3, gp4=64) + (
        "C_SET_H_ROWS gp1, gp2, gp0\nC_SET_M_FETCH gp3, gp4\nH_PREFETCH_V gp0, gp0, a0, 0, 2\nH_PREFETCH_M gp0, gp0, a0"
    )
    done = serial(text)
    assert done.result.hbm["read_bytes"] == 5 * 96 * 2 + 3 * (32 + 2)
    assert done.cycles == 6 + read_cycles(960) + read_cycles(102)


@pytest.mark.parametrize(
    ("in_flight", "starts", "last"),
    [(1, [0, 158, 316, 474], 632), (2, [0, 1, 158, 190], 348), (4, [0, 1, 2, 3], 254)],
)
def test_transfers_in_flight(in_flight: int, starts: list[int], last: int) -> None:
    """16 rows of BF16 are 32 cycles of the pipe; a read takes 126 + 32 alone, and data follows data without a gap.

    Four at once: 126 + 4 * 32. Two at once: they end at 158 and 190; then the third and the fourth start, and
    find the pipe just free.
    """
    text = integers(gp1=1024, gp2=2048, gp3=3072)
    text += "".join(f"H_PREFETCH_V gp{i}, gp{i}, a0, 0, 2\n" for i in range(4))
    done = run(text, machine(dma={"in_flight": in_flight}))
    base = FIRST + 3
    assert [start - base for start in done.starts("dma2")] == starts
    assert done.cycles == base + last


@pytest.mark.parametrize(("rate", "gap"), [(0, 1), (4096, 1), (2047, 2), (64, 32)])
def test_an_engine_asks_at_its_rate(rate: int, gap: int) -> None:
    """2 KiB a transfer: the next one starts when all of this one has been asked for."""
    text = integers(gp1=1024, gp2=2048) + "".join(f"H_PREFETCH_V gp{i}, gp{i}, a0, 0, 2\n" for i in range(3))
    done = run(text, machine(dma={"request_bytes_per_cycle": rate}))
    base = FIRST + 2
    assert [start - base for start in done.starts("dma2")] == [0, gap, 2 * gap]


def test_an_engine_is_busy_while_anything_is_in_flight() -> None:
    """Two transfers, together from the first start to the second's end, and idle before."""
    done = run(integers(gp1=1024) + "H_PREFETCH_V gp0, gp0, a0, 0, 2\nH_PREFETCH_V gp1, gp1, a0, 0, 2")
    unit = done.result.units["core0.dma2"]
    assert (unit.busy_cycles, unit.idle_cycles) == (158 + 32, FIRST + 1)
    assert unit.extra == {"read_bytes": 4096, "write_bytes": 0, "landed_bytes": 4096}


@pytest.mark.parametrize(
    ("engines", "expected"), [(1, ["dma"] * 4), (2, ["dma0", "dma1"] * 2), (4, ["dma0", "dma1", "dma2", "dma3"])]
)
def test_streams_go_to_engines_in_turn(engines: int, expected: list[str]) -> None:
    """Weights, KV, vector loads, stores."""
    text = integers(gp1=4096) + (
        "H_PREFETCH_M gp0, gp0, a0\nH_PREFETCH_M gp1, gp0, a0, 0, 1\nH_PREFETCH_V gp0, gp0, a0\nH_STORE_V gp1, gp1, a0"
    )
    done = run(text, machine(dma={"engines": engines}))
    assert [item.track for item in done.slices] == expected


def test_a_strided_read_moves_only_its_rows() -> None:
    """16 rows of 64 elements, 256 elements apart: the same bytes as without stride, spread over more addresses."""
    text = integers(gp1=256) + "C_SET_STRIDE_REG gp1\nH_PREFETCH_V gp0, gp0, a0, 1"
    done = serial(text)
    assert done.result.hbm["read_bytes"] == ROWS
    assert done.cycles == 2 + read_cycles(ROWS)


def test_a_strided_read_reaches_to_its_last_row() -> None:
    """The last row ends at element 15 * 256 + 64 = 3904 of BF16: 7808 bytes fit, 7807 do not."""
    text = integers(gp1=256) + "C_SET_STRIDE_REG gp1\nH_PREFETCH_V gp0, gp0, a0, 1, 2"
    serial(text, machine(memory={"capacity": 7808}))
    with pytest.raises(Exception, match=r"HBM \[7680, 7808\); expected within \[0, 7807\)"):
        serial(text, machine(memory={"capacity": 7807}))


def test_the_scale_region_and_the_base_place_the_bytes() -> None:
    """Base 4096, 1024 codes, scales of 32 B at 8192 behind the base."""
    text = integers(gp1=4096, gp2=8192) + "C_SET_ADDR_REG a3, gp0, gp1\nC_SET_SCALE_REG gp2\nH_PREFETCH_V gp0, gp0, a3"
    serial(text, machine(memory={"capacity": 4096 + 8192 + 32}))
    with pytest.raises(Exception, match=r"HBM \[12288, 12320\)"):
        serial(text, machine(memory={"capacity": 4096 + 8192 + 31}))


def test_rows_land_through_port_a_with_priority() -> None:
    """16 rows land in the last 16 of the 143 cycles and take the whole port: a vector instruction waits for their end.

    The DMA starts at FIRST + 2; the loop's 125 trips put the vector instruction at the landing, which is over at 143.
    """
    text = integers(gp1=4096, gp2=125) + (
        "H_PREFETCH_V gp0, gp0, a0\nC_LOOP_START_R gp3, gp2\nC_LOOP_END gp3\nV_EXP_V gp1, gp1"
    )
    start = FIRST + 2
    one = run(text, machine(vector_sram={"rows_per_cycle": 1}))
    assert one.starts("V_EXP_V") == [start + 143]
    # Dispatched 127 cycles after the DMA, when the landing begins.
    assert one.stalls("vector") == {"sram_port": 143 - 127}
    four = run(text, machine(vector_sram={"rows_per_cycle": 4}))
    assert four.starts("V_EXP_V") == [start + 127]


def test_before_the_landing_the_port_is_free() -> None:
    text = integers(gp1=4096, gp2=124) + (
        "H_PREFETCH_V gp0, gp0, a0\nC_LOOP_START_R gp3, gp2\nC_LOOP_END gp3\nV_EXP_V gp1, gp1"
    )
    assert run(text, machine(vector_sram={"rows_per_cycle": 1})).starts("V_EXP_V") == [FIRST + 2 + 126]


def test_a_store_reads_its_rows_through_port_a() -> None:
    """Rows leave from 16 to 32 cycles after the start; the vector instruction of cycle 16 waits for their end."""
    text = integers(gp1=4096, gp2=14) + (
        "H_STORE_V gp0, gp0, a0\nC_LOOP_START_R gp3, gp2\nC_LOOP_END gp3\nV_EXP_V gp1, gp1"
    )
    done = run(text, machine(vector_sram={"rows_per_cycle": 1}))
    assert done.starts("V_EXP_V") == [FIRST + 2 + 32]


def test_tiles_and_write_backs_share_port_b() -> None:
    """A tile reads a row every cycle for 8 cycles; with one row a cycle the write-back has to wait for its end."""
    text = integers(gp1=4096) + "M_MM gp0, gp0\nV_EXP_V gp1, gp1"
    one = run(text, machine(vector_sram={"rows_per_cycle": 1}))
    assert one.starts("V_EXP_V") == [FIRST + 1 + 8]
    assert one.stalls("vector") == {"sram_port": 7}
    two = run(text, machine(vector_sram={"rows_per_cycle": 2}))
    assert two.starts("V_EXP_V") == [FIRST + 2]


def test_a_matrix_vector_tile_reads_one_row() -> None:
    """One row in 17 cycles leaves room on a port of one row a cycle for a write-back that needs half of it."""
    text = integers(gp1=4096) + "M_MV gp0, gp0\nV_ADD_VF gp1, gp1, f1"
    done = run(text, machine(vector_sram={"rows_per_cycle": 1}))
    assert done.starts("V_ADD_VF") == [FIRST + 2]


@pytest.mark.parametrize(("kind", "expected"), [("synthetic", None), ("recorded", 3 * 128)])
def test_gathers_read_the_rows_of_the_headers_ids(kind: str, expected: int | None) -> None:
    """Recorded ids 1, 2, 3 of a table of 4 rows of 128 B: the highest address is 3 * 128 + 128."""
    ids = {"kind": kind, "vocab": 4, "seed": 1, "ids": [1, 2, 3]}
    text = integers(gp1=3) + "C_SET_H_ROWS gp1, gp0, gp0\nH_GATHER_V gp0, gp0, a0"
    assert serial(text, machine(memory={"capacity": 512}), gather_ids=ids).result.hbm["read_bytes"] == 3 * 128
    if expected is not None:
        with pytest.raises(Exception, match=rf"HBM \[{expected}, 512\)"):
            serial(text, machine(memory={"capacity": 511}), gather_ids=ids)


def test_gathers_without_recorded_ids_read_int_mem() -> None:
    text = integers(gp1=7) + "S_ST_INT gp1, gp0, 0\nH_GATHER_V gp0, gp0, a0"
    serial(text, machine(memory={"capacity": 1024}))
    with pytest.raises(Exception, match=r"HBM \[896, 1024\)"):
        serial(text, machine(memory={"capacity": 1023}))
