"""Assembly text: what it means, and what is said about text that means nothing."""

from __future__ import annotations

import time

import pytest
from hypothesis import given

from archsim.errors import AssemblyError
from archsim.isa.assembler import assemble, syntax
from archsim.isa.disassembler import disassemble, format_instruction
from archsim.isa.loops import match_loops
from archsim.isa.opcodes import OPCODES
from archsim.isa.program import Instruction, instruction
from tests.isa.isa_strategies import LOOPS, bodies, instructions


def refusal(text: str) -> str:
    with pytest.raises(AssemblyError) as caught:
        assemble(text, "prog.asm")
    return str(caught.value)


@given(instructions(but=LOOPS))
def test_text_of_an_instruction_assembles_to_it(one: Instruction) -> None:
    assert assemble(format_instruction(one)) == [one]


@given(bodies())
def test_text_of_a_program_assembles_to_it(body: list[Instruction]) -> None:
    assert assemble(disassemble(body)) == body


@pytest.mark.parametrize("mnemonic", [name for name in OPCODES if name not in LOOPS])
def test_every_opcode_round_trips_with_and_without_defaults(mnemonic: str) -> None:
    operands = OPCODES[mnemonic].operands
    required = [2 + n for n, operand in enumerate(operands) if operand.default is None]
    full = [2 + n for n in range(len(operands))]
    for values in (required, full):
        one = instruction(mnemonic, *values)
        assert assemble(format_instruction(one)) == [one]


def test_defaults_stand_last_in_every_row() -> None:
    for opcode in OPCODES.values():
        has_default = [operand.default is not None for operand in opcode.operands]
        assert has_default == sorted(has_default), opcode.mnemonic


def test_plena_dialect() -> None:
    text = """
    ; a comment line
    S_ADDI_INT gp2, gp0, 0x40    ; hexadecimal
    C_LOOP_START gp3, 5
      M_MM 0, gp2, gp4
      M_MM gp2, gp4
      M_MM_WO gp1, 0, 0
      V_SUB_VF gp1,gp2,f3,0,1
    C_LOOP_END gp3
    H_PREFETCH_V gp1, gp2, a7, 1, 0;tight
    C_BREAK
    """
    assert assemble(text) == [
        instruction("S_ADDI_INT", 2, 0, 64),
        instruction("C_LOOP_START", 3, 5),
        instruction("M_MM", 2, 4),
        instruction("M_MM", 2, 4),
        instruction("M_MM_WO", 1, 0, 0),
        instruction("V_SUB_VF", 1, 2, 3, 0, 1),
        instruction("C_LOOP_END", 3),
        instruction("H_PREFETCH_V", 1, 2, 7, 1, 0),
        instruction("C_BREAK"),
    ]


def test_lines_are_counted_from_the_first_line_given() -> None:
    assert [one.line for one in assemble("C_BREAK\r\n\r\nC_BREAK\n", first_line=3)] == [3, 5]


