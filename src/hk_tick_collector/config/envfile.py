"""Reads a file of settings exactly as systemd's `EnvironmentFile=` does, or refuses the line.

Enters: the bytes of a `.env`. Leaves: its variables with their line numbers. The unit hands this file to systemd and
the command line reads it here, so a line that could come out differently stops with its number and what to write.
systemd's own rules (`src/basic/env-file.c`) are richer than what is accepted: it unquotes values that begin with a
quote, eats backslashes, joins continued lines, takes `;` for a comment and strips blanks. None of that is needed here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from hk_tick_collector.errors import UsageError

from .predecessor import became

if TYPE_CHECKING:
    from pathlib import Path

_MAX_BYTES: Final = 1 << 20
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")  # every other name systemd drops with a line in its own journal
_BLANKS: Final = " \t"  # systemd knows these alone; Python's strip() would also take form feeds and non-breaking spaces
_QUOTED: Final = re.compile(r"\"[^\"\\\x00-\x1f\x7f]*\"|'[^'\\\x00-\x1f\x7f]*'")  # read alike by systemd
_NONCHARACTER: Final = re.compile("[\ufdd0-\ufdef]")


class Variable(NamedTuple):
    """One `KEY=VALUE` of the file."""

    name: str
    value: str
    line: int  # from 1


def read_env_file(path: Path) -> tuple[list[Variable], list[UsageError]]:
    """The variables of a settings file in their order, and each line that systemd reads otherwise, with `path:line`.

    Raises UsageError for a file that cannot be read, or that as a whole is no settings file.
    """
    variables: dict[str, Variable] = {}
    faults: list[UsageError] = []
    for number, line in enumerate(_text(path).split("\n"), 1):
        where = f"{path}:{number}"
        try:
            variable = _parse_line(where, line, number)
        except UsageError as fault:
            faults.append(fault)
            continue
        if variable is None:
            continue
        earlier = variables.setdefault(variable.name, variable)
        if earlier is not variable:
            again = f"{where}: {variable.name} is set a second time"
            faults.append(UsageError(again, hint=f"delete it here or on line {earlier.line}"))
    return list(variables.values()), faults


def _text(path: Path) -> str:
    try:
        if path.is_dir():
            raise UsageError(f"{path} is a directory, not a file of settings", hint="name the .env file itself")
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise UsageError(f"there is no settings file {path}", hint="check --env-file, or leave it out") from error
    except OSError as error:
        hint = "run as root or as a member of its group" if isinstance(error, PermissionError) else "check the path"
        raise UsageError(f"cannot read settings file {path} ({error.strerror})", hint=hint) from error
    if len(data) > _MAX_BYTES:
        raise UsageError(f"{path} is larger than 1 MiB, no file of settings", hint="name the .env file itself")
    if unreadable := _fault_of_bytes(data):
        position, fault, remedy = unreadable
        line = data.count(b"\n", 0, position) + 1
        raise UsageError(f"{path}:{line}: {fault}", hint=remedy)
    return data.decode()


def _fault_of_bytes(data: bytes) -> tuple[int, str, str] | None:
    """What makes systemd refuse or misread the file whatever the line says: position, fault and remedy."""
    if data.startswith(b"\xef\xbb\xbf"):
        return 0, "a byte order mark before the first name", "save the file as UTF-8 without BOM"
    for byte, fault, remedy in (
        (b"\0", "a NUL byte", "delete it; the file may be damaged"),
        (b"\r", "a carriage return (a file from Windows)", "write Unix line ends: sed -i 's/\\r$//' FILE"),
    ):
        if byte in data:
            return data.index(byte), fault, remedy
    try:
        data.decode()
    except UnicodeDecodeError as error:
        # Comments too: the second byte of a Big5 character may be a backslash, which joins the next line to it.
        return error.start, "bytes that are not UTF-8", "save the file as UTF-8"
    return None


def _parse_line(where: str, line: str, number: int) -> Variable | None:
    """One line without its newline: a variable, None for a blank or a comment, UsageError for anything in doubt."""
    if not line.strip(_BLANKS):
        return None
    if line.startswith("#"):
        # Before its version 254 systemd took the following line for more of such a comment.
        if line.endswith("\\"):
            raise UsageError(f"{where}: a comment that ends in a backslash", hint="delete the backslash")
        return None
    _refuse_line(where, line)
    name, _, value = line.partition("=")
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{where}: {_shown(name)!r} is no variable name", hint="write KEY=VALUE, letters, digits and _ in KEY"
        )
    if became(name) and _QUOTED.fullmatch(value):  # of no use to us but for its words: nothing stops for its quotes
        return Variable(name, value[1:-1], number)
    _refuse_value(where, name, value)
    return Variable(name, value, number)


def _refuse_line(where: str, line: str) -> None:
    if line[0] in _BLANKS:
        raise UsageError(f"{where}: blanks before the text", hint="begin in the first column, comments too")
    if line[0] == ";":
        raise UsageError(f"{where}: a comment that begins with ';'", hint="begin it with #")
    if "=" not in line:
        raise UsageError(f"{where}: no '=' in {_shown(line)!r}", hint="write KEY=VALUE, or # before a comment")
    if re.match(r"export\b", line) and line.split("=", 1)[0] != "export":
        raise UsageError(
            f"{where}: 'export' belongs to a shell", hint=f"write {_shown(line[6:].split('=', 1)[0].strip())}=VALUE"
        )
    if line.split("=", 1)[0].rstrip(_BLANKS) != line.split("=", 1)[0]:
        raise UsageError(f"{where}: blanks before '='", hint="write KEY=VALUE without blanks")


def _refuse_value(where: str, name: str, value: str) -> None:
    """The value itself is never shown: it may be a secret."""
    if value != value.strip(_BLANKS):
        raise UsageError(
            f"{where}: blanks around the value of {name}", hint=f"write {name}=VALUE without blanks around it"
        )
    if value[:1] in ("'", '"') and value:
        raise UsageError(f"{where}: a quote begins the value of {name}", hint=f"write {name}=VALUE without quotes")
    if "\\" in value:
        raise UsageError(
            f"{where}: a backslash in the value of {name}", hint="write the value without backslashes, on one line"
        )
    # systemd drops a variable that holds control characters, and the whole file for a Unicode noncharacter.
    if any(
        ord(char) < 32 or ord(char) == 127 or ord(char) & 0xFFFE == 0xFFFE for char in value
    ) or _NONCHARACTER.search(value):
        raise UsageError(
            f"{where}: a control character in the value of {name}", hint="delete it; it may not be visible"
        )


def _shown(text: str) -> str:
    return text if len(text) <= 40 else text[:37] + "..."
