"""archsim: a discrete-event architecture model of an NPU for diffusion language models.

The public face: `simulate(program, params)`, `load_machine`, `read_program`, `assemble`. Names are
loaded on first use, so that the command line answers at once.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from archsim.isa.assembler import assemble
    from archsim.isa.program import Program
    from archsim.isa.trace import read_program, write_program
    from archsim.machine import MachineParams, load_machine
    from archsim.results import RunResult
    from archsim.run import simulate

_HOMES = {
    "MachineParams": "archsim.machine",
    "Program": "archsim.isa.program",
    "RunResult": "archsim.results",
    "assemble": "archsim.isa.assembler",
    "dump_tensors": "archsim.tensors",
    "execute": "archsim.functional",
    "load_machine": "archsim.machine",
    "load_tensors": "archsim.tensors",
    "new_state": "archsim.functional",
    "read_program": "archsim.isa.trace",
    "simulate": "archsim.run",
    "write_program": "archsim.isa.trace",
}

__all__ = [
    "MachineParams",
    "Program",
    "RunResult",
    "assemble",
    "dump_tensors",
    "execute",
    "load_machine",
    "load_tensors",
    "new_state",
    "read_program",
    "simulate",
    "write_program",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'archsim' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
