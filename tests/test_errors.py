"""Every error is one line: where, what was found, what was expected; and has an exit code."""

from __future__ import annotations

import pytest

from archsim import errors


@pytest.mark.parametrize(
    ("error", "text", "exit_code"),
    [
        (errors.ConfigError("memory.channels", 3, "a power of two"), "memory.channels: 3; expected a power of two", 2),
        (errors.AssemblyError("a.asm", 3, 7, "no such register"), "a.asm:3:7: no such register", 2),
        (errors.EncodingError("rs1", 17, 4), "field rs1: 17 does not fit in 4 bits", 2),
        (errors.TraceError("made for dart-1024"), "made for dart-1024", 2),
        (errors.WorkloadError("gen 10: not a multiple of 4"), "gen 10: not a multiple of 4", 2),
        (errors.WiringError("core0.dma: no route"), "core0.dma: no route", 2),
        (errors.MemoryFault("address 9"), "address 9", 1),
        (errors.ProgramFault("opaque"), "opaque", 1),
        (
            errors.DeadlockError([("core0.dma", "hbm", 40), ("core1", "barrier 2", 7)]),
            "deadlock: core0.dma waits for hbm since 40 ps; core1 waits for barrier 2 since 7 ps",
            1,
        ),
        (errors.DeadlockError([]), "deadlock: nothing is waiting, yet the program has not ended", 1),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_message_and_exit_code(error, text, exit_code):
    assert isinstance(error, errors.ArchsimError)
    assert str(error) == text
    assert error.exit_code == exit_code


def test_config_error_keeps_its_parts():
    error = errors.ConfigError("noc.rows", 0, "a whole number above 0")
    assert (error.path, error.found, error.expected) == ("noc.rows", 0, "a whole number above 0")


def test_deadlock_keeps_who_waits():
    assert errors.DeadlockError([("a", "b", 1)]).waiting == [("a", "b", 1)]
