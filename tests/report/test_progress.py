from __future__ import annotations

import io

from archsim.report.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_one_line_redrawn_and_wiped() -> None:
    times = iter([0.0, 1.0, 1.1, 2.0])
    stream = Terminal()
    progress = Progress(stream, lambda: next(times))
    progress.progress(5_000_000, 1000)
    progress.progress(6_000_000, 1100)
    progress.progress(7_000_000, 4000)
    progress.close()
    first = "5 us simulated, 1,000 instructions, 1,000 instructions/s"
    second = "7 us simulated, 4,000 instructions, 2,000 instructions/s"
    assert stream.getvalue() == f"\r{first}\r{second}\r{' ' * len(second)}\r"


def test_a_file_gets_nothing() -> None:
    stream = io.StringIO()
    progress = Progress(stream, lambda: 0.0)
    progress.progress(5, 5)
    progress.close()
    assert stream.getvalue() == ""
