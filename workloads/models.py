"""Models by name: the built-in zoo, or a Hugging Face config.json."""

from __future__ import annotations

import difflib
import tomllib
from importlib import resources
from pathlib import Path

from archsim.errors import WorkloadError
from workloads.experts import Experts
from workloads.huggingface import read_config
from workloads.shape import ModelShape

__all__ = ["ModelShape", "load_model", "model_names"]


def model_names() -> list[str]:
    """Names of the built-in models, sorted."""
    files = resources.files("workloads").joinpath("zoo").iterdir()
    return sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml"))


def load_model(name_or_path: str | Path) -> ModelShape:
    """The built-in model of that name, or the one a config.json (or the folder holding it) describes.

    Raises WorkloadError for an unknown name (with the nearest ones) or a config that cannot be used.
    """
    text = str(name_or_path)
    names = model_names()
    if text.lower() in names:
        return _builtin(text.lower())
    path = Path(text)
    if path.exists():
        return read_config(path / "config.json" if path.is_dir() else path)
    if path.suffix == ".json" or len(path.parts) > 1:
        raise WorkloadError(f"model {text}: no such file; expected a Hugging Face config.json or its folder")
    near = difflib.get_close_matches(text.lower(), names, n=2, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"expected one of {', '.join(names)} or a config.json"
    raise WorkloadError(f"model {text}: unknown; {hint}")


def _builtin(name: str) -> ModelShape:
    text = resources.files("workloads").joinpath("zoo", f"{name}.toml").read_text(encoding="utf-8")
    fields = tomllib.loads(text)
    experts = fields.pop("experts", None)
    return ModelShape(name=name, experts=experts and Experts(**experts), **fields)
