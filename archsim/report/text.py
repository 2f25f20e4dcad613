"""The report on the screen: what the run took, what bounds it, and where the time went."""

from __future__ import annotations

from archsim.report.account import (
    GROUPS,
    UnitKind,
    group_times,
    kind_of,
    largest,
    per_second,
    ratio_tenths,
    refresh_extra_ps,
    tenths,
    tokens_per_second,
    unit_kinds,
)
from archsim.results import STALL_CAUSES, Bounds, RunResult, StepRecord
from archsim.units import human_bytes, human_time

WIDTH = 100
"""No line is longer, in columns."""

_MAX_KINDS = 9
_MAX_NOTES = 2
_MAX_LINKS = 3
_SHORT = {"queue_full": "queue", "sram_port": "sram"}


def render(result: RunResult) -> str:
    """The whole report as text of about 25 lines, each with its unit, ending in a newline."""
    blocks = [_head(result), _steps(result), _units(result), _traffic(result) + _groups(result), _notes(result)]
    lines = "\n\n".join("\n".join(block) for block in blocks if block).split("\n")
    return "".join(f"{_clip(line)}\n" for line in lines)


def _clip(line: str) -> str:
    line = line.rstrip()
    return line if len(line) <= WIDTH else line[: WIDTH - 3] + "..."


def percent(share: int) -> str:
    """Tenths of a percent as text: 125 -> "12.5 %"."""
    return f"{share // 10}.{share % 10} %"


def _name(record: dict[str, object], default: str) -> str:
    return str(record.get("name") or default)


def _head(result: RunResult) -> list[str]:
    lines = []
    if not result.complete:
        lines.append(f"PARTIAL (interrupted at {human_time(result.time_ps)} of simulated time)")
    # A generated program's name tells model, schedule and machine; say only what it leaves out.
    title, schedule, machine = (
        _name(result.program, "program"),
        _name(result.schedule, ""),
        _name(result.machine, "machine"),
    )
    title += f", schedule {schedule}" if schedule and schedule not in title else ""
    title += f", on {machine}" if machine not in title else ""
    lines.append(f"{title}, issue {result.issue}")
    lines.append(
        f"time     {human_time(result.time_ps)} ({result.cycles:,} cycles), "
        f"{result.instructions:,} instructions, {_count(result.forwards, 'forward')}"
    )
    if result.replayed_ps:
        share = percent(ratio_tenths(result.replayed_ps, result.time_ps))
        nearly = sum(loop.nearly for loop in result.loops)
        kind = "repetition" if nearly else "exact repetition"
        lines.append(f"replay   {share} of the time skipped as {kind}; refresh spread evenly")
        loops = [f"{loop.replayed:,} of {loop.iterations:,} at level {loop.level}" for loop in result.loops]
        lines.append(f"         loop iterations skipped: {', '.join(loops)}")
        if nearly:
            lines.append(f"         {nearly:,} of them: equal states, but times that differ by up to 0.067 %")
    lines.append(_tokens(result))
    return [*lines, *_bound(result)]


def _count(number: int, noun: str, plural: str = "s") -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else plural)


def _tokens(result: RunResult) -> str:
    if not result.committed_tokens:
        return "tokens   none committed"
    text = f"tokens   {result.committed_tokens:,} committed, {tokens_per_second(result):,.1f} tokens/s"
    if result.forwards:
        text += f", {result.forwards / result.committed_tokens:.4g} forwards per token"
    whole = result.schedule.get("forwards")
    if isinstance(whole, int) and whole > result.forwards:
        text += f" (a window of {whole:,} forwards)"
    return text


def _bound(result: RunResult) -> list[str]:
    parts = []
    for kind in ("program", "ideal"):
        candidates = [bound for bound in (_largest_by_step(result, kind), largest(result.bounds, kind)) if bound]
        found = max(candidates, key=lambda bound: bound[1], default=None)
        if found:
            share = percent(ratio_tenths(found[1], result.time_ps))
            parts.append(f"{kind} {found[0]} {human_time(found[1])} = {share}")
    return ["bound    " + "; ".join(parts) + " of measured"] if parts else []


def _largest_by_step(result: RunResult, kind: str) -> tuple[str, int] | None:
    """Each kind of forward is bound by something of its own: those together bound the run more closely."""
    bounds = [step.bounds[kind].largest for step in result.steps if kind in step.bounds]
    if len(bounds) < len(result.steps) or not any(value for _, value in bounds):
        return None
    names = dict.fromkeys(name for name, value in bounds if value)
    return "+".join(names), sum(value for _, value in bounds)


def _steps(result: RunResult) -> list[str]:
    if not result.steps:
        return []
    head = f"{'step':<9}{'forwards':>9}{'per forward':>15}{'tokens':>8}{'program bound':>27}{'ideal bound':>27}"
    return [head, *(_step(step) for step in result.steps)]


def _step(step: StepRecord) -> str:
    each = f"{_milliseconds(step.time_ps, step.forwards)} ms" if step.forwards else "-"
    bounds = "".join(f"{_step_bound(step, kind):>27}" for kind in ("program", "ideal"))
    return f"{step.step:<9}{step.forwards:>9,}{each:>15}{step.committed:>8,}{bounds}"


