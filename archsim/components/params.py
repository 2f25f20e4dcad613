"""Parameters of one core's units. Defaults are engineering choices; presets name their sources."""

from __future__ import annotations

import attrs

from archsim.units import Bytes
from archsim.validate import BadValue, at_least, one_of, positive, power_of_two

Source = dict[str, str]


@attrs.frozen(kw_only=True)
class CoreParams:
    """Tile geometry: MLEN x BLEN tensor tiles, VLEN vector lanes, HLEN lanes per attention head."""

    mlen: int = attrs.field(default=2048, validator=power_of_two)
    vlen: int = attrs.field(default=2048, validator=power_of_two)
    blen: int = attrs.field(default=128, validator=power_of_two)
    hlen: int = attrs.field(default=128, validator=power_of_two)
    source: Source = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        if self.mlen != self.vlen:
            raise BadValue("mlen", self.mlen, f"the same as vlen ({self.vlen}): tiles are read by whole vectors")
        if self.hlen > self.vlen or self.blen > self.mlen:
            raise BadValue("hlen" if self.hlen > self.vlen else "blen", max(self.hlen, self.blen), "at most mlen")


@attrs.frozen(kw_only=True)
class DispatchParams:
    """Depth of the in-order queues between dispatch and the units, in instructions."""

    tensor_queue: int = attrs.field(default=32, validator=positive)
    vector_queue: int = attrs.field(default=64, validator=positive)
    scalar_queue: int = attrs.field(default=32, validator=positive)
    kv_queue: int = attrs.field(default=32, validator=positive)
    dma_queue: int = attrs.field(default=64, validator=positive)
    net_queue: int = attrs.field(default=32, validator=positive)
    barrier_cycles: int = attrs.field(default=8, validator=at_least(0))
    """From the last core's arrival to the release of all."""
    source: Source = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class FetchParams:
    """Instruction buffer between HBM and dispatch."""

    buffer: Bytes = attrs.field(default=Bytes(64 * 1024), validator=positive)
    line: Bytes = attrs.field(default=Bytes(256), validator=power_of_two)
    ahead: int = attrs.field(default=8, validator=at_least(0))
    """Lines fetched ahead of the one in use."""
    source: Source = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        if self.line < 4:
            raise BadValue("line", self.line, "at least one 4-byte instruction")
        if self.buffer < (self.ahead + 2) * self.line:
            raise BadValue("buffer", self.buffer, "room for the line in use, those fetched ahead and one more")


@attrs.frozen(kw_only=True)
class TensorParams:
    """Flattened output-stationary arrays of BLEN rows; `rtl_drain` adds the 4 cycles measured on RTL."""

    units: int = attrs.field(default=1, validator=positive)
    rtl_drain: bool = False
    accumulator: str = attrs.field(default="fp32", validator=one_of("fp32", "fp16", "bf16"))
    """What sums of 32 products are added in; matters to values only."""
    source: Source = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class VectorParams:
    """VLEN-lane vector units."""

    units: int = attrs.field(default=1, validator=positive)
    source: Source = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class KvEngineParams:
    """KV quantization engine: scale memory of `slots` vectors, pipeline depth in cycles."""

    slots: int = attrs.field(default=2048, validator=positive)
    pipeline_cycles: int = attrs.field(default=8, validator=at_least(0))
    source: Source = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class DmaParams:
    """DMA engines of a core. Streams (weights, KV, vector loads, stores) go round-robin to engines."""

    engines: int = attrs.field(default=4, validator=positive)
    in_flight: int = attrs.field(default=8, validator=positive)
    """Transfers that one engine keeps in flight."""
    request_bytes_per_cycle: int = attrs.field(default=0, validator=at_least(0))
    """What an engine asks for in a cycle: its next transfer waits until all of this one is asked for. 0: no limit."""
    command_cycles: int = attrs.field(default=8, validator=at_least(0))
    """From the start of a transfer to its first request on the network."""
    convert_cycles: int = attrs.field(default=8, validator=at_least(0))
    """Format conversion at the on-chip end."""
    fixed_cycles: int = attrs.field(default=0, validator=at_least(0))
    """A labelled constant for what no sourced part explains."""
    prefetch_v_rows: int = attrs.field(default=16, validator=positive)
    store_v_rows: int = attrs.field(default=16, validator=positive)
    source: Source = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class MatrixSramParams:
    """Holds MX codes and scales; filled by DMA, read by the tensor core."""

    capacity: Bytes = attrs.field(default=Bytes(8 * 2**20), validator=positive)
    source: Source = attrs.field(factory=dict)

    @property
    def cells(self) -> int:
        """Capacity in cells of 4.25 bits: a 4-bit code and its share of the 8-bit scale of 32."""
        return self.capacity * 32 // 17


@attrs.frozen(kw_only=True)
class VectorSramParams:
    """BF16 vectors. Port A: DMA and first operands. Port B: second and matrix operands, write-backs."""

    capacity: Bytes = attrs.field(default=Bytes(24 * 2**20), validator=positive)
    rows_per_cycle: int = attrs.field(default=4, validator=positive)
    """Vectors that each port serves a cycle: the banks behind it."""
    source: Source = attrs.field(factory=dict)

    @property
    def elements(self) -> int:
        """Capacity in BF16 elements."""
        return self.capacity // 2


@attrs.frozen(kw_only=True)
class ScalarMemoryParams:
    """FP_MEM and INT_MEM, in words."""

    fp_words: int = attrs.field(default=8192, validator=positive)
    int_words: int = attrs.field(default=16384, validator=positive)
    source: Source = attrs.field(factory=dict)
