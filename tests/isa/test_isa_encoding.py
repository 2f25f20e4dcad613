"""Instruction words: golden values, round trips, refusals."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archsim.errors import EncodingError, TraceError
from archsim.isa.disassembler import disassemble
from archsim.isa.encoding import bit_fields, decode, encode
from archsim.isa.opcodes import OPCODES
from archsim.isa.program import Instruction, instruction
from tests.isa.isa_strategies import instructions


@pytest.mark.parametrize(
    ("mnemonic", "values", "word"),
    [
        ("M_MM", (2, 4), 0x01 | 2 << 6 | 4 << 10),
        ("S_ADDI_INT", (1, 0, 0x3FFFF), 0x22 | 1 << 6 | 0x3FFFF << 14),
        ("S_LUI_INT", (15, 5), 0x25 | 15 << 6 | 5 << 10),
        ("V_TOPK_MASK", (1, 2, 3, 4, 5), 0x36 | 1 << 6 | 2 << 10 | 3 << 14 | 4 << 18 | 5 << 22),
        ("C_BREAK", (), 0x38),
        ("C_LOOP_START_R", (3, 4), 0x3F | 3 << 12 | 4 << 16),
        ("C_PHASE", (0xFFFFF,), 0xFFFFF27F),
        ("K_STORE", (1, 2, 7, 4, 2), 0x3F | 0x29 << 6 | 1 << 12 | 2 << 16 | 7 << 20 | 4 << 24 | 2 << 28),
    ],
)
def test_golden_words(mnemonic: str, values: tuple[int, ...], word: int) -> None:
    assert encode(instruction(mnemonic, *values)) == word
    assert decode(word) == instruction(mnemonic, *values)


@given(instructions())
def test_every_instruction_survives_its_word(one: Instruction) -> None:
    word = encode(one)
    assert 0 < word < 1 << 32
    assert decode(word) == one


@given(st.integers(0, 2**32 - 1))
def test_a_word_is_refused_or_survives(word: int) -> None:
    try:
        one = decode(word)
    except TraceError:
        return
    assert encode(one) == word


@pytest.mark.parametrize("mnemonic", list(OPCODES))
def test_fields_lie_side_by_side_within_the_word(mnemonic: str) -> None:
    at = 12 if OPCODES[mnemonic].is_extension else 6
    for low, high in bit_fields(OPCODES[mnemonic]):
        assert low == at
        at = high + 1
    assert at <= 32


def test_words_disassemble() -> None:
    assert disassemble([0x38, 0x01 | 2 << 6 | 4 << 10]) == "C_BREAK\nM_MM gp2, gp4\n"


@pytest.mark.parametrize(
    ("word", "message"),
    [
        (0x00, "t.bin: word 7 (0x00000000): unknown code 0x00; expected a code of the opcode table"),
        (0x39, "t.bin: word 7 (0x00000039): unknown code 0x39; expected a code of the opcode table"),
        (
            0x3F | 0x3F << 6,
            "t.bin: word 7 (0x00000fff): unknown code 0x3f, function 0x3f; expected a code of the opcode table",
        ),
        (0x38 | 1 << 31, "t.bin: word 7 (0x80000038): bits 6 and up of C_BREAK set; expected zeros"),
        (0x17 | 8 << 6, "t.bin: word 7 (0x00000217): S_ADD_FP fd = 8; expected a register"),
    ],
)
def test_words_that_are_no_instruction(word: int, message: str) -> None:
    with pytest.raises(TraceError) as caught:
        decode(word, 7, "t.bin")
    assert str(caught.value) == message


def test_decoded_instructions_know_their_place() -> None:
    assert decode(0x38, 7).line == 8


@pytest.mark.parametrize(
    ("mnemonic", "values", "message"),
    [
        ("S_ADDI_INT", (1, 0, 1 << 18), "field S_ADDI_INT.imm: 262144 does not fit in 18 bits"),
        ("S_LD_INT", (1, 0, 1 << 18), "field S_LD_INT.imm: 262144 does not fit in 18 bits"),
        ("M_MM", (16, 0), "field M_MM.rs1: 16 does not fit in 4 bits"),
        ("S_ADD_FP", (0, 8, 0), "field S_ADD_FP.fs1: 8 does not fit in 3 bits"),
        ("M_MM", (0, -1), "field M_MM.rs2: -1 does not fit in 4 bits"),
    ],
)
def test_values_outside_their_field(mnemonic: str, values: tuple[int, ...], message: str) -> None:
    for attempt in (
        lambda: encode(Instruction(OPCODES[mnemonic], values)),
        lambda: encode(instruction(mnemonic, *values)),
    ):
        with pytest.raises(EncodingError) as caught:
            attempt()
        assert str(caught.value) == message


def test_instruction_fills_defaults_and_counts_values() -> None:
    assert instruction("H_GATHER_V", 1, 2, 3).values == (1, 2, 3, 2)
    with pytest.raises(TypeError, match="V_EXP_V: 1 values for 3 operands"):
        instruction("V_EXP_V", 1)
    with pytest.raises(TypeError, match="V_EXP_V: 4 values for 3 operands"):
        instruction("V_EXP_V", 1, 2, 3, 4)
