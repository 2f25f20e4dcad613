"""Whole programs, checked by walking them: weights, cache, addresses, phases, counts."""

from __future__ import annotations

from collections import Counter
from functools import cache
from itertools import chain
from typing import Any

import attrs
import pytest

from archsim.errors import WorkloadError
from archsim.isa.formats import FORMATS
from archsim.isa.program import Program
from archsim.isa.trace import read_program, write_program
from tests.workloads.small_view import SMALL
from tests.workloads.streams import begins_forward, fetched, fetches_weights, ranges, tensor_cycles, weights_read
from tests.workloads.walk import walk
from workloads.forwards import Window
from workloads.lowering.generation import lower
from workloads.lowering.options import LoweringOptions
from workloads.lowering.plan.machine_view import REFERENCE
from workloads.models import load_model
from workloads.schedules import build_schedule

VIEW = attrs.evolve(SMALL, int_words=4096)
MODEL = load_model("llada-8b").shrunk(layers=3, hidden=512, heads=16, kv_heads=16, head_dim=32, ffn=1024, vocab=1000)
GROUPED = load_model("dream-7b").shrunk(layers=2, hidden=320, heads=10, kv_heads=2, head_dim=32, ffn=640, vocab=600)


def program(model=MODEL, view=VIEW, options=None, window=None, schedule="llada", **given) -> Program:
    if schedule == "llada":
        given = {"prompt": 16, "gen": 32, "block": 8, "steps": 16, "cache": "dual", **given}
    return lower(model, build_schedule(schedule, **given), view, LoweringOptions(**(options or {})), window)


CASES: dict[str, dict[str, Any]] = {
    "dual": {},
    "batch": {"batch": 3},
    "prefix": {"cache": "prefix"},
    "none": {"cache": "none", "batch": 2},
    "grouped": {"model": GROUPED},
    "ragged": {"prompt": 21},
    "window": {"window": Window(3, 6)},
    "mxint8": {"options": {"weights": "mxint8", "kv": "mxint8"}},
    "bf16": {"options": {"weights": "bf16", "kv": "bf16", "kv_scheme": "none"}},
    "rtn": {"options": {"kv_scheme": "rtn"}},
    "onchip": {"options": {"logits": "onchip"}},
    "online": {"options": {"logits": "online"}},
    "autoregressive": {"schedule": "autoregressive", "prompt": 20, "gen": 20, "batch": 2},
    "restreamed": {"batch": 8, "view": attrs.evolve(VIEW, vector_vectors=1500)},
    "tiled": {"view": attrs.evolve(VIEW, vector_vectors=330)},
    "tiled_rtn": {"view": attrs.evolve(VIEW, vector_vectors=330), "options": {"kv_scheme": "rtn"}, "prompt": 29},
    "tiled_prefill": {
        "schedule": "autoregressive", "prompt": 83, "gen": 4, "view": attrs.evolve(VIEW, vector_vectors=420),
    },
    "narrow": {"view": attrs.evolve(VIEW, vector_vectors=560)},
}  # fmt: skip
every_case = pytest.mark.parametrize("case", CASES)


@cache
def program_of(case: str) -> Program:
    return program(**CASES[case])


@every_case
def test_each_n_tile_reads_the_weights_that_are_next_in_the_stream(case: str) -> None:
    made = program_of(case)
    used = list(chain.from_iterable(weights_read(made)))
    bases = ranges(made)
    low, high = bases["weights"]
    stream = list(dict.fromkeys(used))
    assert stream[0] == low
    layers = made.header.model["layers"]
    layer = [address for address in stream if low <= address < high]
    assert layer == sorted(layer)
    assert stream == layer + [address for address in stream if address >= bases["lm_head"][0]]
    counts = Counter(used)
    assert len({count for address, count in counts.items() if address in set(layer)}) == 1
    assert len(layer) % layers == 0


