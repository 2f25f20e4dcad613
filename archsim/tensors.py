"""Tensors by name, in files and in a machine's state.

Keys of an .npz file:

    NAME              bytes (uint8) of HBM region NAME of the program's header, from its start
    NAME+OFFSET       the same from byte OFFSET of the region on (OFFSET decimal)
    hbm@ADDRESS       bytes anywhere in HBM
    vectors           Vector SRAM from its start: (vectors, VLEN) reals
    fp_mem            FP_MEM from its start: reals
    int_mem           INT_MEM from its start: integers, over the header's image
    int_mem+OFFSET    the same from word OFFSET on; and so vectors+OFFSET, in vectors, and fp_mem+OFFSET
    core2.int_mem     the same for one core; without a prefix for every core

A region or `hbm@` tensor of float32 or bfloat16 numbers is stored as those bytes. A dump has the same keys,
and `coreN.gp` and `coreN.f`, the registers, which are not loaded.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt

from archsim.errors import ArchsimError, TraceError
from archsim.isa.semantics.state import CoreState
from archsim.isa.semantics.system import System

_WORD = 0xFFFFFFFF
_BF16 = np.dtype(ml_dtypes.bfloat16)


class TensorError(ArchsimError):
    """A tensor that does not fit the program or machine: unknown name, wrong shape or type, NaN."""


def read_tensors(path: str | Path) -> dict[str, npt.NDArray[Any]]:
    """The arrays of an .npz file; raises TraceError where it is no such file, OSError where it cannot be read."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (ValueError, EOFError, zipfile.BadZipFile, AttributeError) as error:
        raise TraceError(f"{path}: {error}; expected an .npz file of arrays") from None


def write_tensors(tensors: Mapping[str, npt.NDArray[Any]], path: str | Path) -> None:
    """Write an .npz file; raises OSError."""
    with Path(path).open("wb") as file:
        np.savez(file, allow_pickle=False, **tensors)


def load_tensors(state: System, tensors: Mapping[str, npt.ArrayLike]) -> None:
    """Put tensors where their names say; raises TensorError."""
    for name, data in tensors.items():
        _load(state, name, np.asarray(data))


def _load(state: System, name: str, data: npt.NDArray[Any]) -> None:
    owner, dot, rest = name.rpartition(".")
    place, plus, offset = rest.partition("+")
    owners = [core for core in state.cores if not dot or core.name == owner]
    if place in _PLACES and owners and (not plus or offset.isdecimal()):
        for core in owners:
            _PLACES[place](core, name, data, int(offset or 0))
        return
    low, room = _hbm_place(state, name)
    raw = _bytes(name, data)
    if len(raw) > room:
        raise TensorError(f"tensor {name}: {len(raw)} B; expected at most {room} B")
    if name.partition("+")[0].endswith(".scales") and (raw == 0xFF).any():
        raise TensorError(f"tensor {name}: scale {int(np.argmax(raw == 0xFF))} is 0xFF, NaN; expected finite scales")
    if len(raw):
        state.hbm.write(low, raw)


def _hbm_place(state: System, name: str) -> tuple[int, int]:
    """(address, bytes up to the end of the region or memory) of a tensor in HBM."""
    head, at, address = name.partition("@")
    if head == "hbm" and at and address.isdecimal() and int(address) <= state.hbm.size:
        return int(address), state.hbm.size - int(address)
    regions = {region: (base, size) for region, base, size in state.hbm.regions}
    if name in regions:
        return regions[name]
    region, _, offset = name.rpartition("+")
    if region in regions and offset.isdecimal() and int(offset) <= regions[region][1]:
        base, size = regions[region]
        return base + int(offset), size - int(offset)
    known = ", ".join([*regions, "hbm@ADDRESS", *_PLACES])
    raise TensorError(f"tensor {name}: no such place; expected one of {known}")


