"""A run as Chrome trace events, for ui.perfetto.dev or chrome://tracing; written while it runs.

One process per core, one for the memory, one for the network; one track per unit. Slices that
overlap on a unit (transfers in flight) go to numbered lanes. Each core has a track of phases, on
which forwards, layers and operators nest. Times are microseconds, printed exactly from picoseconds.
Format: "Trace Event Format", the public document of the Chromium project.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Protocol, TextIO

import attrs

from archsim.kernel.observer import Observer
from archsim.report.nesting import PhaseTree

MAX_EVENTS = 2_000_000
"""Slices and counter samples written before the rest is only counted."""

WINDOW_PS = 10_000_000
"""Width of the windows over which running totals become rates: 10 us."""

RATES = ("read_bytes", "write_bytes")
"""Counters by these names are running totals; they are drawn as MB/s over windows."""

PHASES = "phases"
REPLAY = "replay"
"""Track (and process) of stretches that replay skipped."""

_CORE = re.compile(r"core(\d*)")
_OTHER_PROCESSES = 1000
_FLUSH = 512


class PhaseName(Protocol):
    """What the timeline needs to know of a phase of the program's table."""

    @property
    def name(self) -> str:
        """Path within a forward, parts divided by "/" or ".": "layer/attention"."""

    @property
    def step(self) -> str:
        """Kind of forward: "warm", "refine", ..."""


@attrs.define(eq=False)
class _Track:
    """Where a unit's slices go: its process, and for each lane the thread and when it is free."""

    pid: int
    title: str
    tids: list[int] = attrs.field(factory=list)
    free_ps: list[int] = attrs.field(factory=list)


@attrs.define(eq=False)
class _Rate:
    """A running total turned into bytes per window."""

    last: int = 0
    windows: dict[int, int] = attrs.field(factory=dict)


def microseconds(ps: int) -> str:
    """Exact decimal text of a time in ps: 1500 -> "0.001500"."""
    return f"{ps // 1_000_000}.{ps % 1_000_000:06d}"


