from __future__ import annotations

import io
import json
from collections import defaultdict
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archsim.report.timeline import Timeline, microseconds, open_timeline


@attrs.frozen
class Phase:
    name: str
    step: str


PHASES = [
    Phase("embed", "warm"),
    Phase("layer/attention", "warm"),
    Phase("layer/ffn", "warm"),
    Phase("sampling", "warm"),
    Phase("layer/attention", "refine"),
    Phase("sampling", "refine"),
]


def events(timeline: Timeline, stream: io.StringIO) -> list[dict[str, Any]]:
    timeline.close()
    found: list[dict[str, Any]] = json.loads(stream.getvalue(), parse_float=Decimal)["traceEvents"]
    return found


def start(**options: Any) -> tuple[Timeline, io.StringIO]:
    stream = io.StringIO()
    return Timeline(stream, PHASES, **options), stream


def threads(found: list[dict[str, Any]]) -> dict[int, str]:
    return {event["tid"]: event["args"]["name"] for event in found if event["name"] == "thread_name"}


def check_nesting(found: list[dict[str, Any]]) -> None:
    """On each track slices lie inside one another or apart, and every begin has its end."""
    tracks: dict[tuple[int, int], list[tuple[str, Decimal | None]]] = defaultdict(list)
    free: dict[tuple[int, int], Decimal] = defaultdict(Decimal)
    for event in found:
        track = (event["pid"], event.get("tid", 0))
        if event["ph"] == "B":
            assert event["ts"] >= free[track]
            tracks[track].append((event["name"], event["ts"]))
        elif event["ph"] == "E":
            name, begun = tracks[track].pop()
            assert name == event["name"]
            assert begun is not None
            assert event["ts"] >= max(begun, free[track])
        elif event["ph"] == "X":
            assert event["ts"] >= free[track]
            free[track] = event["ts"] + event["dur"]
    assert not any(tracks.values())


def test_times_are_exact() -> None:
    assert microseconds(0) == "0.000000"
    assert microseconds(123_456_789_000_000_001) == "123456789000.000001"
    timeline, stream = start()
    timeline.slice("core0.vector", "V_EXP_V", 1, 10**17 + 1, -1)
    (event,) = [event for event in events(timeline, stream) if event["ph"] == "X"]
    assert (event["ts"], event["dur"]) == (Decimal("0.000001"), Decimal(10**11))


def test_a_process_for_each_core_and_a_track_for_each_unit() -> None:
    timeline, stream = start()
    for track in ("core0.vector", "core1.vector", "hbm.channel3", "noc"):
        timeline.slice(track, "x", 0, 5, 1)
    found = events(timeline, stream)
    processes = {event["pid"]: event["args"]["name"] for event in found if event["name"] == "process_name"}
    assert processes == {1: "core0", 2: "core1", 1002: "hbm", 1003: "noc"}
    assert list(threads(found).values()) == ["vector", "vector", "channel3", "noc"]
    slices = [event for event in found if event["ph"] == "X"]
    assert len({event["tid"] for event in slices}) == 4
    assert slices[0]["args"] == {"phase": "layer/attention"}


@pytest.mark.parametrize(("second", "lanes"), [(99, ["dma", "dma lane 1"]), (100, ["dma"])])
def test_a_slice_shares_a_lane_only_with_what_has_ended(second: int, lanes: list[str]) -> None:
    timeline, stream = start()
    timeline.slice("core0.dma", "a", 0, 100, -1)
    timeline.slice("core0.dma", "b", second, 200, -1)
    assert list(threads(events(timeline, stream)).values()) == lanes


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 20)), max_size=30))
def test_slices_never_overlap_on_a_track(spans: list[tuple[int, int]]) -> None:
    timeline, stream = start()
    for at, length in spans:
        timeline.slice("core0.dma", "x", at, at + length, -1)
    found = events(timeline, stream)
    check_nesting(found)
    assert sum(event["ph"] == "X" for event in found) == len(spans)


def marks(found: list[dict[str, Any]]) -> list[str]:
    names = {"B": "[{}", "E": "{}]", "X": "{}"}
    return [names[event["ph"]].format(event["name"]) for event in found if event["ph"] in names]


