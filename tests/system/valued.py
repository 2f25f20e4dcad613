"""Random programs whose values are compared: few addresses, so that instructions meet each other's operands."""

from __future__ import annotations

import attrs
import ml_dtypes
import numpy as np
from hypothesis import strategies as st

from archsim import MachineParams, Program, dump_tensors, execute, load_tensors, new_state, simulate
from archsim.elaborate import build
from archsim.isa.semantics.system import System
from tests.system.assembly import machines
from tests.system.small import VLEN, integers, program

VECTORS = 32
WORDS = 16
SCALES = 1 << 15
"""Bytes from codes to scales, which two formats at one base share where their codes do not meet."""

# gp1-gp4: vectors; gp5: a count, slot and word address; gp6, gp7: a weight tile and a cache tile;
# gp8: loop counter; gp9: results of V_RED_MAX_IDX; gp10: loaded words; gp11: HBM elements; gp12: 1.
REGISTERS = {"gp1": 0, "gp2": VLEN, "gp3": 3 * VLEN, "gp4": 6 * VLEN, "gp5": 3, "gp6": 512, "gp7": 4096}
REGISTERS |= {"gp11": 64, "gp12": 1, "gp13": SCALES, "gp14": 4096}
SETUP = (
    integers(**REGISTERS)
    + "C_SET_SCALE_REG gp13\nC_SET_ADDR_REG a1, gp0, gp14\nC_SET_H_ROWS gp5, gp0, gp0\n"
    + "H_PREFETCH_M gp0, gp0, a0\nH_PREFETCH_M gp6, gp11, a0\nH_PREFETCH_M gp7, gp0, a0, 0, 1\n"
    + "K_CALIB gp1, gp5, 1\nK_CALIB gp2, gp0, 1\n"
)
REAL = ("gp1", "gp2", "gp3", "gp4")
SPACES = {
    "V_ADD_VV {a}, {b}, {c}": "vector",
    "V_SUB_VF {a}, {b}, f1, 0, 1": "vector",
    "V_MUL_VV {a}, {b}, {c}, 1": "vector",
    "V_RECI_V {a}, {b}": "vector",
    "V_PS_V {a}, {b}": "vector",
    "V_SHFT_V {a}, {b}, gp5": "vector",
    "V_RED_SUM f1, {a}": "vector",
    "V_RED_MAX f2, {a}": "vector",
    "V_RED_MAX_IDX gp9, {a}, gp9, f2": "vector",
    "V_RED_MAX_SEG {a}, {b}": "vector",
    "V_MUL_SEG {a}, {b}, {c}": "vector",
    "V_SELECT_VVM {a}, {b}, {c}, gp2": "vector",
    "V_TOPK_MASK {a}, {b}, {c}, gp5, gp5": "vector",
    "V_ROT_SEG {a}, {b}": "vector",
    "V_GUMBEL_V {a}, gp5": "vector",
    "M_MM gp0, {a}": "tensor",
    "M_MM gp6, {a}\nM_MM_WO {b}, gp0, 8": "tensor",
    "M_MM_WO {a}, gp0": "tensor",
    "M_MM_WO gp0, gp0\nM_BTMM gp7, {a}\nM_BMM_WO {b}, 0": "tensor",
    "M_MM_WO gp0, gp0\nM_BMM gp7, {a}\nM_BMM_WO {b}, 0": "tensor",
    "S_ADD_FP f1, f2, f3": "scalar",
    "S_MUL_FP f3, f1, f1": "scalar",
    "S_ST_FP f1, gp5": "scalar",
    "S_LD_FP f2, gp5": "scalar",
    "S_LD_FP f3, gp0": "scalar",
    "S_MAP_V_FP {a}, gp0, 1, gp5": "scalar",
    "S_ST_INT gp9, gp5": "scalar",
    "S_ST_INT gp5, gp5, 1": "scalar",
    "S_SELECT_INT gp5, gp0, gp12, {a}, gp5": "scalar",
    "S_LD_INT gp9, gp5": "front",
    "S_LD_INT gp10, gp5, 2\nS_ADD_INT gp9, gp10, gp12": "front",
    "H_PREFETCH_M gp0, gp11, a0": "dma",
    "H_PREFETCH_M gp6, gp0, a0": "dma",
    "H_PREFETCH_M gp7, gp11, a0, 0, 1": "dma",
    "H_PREFETCH_V {a}, gp11, a1": "dma",
    "H_PREFETCH_V {a}, gp0, a1, 0, 2": "dma",
    "H_STORE_V {a}, gp11, a1": "dma",
    "H_STORE_V {a}, gp0, a1, 0, 2": "dma",
    "H_STORE_V {a}, gp13, a0": "dma",
    "H_STORE_V {a}, gp13, a0, 0, 5": "dma",
    "H_PREFETCH_V {a}, gp13, a0, 0, 5": "dma",
    "H_GATHER_V {a}, gp0, a1": "dma",
    "K_CALIB {a}, gp5": "kv",
    "K_CALIB {a}, gp0, 1": "kv",
    "K_FOLD {a}, {b}, gp5": "kv",
    "K_STORE gp11, {a}, a0, gp5": "kv",
    "C_SET_V_ROWS gp5, gp12, gp12": "front",
    "C_SET_V_ROWS gp12, gp12, gp12": "front",
    "C_SET_V_ROWS gp5, gp12, gp0": "front",
    "C_SET_V_LANES gp5, gp12": "front",
    "C_SET_V_LANES gp0, gp0": "front",
    "C_SET_M_ROWS gp5": "front",
    "C_SET_H_ROWS gp12, gp0, gp0": "front",
    "C_SET_V_MASK_REG gp5": "front",
}
"""Statements and the unit that they are for; {a}, {b}, {c} stand for vectors."""