class Timeline(Observer):
    """Writes the events of a run to `stream`; `close` (or leaving `with`) completes the file.

    `phases` is the program's phase table, `max_events` the number of slices and samples written,
    `window_ps` the window of rates. The stream is not closed; whoever opened it does that.
    """

    def __init__(
        self,
        stream: TextIO,
        phases: Sequence[PhaseName] = (),
        *,
        max_events: int = MAX_EVENTS,
        window_ps: int = WINDOW_PS,
    ) -> None:
        self.written = 0
        self.dropped = 0
        self._stream = stream
        self._max_events = max_events
        self._window_ps = window_ps
        self._phase_names = [json.dumps(phase.name) for phase in phases]
        self._paths = [_path(phase) for phase in phases]
        self._tracks: dict[str, _Track] = {}
        self._pids: dict[str, int] = {}
        self._trees: dict[int, tuple[int, int, PhaseTree]] = {}
        self._rates: dict[tuple[str, str], _Rate] = {}
        self._texts: dict[str, str] = {}
        self._buffer: list[str] = []
        self._closed = False
        stream.write('{"displayTimeUnit": "ns", "traceEvents": [\n')
        self._buffer.append('{"ph":"M","pid":0,"name":"archsim","args":{"format":1}}')

    def __enter__(self) -> Timeline:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def slice(self, track: str, name: str, start_ps: int, end_ps: int, phase: int) -> None:
        """Write a slice, on the first lane of the unit's track that is free at its start."""
        if not self._room():
            return
        place = self._tracks.get(track) or self._new_track(track)
        tid = self._lane(place, start_ps, end_ps)
        args = f',"args":{{"phase":{self._phase_names[phase]}}}' if 0 <= phase < len(self._phase_names) else ""
        self._emit(
            f'{{"ph":"X","pid":{place.pid},"tid":{tid},"ts":{microseconds(start_ps)},'
            f'"dur":{microseconds(end_ps - start_ps)},"name":{self._text(name)}{args}}}'
        )

    def counter(self, track: str, name: str, at_ps: int, value: int) -> None:
        """Write a level; a running total (see RATES) is kept and written as a rate at the end."""
        if name in RATES:
            rate = self._rates.setdefault((track, name), _Rate())
            window = at_ps // self._window_ps
            rate.windows[window] = rate.windows.get(window, 0) + value - rate.last
            rate.last = value
        elif self._room():
            self._sample(track, name, at_ps, value)

    def phase(self, core: int, phase: int, start_ps: int, end_ps: int) -> None:
        """Write the phase on its core's phase track, inside its forward and layer."""
        if not 0 <= phase < len(self._paths) or not self._room():
            return
        pid, tid, tree = self._trees.get(core) or self._new_tree(core)
        where = f'"pid":{pid},"tid":{tid}'
        for kind, title, at_ps in tree.advance(phase, start_ps, end_ps):
            self._mark(kind, where, title, at_ps)
        self._emit(
            f'{{"ph":"X",{where},"ts":{microseconds(start_ps)},"dur":{microseconds(end_ps - start_ps)},'
            f'"name":{self._text(self._paths[phase][-1])}}}'
        )

    def replayed(self, start_ps: int, duration_ps: int, times: int) -> None:
        """Write the stretch that was skipped, with its iterations, on a track of its own."""
        self.slice(REPLAY, f"{times} repetitions, not simulated", start_ps, start_ps + duration_ps, -1)

    def close(self) -> None:
        """Close what is open, write rates and notes, and end the file. A second call does nothing."""
        if self._closed:
            return
        self._closed = True
        for pid, tid, tree in self._trees.values():
            for kind, title, at_ps in tree.finish():
                self._mark(kind, f'"pid":{pid},"tid":{tid}', title, at_ps)
        self._write_rates()
        if self.dropped:
            note = json.dumps(f"{self.dropped} events left out after the first {self._max_events}")
            self._emit(f'{{"ph":"M","pid":0,"name":"note","args":{{"text":{note}}}}}')
        self._flush()
        self._stream.write(f'\n], "otherData": {{"written": {self.written}, "left_out": {self.dropped}}}}}\n')
        self._stream.flush()

    def _room(self) -> bool:
        if self._closed or self.written >= self._max_events:
            self.dropped += 1
            return False
        self.written += 1
        return True

    def _lane(self, place: _Track, start_ps: int, end_ps: int) -> int:
        for lane, free_ps in enumerate(place.free_ps):
            if free_ps <= start_ps:
                place.free_ps[lane] = end_ps
                return place.tids[lane]
        lane = len(place.tids)
        tid = self._new_thread(place.pid, place.title if lane == 0 else f"{place.title} lane {lane}")
        place.tids.append(tid)
        place.free_ps.append(end_ps)
        return tid

    def _new_track(self, track: str) -> _Track:
        process, _, unit = track.partition(".")
        place = self._tracks[track] = _Track(self._process(process), unit or process)
        return place

    def _new_tree(self, core: int) -> tuple[int, int, PhaseTree]:
        pid = self._process(f"core{core}")
        entry = self._trees[core] = (pid, self._new_thread(pid, PHASES), PhaseTree(self._paths))
        return entry

    def _process(self, name: str) -> int:
        pid = self._pids.get(name)
        if pid is None:
            core = _CORE.fullmatch(name)
            pid = int(core[1] or 0) + 1 if core else _OTHER_PROCESSES + len(self._pids)
            self._pids[name] = pid
            self._emit(f'{{"ph":"M","pid":{pid},"name":"process_name","args":{{"name":{self._text(name)}}}}}')
            self._emit(f'{{"ph":"M","pid":{pid},"name":"process_sort_index","args":{{"sort_index":{pid}}}}}')
        return pid

    def _new_thread(self, pid: int, title: str) -> int:
        lanes = sum(len(track.tids) for track in self._tracks.values()) + len(self._trees)
        tid = 1 + lanes
        self._emit(f'{{"ph":"M","pid":{pid},"tid":{tid},"name":"thread_name","args":{{"name":{self._text(title)}}}}}')
        return tid

    def _mark(self, kind: str, where: str, title: str, at_ps: int) -> None:
        self._emit(f'{{"ph":"{kind}",{where},"ts":{microseconds(at_ps)},"name":{self._text(title)}}}')

    def _write_rates(self) -> None:
        width = self._window_ps
        for (track, name), rate in self._rates.items():
            title = name.replace("_bytes", " MB/s")
            for window, moved in sorted(rate.windows.items()):
                self._sample(track, title, window * width, moved * 1_000_000 // width)
                if window + 1 not in rate.windows:
                    self._sample(track, title, (window + 1) * width, 0)

    def _sample(self, track: str, name: str, at_ps: int, value: int) -> None:
        process, _, unit = track.partition(".")
        title = self._text(f"{unit} {name}" if unit else name)
        self._emit(
            f'{{"ph":"C","pid":{self._process(process)},"ts":{microseconds(at_ps)},'
            f'"name":{title},"args":{{"value":{value}}}}}'
        )

    def _text(self, text: str) -> str:
        found = self._texts.get(text)
        if found is None:
            found = self._texts[text] = json.dumps(text)
        return found

    def _emit(self, event: str) -> None:
        self._buffer.append(event)
        if len(self._buffer) >= _FLUSH:
            self._flush()
            self._buffer.append("")

    def _flush(self) -> None:
        self._stream.write(",\n".join(self._buffer))
        self._buffer.clear()


@contextmanager
def open_timeline(path: Path, phases: Sequence[PhaseName] = ()) -> Iterator[Timeline]:
    """A timeline that writes the file `path`, whole also when the run fails; raises OSError."""
    with path.open("w", encoding="utf-8") as stream, Timeline(stream, phases) as timeline:
        yield timeline


def _path(phase: PhaseName) -> tuple[str, ...]:
    parts = [part for part in re.split(r"[/.]", phase.name) if part] or ["phase"]
    return tuple(parts) if phase.step in ("", parts[0]) else (phase.step, *parts)
