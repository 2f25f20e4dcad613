"""Reads a Hugging Face config.json into a ModelShape: LLaMA, Qwen2, Qwen3, Dream, LLaDA and LLaDA2 spellings.

A feature that would change the work and that ModelShape cannot express (other activations, biases of other
matrices, sliding windows) is refused with the key that asks for it. Rotary scaling changes constants, not
work, and is not carried over.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs

from archsim.errors import WorkloadError
from workloads.experts import Experts
from workloads.shape import ModelShape

_FAMILIES = {"llama": "ar", "qwen2": "ar", "qwen3": "ar", "dream": "dllm", "llada": "dllm", "llada2_moe": "dllm"}
# Their attention code has q, k and v biases, or norms of heads, without a key for it.
_ALWAYS_BIASED = ("qwen2", "dream")
_ALWAYS_NORMED = ("qwen3",)
_EXPERT_FAMILIES = ("llada", "llada2_moe")
_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts")
_MASK_ID = 156895  # of the LLaDA models with experts, whose files have no key for it


def read_config(path: Path) -> ModelShape:
    """The shape a config.json describes; raises WorkloadError naming key and file."""
    config = _Config(path=path, data=_load(path))
    family = _family(config)
    experts = _experts(config) if family in _EXPERT_FAMILIES and config.data.get("num_experts") else None
    config.refuse_unsupported(experts=experts is not None)
    hidden, heads = config.integer("hidden_size", "d_model"), config.integer("num_attention_heads", "n_heads")
    kind = _FAMILIES[family]
    head_dim = config.integer("head_dim", default=0) or config.divide(hidden, heads)
    return ModelShape(
        name=_name(path, config.data),
        layers=config.integer("num_hidden_layers", "n_layers"),
        hidden=hidden,
        heads=heads,
        kv_heads=config.integer("num_key_value_heads", "n_kv_heads", default=heads),
        head_dim=head_dim,
        ffn=config.integer("intermediate_size", "mlp_hidden_size", "dense_intermediate_size"),
        vocab=config.integer("embedding_size", "vocab_size"),
        mask_id=config.integer("mask_token_id", default=_MASK_ID if experts else None) if kind == "dllm" else None,
        tied=config.flag("tie_word_embeddings", "weight_tying"),
        rope_theta=config.rope_theta(),
        qkv_bias=family in _ALWAYS_BIASED or config.flag("include_qkv_bias", "use_qkv_bias"),
        qk_norm=family in _ALWAYS_NORMED or config.flag("use_qk_norm", "qk_layernorm"),
        rotary_dim=config.rotary_dim(head_dim),
        experts=experts,
        norm_eps=config.number("rms_norm_eps"),
        mlp="swiglu",
        kind=kind,
        source=str(path),
    )


def _experts(config: _Config) -> Experts:
    """The mixture of experts, of which LLaDA-MoE and LLaDA2 spell some keys differently."""
    ffn = config.integer("moe_intermediate_size", "expert_intermediate_size")
    shared = max(0, config.optional("shared_expert_intermediate_size"))
    groups = max(1, config.optional("n_group", "router_num_group"))
    return Experts(
        count=config.integer("num_experts"),
        top_k=config.integer("num_experts_per_tok"),
        ffn=ffn,
        shared_ffn=shared or ffn * config.integer("num_shared_experts", default=0),
        first_dense=config.integer("first_k_dense_replace", default=0),
        scores=str(config.data.get("score_function") or config.data.get("moe_router_score_function") or "softmax"),
        normalized=config.flag("norm_topk_prob"),
        scale=config.number("routed_scaling_factor", default=1.0),
        bias=config.flag("moe_router_enable_expert_bias"),
        groups=groups,
        top_groups=max(1, config.optional("topk_group", "router_topk_group")) if groups > 1 else 1,
    )


def _load(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise WorkloadError(f"{path}: {error.strerror}; expected a Hugging Face config.json") from None
    except ValueError as error:
        raise WorkloadError(f"{path}: not JSON ({error}); expected a Hugging Face config.json") from None
    if not isinstance(data, dict):
        raise WorkloadError(f"{path}: a JSON {type(data).__name__}; expected an object of model settings")
    return data


def _family(config: _Config) -> str:
    found = config.data.get("model_type")
    family = str(found).lower()
    if family not in _FAMILIES:
        raise config.error("model_type", found, f"one of {', '.join(_FAMILIES)}")
    return family


def _name(path: Path, data: dict[str, Any]) -> str:
    known = str(data.get("_name_or_path") or "").rstrip("/").rsplit("/", 1)[-1]
    folder = path.resolve().parent.name
    return (known or (folder if path.name == "config.json" else path.stem)).lower()


@attrs.frozen(kw_only=True)
class _Config:
    """A config.json being read: typed look-ups under several spellings. JSON null counts as absent."""

    path: Path
    data: dict[str, Any]

    def error(self, key: str, found: object, expected: str) -> WorkloadError:
        return WorkloadError(f"{self.path}: key {key!r} is {found!r}; expected {expected}")

    def _find(self, keys: tuple[str, ...], valid: Callable[[Any], bool], expected: str) -> Any:
        for key in keys:
            value = self.data.get(key)
            if value is None:
                continue
            if not valid(value):
                raise self.error(key, value, expected)
            return value
        return None

    def _missing(self, keys: tuple[str, ...], expected: str) -> WorkloadError:
        spellings = " or ".join(repr(key) for key in keys)
        return WorkloadError(f"{self.path}: key {spellings} is missing; expected {expected}")

    def integer(self, *keys: str, default: int | None = None) -> int:
        expected = "a non-negative integer"
        value = self._find(keys, lambda found: type(found) is int and found >= 0, expected)
        if value is None and default is None:
            raise self._missing(keys, expected)
        return int(default if value is None and default is not None else value)

    def optional(self, *keys: str) -> int:
        """The integer, of which a negative one stands for none; 0 where it is missing."""
        return int(self._find(keys, lambda found: type(found) is int, "an integer") or 0)

    def number(self, *keys: str, default: float | None = None) -> float:
        expected = "a positive number"
        value = self._find(keys, lambda found: type(found) in (int, float) and found > 0, expected)
        if value is None and default is None:
            raise self._missing(keys, expected)
        return float(default if value is None and default is not None else value)

    def rotary_dim(self, head_dim: int) -> int | None:
        """Lanes of a head that turn, None for all: the share in `partial_rotary_factor`, where that is positive."""
        share = self.data.get("partial_rotary_factor")
        if share is None or (isinstance(share, (int, float)) and share < 0):
            return None
        turned = int(head_dim * self.number("partial_rotary_factor"))
        return None if turned == head_dim else turned

    def flag(self, *keys: str) -> bool:
        return bool(self._find(keys, lambda found: isinstance(found, bool), "true or false"))

    def divide(self, hidden: int, heads: int) -> int:
        if heads == 0 or hidden % heads:
            raise self.error("head_dim", None, f"a value, as hidden size {hidden} is no multiple of {heads} heads")
        return hidden // heads

    def rope_theta(self) -> float:
        """Newer files nest the rotary base under `rope_parameters`."""
        nested = self.data.get("rope_parameters")
        if self.data.get("rope_theta") is None and isinstance(nested, dict):
            return attrs.evolve(self, data=nested).number("rope_theta")
        return self.number("rope_theta")

    def refuse_unsupported(self, *, experts: bool) -> None:
        """Raises WorkloadError for the first setting that a gated, RMS-normed model does not have."""
        for key in _EXPERTS:
            if self.data.get(key) and not experts:
                raise self.error(key, self.data[key], f"none but in {' and '.join(_EXPERT_FAMILIES)} models")
        for key in ("attention_bias", "include_bias", "mlp_bias", "attention_layer_norm", "use_sliding_window"):
            if self.data.get(key):
                raise self.error(key, self.data[key], "false, since it is not modelled")
        expected = {"hidden_act": "silu", "activation_type": "silu", "block_type": "llama", "layer_norm_type": "rms"}
        for key, value in expected.items():
            if self.data.get(key, value) != value:
                raise self.error(key, self.data[key], f"{value!r}, the only one modelled")
