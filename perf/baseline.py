"""Copy benchmark results for the baseline, without what tells of the machine's name and folders."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

HOST = {"boot_time", "cpu_affinity", "hostname", "platform", "python_config_args", "python_executable", "uptime"}


def cleaned(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: cleaned(item) for key, item in value.items() if key not in HOST}
    return [cleaned(item) for item in value] if isinstance(value, list) else value


def main(source: str, target: str) -> None:
    Path(target).mkdir(parents=True, exist_ok=True)
    for path in sorted(Path(source).glob("*.json")):
        text = json.dumps(cleaned(json.loads(path.read_text())), indent=0, sort_keys=True)
        (Path(target) / path.name).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:3])
