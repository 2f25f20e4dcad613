"""The generated page and listing."""

from __future__ import annotations

from pathlib import Path

from archsim.isa.opcodes import OPCODES
from archsim.isa.reference import isa_listing, isa_markdown

PAGE = Path(__file__).parents[2] / "docs" / "isa.md"


def test_page_is_up_to_date() -> None:
    found = PAGE.read_text(encoding="utf-8")
    assert found == isa_markdown(), "write it anew: python -m archsim.isa.reference > docs/isa.md"


def test_every_opcode_has_one_row_and_one_line() -> None:
    page, listing = isa_markdown(), isa_listing()
    for mnemonic in OPCODES:
        rows = [line for line in page.splitlines() if line.startswith((f"| `{mnemonic} ", f"| `{mnemonic}`"))]
        lines = [line for line in listing.splitlines() if line.split()[1:2] == [mnemonic]]
        assert (len(rows), len(lines)) == (1, 1), mnemonic


def test_row_of_an_extension() -> None:
    row = "| `C_PHASE imm` | 0x3F.09 | imm 31:12 | 0 | phase marker: "
    assert row in isa_markdown()
    assert "\n  0x3F.09  C_PHASE imm " in isa_listing()
