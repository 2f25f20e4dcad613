"""Hypothesis strategies for instructions and whole programs."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from archsim.isa.formats import FORMATS
from archsim.isa.opcodes import OPCODES, Opcode
from archsim.isa.program import Header, Instruction, PhaseInfo, Program, instruction, value_bits

LOOPS = ("C_LOOP_START", "C_LOOP_START_R", "C_LOOP_END")


def values_of(opcode: Opcode) -> st.SearchStrategy[tuple[int, ...]]:
    return st.tuples(*(st.integers(0, (1 << value_bits(operand)) - 1) for operand in opcode.operands))


@st.composite
def instructions(draw: st.DrawFn, but: tuple[str, ...] = ()) -> Instruction:
    opcode = draw(st.sampled_from([op for op in OPCODES.values() if op.mnemonic not in but]))
    return instruction(opcode.mnemonic, *draw(values_of(opcode)))


@st.composite
def bodies(draw: st.DrawFn, depth: int = 2) -> list[Instruction]:
    """Straight code around a few properly nested loops."""
    body = draw(st.lists(instructions(but=LOOPS), max_size=4))
    if depth and draw(st.booleans()):
        counter = draw(st.integers(1, 15))
        inner = draw(bodies(depth=depth - 1))
        start = draw(st.sampled_from([("C_LOOP_START", 7), ("C_LOOP_START_R", 2)]))
        body += [instruction(start[0], counter, start[1]), *inner, instruction("C_LOOP_END", counter)]
    return body


texts = st.text(max_size=6)
scalars = st.none() | st.booleans() | st.integers(-(2**40), 2**40) | texts
objects: st.SearchStrategy[dict[str, Any]] = st.dictionaries(texts, scalars | st.lists(scalars, max_size=3), max_size=3)


@st.composite
def headers(draw: st.DrawFn) -> Header:
    cores = draw(st.integers(1, 3))
    image = st.lists(st.integers(0, 2**32 - 1), max_size=3).map(tuple)
    roles = st.sampled_from(["weights", "kv", "activations", "vector_hbm"])
    return Header(
        name=draw(texts),
        model=draw(objects),
        schedule=draw(objects),
        requires=draw(objects),
        seed=draw(st.none() | st.integers(0, 9)),
        formats=draw(st.dictionaries(roles, st.sampled_from(list(FORMATS)), max_size=4)),
        block=draw(st.integers(1, 64)),
        cores=cores,
        phases=tuple(draw(st.lists(st.builds(PhaseInfo, texts, texts, texts), max_size=2))),
        forwards=tuple(draw(st.lists(objects, max_size=2))),
        int_mem=tuple(draw(image) for _ in range(draw(st.sampled_from([0, 1, cores])))),
        gather_ids=draw(objects),
        regions=tuple(draw(st.lists(objects, max_size=2))),
        ideal=draw(st.dictionaries(texts, st.dictionaries(texts, st.integers(0, 2**60), max_size=2), max_size=2)),
        notes=tuple(draw(st.lists(texts, max_size=2))),
    )


@st.composite
def programs(draw: st.DrawFn) -> Program:
    header = draw(headers())
    known = len(header.phases)
    body = [i for i in draw(bodies()) if i.opcode.mnemonic != "C_PHASE" or i.values[0] < known or not known]
    return Program(instructions=tuple(body), header=header)
