"""The SystemC face over SimPy: one simulated time in picoseconds, components, waits that can be named.

Equal-time order, the written rule: what is scheduled for the same picosecond happens in the order in
which it was scheduled (SimPy's queue is stable); an event that is triggered now runs after everything
that was already due now. There are no delta cycles.

Time that replay skips is an offset that `elapsed_ps` adds; nothing in SimPy's queue moves.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Generator
from typing import Any, TypeAlias

import attrs
import simpy

from archsim.errors import DeadlockError, WiringError
from archsim.kernel.observer import Observer

Event: TypeAlias = simpy.Event
Process: TypeAlias = Generator[simpy.Event, Any, None]
"""What a component's behaviour is: a generator that yields events."""
RARELY = (50_000, 20, 100)
"""Thresholds of the garbage collector during a run, which makes records and hardly any cycles: about 8 % faster."""


def _with_room(run: Callable[[], object]) -> None:
    run()


# CPython keeps the frames of calls in chunks of 16 KiB, and a loop whose calls cross from one into the next makes and
# frees a chunk at each of them: up to four times slower, by the depth that it is called from (python/cpython, "Calls
# across stack chunks perform badly"). A frame too large for the chunk in use opens one with room for all that it calls.
_with_room.__code__ = _with_room.__code__.replace(co_stacksize=4096)


@attrs.define(eq=False)
class Component:
    """Anything with a place in the machine: a dotted path, ports and counters, maybe processes.

    Life cycle: constructed by the machine, `elaborate` once everything is wired (an unbound port is
    a WiringError there), then every generator of `processes` runs.
    """

    path: str
    sim: Simulation

    def elaborate(self) -> None:
        """Check that every port is bound; raises WiringError."""

    def processes(self) -> tuple[Process, ...]:
        """The component's independent behaviours."""
        return ()

    def waiting(self) -> tuple[str, int] | None:
        """What the component waits for and since when (ps), or None where it is content."""
        return None

    def unbound(self, port: str, kind: str) -> WiringError:
        """The error for a port that nothing was connected to."""
        return WiringError(f"{self.path}.{port}: not connected; expected a {kind}")


@attrs.define(eq=False)
class Simulation:
    """Owner of simulated time and of the components."""

    observers: tuple[Observer, ...] = ()
    components: list[Component] = attrs.field(factory=list, init=False)
    skipped_ps: int = attrs.field(default=0, init=False)
    _owners: dict[simpy.Process, int] = attrs.field(factory=dict, init=False)
    """Component number of each process."""
    _env: simpy.Environment = attrs.field(factory=simpy.Environment, init=False)

    @property
    def now(self) -> int:
        """Kernel time in ps; times kept in component state are of this kind."""
        return self._env.now  # type: ignore[return-value]

    @property
    def elapsed_ps(self) -> int:
        """Simulated time including what replay skipped."""
        return self.now + self.skipped_ps

    @property
    def environment(self) -> simpy.Environment:
        """The SimPy environment, for components that keep it at hand in their inner loop."""
        return self._env

    def timeout(self, delay_ps: int) -> Event:
        """An event `delay_ps` from now."""
        return self._env.timeout(delay_ps)

    def event(self) -> Event:
        """An event that somebody will trigger."""
        return simpy.Event(self._env)

    def pending(self) -> tuple[tuple[int, int, int], ...]:
        """What the kernel will do next: (time from now, priority, component number or -1), in its order."""
        now = self.now
        return tuple((at - now, priority, self._owner(event)) for at, priority, _, event in sorted(self._env._queue))  # type: ignore[misc]

    def _owner(self, event: Event) -> int:
        for callback in event.callbacks or ():
            process = getattr(callback, "__self__", None)
            if process in self._owners:
                return self._owners[process]
        return -1

    def call_at(self, at_ps: int, action: Callable[[], None]) -> None:
        """Call `action` at a time that is not in the past."""
        event = self._env.timeout(at_ps - self.now)
        assert event.callbacks is not None
        event.callbacks.append(lambda _: action())

    def add(self, component: Component) -> None:
        """Register a component; it takes part in elaboration and in the deadlock report."""
        self.components.append(component)

    def elaborate(self) -> None:
        """Elaborate every component and start its processes; raises WiringError."""
        for component in self.components:
            component.elaborate()
        for number, component in enumerate(self.components):
            for process in component.processes():
                self._owners[self._env.process(process)] = number

    def run(self) -> None:
        """Run until nothing can happen any more; raises DeadlockError where somebody still waits."""
        usual = gc.get_threshold()
        gc.set_threshold(*RARELY)
        try:
            _with_room(self._env.run)
        finally:
            gc.set_threshold(*usual)
        waiting = [(c.path, *wait) for c in self.components if (wait := c.waiting()) is not None]
        if waiting:
            raise DeadlockError(waiting)
