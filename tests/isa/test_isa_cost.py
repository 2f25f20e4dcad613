"""Cost formulas and the table of a machine."""

from __future__ import annotations

import pytest

from archsim.errors import ConfigError
from archsim.isa.opcodes import OPCODES
from archsim.isa.timing.cost import Linear, cost_symbols, cost_table, cycles_of, parse_cost

GRAMMAR = 'a cost such as "4", "blen+6/1" or "3*len" (symbols: blen, mlen, hlen, vlen, len, log2_mlen)'
SYMBOLS = cost_symbols(blen=64, mlen=1024, hlen=128, vlen=512)


@pytest.mark.parametrize(
    ("text", "cycles"),
    [
        ("4", (4, 4)),
        ("0", (0, 0)),
        ("blen+6/1", (70, 1)),
        ("blen + 9 / blen + 1", (73, 65)),
        ("3*len", (96, 96)),
        ("2*blen+mlen+hlen+vlen+3", (1795, 1795)),
        ("log2_mlen+1", (11, 11)),
        ("blen+blen+1+1", (130, 130)),
    ],
)
def test_formulas(text: str, cycles: tuple[int, int]) -> None:
    assert parse_cost(text).cycles({**SYMBOLS, "len": 32}) == cycles


@pytest.mark.parametrize(
    "text", ["", "blen-1", "4/", "/4", "1/1/1", "clen", "len*3", "3*4", "1.5", "-1", "3*", "blen+", "1e3", 4, None]
)
def test_bad_formulas(text: object) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_cost(text, "costs.V_EXP_V")
    assert caught.value.path == "costs.V_EXP_V"
    assert caught.value.found == text


@pytest.mark.parametrize("text", ["4", "0", "blen+6/1", "3*len", "2*blen+len+1/len"])
def test_text_of_a_cost_reads_back(text: str) -> None:
    assert str(parse_cost(text)) == text


def test_binding_leaves_unknown_symbols() -> None:
    assert parse_cost("blen+2*len+1").bind(SYMBOLS).latency == Linear(65, ((2, "len"),))


def test_published_table() -> None:
    table = cost_table({}, SYMBOLS)
    assert list(table) == list(OPCODES)
    assert table["M_MM"] == (64, 64)
    assert table["M_MM_WO"] == (70, 1)
    assert table["V_RED_SUM"] == (8, 8)
    assert table["H_PREFETCH_M"] == (0, 0)
    assert table["C_HADAMARD_TRANSFORM"] == (11, 11)
    assert cycles_of(table["V_TOPK_MASK"], 32) == (96, 96)
    assert cycles_of(table["V_RED_MAX"], 32) == (4, 4)


def test_pipelined_table_changes_vector_and_scalar_units_only() -> None:
    published, pipelined = cost_table({}, SYMBOLS), cost_table({}, SYMBOLS, "pipelined")
    for mnemonic, opcode in OPCODES.items():
        latency, interval = cycles_of(published[mnemonic], 32)
        one_a_cycle = opcode.unit in ("vector", "scalar") and isinstance(published[mnemonic], tuple)
        assert cycles_of(pipelined[mnemonic], 32) == (latency, 1 if one_a_cycle else interval), mnemonic
    assert pipelined["V_RED_SUM"] == (8, 1)


def test_overrides_win_over_the_set() -> None:
    table = cost_table({"V_EXP_V": "7/3", "V_TOPK_MASK": "20", "M_MM": "blen+4"}, SYMBOLS, "pipelined")
    assert table["V_EXP_V"] == (7, 3)
    assert table["V_TOPK_MASK"] == (20, 20)
    assert table["M_MM"] == (68, 68)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            {"V_EXP": "1"},
            "costs.V_EXP: '1'; expected a mnemonic of the opcode table; did you mean 'V_EXP_V'?",
        ),
        (
            {"V_EXP_V": "2*foo"},
            "costs.V_EXP_V: '2*foo'; expected " + GRAMMAR,
        ),
        ({"V_EXP_V": "1/2"}, "costs.V_EXP_V: '1/2'; expected an interval of at most the latency"),
        ({"V_TOPK_MASK": "20/len"}, "costs.V_TOPK_MASK: '20/len'; expected an interval of at most the latency"),
    ],
)
def test_refused_overrides(overrides: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        cost_table(overrides, SYMBOLS)
    assert str(caught.value) == message


def test_unknown_set() -> None:
    with pytest.raises(ConfigError, match=r"costs\.set: 'fast'; expected one of published, pipelined"):
        cost_table({}, SYMBOLS, "fast")
