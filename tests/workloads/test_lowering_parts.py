"""The lowering's parts: builder, HBM map, ring plans, classes of forwards, tensor parallelism, command line."""

from __future__ import annotations

import math

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archsim.errors import WorkloadError
from archsim.isa.formats import FORMATS
from archsim.isa.program import Program
from archsim.isa.trace import read_program
from tests.workloads.small_view import SMALL
from tests.workloads.walk import walk
from workloads.lowering.cli import main
from workloads.lowering.emit.builder import Builder
from workloads.lowering.emit.places import Cell
from workloads.lowering.generation import lower
from workloads.lowering.plan.dims import Columns, columns, make_dims, round_up
from workloads.lowering.plan.hbm import HbmMap
from workloads.lowering.plan.machine_view import REFERENCE, matrix_bytes, matrix_cells
from workloads.lowering.plan.matrix import ring_depth
from workloads.lowering.plan.ring import Plan
from workloads.lowering.plan.rounds import make_rounds
from workloads.lowering.plan.stages import Gemm, Stage, head_stage, layer_stage, split_layer
from workloads.lowering.tables import FIRST_TABLE
from workloads.models import load_model
from workloads.schedules import build_schedule

MESH = attrs.evolve(SMALL, name="mesh", cores=4, vector_vectors=2048, int_words=4096)
MODEL = load_model("llada-8b").shrunk(layers=2, hidden=512, heads=16, kv_heads=16, head_dim=32, ffn=2048, vocab=2048)


def executed(builder: Builder) -> list[tuple[str, dict[str, int]]]:
    made = Program(instructions=tuple(builder.instructions))
    return [(step.mnemonic, dict(step.operands)) for step in walk(made)]


@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=12))
def test_constants_reach_the_instructions_that_use_them(values: list[int]) -> None:
    builder = Builder()
    for value in values:
        builder.emit("C_SET_STRIDE_REG", builder.const(value))
    used = [operands["rd"] for name, operands in executed(builder) if name == "C_SET_STRIDE_REG"]
    assert used == values


def test_a_constant_is_loaded_once_and_again_behind_a_loop_head() -> None:
    builder = Builder()
    builder.stride(4096)
    builder.stride(4096)
    assert len(builder.instructions) == 2
    with builder.loop(2):
        builder.stride(4096)
    assert len(builder.instructions) == 2 + 2 + 2


def test_state_set_in_a_loop_holds_behind_it() -> None:
    builder = Builder()
    with builder.loop(3):
        builder.m_rows(7)
    count = len(builder.instructions)
    builder.m_rows(7)
    assert len(builder.instructions) == count


def test_a_loop_of_a_table_word_may_be_skipped() -> None:
    builder = Builder()
    with builder.reg(20) as pointer:
        builder.store(pointer, 0)
    with builder.loop_word(0, 1):
        builder.emit("C_WAIT_IDLE")
    assert "C_WAIT_IDLE" not in [name for name, _ in executed(builder)]


