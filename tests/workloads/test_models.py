"""Model zoo: published sizes, derived figures, shrinking."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import attrs
import pytest

from archsim.errors import WorkloadError
from workloads.models import load_model, model_names


def test_names() -> None:
    dense = ["diffucoder-7b", "dream-7b", "illada-8b", "llada-1.5", "llada-8b", "llama-3-8b", "qwen2.5-7b"]
    small = ["bd3lm-medium", "bd3lm-small", "bd3lm-tiny", "smdm-1028m"]
    qwen = ["efficient-dlm-1.5b", "efficient-dlm-4b", "efficient-dlm-8b"]
    assert model_names() == sorted([*dense, *small, *qwen, "llada-moe-7b-a1b", "llada2-mini", "llada2-flash"])


@pytest.mark.parametrize(
    ("name", "parameters", "kv_bytes"),
    [
        ("llada-8b", 8_015_581_184, 524_288),
        ("dream-7b", 7_615_616_512, 57_344),
        ("llama-3-8b", 8_030_261_248, 131_072),
        ("qwen2.5-7b", 7_615_616_512, 57_344),
    ],
)
def test_published_sizes(name: str, parameters: int, kv_bytes: int) -> None:
    model = load_model(name)
    assert model.name == name
    assert model.parameters == parameters
    assert model.kv_bytes_per_token() == kv_bytes


@pytest.mark.parametrize(
    ("name", "published", "body"),
    [
        ("illada-8b", 7.62, 6.98),
        ("llada-1.5", 8.02, 6.98),
        ("diffucoder-7b", 7.61, 6.53),
        ("efficient-dlm-8b", 8.2, 6.95),
        ("efficient-dlm-4b", 4.0, 3.6),
        ("efficient-dlm-1.5b", 1.54, 1.31),
        ("smdm-1028m", None, 1.028),
        ("llada-moe-7b-a1b", 7, None),
        ("llada2-mini", 16, None),
        ("llada2-flash", 103, None),
    ],
)
def test_published_totals(name: str, published: float | None, body: float | None) -> None:
    """Model cards, in billions, some of which cut digits off: all, and those without tables."""
    model = load_model(name)
    tables = model.head_weights * (1 if model.tied else 2) + model.input_only * model.hidden
    for found, expected in ((model.parameters, published), (model.parameters - tables, body)):
        digits = len(str(expected).partition(".")[2])
        assert expected is None or found / 1e9 == pytest.approx(expected, abs=10**-digits)


@pytest.mark.parametrize(("name", "active"), [("llada-moe-7b-a1b", 1.4), ("llada2-mini", 1.4), ("llada2-flash", 6.1)])
def test_published_active_parameters(name: str, active: float) -> None:
    """Of LLaDA-MoE the published figure leaves the embedding out."""
    model = load_model(name)
    tables = model.head_weights if name == "llada-moe-7b-a1b" else 0
    assert (model.active_parameters - tables) / 1e9 == pytest.approx(active, abs=0.06)


@pytest.mark.parametrize(
    ("name", "kv_bytes"),
    [("llada-moe-7b-a1b", 131_072), ("llada2-mini", 40_960), ("llada2-flash", 65_536), ("smdm-1028m", 143_360)],
)
def test_published_cache_sizes(name: str, kv_bytes: int) -> None:
    assert load_model(name).kv_bytes_per_token() == kv_bytes


def test_routed_weights_are_most_of_a_mixture() -> None:
    sizes = {name: load_model(name) for name in ("llada-moe-7b-a1b", "llada2-mini", "llada2-flash")}
    routed = {
        name: m.expert_weights * m.experts.count * (m.layers - m.dense_layers) / 1e9 for name, m in sizes.items()
    }
    assert routed == pytest.approx({"llada-moe-7b-a1b": 6.44, "llada2-mini": 15.3, "llada2-flash": 99.9}, rel=2e-3)


@pytest.mark.parametrize(("name", "expected"), [("llada2-mini", 163), ("llada2-flash", 163), ("llada-moe-7b-a1b", 63)])
def test_experts_that_a_block_of_32_rows_touches(name: str, expected: int) -> None:
    experts = load_model(name).experts
    assert experts is not None
    assert round(experts.expected_distinct(32)) == expected
    assert experts.expected_distinct(1) == pytest.approx(experts.top_k)


def test_bd3lm_small_has_the_body_of_gpt2_small() -> None:
    model = load_model("bd3lm-small")
    assert model.layers * model.layer_weights == 12 * 12 * 768**2


def test_a_shrunk_mixture_keeps_what_fits() -> None:
    small = load_model("llada2-mini").shrunk(layers=3, hidden=64, head_dim=32, experts=16, expert_ffn=32)
    assert small.experts == attrs.evolve(load_model("llada2-mini").experts, count=16, ffn=32, shared_ffn=32, top_k=4)
    assert (small.rotary_dim, small.dense_layers) == (16, 1)
    one = load_model("llada2-mini").shrunk(layers=1, experts=6).experts
    assert one is not None
    assert (one.first_dense, one.groups, one.top_groups, one.top_k) == (0, 1, 1, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"count": 0}, "model bad: experts.count is 0; expected a positive integer"),
        ({"groups": 7}, "model bad: experts.groups is 7; expected a divisor of 256 experts that leaves two a group"),
        ({"top_groups": 9}, "model bad: experts.top_groups is 9; expected at most 8"),
        ({"top_k": 200}, "model bad: experts.top_k is 200; expected at most 128"),
        ({"scores": "tanh"}, "model bad: experts.scores is 'tanh'; expected one of softmax, sigmoid"),
        ({"scale": 0}, "model bad: experts.scale is 0; expected a positive number"),
        ({"bias": 1}, "model bad: experts.bias is 1; expected true or false"),
        ({"first_dense": 20}, "model bad: first_dense is 20 of 20 layers; expected at least one layer of experts"),
    ],
)
def test_contradictions_of_a_mixture_are_refused(change: dict[str, Any], message: str) -> None:
    model = load_model("llada2-mini")
    with pytest.raises(WorkloadError) as caught:
        attrs.evolve(model, name="bad", experts=attrs.evolve(model.experts, **change))
    assert str(caught.value) == message


def test_llada_derived_figures() -> None:
    model = load_model("llada-8b")
    assert model.layer_weights == 4 * 4096**2 + 3 * 4096 * 12288  # 218.1 M MACs a row
    assert model.head_weights == 126464 * 4096
    assert model.kv_bytes_per_token(4.25) == model.kv_bytes_per_token(Fraction(17, 4)) == 139_264
    assert (model.q_width, model.kv_width) == (4096, 4096)
    assert (load_model("Dream-7B").q_width, load_model("Dream-7B").kv_width) == (3584, 512)


def test_tying_saves_one_table() -> None:
    model = load_model("llada-8b")
    assert model.parameters - attrs.evolve(model, tied=True).parameters == model.head_weights


@pytest.mark.parametrize("bits", [0, Fraction(1, 3)])
def test_kv_bytes_must_be_whole(bits: Fraction) -> None:
    with pytest.raises(WorkloadError, match="expected a positive whole number"):
        load_model("llada-8b").kv_bytes_per_token(bits)


@pytest.mark.parametrize("name", ["llada-8b", "dream-7b"])
def test_diffusion_models_have_a_mask(name: str) -> None:
    assert (load_model(name).kind, load_model(name).mask_id) == ("dllm", {"l": 126336, "d": 151666}[name[0]])


def test_shrunk_keeps_the_rest() -> None:
    model = load_model("llada-8b")
    small = model.shrunk(layers=2, hidden=64, heads=4, kv_heads=2, head_dim=16, ffn=96, vocab=100)
    assert small == attrs.evolve(
        model, name="llada-8b-shrunk", layers=2, hidden=64, heads=4, kv_heads=2, head_dim=16, ffn=96, vocab=100,
        mask_id=99,
    )
    assert model.shrunk(layers=1, name="one").mask_id == 126336
    assert model.shrunk(layers=1, name="one").name == "one"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kv_heads": 3}, "model bad: kv_heads is 3; expected a divisor of heads (32)"),
        ({"head_dim": 5}, "model bad: head_dim is 5; expected an even number (rotary pairs)"),
        ({"layers": 0}, "model bad: layers is 0; expected a positive integer"),
        ({"mask_id": None}, "model bad: mask_id is None; expected a token id below vocab (126464)"),
        ({"mask_id": 126464}, "model bad: mask_id is 126464; expected a token id below vocab (126464)"),
        ({"mlp": "relu"}, "model bad: mlp is 'relu'; expected one of swiglu, gelu"),
        ({"kind": "rnn"}, "model bad: kind is 'rnn'; expected one of dllm, ar"),
        ({"norm_eps": 0}, "model bad: norm_eps is 0; expected a positive number"),
        ({"rotary_dim": 3}, "model bad: rotary_dim is 3; expected an even number up to head_dim (128)"),
        ({"norm": "batch"}, "model bad: norm is 'batch'; expected one of rms, layer"),
        ({"input_only": -1}, "model bad: input_only is -1; expected a non-negative integer"),
        ({"tied": 1}, "model bad: tied is 1; expected true or false"),
    ],
)
def test_contradictions_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(WorkloadError) as caught:
        attrs.evolve(load_model("llada-8b"), name="bad", **change)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lada-8b", "model lada-8b: unknown; did you mean llada-8b"),
        ("xyz", "model xyz: unknown; expected one of bd3lm-medium, bd3lm-small"),
        ("no/such/config.json", "model no/such/config.json: no such file; expected a Hugging Face config.json"),
    ],
)
def test_unknown_models(name: str, message: str) -> None:
    with pytest.raises(WorkloadError) as caught:
        load_model(name)
    assert str(caught.value).startswith(message)
