"""The machine: its tree of parameters, presets and files."""

from __future__ import annotations

from pathlib import Path

import attrs

from archsim.components.core import CoreConfig
from archsim.components.params import (
    CoreParams,
    DispatchParams,
    DmaParams,
    FetchParams,
    KvEngineParams,
    MatrixSramParams,
    ScalarMemoryParams,
    Source,
    TensorParams,
    VectorParams,
    VectorSramParams,
)
from archsim.config import Table, dump_tree, load_tree, preset_names, read_preset, read_toml, write_toml
from archsim.errors import ConfigError, WiringError
from archsim.isa.formats import FORMATS
from archsim.isa.timing.cost import COST_SETS, CostEntry, cost_symbols, cost_table
from archsim.memory.fixed import FixedMemory, FixedParams
from archsim.memory.hbm import HbmMemory, HbmParams
from archsim.noc import NocParams, build_topology
from archsim.units import Bytes, BytesPerSecond, Hertz, Ps, format_size, period_ps
from archsim.validate import at_least, nearest, one_of, positive

__all__ = ["MachineParams", "dump_machine", "load_machine", "preset_names"]


@attrs.frozen(kw_only=True)
class MemoryParams:
    """The memory: `model` hbm (channels, banks, refresh) or fixed (latency and bandwidth)."""

    model: str = attrs.field(default="hbm", validator=one_of("hbm", "fixed"))
    channels: int = attrs.field(default=32, validator=positive)
    pseudo_channels: int = attrs.field(default=2, validator=positive)
    timing: str = "V80-HBM2"
    capacity: Bytes = attrs.field(default=Bytes(32 * 2**30), validator=positive)
    refresh: str = attrs.field(default="all-bank", validator=one_of("all-bank", "per-bank", "off"))
    interleave: Bytes = attrs.field(default=Bytes(128), validator=positive)
    mode: str = attrs.field(default="run", validator=one_of("run", "page"))
    latency: Ps = attrs.field(default=Ps(100_000), validator=at_least(0))
    """Of the fixed model only."""
    bandwidth: BytesPerSecond = attrs.field(default=BytesPerSecond(819_200_000_000), validator=positive)
    """Of the fixed model only."""
    source: Source = attrs.field(factory=dict)

    def build(self, smooth_refresh: bool = False) -> HbmMemory | FixedMemory:
        """Make the memory, with refresh spread evenly over the data if so asked; raises ConfigError."""
        if self.model == "fixed":
            return FixedMemory(FixedParams(latency=self.latency, bandwidth=self.bandwidth, capacity=self.capacity))
        return HbmMemory(
            HbmParams(
                channels=self.channels,
                pseudo_channels=self.pseudo_channels,
                timing=self.timing,
                capacity=self.capacity,
                refresh=self.refresh,
                smooth=smooth_refresh,
                interleave=self.interleave,
                mode=self.mode,
            )
        )


