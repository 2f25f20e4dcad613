"""Every block of every page does what the page says, and every link leads somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.page import ROOT, make_copy, pages, parse

NAMES = [str(path.relative_to(ROOT)) for path in pages()]


def test_the_pages_are_there() -> None:
    assert {"docs/architecture.md", "docs/extend.md", "docs/isa.md"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_examples(name: str, tmp_path: Path) -> None:
    document = parse(ROOT / name)
    document.namespace["folder"] = make_copy(tmp_path)
    for example in document.examples():
        example.evaluate()


@pytest.mark.parametrize("name", NAMES)
def test_links(name: str) -> None:
    page = ROOT / name
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target