def _milliseconds(time_ps: int, count: int) -> str:
    microseconds = (time_ps + count * 500_000) // (count * 1_000_000)
    return f"{microseconds // 1000:,}.{microseconds % 1000:03d}"


def _step_bound(step: StepRecord, kind: str) -> str:
    bounds: Bounds | None = step.bounds.get(kind)
    if bounds is None or not step.forwards or not bounds.largest[1]:
        return "-"
    name, value = bounds.largest
    share = percent(ratio_tenths(value, step.time_ps))
    return f"{name} {_milliseconds(value, step.forwards)} ms {share:>7}"


def _units(result: RunResult) -> list[str]:
    kinds = unit_kinds(result)
    working = [kind for kind in kinds if kind.busy or any(kind.stalls.values())]
    resting = [kind.label for kind in kinds if kind not in working]
    shown = sorted(working, key=lambda kind: -(kind.busy // kind.count))[:_MAX_KINDS]
    causes = "".join(f"{_SHORT.get(cause, cause):>8}" for cause in STALL_CAUSES)
    lines = [f"{'% of time':<17}{'busy':>7}{causes}{'idle':>8}"] if shown else []
    lines += [_unit(kind) for kind in working if kind in shown]
    if len(working) > len(shown):
        lines.append(f"and {_count(len(working) - len(shown), 'less busy kind')} of unit, all in --json")
    lines += _busiest(result, shown)
    if resting:
        lines.append("idle all the time: " + ", ".join(resting))
    return lines


def _busiest(result: RunResult, kinds: list[UnitKind]) -> list[str]:
    """Where one of several units does most of the work, its own share."""
    lines = []
    for kind in kinds:
        mine = {path: unit.busy_cycles for path, unit in result.units.items() if kind_of(path) == kind.name}
        top = max(mine, key=lambda path: mine[path], default="")
        if kind.count > 1 and top and (mine[top] - kind.busy // kind.count) * 10 > result.cycles:
            lines.append(f"busiest of {kind.label}: {top}, {percent(ratio_tenths(mine[top], result.cycles))} busy")
    return lines


def _unit(kind: UnitKind) -> str:
    busy, *stalls, idle = (f"{share // 10}.{share % 10}" for share in tenths(kind.parts))
    return f"{kind.label:<17}{busy:>7}{''.join(f'{stall:>8}' for stall in stalls)}{idle:>8}"


def _traffic(result: RunResult) -> list[str]:
    read, write = result.hbm.get("read_bytes", 0), result.hbm.get("write_bytes", 0)
    rate, peak = per_second(read + write, result.time_ps), result.hbm_peak_bytes_per_s
    hbm = f"HBM      {human_bytes(read)} read, {human_bytes(write)} written, {human_bytes(rate)}/s"
    if peak:
        hbm += f" = {percent(ratio_tenths(rate, peak))} of peak {human_bytes(peak)}/s"
    lines = [hbm, _rows(result.hbm)]
    noc = f"NoC      {human_bytes(result.noc_bytes)} carried, {human_bytes(result.noc_hop_bytes)} x hops"
    links = sorted((link for link in result.links if link.busy_ps), key=lambda link: -link.busy_ps)[:_MAX_LINKS]
    if not links:
        return [*lines, noc]
    named = [
        f"{link.source} -> {link.target}, {percent(ratio_tenths(link.busy_ps, result.time_ps))} busy" for link in links
    ]
    lines.append(f"{noc}; hottest link {named[0]}")
    if len(links) > 1 and not (_is_port(links[0].source) or _is_port(links[0].target)):
        lines.append("         next " + "; ".join(named[1:]))
    return lines


def _is_port(name: str) -> bool:
    """Whether a link's end is a core or a memory channel, not a router: such a link is one of many alike."""
    return name.startswith("hbm.ch") or (name.startswith("core") and name.endswith(".port"))


def _rows(hbm: dict[str, int]) -> str:
    if "row_hits" not in hbm:
        return "         rows and refresh not modelled by this memory"
    hits, misses, conflicts = (hbm.get(f"row_{what}", 0) for what in ("hits", "misses", "conflicts"))
    opened = f"{misses + conflicts:,} of {_count(hits + misses + conflicts, 'page visit')} opened a row"
    return f"         {opened}, {_count(hbm.get('refreshes', 0), 'DRAM refresh', 'es')}"


def _groups(result: RunResult) -> list[str]:
    times = group_times(result.phases)
    if not any(times.values()):
        return []
    shares = dict(zip(GROUPS, tenths([times[group] for group in GROUPS]), strict=True))
    parts = [f"{group} {percent(shares[group])}" for group in GROUPS if times[group]]
    lines = ["work     exposed: " + ", ".join(parts) + " of time"]
    extra = refresh_extra_ps(result.steps)
    if extra is not None:
        share = percent(ratio_tenths(extra, result.time_ps))
        lines.append(f"refresh  of the KV cache {human_time(extra)} = {share}: warm steps beyond as many refine steps")
    return lines


def _notes(result: RunResult) -> list[str]:
    # What is not measured but assumed matters most to the reader.
    notes = sorted(result.notes, key=lambda note: "synthetic" not in note)
    lines = [f"note: {note}" for note in notes[:_MAX_NOTES]]
    if len(notes) > _MAX_NOTES:
        lines.append(f"and {_count(len(notes) - _MAX_NOTES, 'more note')}, all in --json")
    return lines
