"""config.json files in the spellings of their families."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import pytest

from archsim.errors import WorkloadError
from workloads.models import load_model

LLADA: dict[str, Any] = {
    "model_type": "llada", "d_model": 4096, "n_layers": 32, "n_heads": 32, "n_kv_heads": 32, "mlp_hidden_size": 12288,
    "embedding_size": 126464, "vocab_size": 126464, "mask_token_id": 126336, "weight_tying": False,
    "rope_theta": 500000.0, "include_bias": False, "include_qkv_bias": False, "rms_norm_eps": 1e-05,
    "activation_type": "silu", "block_type": "llama", "layer_norm_type": "rms", "multi_query_attention": None,
}
QWEN: dict[str, Any] = {
    "model_type": "qwen2", "hidden_size": 3584, "num_hidden_layers": 28, "num_attention_heads": 28,
    "num_key_value_heads": 4, "intermediate_size": 18944, "vocab_size": 152064, "tie_word_embeddings": False,
    "rope_theta": 1000000.0, "rms_norm_eps": 1e-06, "hidden_act": "silu", "use_sliding_window": False,
}
LLAMA: dict[str, Any] = {
    "model_type": "llama", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
    "num_key_value_heads": 8, "intermediate_size": 14336, "vocab_size": 128256, "tie_word_embeddings": False,
    "rope_theta": 500000.0, "rms_norm_eps": 1e-05, "hidden_act": "silu", "attention_bias": False,
}
MINI: dict[str, Any] = {
    "model_type": "llada2_moe", "hidden_size": 2048, "num_hidden_layers": 20, "num_attention_heads": 16,
    "num_key_value_heads": 4, "head_dim": 128, "intermediate_size": 5120, "vocab_size": 157184, "hidden_act": "silu",
    "tie_word_embeddings": False, "rope_theta": 600000, "rms_norm_eps": 1e-06, "partial_rotary_factor": 0.5,
    "use_qkv_bias": False, "use_qk_norm": True, "use_sliding_window": False, "num_experts": 256,
    "num_experts_per_tok": 8, "num_shared_experts": 1, "moe_intermediate_size": 512, "first_k_dense_replace": 1,
    "score_function": "sigmoid", "norm_topk_prob": True, "routed_scaling_factor": 2.5, "n_group": 8, "topk_group": 4,
    "moe_router_enable_expert_bias": True,
}
MOE: dict[str, Any] = {
    "model_type": "llada", "hidden_size": 2048, "num_hidden_layers": 16, "num_attention_heads": 16,
    "num_key_value_heads": 16, "dense_intermediate_size": 8192, "expert_intermediate_size": 1024,
    "shared_expert_intermediate_size": -1, "vocab_size": 157184, "hidden_act": "silu", "tie_word_embeddings": False,
    "rope_theta": 50000, "rms_norm_eps": 1e-05, "partial_rotary_factor": -1, "num_experts": 64,
    "num_experts_per_tok": 8, "norm_topk_prob": None, "qk_layernorm": True, "router_num_group": -2,
}
DREAM = {**QWEN, "model_type": "Dream", "mask_token_id": 151666}


def write(folder: Path, data: object) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("config", "name"),
    [
        (LLADA, "llada-8b"), (QWEN, "qwen2.5-7b"), (LLAMA, "llama-3-8b"), (DREAM, "dream-7b"),
        (MINI, "llada2-mini"), (MOE, "llada-moe-7b-a1b"),
    ],
)
def test_config_gives_the_built_in_shape(tmp_path: Path, config: dict[str, Any], name: str) -> None:
    path = write(tmp_path, config)
    zoo = load_model(name)
    assert load_model(path) == attrs.evolve(zoo, name=tmp_path.name.lower(), source=str(path))
    assert load_model(tmp_path) == load_model(str(path))


def test_name_from_the_file_itself(tmp_path: Path) -> None:
    assert load_model(write(tmp_path, {**LLAMA, "_name_or_path": "meta-llama/Tiny/"})).name == "tiny"
    other = tmp_path / "Small.json"
    other.write_text(json.dumps(LLAMA), encoding="utf-8")
    assert load_model(other).name == "small"


def test_optional_keys(tmp_path: Path) -> None:
    plain = {key: value for key, value in LLAMA.items() if key not in ("num_key_value_heads", "rope_theta")}
    model = load_model(write(tmp_path, {**plain, "rope_parameters": {"rope_theta": 5e4}, "tie_word_embeddings": True}))
    assert (model.kv_heads, model.rope_theta, model.tied) == (32, 5e4, True)
    assert load_model(write(tmp_path, {**LLAMA, "head_dim": 64})).head_dim == 64
    assert load_model(write(tmp_path, {**LLAMA, "model_type": "qwen3"})).qk_norm is True
    assert load_model(write(tmp_path, {**LLADA, "include_qkv_bias": True})).qkv_bias is True


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_hidden_layers": None}, "key 'num_hidden_layers' or 'n_layers' is missing; expected a non-negative int"),
        ({"hidden_size": "4096"}, "key 'hidden_size' is '4096'; expected a non-negative integer"),
        ({"rope_theta": None}, "key 'rope_theta' is missing; expected a positive number"),
        ({"tie_word_embeddings": "no"}, "key 'tie_word_embeddings' is 'no'; expected true or false"),
        ({"model_type": "gpt2"}, "key 'model_type' is 'gpt2'; expected one of llama, qwen2, qwen3, dream, llada, "),
        ({"model_type": "dream"}, "key 'mask_token_id' is missing"),
        ({"num_experts": 64}, "key 'num_experts' is 64; expected none but in llada and llada2_moe models"),
        ({"attention_bias": True}, "key 'attention_bias' is True; expected false"),
        ({"hidden_act": "gelu"}, "key 'hidden_act' is 'gelu'; expected 'silu'"),
        ({"num_attention_heads": 0}, "key 'head_dim' is None; expected a value"),
        ({"hidden_size": 4100}, "key 'head_dim' is None; expected a value, as hidden size 4100 is no multiple of 32"),
    ],
)
def test_errors_name_key_and_file(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = write(tmp_path, {**LLAMA, **change})
    with pytest.raises(WorkloadError) as caught:
        load_model(path)
    assert str(caught.value).startswith(f"{path}: {message}")


@pytest.mark.parametrize(("text", "message"), [("[]", "a JSON list"), ("{", "not JSON")])
def test_broken_files(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(WorkloadError, match=message):
        load_model(path)


def test_folder_without_config(tmp_path: Path) -> None:
    with pytest.raises(WorkloadError, match=r"No such file or directory; expected a Hugging Face config\.json"):
        load_model(tmp_path)