def test_forwards_layers_and_operators_nest() -> None:
    timeline, stream = start()
    for at, phase in enumerate([0, 1, 2, 1, 2, 3, 4, 5, 4, 5]):
        timeline.phase(0, phase, at * 10, at * 10 + 10)
    found = events(timeline, stream)
    check_nesting(found)
    assert marks(found) == [
        "[warm 0", "embed",
        "[layer 0", "attention", "ffn", "layer 0]",
        "[layer 1", "attention", "ffn", "layer 1]",
        "sampling", "warm 0]",
        "[refine 0", "[layer 0", "attention", "layer 0]", "sampling", "refine 0]",
        "[refine 1", "[layer 0", "attention", "layer 0]", "sampling", "refine 1]",
    ]  # fmt: skip
    times = [event["ts"] for event in found if event.get("name") == "layer 1"]
    assert times == [Decimal("0.000030"), Decimal("0.000050")]


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, len(PHASES) - 1)), max_size=40))
def test_any_order_of_phases_nests(order: list[tuple[int, int]]) -> None:
    timeline, stream = start()
    for at, (core, phase) in enumerate(order):
        timeline.phase(core, phase, at, at + 1)
    found = events(timeline, stream)
    check_nesting(found)
    assert sum(event["ph"] == "X" for event in found) == len(order)


def test_levels_are_samples_and_totals_are_rates() -> None:
    timeline, stream = start(window_ps=1_000_000)
    timeline.counter("core0.vector", "queue", 5, 3)
    timeline.counter("hbm", "read_bytes", 999_999, 600)
    timeline.counter("hbm", "read_bytes", 2_000_000, 700)
    timeline.counter("hbm", "read_bytes", 500_000, 800)
    found = [event for event in events(timeline, stream) if event["ph"] == "C"]
    assert [(event["name"], event["ts"], event["args"]["value"]) for event in found] == [
        ("vector queue", Decimal("0.000005"), 3),
        ("read MB/s", 0, 700),
        ("read MB/s", 1, 0),
        ("read MB/s", 2, 100),
        ("read MB/s", 3, 0),
    ]


def test_the_limit_counts_what_it_leaves_out() -> None:
    timeline, stream = start(max_events=3)
    timeline.phase(0, 1, 0, 10)
    for at in range(5):
        timeline.slice("core0.vector", "x", at, at + 1, -1)
    timeline.phase(0, 2, 10, 20)
    found = events(timeline, stream)
    check_nesting(found)
    assert sum(event["ph"] == "X" for event in found) == 3
    assert found[-1]["args"] == {"text": "4 events left out after the first 3"}
    assert json.loads(stream.getvalue())["otherData"] == {"written": 3, "left_out": 4}


def interrupted(path: Path) -> None:
    with open_timeline(path, PHASES) as timeline:
        timeline.phase(0, 1, 0, 10)
        raise KeyboardInterrupt


def test_interruption_leaves_a_whole_file(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        interrupted(tmp_path / "t.json")
    found = json.loads((tmp_path / "t.json").read_text(), parse_float=Decimal)["traceEvents"]
    check_nesting(found)
    assert marks(found) == ["[warm 0", "[layer 0", "attention", "layer 0]", "warm 0]"]


@pytest.mark.parametrize("count", [0, 1, 509, 510, 511, 512, 513, 1023, 2000])
def test_every_length_is_valid_json(count: int) -> None:
    timeline, stream = start()
    for at in range(count):
        timeline.slice("u", 'quote " and \\', at, at + 1, -1)
    assert sum(event["ph"] == "X" for event in events(timeline, stream)) == count


def test_after_close_nothing_is_written() -> None:
    timeline, stream = start()
    timeline.close()
    text = stream.getvalue()
    timeline.slice("u", "x", 0, 1, -1)
    timeline.close()
    assert stream.getvalue() == text


def test_a_skipped_stretch_is_one_slice_with_its_count() -> None:
    timeline, stream = start()
    timeline.slice("core0.vector", "V_EXP_V", 0, 2_000, 0)
    timeline.replayed(5_000, 90_000, 30)
    timeline.slice("core0.vector", "V_EXP_V", 95_000, 97_000, 0)
    found = events(timeline, stream)
    (skipped,) = [event for event in found if event["ph"] == "X" and "repetitions" in event["name"]]
    assert skipped["name"].startswith("30 ")
    assert (skipped["ts"], skipped["dur"]) == (Decimal("0.005"), Decimal("0.09"))
    assert threads(found)[skipped["tid"]] == "replay"