@every_case
def test_every_weight_is_fetched_once_a_pass_and_the_ring_once_more(case: str) -> None:
    made = program_of(case)
    tiles = Counter(byte for step in walk(made) if fetches_weights(step) for byte in fetched(made, step))
    restream = made.header.schedule["restream"]
    passes = sum(restream[forward["kind"]] for forward in made.header.forwards)
    low, high = ranges(made)["weights"]
    layers = {address: count for address, count in tiles.items() if low <= address < high}
    assert set(layers.values()) <= {passes, passes + 1}
    assert len({count for address, count in tiles.items() if address not in layers}) == 1
    extra = [address for address, count in layers.items() if count == passes + 1]
    assert min(extra) == low
    assert sorted(tiles)[: len(extra)] == sorted(extra)


@every_case
def test_stored_and_loaded_cache_rows_stay_in_the_cache(case: str) -> None:
    made = program_of(case)
    fmt = FORMATS[made.header.formats["kv"]]
    low, high = ranges(made)["kv_cache"]
    written: set[int] = set()
    for step in walk(made):
        if step.mnemonic == "K_STORE":
            rows, pitch = step.state["v_rows"][0], step.state["stride"][0]
            start = step.operands["rs3"] + step.operands["rs1"] * fmt.bits // 8
            for row in range(rows):
                written.add(start + row * pitch * fmt.bits // 8)
            assert low <= start
            assert start + rows * pitch * fmt.bits // 8 <= high
        elif step.mnemonic == "H_PREFETCH_M" and step.operands["precision"] == 1:
            count, elements = step.state["m_fetch"]
            start = step.operands["rs2"] + step.operands["rs1"] * fmt.bits // 8
            assert low <= start
            assert start + count * elements * fmt.bits // 8 <= high
            assert case == "window" or start in written


@every_case
def test_vector_addresses_are_whole_vectors_in_range(case: str) -> None:
    made = program_of(case)
    limit = made.header.requires["vector_sram.capacity"] // 2
    for step in walk(made):
        if step.mnemonic.startswith("V_") and not step.mnemonic.startswith("V_RED"):
            rows, stride, _ = step.state["v_rows"]
            assert step.operands["rd"] % VIEW.vlen == 0
            assert step.operands["rd"] + ((rows - 1) * stride + 1) * VIEW.vlen <= limit


@every_case
def test_every_forward_begins_once(case: str) -> None:
    made = program_of(case)
    begun = Counter(
        made.header.phases[step.operands["imm"]].step for step in walk(made) if begins_forward(made, step)
    )
    assert begun == Counter(forward["kind"] for forward in made.header.forwards)


@every_case
def test_tensor_cycles_are_close_to_the_ideal(case: str) -> None:
    made = program_of(case)
    cycles = tensor_cycles(made)
    ideal = made.header.ideal["total"]["tensor_cycles"]
    assert ideal <= cycles
    if case not in ("grouped", "restreamed", "tiled_rtn"):  # uneven columns, and row tiles split between passes
        assert cycles <= 1.10 * ideal


def test_row_tiles_spill_and_reload_every_row_once_a_sweep() -> None:
    made = program_of("tiled")
    assert made.header.schedule["restream"]["warm"] > 1
    low, high = ranges(made)["spill"]
    moved: Counter[str] = Counter()
    for step in walk(made):
        if step.mnemonic in ("H_STORE_V", "H_PREFETCH_V") and low <= step.operands["rs2"] < high:
            rows, width, _ = step.state["h_rows"]
            moved[step.mnemonic] += rows * width
            assert step.operands["rs2"] + 2 * (step.operands["rs1"] + rows * width) <= high
    warm = [forward for forward in made.header.forwards if forward["kind"] == "warm"]
    hidden, layers, rows = 512, 3, warm[0]["q_rows"]
    each = rows * hidden
    # Stored: embedding; per layer q, k, v and residual. Loaded: residual twice, q, k, v; then the head rows.
    assert moved["H_STORE_V"] == len(warm) * each * (1 + 4 * layers)
    assert moved["H_PREFETCH_V"] == len(warm) * (each * 5 * layers + warm[0]["head_rows"] * hidden)


def test_smoothed_row_tiles_are_calibrated_over_all_rows_before_they_are_stored() -> None:
    rows = [step.state["v_rows"][0] for step in walk(program_of("tiled")) if step.mnemonic == "K_CALIB"]
    assert set(rows) == {48}


def test_steps_read_their_commit_counts_and_tokens() -> None:
    made = program(gen=32, block=8, steps=12)
    counts = [step.operands["k"] for step in walk(made) if step.mnemonic == "V_TOPK_MASK"]
    assert counts == [forward["committed"] for forward in made.header.forwards]
    tokens = [step.operands["rs2"] for step in walk(made) if step.mnemonic == "S_SELECT_INT"]
    assert [later - tokens[0] for later in tokens[::6]] == [0, 8, 16, 24]


def test_refine_forwards_overwrite_their_block_in_place() -> None:
    made = program()
    width = 256
    rows = Counter(
        (step.operands["rs1"] // width, step.state["v_rows"][0])
        for step in walk(made)
        if step.mnemonic == "K_STORE" and step.operands["rs1"] < 48 * width
    )
    blocks = {16: 3, 24: 3, 32: 3, 40: 3}  # four forwards a block, the first one warm
    assert {first: count for (first, size), count in rows.items() if size == 8} == {
        first: 3 * count for first, count in blocks.items()
    }
    assert rows[(0, 48)] == 4 * 3


def test_decode_forwards_read_one_more_key_each() -> None:
    made = program_of("autoregressive")
    sizes = [
        step.state["m_fetch"][1] // 256
        for step in walk(made)
        if step.mnemonic == "H_PREFETCH_M" and step.operands["precision"] == 1
    ]
    layers, groups, sequences = 3, 2, 2
    per_forward = 2 * layers * groups * sequences
    decode = sizes[per_forward:]  # the prefill of 20 rows has one tile
    assert decode[0] == 21
    assert decode[: per_forward * 11 : per_forward] == list(range(21, 32))


def test_programs_survive_writing_and_reading(tmp_path) -> None:
    path = tmp_path / "p.trace"
    write_program(program_of("dual"), path)
    again = read_program(path)
    assert again.instructions == program_of("dual").instructions
    assert again.header == program_of("dual").header


def test_flagship_is_small_and_close_to_ideal(tmp_path) -> None:
    schedule = build_schedule("llada", prompt=128, gen=256, block=32, steps=256, cache="dual", batch=1)
    whole = lower(load_model("llada-8b"), schedule, REFERENCE)
    path = tmp_path / "llada.trace"
    write_program(whole, path)
    assert path.stat().st_size < 1 << 20
    assert whole.header.schedule["restream"] == {"warm": 1, "refine": 1}
    two = lower(load_model("llada-8b"), schedule, REFERENCE, window=Window(0, 2))
    per_step: Counter[str] = Counter()
    for step in walk(two):
        if step.phase >= 0:
            per_step[two.header.phases[step.phase].step] += 1
    assert per_step["refine"] <= 150_000
    assert per_step["warm"] <= 500_000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"view": attrs.evolve(VIEW, vector_vectors=200)}, "vectors of Vector SRAM for one row tile"),
        ({"view": attrs.evolve(VIEW, hbm_bytes=1 << 20)}, "of HBM"),
        ({"view": attrs.evolve(VIEW, int_words=100)}, "words of INT_MEM"),
        ({"view": attrs.evolve(VIEW, kv_slots=4)}, "KV scale slots"),
        ({"view": attrs.evolve(VIEW, matrix_cells=9000)}, "Matrix SRAM"),
        ({"view": attrs.evolve(VIEW, hlen=16)}, "head_dim"),
        ({"options": {"rope_cache": "pre"}}, "rope-cache"),
        ({"options": {"kv_scheme": "smooth"}}, "kv-scheme"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(change: dict, message: str) -> None:
    with pytest.raises(WorkloadError, match=message):
        program(**change)
