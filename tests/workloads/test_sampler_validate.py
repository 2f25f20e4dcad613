"""The comparison with the published sampler: what is counted and what is allowed."""

from __future__ import annotations

import attrs
import pytest

from archsim import MachineParams, load_machine
from workloads.lowering.plan.machine_view import view_of
from workloads.validation.sampler import overlap_rows, rows, serial_rows


@pytest.fixture(scope="module")
def machine() -> MachineParams:
    """The reference machine with the published Vector SRAM; its memory is another than the published one."""
    params = load_machine("dart-2048")
    return attrs.evolve(params, vector_sram=attrs.evolve(params.vector_sram, capacity=8 * 2**20))


def test_serial_rows_add_up_and_vector_and_scalar_agree(machine: MachineParams) -> None:
    found = {row.what.removeprefix("VLEN 2048, ").removesuffix(" cycles"): row for row in serial_rows(machine)}
    ours = {what: row.ours for what, row in found.items()}
    assert ours["total"] == ours["vector"] + ours["scalar"] + ours["control"] + ours["memory"]
    assert ours["vector"] == 477_696
    assert found["scalar + control"].ok
    # 1985 blocking prefetches of 33,792 bytes, each at least its time on the bus.
    assert ours["memory"] >= 1985 * 33_792 // 820


def test_overlap_hides_most_of_what_the_published_run_shows(machine: MachineParams) -> None:
    same, own = overlap_rows(machine)
    assert ["same" in same.what, "own" in own.what] == [True, True]
    assert 477_696 < own.ours < same.ours < 560_000


def test_view_has_the_sizes_of_the_machine(machine: MachineParams) -> None:
    view = view_of(machine)
    assert (view.vlen, view.vector_vectors, view.channels, view.int_words) == (2048, 2048, 64, 65536)


@pytest.mark.slow
def test_published_set_ups_are_within_what_is_allowed() -> None:
    found = list(rows(full=False))
    assert sum(row.tolerance is not None for row in found) == 6
    assert [row for row in found if not row.ok] == []