@given(st.integers(1, 40000), st.sampled_from([256, 1024, 2048]))
def test_columns_are_balanced_and_hold_everything(total: int, vlen: int) -> None:
    found = columns(total, vlen, 64)
    assert found.width <= vlen
    assert total <= found.padded < total + 64 * found.blocks
    assert found.blocks == -(-total // vlen)


@given(
    st.lists(st.tuples(st.integers(1, 40), st.integers(1, 5)), min_size=1, max_size=5), st.integers(20_000, 400_000)
)
def test_codes_and_scales_never_overlap(tensors: list[tuple[int, int]], total: int) -> None:
    """Whether or not the scale offset reaches beyond all codes."""
    fmt = FORMATS["mxint4"]
    hbm = HbmMap(1 << 24, 4096, total, "test")
    for index, (size, count) in enumerate(tensors):
        hbm.add(f"t{index}", fmt, size * 1000, count)
    spans = []
    for tensor in hbm.tensors:
        for base in tensor.bases:
            assert base % 4096 == 0
            spans.append((base, base + fmt.code_bytes(tensor.elements)))
            scales = base + hbm.scale_offset
            spans.append((scales, scales + fmt.scale_bytes(tensor.elements)))
    spans.sort()
    assert all(end <= start for (_, end), (start, _) in zip(spans, spans[1:], strict=False))


@given(st.integers(1 << 22, 1 << 28), st.integers(33, 128))
def test_layers_beyond_the_reach_of_a_scale_offset_are_evenly_spaced(elements: int, layers: int) -> None:
    fmt = FORMATS["mxint4"]
    hbm = HbmMap(1 << 40, 1 << 20, 1 << 40, "test")  # all codes and their scales do not fit, these do
    assert hbm.scale_offset == (1 << 32) - (1 << 20)
    bases = hbm.add("weights", fmt, elements, layers).bases
    assert len({after - before for before, after in zip(bases, bases[1:], strict=False)}) == 1


@given(st.integers(1 << 22, 1 << 28), st.integers(33, 128))
def test_a_head_follows_the_layers_a_step_behind_them_where_there_is_room(elements: int, layers: int) -> None:
    fmt = FORMATS["mxint4"]
    size = round_up(fmt.code_bytes(elements), 1 << 20)
    hbm = HbmMap(1 << 40, 1 << 20, size * (layers + 2), "test")
    stack = hbm.add("weights", fmt, elements, layers)
    head = hbm.add("lm_head", fmt, 2 * elements, at=stack.following)
    assert head.base == stack.base + size * layers
    assert hbm.scale_offset == size * (layers + 2)


@given(
    st.integers(4, 60),
    st.sampled_from((1, 2, 4)),
    st.lists(st.tuples(st.integers(1, 12), st.integers(1, 4)), min_size=1, max_size=5),
)
def test_a_ring_holds_every_tile_when_it_is_used(depth: int, even: int, shapes: list[tuple[int, int]]) -> None:
    stage = Stage("layer", tuple(Gemm(f"g{i}", n, k, 64, even) for i, (n, k) in enumerate(shapes)))
    if stage.tiles < depth:
        return
    plan = Plan(stage, depth, stage)
    ring = {slot: slot * 64 for slot in range(depth)}
    for _ in range(2):
        expected = iter(range(0, stage.elements, 64))
        for _, uses in plan.uses():
            for use in uses:
                runs = [run for reads in use.reads for run in reads]
                assert [ring[s + i] for s, n in runs for i in range(n)] == [
                    next(expected) for _, n in runs for _ in range(n)
                ]
                for fetch in use.fetches:
                    ring |= {fetch.slot + i: fetch.offset + i * 64 for i in range(fetch.count)}
        for fetch in plan.tail():
            ring |= {fetch.slot + i: fetch.offset + i * 64 for i in range(fetch.count)}


@given(st.integers(1, 16), st.sampled_from((1, 2, 3, 4, 6)), st.sampled_from((1, 2, 4, 8)))
def test_what_is_fetched_together_lies_on_all_channels_alike(groups: int, k_tiles: int, even: int) -> None:
    depth = 8 * math.lcm(k_tiles, even)
    group = even // math.gcd(even, k_tiles)
    stage = Stage("layer", (Gemm("g", groups * group, k_tiles, 64, even),))
    plan = Plan(stage, depth, stage)
    for _, uses in plan.uses():
        assert len(uses) == groups
        for use in uses:
            assert all(fetch.count % even == fetch.offset // 64 % even == 0 for fetch in use.fetches)


def test_a_mesh_reads_weights_from_all_channels_alike() -> None:
    """A tile of 1024 x 64 codes has 2 KiB of scales, a quarter of a stripe; the O projection's n-tiles are one tile."""
    view = attrs.evolve(REFERENCE, cores=4, mlen=1024, vlen=1024, blen=64)
    dims = attrs.evolve(make_dims(load_model("llada-8b"), view), stripe_elements=FORMATS["mxint4"].elements_in(8192))
    stage = layer_stage(dims)
    depth = ring_depth((stage, head_stage(dims)), 108, "test")
    assert stage.even == 4
    assert depth % 4 == 0
    fetches = [fetch for _, uses in Plan(stage, depth).uses() for use in uses for fetch in use.fetches]
    assert all(fetch.count % 4 == fetch.offset % (4 * view.tile_elements) == 0 for fetch in fetches)


def test_the_reference_ring_leaves_no_slot_idle() -> None:
    dims = make_dims(load_model("llada-8b"), REFERENCE)
    layer, head = layer_stage(dims), head_stage(dims)
    assert (layer.tiles, head.tiles) == (832, 1976)
    depth = ring_depth((layer, head), 54, "test")
    assert depth == 52
    assert layer.tiles % depth == head.tiles % depth == 0
    projections, rest = split_layer(dims)
    assert projections.gemms + rest.gemms == layer.gemms
    assert rest.start == projections.elements == 192 * REFERENCE.tile_elements


def test_grouped_heads_find_their_keys() -> None:
    dims = make_dims(load_model("dream-7b"), REFERENCE)
    assert dims.hidden == dims.q == Columns(2, 1792)
    assert [dims.kv_group(group) for group in (0, 1)] == [0, 0]
    assert [dims.first_query(group) for group in (0, 1)] == [0, 14]
    narrow = attrs.evolve(REFERENCE, mlen=512, vlen=512, blen=64)
    llama = make_dims(load_model("llama-3-8b"), narrow)
    assert [llama.kv_group(group) for group in range(8)] == [0, 0, 0, 0, 1, 1, 1, 1]
    assert [llama.first_query(group) for group in range(8)] == [0, 4, 8, 12] * 2


def test_rounds_follow_blocks_and_visit_classes_in_order() -> None:
    dual = make_rounds(list(build_schedule("llada", prompt=8, gen=16, block=8, cache="dual").forwards()), REFERENCE)
    assert [kind.kind for kind in dual.classes] == ["warm", "refine"]
    assert dual.trips == ((1, 7), (1, 7))
    prefix = make_rounds(list(build_schedule("llada", prompt=8, gen=16, block=8, cache="prefix").forwards()), REFERENCE)
    assert [kind.q_rows for kind in prefix.classes] == [24, 16, 8]
    assert prefix.trips == ((1, 7, 0), (1, 0, 7))
    decode = make_rounds(list(build_schedule("autoregressive", prompt=126, gen=6).forwards()), REFERENCE)
    assert [(kind.kind, kind.key_tiles) for kind in decode.classes] == [("prefill", 1), ("decode", 1), ("decode", 2)]
    assert decode.trips == ((1, 2, 3),)


def test_every_core_sends_its_parts_and_waits_for_as_many() -> None:
    schedule = build_schedule("llada", prompt=8, gen=8, block=8, steps=2, cache="dual")
    made = lower(MODEL, schedule, MESH)
    sent: dict[int, list[tuple[int, int, int]]] = {}
    for core in range(4):
        waited = sum(step.operands["rs1"] for step in walk(made, core) if step.mnemonic == "N_WAIT")
        puts = [step.operands for step in walk(made, core) if step.mnemonic == "N_PUT"]
        assert waited == len(puts)
        sent[core] = [(put["rs2"], put["rd"], put["add"]) for put in puts]
        assert all(put["rs2"] != core for put in puts)
    for core in range(4):
        added = [place for other in sent for peer, place, add in sent[other] if peer == core and add]
        owned = {place for _, place, add in sent[core] if not add}
        assert set(added) == owned
        assert len(added) == 3 * sum(not add for _, _, add in sent[core]) // 3


def test_cores_read_their_own_weights() -> None:
    schedule = build_schedule("llada", prompt=8, gen=8, block=8, steps=1, cache="none")
    made = lower(MODEL, schedule, MESH)
    bases = [
        {step.operands["rs2"] for step in walk(made, core) if step.mnemonic == "H_PREFETCH_M"} for core in range(4)
    ]
    assert all(not bases[i] & bases[j] for i in range(4) for j in range(i))
    starts = [next(s.operands["rs1"] for s in walk(made, core) if s.mnemonic == "H_STORE_V") for core in range(4)]
    assert starts == [core * 2 * 8 * 256 for core in range(4)]


def test_a_vocabulary_that_does_not_divide_is_padded_behind_the_last_core() -> None:
    """1,600 columns are 7 vectors: two a core, of which the last core's second one is beyond the vocabulary."""
    model = attrs.evolve(MODEL, vocab=1600, mask_id=1599)
    made = lower(model, build_schedule("llada", prompt=8, gen=8, block=8, steps=1, cache="none", batch=2), MESH)
    region = next(region for region in made.header.regions if region["name"] == "logits")
    vectors, rows = set(), 8
    for core in range(4):
        for step in walk(made, core):
            if step.mnemonic == "H_STORE_V" and step.operands["rs2"] == region["base"]:
                vectors |= {step.operands["rs1"] // 256 + row for row in range(step.state["h_rows"][0])}
    assert vectors == set(range(2 * 8 * rows))
    read = set()
    for step in walk(made):
        if step.mnemonic == "H_PREFETCH_V" and step.operands["rs2"] == region["base"]:
            pieces, width, _ = step.state["h_rows"]
            assert step.operands["rstride"] == 0
            read |= set(range(step.operands["rs1"] // 256, (step.operands["rs1"] + pieces * width) // 256))
    assert read == {vector for vector in range(2 * 8 * rows) if vector % (8 * rows) < 7 * rows}


def test_cells_and_bytes_agree() -> None:
    cells = matrix_cells(8 << 20)
    assert cells == 15790320
    assert matrix_bytes(cells) <= 8 << 20 < matrix_bytes(cells + 2)


def test_the_command_writes_a_program(tmp_path, capsys) -> None:
    path = tmp_path / "x.trace"
    args = "llada-8b --schedule llada --cache dual --prompt 32 --gen 32 --block 32 --steps 4 --layers 2"
    assert main([*args.split(), "--kv-scheme", "rtn", "--forwards", "0:2", "--binary", "-o", str(path)]) == 0
    made = read_program(path)
    assert [forward["kind"] for forward in made.header.forwards] == ["warm", "refine"]
    assert made.header.requires["machine"] == "dart-2048"
    assert not any(instruction.opcode.mnemonic == "K_CALIB" for instruction in made.instructions)
    assert "2 forwards" in capsys.readouterr().out


def test_uneven_cores_are_refused() -> None:
    with pytest.raises(WorkloadError, match="multiple of the 3 cores"):
        make_dims(MODEL, attrs.evolve(MESH, cores=3))


def test_variables_have_words_of_their_own() -> None:
    words = [word for name, word in vars(Cell).items() if not name.startswith("_")]
    assert len(set(words)) == len(words)
    assert max(words) < FIRST_TABLE
