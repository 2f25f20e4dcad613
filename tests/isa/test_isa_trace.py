"""Trace files: round trips, equal bytes, and every way a file can be wrong."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archsim.errors import ArchsimError, AssemblyError, EncodingError, TraceError
from archsim.isa.assembler import assemble
from archsim.isa.opcodes import OPCODES
from archsim.isa.program import Header, Instruction, PhaseInfo, Program
from archsim.isa.trace import dump_program, parse_program, read_program, write_program
from tests.isa.isa_strategies import programs

TEXT = "S_ADDI_INT gp1, gp0, 5\nC_PHASE 1\nC_LOOP_START gp2, 3\nV_EXP_V gp1, gp1\nC_LOOP_END gp2\nC_BREAK\n"
HEADER = Header(
    name="demo",
    model={"name": "tiny", "hidden": 64},
    requires={"core.vlen": 64},
    seed=3,
    formats={"weights": "mxint4"},
    cores=2,
    phases=(PhaseInfo("a", "warm", "ffn"), PhaseInfo("b", "refine", "attention")),
    forwards=({"kind": "warm", "q_rows": 8},),
    int_mem=((1, 2), (3,)),
    ideal={"total": {"macs": 7}},
)
PROGRAM = Program(instructions=tuple(assemble(TEXT)), header=HEADER)


def sealed(header: str, assembly: str, count: int | None = None) -> bytes:
    """A text trace with a right checksum, whatever its header and lines."""
    body = f".header {header}\n{assembly}"
    number = assembly.count("\n") if count is None else count
    return f".archsim-trace 1\n{body}.end {number} {hashlib.sha256(body.encode()).hexdigest()[:16]}\n".encode()


def refusal(data: bytes) -> str:
    with pytest.raises(TraceError) as caught:
        parse_program(data, "x.trace")
    text = str(caught.value)
    assert text.startswith("x.trace: ")
    assert "expected" in text
    return text


@settings(deadline=None, max_examples=60)
@given(programs(), st.booleans())
def test_any_program_reads_back(program: Program, binary: bool) -> None:
    data = dump_program(program, binary)
    assert parse_program(data, "x") == program
    assert dump_program(parse_program(data, "x"), binary) == data


def test_text_form() -> None:
    first, header, *assembly, end, rest = dump_program(PROGRAM).decode().split("\n")
    assert first == ".archsim-trace 1"
    assert json.loads(header.removeprefix(".header "))["requires"] == {"core.vlen": 64}
    assert assembly == TEXT.splitlines()
    body = "\n".join([header, *assembly]) + "\n"
    assert (end, rest) == (f".end 6 {hashlib.sha256(body.encode()).hexdigest()[:16]}", "")


@pytest.mark.parametrize("name", ["p.trace", "p.trace.gz", "p.bin", "p.bin.gz"])
def test_files_of_every_kind(tmp_path: Path, name: str) -> None:
    write_program(PROGRAM, tmp_path / name, binary=".bin" in name)
    write_program(PROGRAM, tmp_path / f"again-{name}", binary=".bin" in name)
    read = read_program(tmp_path / name)
    assert read == PROGRAM
    assert read.where == str(tmp_path / name)
    data = (tmp_path / name).read_bytes()
    assert data.startswith(b"\x1f\x8b") == name.endswith(".gz")
    assert data == (tmp_path / f"again-{name}").read_bytes()


def test_bytes_depend_on_the_program_alone(tmp_path: Path) -> None:
    turned = attrs.evolve(HEADER, model=dict(reversed(HEADER.model.items())))
    assert dump_program(attrs.evolve(PROGRAM, header=turned)) == dump_program(PROGRAM)
    write_program(PROGRAM, tmp_path / "p.gz")
    assert (tmp_path / "p.gz").read_bytes()[3:8] == bytes(5)  # no file name, no time of writing


def test_content_not_name_decides(tmp_path: Path) -> None:
    zipped_text = gzip.compress(dump_program(PROGRAM))
    for name, data in (("a.trace", dump_program(PROGRAM, binary=True)), ("b.bin", zipped_text)):
        (tmp_path / name).write_bytes(data)
        assert read_program(str(tmp_path / name)) == PROGRAM


def test_plain_assembly_has_the_default_header() -> None:
    for data in (TEXT.encode(), gzip.compress(TEXT.encode())):
        assert parse_program(data, "x.asm") == Program(instructions=PROGRAM.instructions)


def test_instructions_know_their_line_in_the_file() -> None:
    for binary, first in ((False, 3), (True, 1)):
        read = parse_program(dump_program(PROGRAM, binary), "x")
        assert [one.line for one in read.instructions] == list(range(first, first + 6))


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"none\.trace: No such file or directory; expected a trace"):
        read_program(tmp_path / "none.trace")


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("zipped", [False, True])
def test_no_flipped_byte_goes_unnoticed(binary: bool, zipped: bool) -> None:
    data = dump_program(PROGRAM, binary)
    data = gzip.compress(data, mtime=0) if zipped else data
    for at in range(len(data)):
        for flip in (0x01, 0x80):
            broken = data[:at] + bytes([data[at] ^ flip]) + data[at + 1 :]
            try:
                read = parse_program(broken, "x")
            except ArchsimError:
                continue
            # Some bits of a gzip file carry nothing: when and where it was made, padding.
            assert zipped, at
            assert read == PROGRAM, at


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("zipped", [False, True])
def test_no_truncation_goes_unnoticed(binary: bool, zipped: bool) -> None:
    data = dump_program(PROGRAM, binary)
    data = gzip.compress(data, mtime=0) if zipped else data
    for length in range(len(data) - 1):
        with pytest.raises(ArchsimError):
            parse_program(data[:length], "x")


def test_text_truncated() -> None:
    data = dump_program(PROGRAM)
    cut = data[: data.rfind(b".end")]
    assert refusal(cut) == "x.trace: truncated; expected '.end <instructions> <checksum>' as its last line"
    assert "truncated" in refusal(data + b"C_BREAK\n")
    assert "truncated" in refusal(b".archsim-trace 1\n")


def test_text_of_another_version() -> None:
    data = dump_program(PROGRAM).replace(b".archsim-trace 1\n", b".archsim-trace 2\n")
    assert refusal(data) == "x.trace: first line '.archsim-trace 2'; expected '.archsim-trace 1'"


def test_changed_line() -> None:
    assert "changed since it was written" in refusal(dump_program(PROGRAM).replace(b"gp0, 5", b"gp0, 6"))
    assert "changed since it was written" in refusal(dump_program(PROGRAM).replace(b'"seed":3', b'"seed":4'))


def test_wrong_count() -> None:
    found = refusal(sealed('{"format_version":1}', TEXT, count=7))
    assert found == "x.trace: 6 instructions; expected 7, as the .end line says"


def test_missing_header() -> None:
    body = "C_BREAK\n"
    data = f".archsim-trace 1\n{body}.end 1 {hashlib.sha256(body.encode()).hexdigest()[:16]}\n".encode()
    assert refusal(data) == "x.trace: second line 'C_BREAK'; expected '.header <JSON>'"


def test_bad_line_in_a_sound_trace() -> None:
    with pytest.raises(AssemblyError, match="x:4:1: unknown mnemonic 'FOO'"):
        parse_program(sealed('{"format_version":1}', "C_BREAK\nFOO\n"), "x")


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("{", "header: Expecting property name"),
        ("[]", "header: []; expected one JSON object"),
        ('{"format_version":NaN}', "header: NaN is no JSON number"),
        ("{}", "header.format_version: null; expected 1"),
        ('{"format_version":2}', "header.format_version: 2; expected 1"),
        ('{"format_version":1,"sed":1}', "header.sed: unknown; expected a header field (did you mean 'seed'?)"),
        ('{"format_version":1,"seed":"1"}', 'header.seed: "1"; expected an integer or null'),
        ('{"format_version":1,"cores":0}', "header.cores: 0; expected a whole number above 0"),
        ('{"format_version":1,"block":true}', "header.block: true; expected a whole number above 0"),
        ('{"format_version":1,"model":[]}', "header.model: []; expected an object"),
        ('{"format_version":1,"notes":[1]}', "header.notes: [1]; expected a list of texts"),
        ('{"format_version":1,"int_mem":[[1.5]]}', "header.int_mem: [[1.5]]; expected a list of lists of integers"),
        ('{"format_version":1,"int_mem":[[1],[2]]}', "header.int_mem: 2 images; expected none, one, or 1 (cores)"),
        ('{"format_version":1,"forwards":[1]}', "header.forwards: [1]; expected a list of objects"),
        ('{"format_version":1,"ideal":{"a":1}}', 'header.ideal: {"a": 1}; expected an object of objects of integers'),
        ('{"format_version":1,"phases":[{"name":"a"}]}', "expected a list of objects with the texts name, step and"),
        ('{"format_version":1,"formats":{"kv":"int4"}}', "expected formats (bf16, mxfp8, mxint8, mxint4, fp32, "),
    ],
)
def test_bad_headers(header: str, message: str) -> None:
    assert message in refusal(sealed(header, "C_BREAK\n"))


def test_phase_outside_the_table() -> None:
    program = attrs.evolve(PROGRAM, header=attrs.evolve(HEADER, phases=HEADER.phases[:1]))
    assert refusal(dump_program(program)) == ("x.trace: line 4: C_PHASE 1; expected 0..0, the phases of the header")
    assert "C_PHASE 1" in refusal(dump_program(program, binary=True))


def test_binary_refusals() -> None:
    data = dump_program(PROGRAM, binary=True)
    assert refusal(data[:10]) == "x.trace: truncated at 10 bytes; expected at least 12"
    assert "checksum" in refusal(data + b"\0")
    unbalanced = Program(instructions=PROGRAM.instructions[:3])
    with pytest.raises(AssemblyError, match="x:3:1: C_LOOP_START gp2 has no end"):
        parse_program(dump_program(unbalanced, binary=True), "x")


def test_neither_trace_nor_text() -> None:
    assert refusal(b"C_BREAK\n\xff") == "x.trace: byte 0xff at offset 8; expected a trace, or assembly in UTF-8"
    assert "gzip" in refusal(b"\x1f\x8b junk")
    assert refusal(b"; nothing\n") == "x.trace: no instruction; expected a trace or assembly file"


def test_what_cannot_be_written() -> None:
    with pytest.raises(TraceError, match=r"header of bad: .*; expected plain JSON values"):
        dump_program(Program(instructions=(), header=Header(name="bad", model={"x": object()})))
    with pytest.raises(TraceError, match="header of bad"):
        dump_program(Program(instructions=(), header=Header(name="bad", model={"x": float("nan")})))
    with pytest.raises(EncodingError, match=r"C_PHASE\.imm"):
        dump_program(Program(instructions=(Instruction(OPCODES["C_PHASE"], (1 << 20,)),)), binary=True)
