"""One line on the terminal that says how far a run has come."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

from archsim.kernel.observer import Observer
from archsim.units import human_time

REDRAW_SECONDS = 0.2
"""Host time between two drawings, so that the terminal never slows the run."""


class Progress(Observer):
    """Draws simulated time and instruction count over one line of `stream`, a terminal.

    Says nothing where `stream` is no terminal. Call `close` to wipe the line. Host time decides
    only when to draw and the rate shown; it reaches no result.
    """

    def __init__(self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._clock = clock
        self._shown = self._stream.isatty()
        self._started = self._next = clock()
        self._width = 0

    def progress(self, at_ps: int, instructions: int) -> None:
        """Draw the line anew if the last drawing is old enough."""
        if not self._shown or (now := self._clock()) < self._next:
            return
        self._next = now + REDRAW_SECONDS
        rate = int(instructions / (now - self._started)) if now > self._started else 0
        self._draw(f"{human_time(at_ps)} simulated, {instructions:,} instructions, {rate:,} instructions/s")

    def close(self) -> None:
        """Wipe the line."""
        if self._width:
            self._draw("")
            self._stream.write("\r")
            self._stream.flush()

    def _draw(self, text: str) -> None:
        self._stream.write(f"\r{text:<{self._width}}")
        self._stream.flush()
        self._width = len(text)
