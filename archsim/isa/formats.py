"""Number formats as storage: bits per element, elements per shared scale, bytes in HBM.

Element layouts follow the OCP Microscaling Formats (MX) specification v1.0 (2023): blocks of 32
elements share one 8-bit E8M0 scale. Only storage is modelled here, not values.
"""

from __future__ import annotations

import attrs

from archsim.errors import ConfigError


@attrs.frozen
class Format:
    """Storage of one number format: `bits` per element, one 8-bit scale per `block` elements (0: none)."""

    name: str
    bits: int
    block: int
    code: int
    """Value of the precision operand that selects the format in H_* instructions."""

    @property
    def cells(self) -> int:
        """Matrix SRAM cells per element; a cell stores a 4-bit code and its share of the scale."""
        return {4: 1, 8: 2, 16: 4, 32: 8}[self.bits]

    def code_bytes(self, elements: int) -> int:
        """Bytes of the element codes."""
        return -(-elements * self.bits // 8)

    def scale_bytes(self, elements: int) -> int:
        """Bytes of the shared scales, 0 where the format has none."""
        return -(-elements // self.block) if self.block else 0

    def total_bytes(self, elements: int) -> int:
        """Bytes of codes and scales together."""
        return self.code_bytes(elements) + self.scale_bytes(elements)


FORMATS: dict[str, Format] = {
    fmt.name: fmt
    for fmt in (
        Format("bf16", 16, 0, 2),
        Format("mxfp8", 8, 32, 3),
        Format("mxint8", 8, 32, 4),
        Format("mxint4", 4, 32, 5),
        Format("fp32", 32, 0, 6),
    )
}
"""Every format by name. Precision operands 0 and 1 mean the program's weight/activation and KV formats."""

BY_CODE: dict[int, Format] = {fmt.code: fmt for fmt in FORMATS.values()}


def format_named(name: str, path: str) -> Format:
    """Look a format up; raises ConfigError at `path` where the name is unknown."""
    if name not in FORMATS:
        raise ConfigError(path, name, "one of " + ", ".join(FORMATS))
    return FORMATS[name]
