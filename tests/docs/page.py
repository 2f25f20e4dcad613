"""Runs what a page of the documentation shows, in a copy of the project, and compares.

Fenced blocks by language:

console  lines `$ COMMAND` run in turn; what follows each must be its output (a line `...` stands for any lines)
python   runs as a script
diff     is applied to the copy: context and `-` lines must stand in the file exactly once
text, toml  are for reading only

After `<!-- file: NAME -->` any block is written to that file instead. `python -m tests.docs.page PAGE...`
puts the real output into the pages.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from sybil import Document, Example, Region, Sybil

ROOT = Path(__file__).parents[2]
READ_ONLY = ("text", "toml")
PAGES = ("README.md", "docs/*.md", "perf/README.md")

_BLOCK = re.compile(r"^(?:<!-- file: (?P<file>\S+) -->\n)?```(?P<language>\w*)\n(?P<body>.*?)^```$", re.M | re.S)
_COMMAND = re.compile(r"^\$ (?P<command>(?:.*\\\n)*.*)\n(?P<output>(?:(?!\$ ).*\n)*)", re.M)
_COPIED = ("archsim", "workloads", "docs", "Makefile", "pyproject.toml")


def pages() -> list[Path]:
    """Every page, README first."""
    return [path for pattern in PAGES for path in sorted(ROOT.glob(pattern))]


def parse(path: Path) -> Document:
    """The page with its blocks as sybil examples."""
    return Sybil(parsers=[_regions], patterns=["*"], path=str(ROOT)).parse(path)


def _regions(document: Document) -> Iterator[Region]:
    for match in _BLOCK.finditer(document.text):
        yield Region(match.start(), match.end(), match, _evaluate)


def _evaluate(example: Example) -> str | None:
    block, folder = example.parsed, example.namespace["folder"]
    if block["file"]:
        target = folder / block["file"]
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(block["body"], encoding="utf-8")
        return None
    if block["language"] in READ_ONLY:
        return None
    check = {"console": _console, "python": _python, "diff": _diff}.get(block["language"])
    if check is None:
        return f"block of language {block['language']!r}; expected one that tests/docs/page.py knows"
    return check(block["body"], folder)


def _console(body: str, folder: Path) -> str | None:
    for match in _COMMAND.finditer(body):
        found = run(match["command"], folder)
        shown = _lines(match["output"])
        pattern = "".join(r"(?:.*\n)*?" if line == "..." else re.escape(f"{line}\n") for line in shown)
        if re.fullmatch(pattern, found) is None:
            return f"$ {match['command']}\nprints\n{found}the page shows\n{match['output']}"
    return None


def _lines(text: str) -> list[str]:
    """The lines of an output; a blank last line only separates it from the next command."""
    lines = text.split("\n")[:-1]
    return lines[:-1] if lines and not lines[-1] else lines


def _python(body: str, folder: Path) -> str | None:
    done = subprocess.run([sys.executable, "-c", body], cwd=folder, capture_output=True, text=True, check=False)
    return done.stderr if done.returncode else None


def _diff(body: str, folder: Path) -> str | None:
    head, *hunks = re.split(r"^@@.*\n", body, flags=re.M)
    target = folder / head.split("+++ b/")[1].split("\n")[0]
    text = target.read_text(encoding="utf-8")
    for hunk in hunks:
        old = "".join(f"{line[1:]}\n" for line in hunk.split("\n")[:-1] if not line.startswith("+"))
        new = "".join(f"{line[1:]}\n" for line in hunk.split("\n")[:-1] if not line.startswith("-"))
        if text.count(old) != 1:
            return f"{target.name}: found {text.count(old)} times; expected once:\n{old}"
        text = text.replace(old, new)
    target.write_text(text, encoding="utf-8")
    return None


def run(command: str, folder: Path) -> str:
    """Standard output and error of a shell command in the copy."""
    environment = {**os.environ, "PATH": f"{folder / '.venv/bin'}:{os.environ['PATH']}", "COLUMNS": "100"}
    for name in ("PYTHONPATH", "MAKEFLAGS", "MAKELEVEL"):
        environment.pop(name, None)
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.stdout if not done.stdout or done.stdout.endswith("\n") else f"{done.stdout}\n"


def make_copy(folder: Path) -> Path:
    """Copy the project to an empty folder, with this interpreter as its virtual environment."""
    for name in _COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    venv = folder / ".venv"
    venv.mkdir()
    for name in ("bin", "lib", "pyvenv.cfg"):
        if (Path(sys.prefix) / name).exists():
            (venv / name).symlink_to(Path(sys.prefix) / name)
    (venv / ".installed").touch()
    return folder


def refresh(path: Path) -> None:
    """Write the real output below every command of the page; blocks that still match stay as they are."""
    with tempfile.TemporaryDirectory() as name:
        folder = make_copy(Path(name))
        document = parse(path)
        document.namespace["folder"] = folder
        text, shift = document.text, 0
        for example in document.examples():
            block = example.parsed
            if block["file"] or block["language"] != "console":
                example.evaluate()
                continue
            body = _COMMAND.sub(lambda match: _rerun(match, folder), block["body"])
            start, end = block.start("body") + shift, block.end("body") + shift
            text = text[:start] + body + text[end:]
            shift += len(body) - len(block["body"])
    path.write_text(text, encoding="utf-8")


def _rerun(match: re.Match[str], folder: Path) -> str:
    if "..." in _lines(match["output"]) and _console(match[0], folder) is None:
        return match[0]
    gap = "\n" if match["output"].endswith("\n\n") or match["output"] == "\n" else ""
    found = run(match["command"], folder)
    if "Traceback" in found:
        raise RuntimeError(f"$ {match['command']}\n{found}")
    return f"$ {match['command']}\n{found}{gap}"


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        refresh(Path(argument).resolve())