EXCHANGES = tuple(
    f"C_WAIT_IDLE\nC_BARRIER gp5, gp15\nN_PUT {to}, gp14, {add}\nN_WAIT gp12"
    for to in ("gp1, gp4", "gp4, gp1")
    for add in (0, 1)
)
"""Every core sends rows to the other one, when neither is at work; rows sent are not received into."""


@st.composite
def statement(draw: st.DrawFn, among: tuple[str, ...]) -> str:
    """One of the statements, with vectors."""
    names = {name: draw(st.sampled_from(REAL)) for name in "abc"}
    return draw(st.sampled_from(among)).format(**names)


@st.composite
def valued_programs(draw: st.DrawFn, cores: int = 1) -> str:
    """Straight pieces and loops over them."""
    among = tuple(SPACES)
    setup = SETUP
    if cores > 1:
        # HBM is common to all cores; programs that write it would have to agree on who writes what.
        among = tuple(text for text in SPACES if not text.startswith(("H_STORE", "K_STORE"))) + EXCHANGES * 2
        setup += "S_LD_INT gp14, gp0\nS_ADDI_INT gp15, gp0, 2\nC_WAIT_IDLE\n"
    pieces = [setup]
    for _ in range(draw(st.integers(1, 3))):
        body = "\n".join(draw(st.lists(statement(among), min_size=1, max_size=10)))
        if draw(st.booleans()):
            body = f"C_LOOP_START gp8, {draw(st.integers(1, 3))}\n{body}\nC_LOOP_END gp8"
        pieces.append(body)
    return "\n".join(pieces)


def made_from(text: str, params: MachineParams) -> Program:
    """The program, with a first word in INT_MEM that names the other one of two cores."""
    cores = range(params.cores)
    return program(text, int_mem=tuple((len(cores) - 1 - core, *range(core, WORDS + core)) for core in cores))


@st.composite
def valued_machines(draw: st.DrawFn, cores: int = 1) -> MachineParams:
    """Random machines with memories that are quick to compare."""
    params = draw(machines())
    return attrs.evolve(
        params,
        cores=cores,
        vector_sram=attrs.evolve(params.vector_sram, capacity=2 * VLEN * VECTORS),
        scalar_memory=attrs.evolve(params.scalar_memory, fp_words=64, int_words=64),
    )


def start(made: Program, params: MachineParams, acts: str = "bf16") -> System:
    """A state with numbers in every place that the programs read."""
    rng = np.random.default_rng(1)
    state = new_state(made, params, acts)
    scales = rng.integers(125, 130, 1 << 15, dtype=np.uint8)
    codes = rng.uniform(-2, 2, 1 << 14).astype(ml_dtypes.bfloat16)
    vectors = rng.uniform(-2, 2, (VECTORS, VLEN)).astype(np.float32)
    tensors = {"hbm@0": codes, f"hbm@{SCALES}": scales, "vectors": vectors}
    load_tensors(state, tensors | {"fp_mem": rng.uniform(-2, 2, 64).astype(np.float32)})
    return state


def outcome(state: System, unit: int = 0) -> dict[str, bytes]:
    """Everything that a program can see, as bytes."""
    out = {name: array.tobytes() for name, array in dump_tensors(state).items()}
    for core in state.cores:
        for low, tile in core.tiles.items():
            out[f"{core.name}.matrix@{low}"] = tile.content.values.tobytes()
        for slot, peak in core.peaks.items():
            out[f"{core.name}.scales@{slot}"] = peak.tobytes()
        sums = core.tensors[unit].values
        out[f"{core.name}.accumulator"] = b"" if sums is None else sums.tobytes()
    return out


def differences(text: str, params: MachineParams) -> list[str]:
    """Names of what a timed run leaves otherwise than the interpreter does."""
    made = made_from(text, params)
    reference, timed = start(made, params), start(made, params)
    execute(reference)
    machine = build(made, params, values=timed)
    machine.sim.run()
    assert machine.values is not None
    machine.values.end()
    left = outcome(reference)
    right = outcome(timed, machine.cores[0].front.accumulating)
    return sorted(name for name in left.keys() | right.keys() if left.get(name) != right.get(name))


def cycles(text: str, params: MachineParams, *, values: bool) -> int:
    """Length of a run, with values or without."""
    made = made_from(text, params)
    return simulate(made, params, values=start(made, params) if values else None).cycles
