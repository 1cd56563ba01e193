"""Reads a settings file exactly as systemd's `EnvironmentFile=` does, and refuses lines that could be read differently.

Enters: the bytes of a `.env`. Leaves: its variables with their line numbers. systemd reads this file for the unit, and
this module reads it for the command line. A line that the two could read differently is an error with its number and
the correct form. systemd's rules (`src/basic/env-file.c`) allow more: quoted values, backslashes, continued lines, `;`
for comments, and blanks around values. None of that is needed here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from hk_tick_collector.errors import UsageError

from .predecessor import became

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_MAX_BYTES: Final = 1 << 20
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")  # systemd ignores other names
_BLANKS: Final = " \t"  # the blanks for systemd; Python's strip() would also remove form feeds and non-breaking spaces
_QUOTED: Final = re.compile(r"\"[^\"\\\x00-\x1f\x7f]*\"|'[^'\\\x00-\x1f\x7f]*'")  # systemd reads these the same way
_MEANT: Final = re.compile(r"(?:export[ \t]+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)[ \t]*=[ \t]*(?P<value>.*)")
_NONCHARACTER: Final = re.compile("[\ufdd0-\ufdef]")


class UnacceptedBytesError(UsageError):
    """The file has bytes that systemd refuses or misreads."""


class Variable(NamedTuple):
    """One `KEY=VALUE` of the file."""

    name: str
    value: str
    line: int  # from 1


def read_env_file(path: Path) -> tuple[list[Variable], list[UsageError]]:
    """The variables of a settings file in order, and an error with `path:line` for each line that is not accepted.

    Raises UsageError for a file that cannot be read or is not a settings file, UnacceptedBytesError for bytes that
    make systemd misread it.
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
            faults.append(
                UsageError(
                    again,
                    hint=f"delete it here or on line {earlier.line}",
                    zh=f"{where}：{variable.name} 重複設定",
                    hint_zh=f"刪除此行或第 {earlier.line} 行",
                )
            )
    return list(variables.values()), faults


def meant_variables(path: Path, accepted: Iterable[Variable]) -> list[Variable]:
    """The accepted variables of a settings file, and those that its other lines probably mean.

    They are only for telling the user what else is wrong in the file, and in which language: nothing else may be done
    with their values.
    """
    variables = {variable.name: variable for variable in accepted}
    lines = _bytes(path).decode("utf-8-sig", "replace").replace("\0", "").split("\n")
    for number, line in enumerate(lines, 1):
        if match := _MEANT.fullmatch(line.strip()):
            variables.setdefault(match["name"], Variable(match["name"], match["value"].strip("\"'"), number))
    return list(variables.values())


def _text(path: Path) -> str:
    data = _bytes(path)
    if unreadable := _fault_of_bytes(data):
        position, fault, remedy = unreadable
        line = data.count(b"\n", 0, position) + 1
        where = f"{path}:{line}"
        zh, hint_zh = _BYTES_ZH[fault]
        raise UnacceptedBytesError(f"{where}: {fault}", hint=remedy, zh=f"{where}：{zh}", hint_zh=hint_zh)
    return data.decode()


def _bytes(path: Path) -> bytes:
    try:
        if path.is_dir():
            raise UsageError(
                f"{path} is a directory, not a settings file",
                hint="name the .env file itself",
                zh=f"{path} 是目錄，不是設定檔",
                hint_zh="指定 .env 檔本身",
            )
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise UsageError(
            f"there is no settings file {path}",
            hint="check --env-file, or leave it out",
            zh=f"沒有設定檔 {path}",
            hint_zh="檢查 --env-file，或不指定",
        ) from error
    except OSError as error:
        hint = "run as root or as a member of its group" if isinstance(error, PermissionError) else "check the path"
        hint_zh = "以 root 或其群組成員執行" if isinstance(error, PermissionError) else "檢查路徑"
        raise UsageError(
            f"cannot read settings file {path} ({error.strerror})",
            hint=hint,
            zh=f"不能讀取設定檔 {path}（{error.strerror}）",
            hint_zh=hint_zh,
        ) from error
    if len(data) > _MAX_BYTES:
        raise UsageError(
            f"{path} is larger than 1 MiB, so it is not a settings file",
            hint="name the .env file itself",
            zh=f"{path} 大於 1 MiB，不是設定檔",
            hint_zh="指定 .env 檔本身",
        )
    return data


def _fault_of_bytes(data: bytes) -> tuple[int, str, str] | None:
    """Finds a byte that makes systemd refuse or misread the file. Returns its position, the fault and the remedy."""
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
        # Also in comments: the second byte of a Big5 character may be a backslash, which continues the line.
        return error.start, "bytes that are not UTF-8", "save the file as UTF-8"
    return None


