"""Windows of forwards, schedule JSON, the registry."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from archsim.errors import WorkloadError
from workloads.forwards import Window, parse_window, run_lengths, schedule_json
from workloads.schedules import SCHEDULES, LladaSchedule, build_schedule

TOY = LladaSchedule(prompt=8, gen=16, block=8, steps=8, cache="dual")


@pytest.mark.parametrize(
    ("text", "window"),
    [("0:2", Window(0, 2)), ("3:", Window(3)), (":4", Window(0, 4)), (":", Window()), (" 5 ", Window(5, 6)),
     ("0", Window(0, 1))],
)
def test_window_spellings(text: str, window: Window) -> None:
    assert parse_window(text) == window


@pytest.mark.parametrize("text", ["", "2:2", "3:1", ":0", "-1:2", "a:b", "1:2:3", "1.5", "²:"])
def test_bad_windows_are_refused(text: str) -> None:
    with pytest.raises(WorkloadError, match="no window; expected START:STOP"):
        parse_window(text)


def test_window_keeps_the_forwards_own_index() -> None:
    assert [forward.index for forward in Window(3, 5).select(TOY.forwards())] == [3, 4]


@pytest.mark.parametrize("window", [Window(7, 9), Window(8), Window(8, 9)])
def test_window_beyond_the_schedule_is_refused(window: Window) -> None:
    with pytest.raises(WorkloadError, match=f"forwards {window}: the schedule ends before"):
        list(window.select(TOY.forwards()))


def test_window_up_to_the_last_forward() -> None:
    assert len(list(Window(7, 8).select(TOY.forwards()))) == 1


def test_forwards_are_made_one_at_a_time() -> None:
    endless = LladaSchedule(prompt=0, gen=10**9, block=10)  # a list of these would never end
    assert [forward.index for forward in itertools.islice(endless.forwards(), 1)] == [0]


def test_json_rows() -> None:
    data = schedule_json(TOY, Window(0, 2))
    common = {"kv_rows": 24, "head_rows": 8, "sampled_rows": 8, "committed": 2, "sequences": 1}
    assert data["forwards"] == [{"kind": "warm", "q_rows": 24, **common}, {"kind": "refine", "q_rows": 8, **common}]
    assert data["schedule"]["name"] == "llada"
    assert data["schedule"]["as"] == "ideal"
    assert len(schedule_json(TOY)["forwards"]) == 8


def test_run_lengths() -> None:
    assert run_lengths([24, 8, 8, 8, 24]) == "24 8x3 24"
    assert run_lengths([]) == ""


def test_registry_names_are_the_classes_own() -> None:
    assert {name: kind.name for name, kind in SCHEDULES.items()} == {name: name for name in SCHEDULES}


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("lada", {}, "schedule lada: unknown; did you mean llada?"),
        ("zzz", {}, f"schedule zzz: unknown; expected one of {', '.join(SCHEDULES)}"),
        ("autoregressive", {"prompt": 1, "gen": 1, "cfg_scale": 1.0},
         "schedule autoregressive: takes no option 'cfg-scale'; expected one of prompt, gen, batch"),
        ("llada", {"prompt": 1}, "schedule llada: option 'gen' is missing; expected generated rows"),
    ],
)
def test_registry_refusals(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(WorkloadError) as caught:
        build_schedule(name, **options)
    assert str(caught.value) == message