def test_canonical_text_leaves_trailing_defaults_out_only() -> None:
    assert format_instruction(instruction("V_SUB_VF", 1, 2, 3, 0, 0)) == "V_SUB_VF gp1, gp2, f3"
    assert format_instruction(instruction("V_SUB_VF", 1, 2, 3, 0, 1)) == "V_SUB_VF gp1, gp2, f3, 0, 1"
    assert format_instruction(instruction("H_GATHER_V", 1, 2, 3, 0)) == "H_GATHER_V gp1, gp2, a3, 0"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("V_EXP gp1, gp2", "1:1: unknown mnemonic 'V_EXP'; did you mean V_EXP_V?"),
        ("\n  v_exp_v gp1, gp2", "2:3: unknown mnemonic 'v_exp_v'; did you mean V_EXP_V?"),
        ("start: gp1", "1:1: unknown mnemonic 'start:'; the opcode table is in docs/isa.md"),
        ("V_EXP_V gp1", "1:1: V_EXP_V has 1 operands, takes 2 to 3; expected V_EXP_V rd:gp, rs1:gp[, rmask:flag=0]"),
        ("C_BREAK gp1", "1:1: C_BREAK has 1 operands, takes 0; expected C_BREAK"),
        ("M_MM 1, gp1, gp2", "1:1: M_MM has 3 operands, takes 2; expected M_MM rs1:gp, rs2:gp"),
        ("V_ADD_VV 0, gp1, gp2, gp3, 0", "takes 3 to 4; expected V_ADD_VV rd:gp, rs1:gp, rs2:gp[, rmask:flag=0]"),
        ("V_EXP_V gp1, gp16", "1:14: gp16: registers are gp0..gp15"),
        ("V_ADD_VF gp1, gp2,  f8", "1:21: f8: registers are f0..f7"),
        ("H_STORE_V gp1, gp2, a8", "1:21: a8: registers are a0..a7"),
        ("V_EXP_V gp1, f1", "1:14: rs1: 'f1' is not a register of the right kind; expected gp0..gp15"),
        ("V_ADD_VF gp1, gp2, 0", "1:20: fs2: '0' is not a register of the right kind; expected f0..f7"),
        ("V_EXP_V gp1,, 0", "1:13: rs1: '' is not a register of the right kind; expected gp0..gp15"),
        ("M_MM 0, gp2,  gp44", "1:15: gp44: registers are gp0..gp15"),
        ("S_ADDI_INT gp1, 0, -5", "1:20: imm: '-5' is negative; expected 0..262143, decimal or 0x hexadecimal"),
        ("S_ADDI_INT gp1, 0, 262144", "1:20: imm: 262144 does not fit in 18 bits; expected 0..262143"),
        ("S_LD_INT gp1, 0, 0x40000", "1:18: imm: 0x40000 does not fit in 18 bits; expected 0..262143"),
        ("S_ADDI_INT gp1, 0, 1_0", "1:20: imm: '1_0' is not a number; expected 0..262143, decimal or 0x hexadecimal"),
        ("S_ADDI_INT gp1, 0, " + "9" * 5000, "decimal or 0x hexadecimal"),
        ("V_EXP_V gp1, gp2, 16", "1:19: rmask: 16 does not fit in 4 bits; expected 0..15"),
        ("C_PHASE 1048576", "1:9: imm: 1048576 does not fit in 20 bits; expected 0..1048575"),
        ("C_LOOP_END gp1", "1:1: C_LOOP_END gp1 ends no loop; expected C_LOOP_START before it"),
        ("C_BREAK\nC_LOOP_START gp1, 2", "2:1: C_LOOP_START gp1 has no end; expected C_LOOP_END after it"),
        (
            "C_LOOP_START_R gp1, gp2\n\nC_LOOP_END gp2",
            "3:1: C_LOOP_END gp2 ends the loop begun in line 1; expected its register gp1",
        ),
    ],
)
def test_refusals(text: str, message: str) -> None:
    found = refusal(text)
    assert found.startswith("prog.asm:")
    assert found.endswith(message)


def test_largest_values_are_accepted() -> None:
    assert assemble("S_ADDI_INT gp15, gp15, 262143")[0].values == (15, 15, 262143)
    assert assemble("C_PHASE 0xFFFFF")[0].values == (0xFFFFF,)


def test_only_the_first_fault_is_told() -> None:
    assert refusal("C_BREAK\nfoo\nbar").startswith("prog.asm:2:1: unknown mnemonic 'foo'")


def test_loops_match_inside_out() -> None:
    first = "C_LOOP_START_R gp2, gp3\nC_LOOP_END gp2\n"
    second = "C_LOOP_START gp2, 1\nC_LOOP_END gp2\n"
    assert match_loops(assemble(f"C_LOOP_START gp1, 2\n{first}{second}C_LOOP_END gp1")) == {0: 5, 1: 2, 3: 4}


def test_syntax_line() -> None:
    assert syntax(OPCODES["S_LD_INT"]) == "S_LD_INT rd:gp, rs1:gp[, imm=0]"
    assert syntax(OPCODES["C_WAIT_IDLE"]) == "C_WAIT_IDLE"


def test_speed_of_a_generated_program() -> None:
    text = "".join(f"S_ADDI_INT gp{n % 16}, gp0, {n % 997}\n" for n in range(100_000))
    start = time.process_time()
    assert len(assemble(text)) == 100_000
    assert time.process_time() - start < 3  # about 0.1 s on an idle core
