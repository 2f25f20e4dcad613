"""Typed trees: what is written back loads to the same tree; whatever is not meant is refused, exactly named."""

from __future__ import annotations

import tomllib
from typing import Literal

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archsim.config import write_toml
from archsim.errors import ConfigError
from archsim.tree import MISSING, dump_tree, load_tree
from archsim.units import Bytes, BytesPerSecond, Hertz, Ps, period_ps
from archsim.validate import BadValue, one_of, positive, power_of_two


@attrs.frozen(kw_only=True)
class Node:
    name: str
    role: str = attrs.field(default="router", validator=one_of("router", "core"))


@attrs.frozen(kw_only=True)
class Memory:
    capacity: Bytes
    bandwidth: BytesPerSecond = BytesPerSecond(0)
    channels: int = attrs.field(default=2, validator=power_of_two)
    window: Ps | None = None
    model: Literal["hbm", "fixed"] = "hbm"
    builtin: int = attrs.field(default=1, validator=attrs.validators.ge(1))
    typed: int = attrs.field(default=1, validator=attrs.validators.instance_of(int))
    source: dict[str, str] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        if self.channels > self.capacity:
            raise BadValue("channels", self.channels, "no more channels than bytes")
        if self.builtin > self.channels * 2**20:
            raise ValueError("a table in balance")


@attrs.frozen(kw_only=True)
class Core:
    clock: Hertz
    cores: int = attrs.field(default=1, validator=positive)
    serial: bool = False
    energy: float = 0.5
    costs: dict[str, int] = attrs.field(factory=dict)
    delays: tuple[Ps, ...] = ()
    shape: tuple[int, str] = (0, "")

    def __attrs_post_init__(self) -> None:
        period_ps(self.clock)


@attrs.frozen(kw_only=True)
class Machine:
    memory: Memory
    name: str = "m"
    core: Core | None = None
    nodes: tuple[Node, ...] = ()


NUMBERS = st.integers(min_value=0, max_value=2**50)
TEXT = st.text(max_size=8)
MEMORIES = st.builds(
    Memory,
    capacity=st.integers(min_value=64, max_value=2**60),
    bandwidth=NUMBERS,
    channels=st.sampled_from([1, 2, 64]),
    window=st.none() | NUMBERS,
    model=st.sampled_from(["hbm", "fixed"]),
    builtin=st.integers(min_value=1, max_value=2**20),
    source=st.dictionaries(st.sampled_from(["capacity", "channels"]), TEXT),
)
CORES = st.builds(
    Core,
    clock=st.sampled_from([10**9, 5 * 10**8, 1]),
    cores=st.integers(min_value=1),
    serial=st.booleans(),
    energy=st.floats(allow_nan=False, allow_infinity=False),
    costs=st.dictionaries(TEXT, st.integers()),
    delays=st.lists(NUMBERS).map(tuple),
    shape=st.tuples(st.integers(), TEXT),
)
NODES = st.builds(Node, name=TEXT, role=st.sampled_from(["router", "core"]))
MACHINES = st.builds(
    Machine, memory=MEMORIES, name=TEXT, core=st.none() | CORES, nodes=st.lists(NODES, max_size=3).map(tuple)
)


@given(machine=MACHINES)
def test_round_trip_through_text(machine):
    text = write_toml(dump_tree(machine))
    again = load_tree(Machine, tomllib.loads(text), "m.toml")
    assert again == machine
    assert write_toml(dump_tree(again)) == text


def test_dump_writes_units_and_defaults():
    machine = Machine(memory=Memory(capacity=Bytes(8 * 2**20), window=Ps(3900)), nodes=(Node(name="a"),))
    assert dump_tree(machine) == {
        "name": "m",
        "memory": {
            "capacity": "8 MiB",
            "bandwidth": "0 B/s",
            "channels": 2,
            "window": "3900 ps",
            "model": "hbm",
            "builtin": 1,
            "typed": 1,
        },
        "nodes": [{"name": "a", "role": "router"}],
    }


