"""The DRAM that `micro hbm --standard` names: a timing set of the package, or a TOML file with one."""

from __future__ import annotations

from pathlib import Path

import attrs

from archsim.config import read_toml
from archsim.errors import ConfigError
from archsim.memory.timing import TIMINGS, DramTiming, find_timing
from archsim.tree import load_tree


def load_standard(text: str) -> DramTiming:
    """The timing set of that name, or of the TOML file at that path.

    A file holds the fields of `DramTiming`, times in cycles of `tck_ps`; with `base` it starts from a named set and
    gives only what differs, `name` and `source` among it. Raises ConfigError.
    """
    if text in TIMINGS:
        return TIMINGS[text]
    if not Path(text).is_file():
        raise ConfigError("--standard", text, f"a TOML file, or one of {', '.join(TIMINGS)}")
    table = read_toml(text)
    if "base" in table:
        base = attrs.asdict(find_timing(str(table.pop("base")), f"{text}: base"))
        del base["name"], base["source"]
        table = base | table
    return load_tree(DramTiming, table, text)
