"""The comparison with the published sampler: what is counted, what is allowed, how it prints."""

from __future__ import annotations

import attrs
import pytest

from archsim import MachineParams, load_machine
from workloads.validate import Row, overlap_rows, render, serial_rows, table, view_of


def row(ours: int, published: int | None = 1000, allowed: int | None = 10) -> Row:
    return Row(vlen=64, what="total", ours=ours, published=published, allowed=allowed)


@pytest.mark.parametrize(("ours", "good"), [(1010, True), (990, True), (1011, False), (989, False)])
def test_allowed_error_holds_on_both_sides(ours: int, good: bool) -> None:
    assert row(ours).good is good


def test_what_was_not_published_cannot_be_wrong() -> None:
    assert row(1, published=None).good
    assert row(1, allowed=None).good


def test_text_shows_error_and_marks_what_is_outside() -> None:
    lines = render("title", [row(1011), row(5, published=None)]).splitlines()
    assert lines[0] == "title"
    assert lines[2].split() == ["64", "total", "1,011", "1.011", "us", "1,000", "+1.10", "%", "1.0", "%", "OUTSIDE"]
    assert lines[3].split() == ["64", "total", "5", "5", "ns"]


@pytest.fixture(scope="module")
def machine() -> MachineParams:
    """The reference machine with the published Vector SRAM; its memory is another than the published one."""
    params = load_machine("dart-2048")
    return attrs.evolve(params, vector_sram=attrs.evolve(params.vector_sram, capacity=8 * 2**20))


def test_serial_rows_add_up_and_vector_and_scalar_agree(machine: MachineParams) -> None:
    rows = {row.what: row for row in serial_rows(machine)}
    ours = {what: row.ours for what, row in rows.items()}
    assert ours["total"] == ours["vector"] + ours["scalar"] + ours["control"] + ours["memory"]
    assert ours["vector"] == 477_696
    assert rows["scalar + control"].good
    # 1985 blocking prefetches of 33,792 bytes, each at least its time on the bus.
    assert ours["memory"] >= 1985 * 33_792 // 820


def test_overlap_hides_most_of_what_the_published_run_shows(machine: MachineParams) -> None:
    same, own = overlap_rows(machine)
    assert (same.what, own.what) == ("same program", "our lowering")
    assert 477_696 < own.ours < same.ours < 560_000


def test_view_has_the_sizes_of_the_machine(machine: MachineParams) -> None:
    view = view_of(machine)
    assert (view.vlen, view.vector_vectors, view.channels, view.int_words) == (2048, 2048, 64, 16384)


@pytest.mark.slow
def test_published_set_ups_are_within_what_is_allowed() -> None:
    assert "OUTSIDE" not in table()
