"""Random assembly that runs without faults on any machine of `machines`, for property tests."""

from __future__ import annotations

from hypothesis import strategies as st

from archsim import MachineParams
from tests.system.small import integers, machine

# gp1-gp4 hold these; gp5 and gp6 count loops; gp9 takes opaque values.
VALUES = {"gp1": 4096, "gp2": 8192, "gp3": 3, "gp4": 65536}
SETUP = integers(**VALUES) + "C_SET_ADDR_REG a1, gp0, gp4\n"
SETUP_CYCLES = 5

# Statements and their cycles under serial issue with one row and one tile; MLEN 64, BLEN 8, HLEN 16.
COMPUTE = {
    "V_EXP_V gp0, gp1": 1,
    "V_ADD_VV gp1, gp0, gp2": 2,
    "V_PS_V gp2, gp2": 9,
    "V_RED_SUM f1, gp1": 8,
    "V_MUL_VF gp0, gp0, f1": 2,
    "V_RED_MAX_SEG gp2, gp0": 4,
    "V_TOPK_MASK gp2, gp0, gp1, gp0, gp3": 9,
    "V_RED_MAX_IDX gp9, gp0, gp3, f2": 4,
    "M_MM gp0, gp1": 8,
    "M_BTMM gp1, gp2": 8,
    "M_MV gp0, gp1": 17,
    "M_MM_WO gp0, gp0": 14,
    "M_MV_WO gp2, 0": 70,
    "S_ADD_FP f1, f2, f3": 1,
    "S_ST_FP f1, gp3": 1,
    "S_LD_FP f2, gp3": 1,
    "S_MAP_V_FP gp1, gp0, 0, gp3": 3,
    "S_ST_INT gp9, gp3, 9": 1,
    "S_SELECT_INT gp3, gp3, gp3, gp0, gp3": 3,
    "K_CALIB gp0, gp3": 9,
    "K_FOLD gp1, gp0, gp3": 9,
    "S_ADD_INT gp8, gp1, gp2": 1,
    "S_LD_INT gp8, gp3": 1,
    "C_WAIT_IDLE": 1,
}
# Statements that move data, and their bytes; writes stand apart because they take another way.
READS = {
    "H_PREFETCH_M gp0, gp0, a0": 256 + 16,
    "H_PREFETCH_M gp1, gp2, a1, 0, 1": 512 + 32,
    "H_PREFETCH_V gp1, gp0, a0": 1024 + 32,
    "H_PREFETCH_V gp2, gp0, a1, 0, 2": 2048,
    "H_GATHER_V gp0, gp0, a0": 128,
}
WRITES = {
    "H_STORE_V gp0, gp0, a0": 1024 + 32,
    "H_STORE_V gp2, gp1, a1, 0, 2": 2048,
}
OTHER = {
    "K_STORE gp0, gp1, a1, gp3": 34,
    "N_PUT gp1, gp0, gp0": 0,
    "C_SET_V_ROWS gp3, gp7, gp7": 0,
    "C_SET_V_ROWS gp7, gp7, gp7": 0,
    "C_SET_M_TILES gp3, gp3": 0,
    "C_SET_M_TILES gp7, gp0": 0,
    "C_PHASE 0": 0,
    "C_PHASE 1": 0,
}
ALL = [*COMPUTE, *READS, *WRITES, *OTHER]

statements = st.lists(st.sampled_from(ALL), max_size=12).map("\n".join)


@st.composite
def programs(draw: st.DrawFn) -> str:
    """Straight pieces, loops, loops in loops; gathers read ids that the header gives."""
    pieces = [SETUP + "S_ADDI_INT gp7, gp0, 1"]
    for _ in range(draw(st.integers(1, 3))):
        body = draw(statements)
        for register in draw(st.sampled_from(((), ("gp5",), ("gp5", "gp6")))):
            body = f"C_LOOP_START {register}, {draw(st.integers(0, 4))}\n{body}\nC_LOOP_END {register}"
        pieces.append(body)
    return "\n".join(pieces)


small_int = st.integers(1, 4)


@st.composite
def machines(draw: st.DrawFn, model: str | None = None) -> MachineParams:
    """The small machine with other depths, units, ports, memories and networks."""
    return machine(
        issue=draw(st.sampled_from(("overlap", "overlap", "serial"))),
        costs={"set": draw(st.sampled_from(("published", "pipelined")))},
        dispatch={f"{unit}_queue": draw(small_int) for unit in ("tensor", "vector", "scalar", "kv", "dma", "net")},
        fetch={"buffer": 256 * draw(st.integers(3, 6)), "ahead": draw(st.integers(0, 1))},
        tensor={"units": draw(st.integers(1, 2)), "rtl_drain": draw(st.booleans())},
        vector={"units": draw(st.integers(1, 2))},
        dma={
            "engines": draw(small_int),
            "in_flight": draw(small_int),
            "command_cycles": draw(st.integers(0, 200)),
            "convert_cycles": draw(st.integers(0, 20)),
        },
        vector_sram={"rows_per_cycle": draw(small_int)},
        memory={
            "model": model or draw(st.sampled_from(("fixed", "hbm"))),
            "channels": draw(st.sampled_from((1, 4))),
            "latency": draw(st.integers(0, 300_000)),
            "bandwidth": draw(st.integers(10**8, 10**12)),
            "capacity": 2**28,
        },
        noc={
            "core_port_bytes_per_cycle": draw(st.sampled_from((1, 16, 1024))),
            "memory_port_bytes_per_cycle": draw(st.sampled_from((1, 32, 4096))),
        },
    )