MEMORY = {"capacity": "1 MiB"}
QUANTITY = "(units: B, KiB, MiB, GiB, TiB, kB, MB, GB)"


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ({"memory": 3}, "memory: 3; expected a table"),
        ({}, "memory: missing; expected a value, for this key has no default"),
        ({"memory": {}}, "memory.capacity: missing; expected a value, for this key has no default"),
        ({"memroy": MEMORY}, "memroy: {'capacity': '1 MiB'}; expected a known key; did you mean 'memory'?"),
        (
            {"memory": MEMORY | {"chanels": 64}},
            "memory.chanels: 64; expected a known key; did you mean 'channels'?",
        ),
        (
            {"memory": MEMORY, "qq": 1},
            "qq: 1; expected a known key; one of core, memory, name, nodes",
        ),
        ({"memory": {"capacity": 8}}, f'memory.capacity: 8; expected a quantity such as "8 MiB" {QUANTITY}'),
        (
            {"memory": MEMORY | {"window": "0.5 ps"}},
            "memory.window: '0.5 ps'; expected a whole, non-negative number of ps",
        ),
        ({"memory": MEMORY | {"channels": 3}}, "memory.channels: 3; expected a power of two (1, 2, 4, ...)"),
        ({"memory": MEMORY | {"channels": "4"}}, "memory.channels: '4'; expected a whole number"),
        ({"memory": MEMORY | {"channels": 4.0}}, "memory.channels: 4.0; expected a whole number"),
        ({"memory": MEMORY | {"channels": True}}, "memory.channels: True; expected a whole number"),
        ({"memory": MEMORY | {"model": "hmb"}}, "memory.model: 'hmb'; expected one of 'hbm', 'fixed'"),
        ({"memory": MEMORY | {"builtin": 0}}, "memory.builtin: 0; expected 'builtin' must be >= 1: 0"),
        ({"memory": {"capacity": "1 B"}}, "memory.channels: 2; expected no more channels than bytes"),
        (
            {"memory": MEMORY | {"builtin": 2**22}},
            "memory: {'capacity': '1 MiB', 'builtin': 4194304}; expected a table in balance",
        ),
        (
            {"memory": MEMORY | {"source": {"capacty": "x"}}},
            "memory.source.capacty: 'x'; expected the name of a key of this table; did you mean 'capacity'?",
        ),
        ({"memory": MEMORY | {"source": {"capacity": 3}}}, "memory.source.capacity: 3; expected text in quotes"),
        ({"memory": MEMORY, "name": 3}, "name: 3; expected text in quotes"),
        ({"memory": MEMORY, "nodes": {}}, "nodes: {}; expected an array"),
        ({"memory": MEMORY, "nodes": [{"name": "a"}, 3]}, "nodes[1]: 3; expected a table"),
        (
            {"memory": MEMORY, "nodes": [{"name": "a"}, {"name": "b", "role": "cores"}]},
            "nodes[1].role: 'cores'; expected one of 'router', 'core' (did you mean 'core'?)",
        ),
    ],
)
def test_refused(data, text):
    with pytest.raises(ConfigError) as caught:
        load_tree(Machine, data, "m.toml")
    assert str(caught.value) == f"m.toml: {text}"


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ({"clock": "1.41 GHz"}, "core.clock: '1410 MHz'; expected a frequency whose period is a whole number of ps"),
        ({"cores": 0}, "core.cores: 0; expected a whole number above 0"),
        ({"serial": 1}, "core.serial: 1; expected true or false"),
        ({"energy": "1"}, "core.energy: '1'; expected a number"),
        ({"energy": True}, "core.energy: True; expected a number"),
        ({"energy": float("inf")}, "core.energy: inf; expected a number"),
        ({"costs": {"V_ADD_VV": 1.5}}, "core.costs.V_ADD_VV: 1.5; expected a whole number"),
        ({"costs": [1]}, "core.costs: [1]; expected a table"),
        (
            {"delays": ["1 ns", "1 m"]},
            "core.delays[1]: '1 m'; expected a quantity such as \"1250 ps\" (units: ps, ns, us, ms, s)",
        ),
        ({"shape": [1]}, "core.shape: [1]; expected an array of 2"),
        ({"shape": [1, 2]}, "core.shape[1]: 2; expected text in quotes"),
    ],
)
def test_refused_in_an_optional_section(data, text):
    with pytest.raises(ConfigError) as caught:
        load_tree(Machine, {"memory": MEMORY, "core": {"clock": "1 GHz"} | data}, "m.toml")
    assert str(caught.value) == f"m.toml: {text}"


def test_a_root_that_is_no_table_names_the_file_alone():
    with pytest.raises(ConfigError) as caught:
        load_tree(Machine, [], "m.toml")  # type: ignore[arg-type]
    assert str(caught.value) == "m.toml: []; expected a table"


def test_missing_is_told_from_any_value():
    with pytest.raises(ConfigError) as caught:
        load_tree(Node, {}, "m.toml")
    assert caught.value.found is MISSING


def test_a_whole_number_serves_where_a_number_is_meant():
    core = load_tree(Core, {"clock": "1 GHz", "energy": 2}, "m.toml")
    assert core.energy == 2.0
    assert isinstance(core.energy, float)


@attrs.frozen
class Broken:
    rows: int = 1

    def __attrs_post_init__(self) -> None:
        raise TypeError("a mistake of ours")


def test_a_mistake_in_a_class_is_not_blamed_on_the_file():
    with pytest.raises(TypeError, match="a mistake of ours"):
        load_tree(Broken, {"rows": 1}, "m.toml")
