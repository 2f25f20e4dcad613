"""Reads a Hugging Face config.json into a ModelShape: LLaMA, Qwen2, Dream and LLaDA spellings.

A feature that would change the work and that ModelShape cannot express (experts, QK norms, other
activations, sliding windows) is refused with the key that asks for it. Rotary scaling changes
constants, not work, and is not carried over.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs

from archsim.errors import WorkloadError
from workloads.shape import ModelShape

_FAMILIES = {"llama": "ar", "qwen2": "ar", "dream": "dllm", "llada": "dllm"}
_ALWAYS_BIASED = ("qwen2", "dream")  # their attention code has q, k and v biases, without a key for it
_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts")


def read_config(path: Path) -> ModelShape:
    """The shape a config.json describes; raises WorkloadError naming key and file."""
    config = _Config(path=path, data=_load(path))
    family = _family(config)
    config.refuse_unsupported()
    hidden, heads = config.integer("hidden_size", "d_model"), config.integer("num_attention_heads", "n_heads")
    kind = _FAMILIES[family]
    return ModelShape(
        name=_name(path, config.data),
        layers=config.integer("num_hidden_layers", "n_layers"),
        hidden=hidden,
        heads=heads,
        kv_heads=config.integer("num_key_value_heads", "n_kv_heads", default=heads),
        head_dim=config.integer("head_dim", default=0) or config.divide(hidden, heads),
        ffn=config.integer("intermediate_size", "mlp_hidden_size"),
        vocab=config.integer("embedding_size", "vocab_size"),
        mask_id=config.integer("mask_token_id") if kind == "dllm" else None,
        tied=config.flag("tie_word_embeddings", "weight_tying"),
        rope_theta=config.rope_theta(),
        qkv_bias=family in _ALWAYS_BIASED or config.flag("include_qkv_bias"),
        norm_eps=config.number("rms_norm_eps"),
        mlp="swiglu",
        kind=kind,
        source=str(path),
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

    def number(self, *keys: str) -> float:
        expected = "a positive number"
        value = self._find(keys, lambda found: type(found) in (int, float) and found > 0, expected)
        if value is None:
            raise self._missing(keys, expected)
        return float(value)

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

    def refuse_unsupported(self) -> None:
        """Raises WorkloadError for the first setting that a dense, gated, RMS-normed model does not have."""
        for key in _EXPERTS:
            if self.data.get(key):
                raise self.error(key, self.data[key], "none, since mixtures of experts are not modelled")
        for key in ("attention_bias", "include_bias", "mlp_bias", "attention_layer_norm", "use_sliding_window"):
            if self.data.get(key):
                raise self.error(key, self.data[key], "false, since it is not modelled")
        expected = {"hidden_act": "silu", "activation_type": "silu", "block_type": "llama", "layer_norm_type": "rms"}
        for key, value in expected.items():
            if self.data.get(key, value) != value:
                raise self.error(key, self.data[key], f"{value!r}, the only one modelled")
