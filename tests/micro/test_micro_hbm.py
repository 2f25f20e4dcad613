"""One HBM channel beside Ramulator 2.1, the closed forms behind its figures, and the command that runs it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from archsim import cli
from archsim.errors import ArchsimError, ConfigError
from archsim.memory.timing import HBM2_2000, HBM3_6400, DramTiming
from archsim.micro import hbm, hbm_oracle
from archsim.micro.hbm_measure import HbmLoad, measure
from archsim.micro.hbm_standard import load_standard

FAST = {
    ("HBM2-2000", "stream-bank", 67, 1), ("HBM2-2000", "random", 50, 1), ("HBM2-2000", "probe", 100, 40000),
    ("HBM2-2000", "stream-row", 100, 1), ("HBM3-6400", "probe", 100, 40000),
}  # fmt: skip
"""(standard, pattern, % reads, gap) of the rows that every test run measures."""


def hold(rows: list[hbm_oracle.Row]) -> None:
    assert not [f"{row.what}: {row.ours}, theirs {row.theirs}" for row in rows if not row.ok]


def test_a_selection_of_rows_against_ramulator(monkeypatch: pytest.MonkeyPatch) -> None:
    record = [
        row for row in hbm_oracle.read_oracle()
        if (row.standard, row.load.pattern, row.load.read_pct, row.load.gap) in FAST
    ]  # fmt: skip
    assert len(record) == 7
    monkeypatch.setattr(hbm_oracle, "read_oracle", lambda: record)
    rows = list(hbm_oracle.rows(full=False))
    assert len(rows) == 21
    hold(rows)


@pytest.mark.slow
def test_all_rows_against_ramulator() -> None:
    rows = list(hbm_oracle.rows(full=True))
    assert sum(row.tolerance is not None for row in rows) == 104
    hold(rows)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["row_hits", "row_misses", "row_conflicts"])
def test_rows_are_met_as_often_as_in_ramulator(name: str) -> None:
    for row in hbm_oracle.read_oracle():
        if row.figures.get(name, 0) > 1000 and row.load.gap == 1:
            ours = getattr(measure(load_standard(row.standard), row.load), name)
            assert ours == pytest.approx(row.figures[name], rel=0.02), row.name


def test_the_record_is_read_whole() -> None:
    rows = hbm_oracle.read_oracle()
    assert len(rows) == 37
    assert rows[0].load == HbmLoad(requests=59_937)
    assert rows[0].figures["avg_read_latency_ns"] == 87.86
    assert rows[0].tolerance == 0.02
    assert {row.standard for row in rows} == {"HBM2-2000", "HBM3-6400"}


def test_a_record_without_a_column(tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    file.write_text("standard,kind\nHBM2,random_saturated\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="'read_pct'; expected a table with this column"):
        hbm_oracle.read_oracle(file)


# Closed forms, no refresh unless said; 32 B bursts.


def rate(timing: DramTiming, pattern: str, *, refresh: bool = False, requests: int = 12_000) -> float:
    return measure(timing, HbmLoad(pattern=pattern, refresh=refresh, requests=requests)).total_GBps


def test_random_reads_meet_the_limit_of_the_row_bus() -> None:
    # HBM2: an activate (2 CK) and a precharge (1 CK) for each burst of 32 B, on one bus for both pseudo-channels.
    limit = 32 / 3
    assert limit * 0.99 < rate(HBM2_2000, "random") <= limit


def test_random_reads_meet_the_limit_of_four_activates() -> None:
    # HBM3: 4 activates in 15 ns in each of 2 pseudo-channels.
    limit = 2 * 4 * 32 / 15
    assert limit * 0.96 < rate(HBM3_6400, "random") <= limit


@pytest.mark.parametrize("timing", [HBM2_2000, HBM3_6400], ids=["HBM2", "HBM3"])
def test_refresh_takes_its_part_of_a_stream(timing: DramTiming) -> None:
    # 11 refresh intervals or more: the last, cut short, counts for less than 1 %.
    requests = 45_000 if timing is HBM2_2000 else 70_000
    usable = 1 - (timing.rtp + timing.rp + timing.rfc + timing.rcd_rd) / timing.refi
    part = rate(timing, "stream-row", refresh=True, requests=requests) * 1e9 / (2 * timing.peak_bytes_per_s)
    # Between them: the second pseudo-channel waits for the first one's precharge.
    assert part == pytest.approx(usable, rel=0.012)
    assert part < usable


@pytest.mark.parametrize(
    ("timing", "closed", "conflict"), [(HBM2_2000, 30, 44), (HBM3_6400, 33.125, 49.375)], ids=["HBM2", "HBM3"]
)
def test_a_probe_of_an_idle_channel_sees_closed_banks_and_conflicts(
    timing: DramTiming, closed: float, conflict: float
) -> None:
    load = HbmLoad(pattern="probe", gap=10**6, refresh=False, requests=2000)
    result = measure(timing, load)
    banks = result.row_misses
    assert banks == 2 * timing.banks
    expected = (banks * closed + (2000 - banks) * conflict) / 2000
    # The request waits for the next tick, and each activate begins a tick or two before its end on the bus.
    assert result.probe_latency_ns == pytest.approx(expected, abs=3 * timing.tck_ps / 1000)
    assert result.probe_latency_ns > expected


# The load.


def test_the_same_seed_gives_the_same_result_and_another_does_not() -> None:
    load = HbmLoad(pattern="random", read_pct=50, requests=2000)
    assert measure(HBM2_2000, load) == measure(HBM2_2000, load)
    assert measure(HBM2_2000, load) != measure(HBM2_2000, HbmLoad(pattern="random", read_pct=50, requests=2000, seed=2))


@pytest.mark.parametrize("gap", [16, 32, 100])
def test_a_gap_paces_the_stream(gap: int) -> None:
    # 8 / gap bursts of 32 B in each ns.
    result = measure(HBM2_2000, HbmLoad(gap=gap, requests=3000, refresh=False))
    assert result.total_GBps == pytest.approx(8 * 32 / gap, rel=0.01)


def test_more_load_never_lowers_the_bandwidth() -> None:
    rates = [measure(HBM2_2000, HbmLoad(gap=gap, requests=6000)).total_GBps for gap in (64, 32, 16, 10, 8, 4, 1)]
    assert all(later >= earlier * 0.99 for earlier, later in zip(rates, rates[1:], strict=False))


def test_reads_among_the_requests() -> None:
    result = measure(HBM2_2000, HbmLoad(read_pct=30, requests=4000))
    assert result.read_GBps / result.total_GBps == pytest.approx(0.3, abs=0.03)
    assert result.read_GBps + result.write_GBps == pytest.approx(result.total_GBps)
    only = measure(HBM2_2000, HbmLoad(read_pct=0, requests=500))
    assert only.avg_read_latency_ns is None
    assert only.read_GBps == 0


# The command.


def test_command_prints_text_and_json(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    options = ["--standard", "HBM3-6400", "--pattern", "probe", "--gap", "40", "--requests", "500", "--no-refresh"]
    assert cli.main(["micro", "hbm", *options, "--json", "-"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["standard"] == "HBM3-6400"
    assert found["refresh"] is False
    assert found["row_hits"] + found["row_misses"] + found["row_conflicts"] == 500
    assert found["probe_latency_ns"] > 30
    file = tmp_path / "out.json"
    text = hbm.main([*options, "--json", str(file)])
    assert json.loads(file.read_text(encoding="utf-8")) == found
    assert "probe latency" in text
    assert "GB/s" in text


@pytest.mark.parametrize("mode", ["run", "page"])
def test_the_memory_of_machines_under_the_same_load(mode: str) -> None:
    options = ["--requests", "4000", "--mode", mode, "--json", "-", "--no-refresh"]
    found = json.loads(hbm.main(options))
    assert found["total_GBps"] == pytest.approx(31.99, rel=0.02)
    assert found["avg_read_latency_ns"] == pytest.approx(80.47, rel=0.1)
    with pytest.raises(ConfigError, match=r'--mode: .*; expected mode "command" for a probe'):
        hbm.main(["--pattern", "probe", *options])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--requests", "0"], "--requests: 0; expected a whole number above 0"),
        (["--read-pct", "101"], "--read-pct: 101; expected a percentage, 0 to 100"),
        (["--gap", "0"], "--gap: 0; expected a whole number above 0"),
        (["--standard", "DDR9"], "--standard: 'DDR9'; expected a TOML file, or one of HBM2-2000"),
        (["--pattern", "x"], "invalid choice: 'x'"),
        (["--json", "/nowhere/x", "--requests", "10"], "/nowhere/x: No such file or directory; expected a file"),
    ],
)
def test_impossible_options(options: list[str], message: str) -> None:
    with pytest.raises(ArchsimError) as error:
        hbm.main(options)
    assert message in str(error.value)


FILE = """
base = "HBM2-2000"
name = "HBM2-2400"
source = "HBM2 at 2.4 Gb/s, by hand"
tck_ps = 833
cl = 17
"""


def test_a_timing_set_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "dram.toml"
    file.write_text(FILE, encoding="utf-8")
    timing = load_standard(str(file))
    assert (timing.name, timing.tck_ps, timing.cl, timing.rp) == ("HBM2-2400", 833, 17, HBM2_2000.rp)
    found = json.loads(hbm.main(["--standard", str(file), "--requests", "2000", "--no-refresh", "--json", "-"]))
    assert found["total_GBps"] == pytest.approx(2 * 32 / (2 * 0.833), rel=0.04)
    with pytest.raises(ConfigError, match="one of HBM2-2000"):
        hbm.main(["--standard", str(file), "--mode", "run"])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("cl = 0", "cl: 0; expected a whole number, at least 1"),
        ("clx = 1", "clx: 1; expected a known key; did you mean 'cl"),
        ('cl = "fast"', "cl: 'fast'"),
        ("banks_per_group = 3", "banks_per_group: 3; expected a power of two"),
        ("stack_ids = 8", "stack_ids: 8; expected at most banks_per_group, 4"),
        ("refi = 300", "refi: 300; expected more than rtp"),
        ("drain_low = 900", "drain_low: 900; expected less than drain_high, 800"),
        ('base = "DDR9"', "base: 'DDR9'; expected one of HBM2-2000"),
        ("cl = ", "valid TOML"),
    ],
)
def test_a_file_with_a_mistake(tmp_path: Path, line: str, message: str) -> None:
    file = tmp_path / "dram.toml"
    kept = [old for old in FILE.splitlines() if old.split(" ")[0] != line.split(" ")[0]]
    file.write_text("\n".join([*kept, line]), encoding="utf-8")
    with pytest.raises(ConfigError) as error:
        load_standard(str(file))
    assert str(error.value).startswith(str(file))
    assert message in str(error.value)


def test_a_file_without_a_base_must_say_everything(tmp_path: Path) -> None:
    file = tmp_path / "dram.toml"
    file.write_text('name = "x"\nsource = "y"\n', encoding="utf-8")
    with pytest.raises(ConfigError, match=r"tck_ps: missing; expected a value"):
        load_standard(str(file))
