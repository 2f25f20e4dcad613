from __future__ import annotations

import re

from archsim.report.text import WIDTH, percent, render
from archsim.results import LoopRecord
from tests.report.sample import sample, unit

EXPECTED = """\
llada-8b, schedule dual, on pair, issue overlap
time     3 ms (3,000,000 cycles), 123,456 instructions, 2 forwards
tokens   3 committed, 1,000.0 tokens/s, 0.6667 forwards per token
bound    program hbm 2.7 ms = 90.0 %; ideal hbm 2.4 ms = 80.0 % of measured

step      forwards    per forward  tokens              program bound                ideal bound
warm             1       2.000 ms       1       hbm 1.800 ms  90.0 %   compute 1.500 ms  75.0 %
refine           1       1.000 ms       2                          -                          -

% of time           busy operand   queue    sram     dma     hbm     noc   fetch barrier    idle
tensor x2           33.3    16.7     0.0     0.0     0.0    33.3     0.0     0.0     0.0    16.7
dma x2              90.0     0.0     0.0     0.0     0.0     0.0     5.0     0.0     0.0     5.0
idle all the time: kv x2

HBM      2 GB read, 48 MB written, 682.7 GB/s = 83.3 % of peak 819.2 GB/s
         1 of 1,000 page visits opened a row, 42 DRAM refreshes
NoC      2.048 GB carried, 4.096 GB x hops; hottest link r0 -> core0, 66.7 % busy
         next hbm0 -> r0, 33.3 % busy
work     exposed: transformer 60.0 %, sampling 13.3 %, kv 26.7 % of time
refresh  of the KV cache 1 ms = 33.3 %: warm steps beyond as many refine steps

note: weights are synthetic
"""


def test_the_whole_report() -> None:
    assert render(sample()) == EXPECTED


def test_an_interrupted_run_says_so_first() -> None:
    first = render(sample(complete=False)).splitlines()[0]
    assert first == "PARTIAL (interrupted at 3 ms of simulated time)"


def test_percentages_of_each_unit_line_add_up_to_100() -> None:
    text = render(sample(units={f"u{letter}": unit(10**6, operand=10**6 + 7, hbm=13) for letter in "abc"}))
    rows = [line.split() for line in text.splitlines() if re.match(r"u[abc] ", line)]
    assert len(rows) == 3
    for row in rows:
        assert sum(int(figure.replace(".", "")) for figure in row[1:]) == 1000


def test_a_full_report_fits_a_screen() -> None:
    letters = "abcdefghijklmnop"
    result = sample(
        complete=False,
        units={f"core0.unit{letter}": unit(ord(letter)) for letter in letters},
        steps=sample().steps * 2,
        notes=("x" * 200,) * 9,
        program={"name": "p" * 200},
    )
    lines = render(result).splitlines()
    assert len(lines) <= 35
    assert max(map(len, lines)) <= WIDTH
    assert "and 7 less busy kinds of unit, all in --json" in lines
    assert "and 7 more notes, all in --json" in lines
    assert [line.split()[0] for line in lines if line.startswith("unit")] == [f"unit{x}" for x in letters[-9:]]


def test_an_empty_run_has_a_report() -> None:
    text = render(
        sample(
            time_ps=0, cycles=0, instructions=0, units={}, opcodes={}, hbm={}, links=(), phases=(), steps=(),
            bounds={}, committed_tokens=0, forwards=0, notes=(), noc_bytes=0, noc_hop_bytes=0, hbm_peak_bytes_per_s=0,
        )
    )  # fmt: skip
    assert "time     0 ps (0 cycles), 0 instructions, 0 forwards\n" in text
    assert "tokens   none committed\n" in text
    assert "rows and refresh not modelled by this memory\n" in text


def test_percent_shows_one_digit() -> None:
    assert [percent(share) for share in (0, 5, 125, 1000)] == ["0.0 %", "0.5 %", "12.5 %", "100.0 %"]


def test_replay_and_a_window_are_said() -> None:
    text = render(sample(replayed_ps=1_500_000_000, schedule={"name": "dual", "forwards": 256}))
    assert "replay   50.0 % of the time skipped as exact repetition; refresh spread evenly\n" in text
    assert "tokens   3 committed, 1,000.0 tokens/s, 0.6667 forwards per token (a window of 256 forwards)\n" in text


def test_repetition_that_is_not_exact_is_said() -> None:
    loops = (LoopRecord(level=1, iterations=8, replayed=3, nearly=3), LoopRecord(level=2, iterations=90, replayed=80))
    text = render(sample(replayed_ps=1_500_000_000, loops=loops))
    assert "replay   50.0 % of the time skipped as repetition; refresh spread evenly\n" in text
    assert "loop iterations skipped: 3 of 8 at level 1, 80 of 90 at level 2\n" in text
    assert "3 of them: equal states, but times that differ by up to 0.067 %\n" in text


def test_the_unit_that_does_most_of_its_kind_is_named() -> None:
    text = render(sample(units={"core0.dma0": unit(2_500_000), "core0.dma1": unit(10_000)}))
    assert "busiest of dma x2: core0.dma0, 83.3 % busy\n" in text


def test_what_is_synthetic_is_noted_first() -> None:
    lines = render(sample(notes=("layout", "scheme", "ids are synthetic"))).splitlines()
    assert lines[-3:] == ["note: ids are synthetic", "note: layout", "and 1 more note, all in --json"]


def test_the_bound_of_a_run_is_that_of_its_steps_together() -> None:
    steps = tuple(step for step in sample().steps if step.step == "warm") * 2
    text = render(sample(steps=steps))
    assert "bound    program hbm 3.6 ms" in text
