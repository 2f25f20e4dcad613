"""Programs in files: text traces, binary traces, either of them gzipped, and plain assembly.

Text:    `.archsim-trace 1`, `.header <JSON>`, assembly lines, `.end <instructions> <checksum>`.
         The checksum is the first 16 hex digits of the SHA-256 of all lines between first and last.
Binary:  magic, header length (u32), header JSON, number of words (u32), words (u32 each), CRC-32 of
         everything before it. All little endian.

Which one a file is, its content decides. Equal programs give equal bytes.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import struct
import zlib
from pathlib import Path

from archsim.errors import TraceError
from archsim.isa.assembler import assemble
from archsim.isa.disassembler import disassemble
from archsim.isa.encoding import decode, encode
from archsim.isa.header_json import header_text, parse_header
from archsim.isa.loops import match_loops
from archsim.isa.program import FORMAT_VERSION, Header, Instruction, Program

BINARY_MAGIC = b"ARCHSIM1"
GZIP_MAGIC = b"\x1f\x8b"

_FIRST = ".archsim-trace"
_HEADER = ".header "
_END = re.compile(r"\.end (0|[1-9][0-9]{0,11}) ([0-9a-f]{16})\n?", re.ASCII)
_ASSEMBLY_LINE = 3
_U32 = struct.Struct("<I")


def read_program(path: str | Path) -> Program:
    """Read a trace or assembly file; its content decides what it is.

    Raises TraceError for a file that cannot be read, is truncated or corrupt or of another version,
    and AssemblyError for a line that is no instruction and for loops that do not nest.
    """
    where = str(path)
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise TraceError(f"{where}: {error.strerror}; expected a trace or assembly file") from None
    return parse_program(data, where)


def write_program(program: Program, path: str | Path, binary: bool = False) -> None:
    """Write a trace, text or binary; gzipped where the name ends in ".gz".

    Raises EncodingError or TraceError where the program cannot be written.
    """
    data = dump_program(program, binary)
    Path(path).write_bytes(_zipped(data) if str(path).endswith(".gz") else data)


def parse_program(data: bytes, where: str) -> Program:
    """Read a file's content; raises as `read_program`, naming `where`."""
    if data.startswith(GZIP_MAGIC):
        data = _unzipped(data, where)
    if data.startswith(BINARY_MAGIC):
        return _parse_binary(data, where)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        found = f"byte 0x{data[error.start]:02x} at offset {error.start}"
        raise TraceError(f"{where}: {found}; expected a trace, or assembly in UTF-8") from None
    if text.startswith(_FIRST):
        return _parse_text(text, where)
    instructions = assemble(text, where)
    if not instructions:
        raise TraceError(f"{where}: no instruction; expected a trace or assembly file")
    return Program(instructions=tuple(instructions), where=where)


def dump_program(program: Program, binary: bool = False) -> bytes:
    """The bytes of a trace file, not compressed."""
    return _dump_binary(program) if binary else _dump_text(program)


def _dump_text(program: Program) -> bytes:
    body = f"{_HEADER}{header_text(program.header)}\n{disassemble(program.instructions)}"
    end = f".end {len(program.instructions)} {_checksum(body)}\n"
    return f"{_FIRST} {FORMAT_VERSION}\n{body}{end}".encode()


def _checksum(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()[:16]


def _parse_text(text: str, where: str) -> Program:
    first, _, rest = text.partition("\n")
    if first != f"{_FIRST} {FORMAT_VERSION}":
        raise TraceError(f"{where}: first line {first[:40]!r}; expected '{_FIRST} {FORMAT_VERSION}'")
    body, count = _check_end(rest, where)
    line, _, assembly = body.partition("\n")
    if not line.startswith(_HEADER):
        raise TraceError(f"{where}: second line {line[:40]!r}; expected '{_HEADER}<JSON>'")
    header = parse_header(line.removeprefix(_HEADER), where)
    instructions = assemble(assembly, where, _ASSEMBLY_LINE)
    if len(instructions) != count:
        raise TraceError(f"{where}: {len(instructions)} instructions; expected {count}, as the .end line says")
    return _checked(instructions, header, where)


def _check_end(rest: str, where: str) -> tuple[str, int]:
    """Split what follows the first line into the checked body and the instruction count of `.end`."""
    start = rest.rfind("\n.end ") + 1
    match = _END.fullmatch(rest, start) if start else None
    if match is None:
        raise TraceError(f"{where}: truncated; expected '.end <instructions> <checksum>' as its last line")
    body = rest[:start]
    found = _checksum(body)
    if found != match.group(2):
        raise TraceError(f"{where}: checksum {found}; expected {match.group(2)}: changed since it was written")
    return body, int(match.group(1))


def _checked(instructions: list[Instruction], header: Header, where: str) -> Program:
    known = len(header.phases)
    for instruction in instructions:
        if instruction.opcode.mnemonic == "C_PHASE" and instruction.values[0] >= known > 0:
            found = f"line {instruction.line}: C_PHASE {instruction.values[0]}"
            raise TraceError(f"{where}: {found}; expected 0..{known - 1}, the phases of the header")
    return Program(instructions=tuple(instructions), header=header, where=where)


def _dump_binary(program: Program) -> bytes:
    header = header_text(program.header).encode()
    words = [encode(instruction) for instruction in program.instructions]
    data = BINARY_MAGIC + _U32.pack(len(header)) + header + _U32.pack(len(words))
    data += struct.pack(f"<{len(words)}I", *words)
    return data + _U32.pack(zlib.crc32(data))


def _parse_binary(data: bytes, where: str) -> Program:
    start = len(BINARY_MAGIC) + _U32.size
    header_end = start + _word(data, len(BINARY_MAGIC), where)
    first = header_end + _U32.size
    count = _word(data, header_end, where)
    end = first + count * _U32.size
    if _word(data, end, where) != zlib.crc32(data[:end]) or len(data) != end + _U32.size:
        raise TraceError(f"{where}: checksum of {len(data)} bytes is wrong; expected an unchanged binary trace")
    try:
        text = data[start:header_end].decode("ascii")
    except UnicodeDecodeError as error:
        raise TraceError(f"{where}: header: {error.reason}; expected ASCII JSON") from None
    header = parse_header(text, where)
    words = struct.unpack_from(f"<{count}I", data, first)
    instructions = [decode(word, index, where) for index, word in enumerate(words)]
    match_loops(instructions, where)
    return _checked(instructions, header, where)


def _word(data: bytes, at: int, where: str) -> int:
    if at + _U32.size > len(data):
        raise TraceError(f"{where}: truncated at {len(data)} bytes; expected at least {at + _U32.size}")
    return int(_U32.unpack_from(data, at)[0])


def _zipped(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=buffer, mtime=0) as file:
        file.write(data)
    return buffer.getvalue()


def _unzipped(data: bytes, where: str) -> bytes:
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise TraceError(f"{where}: gzip: {error}; expected an undamaged gzip file") from None
