"""Model zoo: published sizes, derived figures, shrinking."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import attrs
import pytest

from archsim.errors import WorkloadError
from workloads.models import load_model, model_names


def test_names() -> None:
    assert model_names() == ["dream-7b", "llada-8b", "llama-3-8b", "qwen2.5-7b"]


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
        ({"mlp": "gelu"}, "model bad: mlp is 'gelu'; expected one of swiglu"),
        ({"kind": "rnn"}, "model bad: kind is 'rnn'; expected one of dllm, ar"),
        ({"norm_eps": 0}, "model bad: norm_eps is 0; expected a positive number"),
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
        ("xyz", "model xyz: unknown; expected one of dream-7b, llada-8b"),
        ("no/such/config.json", "model no/such/config.json: no such file; expected a Hugging Face config.json"),
    ],
)
def test_unknown_models(name: str, message: str) -> None:
    with pytest.raises(WorkloadError) as caught:
        load_model(name)
    assert str(caught.value).startswith(message)
