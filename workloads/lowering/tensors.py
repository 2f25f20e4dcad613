"""Where every tensor of a program lies in HBM."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from archsim.isa.formats import Format
from workloads.lowering.emit.context import Tensors
from workloads.lowering.layers.tiled import spill_elements
from workloads.lowering.options import LoweringOptions
from workloads.lowering.plan.dims import Dims, round_up
from workloads.lowering.plan.extent import Extent
from workloads.lowering.plan.hbm import HbmMap, Tensor
from workloads.lowering.plan.networks import Networks
from workloads.lowering.plan.operators import kept_elements
from workloads.lowering.plan.stages import expert_stage, head_stage, layer_stage, mix_stage, policy_stage


def place_tensors(
    dims: Dims, options: LoweringOptions, extent: Extent, networks: Networks
) -> tuple[HbmMap, Tensors]:
    """Lay out HBM; raises WorkloadError where it is too small."""
    place = _Placement(dims, options, extent, networks)
    return place.hbm, place.tensors()


@attrs.frozen(kw_only=True)
class _Sizes:
    """Elements of what has scales: of one layer, and of one core where cores have parts; 0 of what there is not."""

    layer: int
    mixture: int
    """What all rows meet in a layer of experts."""
    experts: int
    """All routed experts of a layer."""
    head: int
    cache: int
    logits: int
    policy: int
    mixed: int


def _sizes(dims: Dims, options: LoweringOptions, extent: Extent) -> _Sizes:
    experts = dims.model.experts
    logits = extent.sequences * dims.chunks * extent.head_rows * dims.view.vlen
    return _Sizes(
        layer=layer_stage(dims).elements,
        mixture=layer_stage(dims, mixture=True).elements if experts else 0,
        experts=experts.count * expert_stage(dims).elements if experts else 0,
        head=head_stage(dims).elements,
        cache=2 * extent.sequences * dims.kv.padded * extent.positions,
        logits=logits if options.logits == "spill" else 0,
        policy=policy_stage(dims, extent.policy).elements,
        mixed=mix_stage(dims, 1).elements if extent.mixes_all else 0,
    )


class _Placement:
    """HBM, filled in a fixed order: each tensor takes the first room that there is."""

    def __init__(self, dims: Dims, options: LoweringOptions, extent: Extent, networks: Networks) -> None:
        self.dims, self.options, self.extent, self.networks = dims, options, extent, networks
        self.sizes = _sizes(dims, options, extent)
        self.routed = dims.model.layers - dims.model.dense_layers if dims.model.experts else 0
        view = dims.view
        self.hbm = HbmMap(view.hbm_bytes, view.layer_stride_bytes, self._code_bytes(), f"machine {view.name}")

    def _code_bytes(self) -> int:
        """Bytes of all codes that have scales behind them."""
        sizes, options, stride = self.sizes, self.options, self.dims.view.layer_stride_bytes

        def padded(fmt: Format, *elements: int) -> int:
            return sum(round_up(fmt.code_bytes(count), stride) for count in elements) if fmt.block else 0

        weights = options.weight_format
        layers = self.networks.total * (padded(weights, sizes.layer) + padded(options.kv_format, sizes.cache))
        layers += self.routed * (padded(weights, sizes.mixture, sizes.experts) - padded(weights, sizes.layer))
        others = padded(options.logit_format, sizes.logits) + padded(weights, sizes.policy, sizes.mixed)
        return self.dims.view.cores * (layers + padded(weights, sizes.head)) + others

    def tensors(self) -> Tensors:
        """Everything, in order."""
        dims, sizes, extent, vlen = self.dims, self.sizes, self.extent, self.dims.view.vlen
        networks, weights = self.networks, self.options.weight_format
        dense, mixtures, head = self._weights()
        others = [name for name in networks.depths if name]
        masks = extent.masked_rows + extent.masked_tiles * dims.view.hlen
        return Tensors(
            layers={"": dense, **self._stacked("weights", weights, sizes.layer, others)},
            head=head,
            kv=self._stacked("kv_cache", self.options.kv_format, sizes.cache, networks.depths),
            kept=self._table("kept_outputs", networks.total * self._kept()),
            logits=self._one("logits", self.options.logit_format, sizes.logits, 1 + extent.compares),
            embedding=head if dims.shares_embedding else self._embedding(),
            rope=self.hbm.add("rope", self.options.table_format, 2 * extent.positions * vlen),
            masks=self._table("key_masks", extent.masks * dims.view.hlen * vlen),
            spill=self._by_core("spill", self.options.table_format, self._spill()),
            bias=self._stacked("biases", self.options.table_format, dims.row_vectors * vlen, networks.depths),
            row_masks=self._table("row_masks", masks * vlen),
            policy=self._one("policy", weights, sizes.policy),
            mixtures=mixtures,
            experts=self._one("experts", weights, sizes.experts, self.routed),
            transposed=self._one("embedding_t", weights, sizes.mixed),
            soft=self._table("soft_rows", extent.mixed * dims.hidden.blocks * vlen),
        )

    def _weights(self) -> tuple[tuple[Tensor, ...], Tensor | None, tuple[Tensor, ...]]:
        """The model's layers, those with experts, and the LM head.

        The LM head lies a step behind the last layer: then that one, too, fetches ahead as all others do.
        """
        fmt, sizes = self.options.weight_format, self.sizes
        plain = self.networks.depths[""] - self.routed
        mixtures: Tensor | None = None
        dense, head = [], []
        for core in range(self.dims.view.cores):
            if plain:
                dense.append(self.hbm.add(self._of_core("weights", core), fmt, sizes.layer, plain))
            if self.routed:
                mixtures = self.hbm.add("weights.mixtures", fmt, sizes.mixture, self.routed)
            last = mixtures or dense[-1]
            head.append(self.hbm.add(self._of_core("lm_head", core), fmt, sizes.head, at=last.following))
        return tuple(dense), mixtures, tuple(head)

    def _embedding(self) -> tuple[Tensor, ...]:
        """A table for each column block."""
        model, hidden = self.dims.model, self.dims.hidden
        elements = (model.vocab + model.input_only) * hidden.width
        return tuple(
            self.hbm.add(f"embedding.{block}", self.options.table_format, elements) for block in range(hidden.blocks)
        )

    def _kept(self) -> int:
        return kept_elements(self.dims, self.extent.positions) if self.dims.leading else 0

    def _spill(self) -> int:
        return spill_elements(self.dims, self.extent.positions) if self.extent.tiled else 0

    def _of_core(self, name: str, core: int) -> str:
        return f"{name}.{core}" if self.dims.view.cores > 1 else name

    def _by_core(self, name: str, fmt: Format, elements: int, count: int = 1) -> tuple[Tensor, ...]:
        """One for each core; none without elements."""
        cores = range(self.dims.view.cores) if elements else ()
        return tuple(self.hbm.add(self._of_core(name, core), fmt, elements, count) for core in cores)

    def _stacked(self, name: str, fmt: Format, elements: int, of: Iterable[str]) -> dict[str, tuple[Tensor, ...]]:
        """A copy for each layer of those networks."""
        depths = self.networks.depths
        return {
            network: self._by_core(f"{name}.{network}" if network else name, fmt, elements, depths[network])
            for network in of
        }

    def _one(self, name: str, fmt: Format, elements: int, count: int = 1) -> Tensor | None:
        """One for all cores; None without elements."""
        return self.hbm.add(name, fmt, elements, count) if elements else None

    def _table(self, name: str, elements: int) -> Tensor | None:
        return self._one(name, self.options.table_format, elements)