def _bytes(name: str, data: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    if data.dtype == np.uint8:
        return np.ascontiguousarray(data).reshape(-1)
    if data.dtype not in (np.float32, _BF16):
        raise TensorError(f"tensor {name}: type {data.dtype}; expected uint8 bytes, float32 or bfloat16 numbers")
    _check_finite(name, data)
    return np.ascontiguousarray(data).reshape(-1).view(np.uint8)


def _check_finite(name: str, data: npt.NDArray[Any]) -> None:
    bad = np.isnan(data.astype(np.float32)).reshape(-1)
    if bad.any():
        place = ", ".join(str(int(i)) for i in np.unravel_index(int(np.argmax(bad)), data.shape))
        raise TensorError(f"tensor {name}: element [{place}] is NaN; expected numbers")


def _reals(name: str, data: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    if not np.issubdtype(data.dtype, np.floating) and data.dtype != _BF16:
        raise TensorError(f"tensor {name}: type {data.dtype}; expected floating-point numbers")
    _check_finite(name, data)
    return data.astype(np.float32)


def _load_vectors(core: CoreState, name: str, data: npt.NDArray[Any], first: int) -> None:
    count, vlen = core.vectors.shape
    if data.ndim != 2 or data.shape[1] != vlen or first + len(data) > count:
        raise TensorError(f"tensor {name}: shape {data.shape}; expected (up to {max(0, count - first)}, {vlen})")
    where = slice(first, first + len(data))
    core.store(where, core.round(_reals(name, data)))


def _load_fp(core: CoreState, name: str, data: npt.NDArray[Any], first: int) -> None:
    where = _words(name, data, first, len(core.fp))
    core.fp[where] = core.round(_reals(name, data))
    core.fp_written[where] = True


def _load_ints(core: CoreState, name: str, data: npt.NDArray[Any], first: int) -> None:
    where = _words(name, data, first, len(core.ints))
    if not np.issubdtype(data.dtype, np.integer):
        raise TensorError(f"tensor {name}: type {data.dtype}; expected integers")
    wide = data.astype(object) if data.dtype == np.uint64 else data
    if ((wide < 0) | (wide > _WORD)).any():
        raise TensorError(f"tensor {name}: a word outside 0..2^32-1; expected words of 32 bits")
    core.ints[where] = data


def _words(name: str, data: npt.NDArray[Any], first: int, size: int) -> slice:
    if data.ndim != 1 or first + len(data) > size:
        raise TensorError(f"tensor {name}: shape {data.shape}; expected (up to {max(0, size - first)},)")
    return slice(first, first + len(data))


_PLACES = {"vectors": _load_vectors, "fp_mem": _load_fp, "int_mem": _load_ints}
"""Loaders of a core's memories by name."""


def dump_tensors(state: System) -> dict[str, npt.NDArray[Any]]:
    """Everything that has been written: HBM regions (bytes never written are 0), every core's memories and registers.

    HBM outside regions comes in runs of written bytes. Vectors and words never written are NaN.
    """
    out: dict[str, npt.NDArray[Any]] = {}
    for name, base, size in state.hbm.regions:
        if any(flags.any() for _, flags in state.hbm.pages_of(base, size)):
            out[name] = state.hbm.read(base, size)
    if not state.hbm.regions:
        for low, high in _runs(state):
            out[f"hbm@{low}"] = state.hbm.read(low, high - low)
    for core in state.cores:
        out[f"{core.name}.vectors"] = core.vectors[: _last(np.array(core.stamps))].copy()
        out[f"{core.name}.fp_mem"] = core.fp[: _last(core.fp_written)].copy()
        out[f"{core.name}.int_mem"] = core.ints.copy()
        out[f"{core.name}.gp"] = np.array([v if isinstance(v, int) else v.result for v in core.gp], np.int64)
        out[f"{core.name}.f"] = np.array(core.f, np.float32)
    return out


def _last(written: npt.NDArray[np.bool_ | np.int64]) -> int:
    return int(written.nonzero()[0].max(initial=-1)) + 1


def _runs(state: System) -> list[tuple[int, int]]:
    """Ranges [low, high) of written bytes, in order."""
    runs: list[tuple[int, int]] = []
    for base, flags in state.hbm.pages_of(0, state.hbm.size):
        edges = np.flatnonzero(np.diff(flags.astype(np.int8), prepend=0, append=0)) + base
        for low, high in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
            if runs and runs[-1][1] == low:
                runs[-1] = runs[-1][0], high
            else:
                runs.append((low, high))
    return runs