@attrs.frozen(kw_only=True)
class CostParams:
    """Instruction costs: a column of the opcode table, and other formulas by mnemonic."""

    set: str = attrs.field(default="published", validator=one_of(*COST_SETS))
    overrides: dict[str, str] = attrs.field(factory=dict)
    source: Source = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class FormatParams:
    """Number formats of programs that do not name their own, such as plain assembly."""

    weights: str = attrs.field(default="mxint4", validator=one_of(*FORMATS))
    kv: str = attrs.field(default="mxint4", validator=one_of(*FORMATS))
    activations: str = attrs.field(default="mxint8", validator=one_of(*FORMATS))
    vector_hbm: str = attrs.field(default="mxfp8", validator=one_of(*FORMATS))
    source: Source = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class MachineParams:
    """A whole machine; each section belongs to the component of the same name.

    Raises ConfigError for sections that do not go together, WiringError for a network with ports cut off.
    """

    name: str
    clock: Hertz = attrs.field(default=Hertz(10**9), validator=positive)
    issue: str = attrs.field(default="overlap", validator=one_of("overlap", "serial"))
    cores: int = attrs.field(default=1, validator=positive)
    core: CoreParams = attrs.field(factory=CoreParams)
    dispatch: DispatchParams = attrs.field(factory=DispatchParams)
    fetch: FetchParams = attrs.field(factory=FetchParams)
    tensor: TensorParams = attrs.field(factory=TensorParams)
    vector: VectorParams = attrs.field(factory=VectorParams)
    kv_engine: KvEngineParams = attrs.field(factory=KvEngineParams)
    dma: DmaParams = attrs.field(factory=DmaParams)
    matrix_sram: MatrixSramParams = attrs.field(factory=MatrixSramParams)
    vector_sram: VectorSramParams = attrs.field(factory=VectorSramParams)
    scalar_memory: ScalarMemoryParams = attrs.field(factory=ScalarMemoryParams)
    memory: MemoryParams = attrs.field(factory=MemoryParams)
    noc: NocParams = attrs.field(factory=NocParams)
    costs: CostParams = attrs.field(factory=CostParams)
    formats: FormatParams = attrs.field(factory=FormatParams)
    source: Source = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        period_ps(self.clock, "clock")
        self.cost_table()
        self._check_vector_sram()
        ports = [f"core{core}.port" for core in range(self.cores)]
        memory = self.memory.build()
        build_topology(self.noc, ports, [f"hbm.ch{channel}" for channel in range(memory.channel_count)])

    def _check_vector_sram(self) -> None:
        vector = 2 * self.core.vlen
        if self.vector_sram.capacity % vector:
            found = format_size(self.vector_sram.capacity)
            raise ConfigError("vector_sram.capacity", found, f"a multiple of {vector} B, one vector of BF16")

    @property
    def period_ps(self) -> int:
        """Clock period in ps."""
        return period_ps(self.clock)

    def cost_table(self) -> dict[str, CostEntry]:
        """Cost of every opcode on this machine; raises ConfigError for a bad override."""
        core = self.core
        overrides = dict(self.costs.overrides)
        if self.tensor.rtl_drain:
            for mnemonic in ("M_MM", "M_TMM", "M_BMM", "M_BTMM"):
                overrides.setdefault(mnemonic, "blen+4")
        symbols = cost_symbols(blen=core.blen, mlen=core.mlen, hlen=core.hlen, vlen=core.vlen)
        try:
            return cost_table(overrides, symbols, self.costs.set)
        except ConfigError as error:
            mnemonic = error.path.removeprefix("costs.")
            raise ConfigError(f"costs.overrides.{mnemonic}", error.found, error.expected) from None

    def core_config(self) -> CoreConfig:
        """The sections that make a core."""
        names = (field.name for field in attrs.fields(CoreConfig))
        return CoreConfig(**{name: getattr(self, name) for name in names})

    def lookup(self, path: str) -> object:
        """The field at a dotted path such as "core.mlen"; raises KeyError."""
        value: object = self
        for name in path.split("."):
            if name.startswith("_") or not hasattr(value, name):
                raise KeyError(path)
            value = getattr(value, name)
        return value


def load_machine(name: str) -> MachineParams:
    """Read a preset by name or a machine file by path; raises ConfigError, WiringError."""
    if name in preset_names():
        return _load(read_preset(name), f"{name}.toml")
    if name.endswith(".toml") or "/" in name or Path(name).exists():
        return _load(read_toml(name), name)
    raise ConfigError("machine", name, f"a preset or a .toml file; {nearest(name, preset_names())}")


def _load(table: Table, where: str) -> MachineParams:
    try:
        return load_tree(MachineParams, table, where)
    except WiringError as error:
        raise WiringError(f"{where}: {error}") from None


def dump_machine(params: MachineParams) -> str:
    """The fully resolved machine file; loading it gives the same machine."""
    return write_toml(dump_tree(params))