_BYTES_ZH: Final = {
    "a byte order mark before the first name": ("第一個名稱前有位元組順序記號（BOM）", "以無 BOM 的 UTF-8 儲存"),
    "a NUL byte": ("有 NUL 位元組", "刪除它；檔案可能已損壞"),
    "a carriage return (a file from Windows)": ("有 CR 字元（Windows 檔案）", "改用 Unix 換行：sed -i 's/\\r$//' FILE"),
    "bytes that are not UTF-8": ("有非 UTF-8 的位元組", "以 UTF-8 儲存"),
}


def _parse_line(where: str, line: str, number: int) -> Variable | None:
    """Parses one line without its newline: a variable, None for a blank line or a comment. Raises UsageError."""
    if not line.strip(_BLANKS):
        return None
    if line.startswith("#"):
        # Before version 254, systemd read the next line as part of such a comment.
        if line.endswith("\\"):
            raise UsageError(
                f"{where}: a comment that ends in a backslash",
                hint="delete the backslash",
                zh=f"{where}：註解以反斜線結尾",
                hint_zh="刪除反斜線",
            )
        return None
    _refuse_line(where, line)
    name, _, value = line.partition("=")
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{where}: {_shown(name)!r} is not a variable name",
            hint="write KEY=VALUE, letters, digits and _ in KEY",
            zh=f"{where}：{_shown(name)!r} 不是變數名稱",
            hint_zh="寫成 KEY=VALUE，KEY 只用英文字母、數字與 _",
        )
    if became(name) and _QUOTED.fullmatch(value):  # a setting of the predecessor is only reported: quotes are allowed
        return Variable(name, value[1:-1], number)
    _refuse_value(where, name, value)
    return Variable(name, value, number)


def _refuse_line(where: str, line: str) -> None:
    if line[0] in _BLANKS:
        raise UsageError(
            f"{where}: blanks before the text",
            hint="begin in the first column, comments too",
            zh=f"{where}：文字前有空格",
            hint_zh="由第一欄開始，註解亦然",
        )
    if line[0] == ";":
        raise UsageError(
            f"{where}: a comment that begins with ';'",
            hint="begin it with #",
            zh=f"{where}：註解以 ; 開始",
            hint_zh="改以 # 開始",
        )
    if "=" not in line:
        raise UsageError(
            f"{where}: no '=' in {_shown(line)!r}",
            hint="write KEY=VALUE, or # before a comment",
            zh=f"{where}：{_shown(line)!r} 沒有 =",
            hint_zh="寫成 KEY=VALUE，或在註解前加 #",
        )
    if re.match(r"export\b", line) and line.split("=", 1)[0] != "export":
        raise UsageError(
            f"{where}: 'export' belongs to a shell",
            hint=f"write {_shown(line[6:].split('=', 1)[0].strip())}=VALUE",
            zh=f"{where}：export 只用於 shell",
            hint_zh=f"寫成 {_shown(line[6:].split('=', 1)[0].strip())}=VALUE",
        )
    if line.split("=", 1)[0].rstrip(_BLANKS) != line.split("=", 1)[0]:
        raise UsageError(
            f"{where}: blanks before '='",
            hint="write KEY=VALUE without blanks",
            zh=f"{where}：= 前有空格",
            hint_zh="寫成 KEY=VALUE，不加空格",
        )


def _refuse_value(where: str, name: str, value: str) -> None:
    """Raises UsageError for a value that systemd could read differently. It is not shown, because it may be secret."""
    if value != value.strip(_BLANKS):
        raise UsageError(
            f"{where}: blanks around the value of {name}",
            hint=f"write {name}=VALUE without blanks around it",
            zh=f"{where}：{name} 的值前後有空格",
            hint_zh=f"寫成 {name}=VALUE，前後不加空格",
        )
    if value[:1] in ("'", '"') and value:
        raise UsageError(
            f"{where}: a quote begins the value of {name}",
            hint=f"write {name}=VALUE without quotes",
            zh=f"{where}：{name} 的值以引號開始",
            hint_zh=f"寫成 {name}=VALUE，不加引號",
        )
    if "\\" in value:
        raise UsageError(
            f"{where}: a backslash in the value of {name}",
            hint="write the value without backslashes, on one line",
            zh=f"{where}：{name} 的值有反斜線",
            hint_zh="值寫在同一行，不用反斜線",
        )
    # systemd ignores a variable with control characters, and the whole file if it has a Unicode noncharacter.
    if any(
        ord(char) < 32 or ord(char) == 127 or ord(char) & 0xFFFE == 0xFFFE for char in value
    ) or _NONCHARACTER.search(value):
        raise UsageError(
            f"{where}: a control character in the value of {name}",
            hint="delete it; it may not be visible",
            zh=f"{where}：{name} 的值有控制字元",
            hint_zh="刪除它；它可能不可見",
        )


def _shown(text: str) -> str:
    return text if len(text) <= 40 else text[:37] + "..."
