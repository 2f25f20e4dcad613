"""The instruction set: text to instructions and back, and both containers, for 100,000 lines."""

from __future__ import annotations

import pyperf
from inputs import assembly_text

from archsim import Program, assemble
from archsim.isa.disassembler import disassemble
from archsim.isa.trace import dump_program, parse_program

LINES = 100_000


def main() -> None:
    runner = pyperf.Runner(processes=3, values=2)
    text = assembly_text(LINES)
    program = Program(instructions=tuple(assemble(text)))
    trace, words = dump_program(program), dump_program(program, binary=True)
    runner.bench_func("isa: assemble 100,000 lines", assemble, text)
    runner.bench_func("isa: disassemble 100,000 instructions", disassemble, program.instructions)
    runner.bench_func("isa: read a text trace of 100,000 lines", parse_program, trace, "trace")
    runner.bench_func("isa: read a binary trace of 100,000 words", parse_program, words, "trace")


if __name__ == "__main__":
    main()
