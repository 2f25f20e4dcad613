"""Values of a program on a machine: the state it starts from, tensors into it and out of it, and running it.

    state = new_state(program, params)
    load_tensors(state, {"weights": bytes_of_the_weights})
    execute(state)                                      # in program order, without time
    simulate(program, params, values=state)             # or with time
    tensors = dump_tensors(state)
"""

from __future__ import annotations

from archsim.elaborate import check_requirements, formats_of
from archsim.isa.interpreter import interpret
from archsim.isa.program import Program
from archsim.isa.semantics.shape import Shape
from archsim.isa.semantics.system import System, new_system
from archsim.machine import MachineParams
from archsim.tensors import dump_tensors, load_tensors, read_tensors, write_tensors


def new_state(program: Program, params: MachineParams, acts: str = "bf16") -> System:
    """The state before the first instruction; `acts` is the format of reals on chip, "bf16" or "fp32".

    Raises TraceError where the program was made for another machine, ConfigError for `acts`.
    """
    check_requirements(program, params)
    return new_system(program, value_shape(program, params, acts), params.tensor.units)


def value_shape(program: Program, params: MachineParams, acts: str) -> Shape:
    """What values need to know of the two."""
    core = params.core
    return Shape(
        mlen=core.mlen,
        vlen=core.vlen,
        blen=core.blen,
        hlen=core.hlen,
        vectors=params.vector_sram.elements // core.vlen,
        matrix_cells=params.matrix_sram.cells,
        fp_words=params.scalar_memory.fp_words,
        int_words=params.scalar_memory.int_words,
        slots=params.kv_engine.slots,
        hbm_bytes=params.memory.capacity,
        cores=params.cores,
        prefetch_v_rows=params.dma.prefetch_v_rows,
        store_v_rows=params.dma.store_v_rows,
        formats=formats_of(program, params),
        accumulator=params.tensor.accumulator,
        acts=acts,
    )


def execute(state: System) -> int:
    """Run the program on its state, without time; the number of instructions executed.

    Raises MemoryFault, ProgramFault, DeadlockError.
    """
    return interpret(state)


def read_state(program: Program, params: MachineParams, acts: str, path: str | None) -> System:
    """A new state with the tensors of an .npz file, if one is given.

    Raises TraceError, ConfigError, TensorError, OSError.
    """
    state = new_state(program, params, acts)
    if path is not None:
        load_tensors(state, read_tensors(path))
    return state


def write_state(state: System, path: str) -> None:
    """Everything in the state as an .npz file; raises OSError."""
    write_tensors(dump_tensors(state), path)

