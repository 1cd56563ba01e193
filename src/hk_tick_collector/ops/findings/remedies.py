"""What an operator knows and types next, by what is wrong. Words only.

A remedy has two parts. `command` is what stands behind `->`: it can be pasted as it is, and is nothing else. `advice`
is for a person and becomes part of the finding's text (`advised`).
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from hk_tick_collector.store.foreign import import_command, move_command

from . import refusals

if TYPE_CHECKING:
    from collections.abc import Sequence


class Remedy(NamedTuple):
    """`command` can be pasted, empty where there is nothing to type; `advice` may be empty."""

    command: str
    advice: str = ""


def advised(text: str, remedy: Remedy) -> tuple[str, str]:
    """Text and remedy of a finding: the advice stands behind what is wrong."""
    return f"{text}; {remedy.advice}" if remedy.advice else text, remedy.command


JOURNAL: Final = "sudo journalctl -u hk-tick-collector --since '10 minutes ago' --no-pager"
START: Final = "sudo systemctl start hk-tick-collector"
RESTART: Final = "sudo systemctl restart hk-tick-collector"
DOCTOR: Final = "sudo hk-tick-collector doctor"
OPEND_STATUS: Final = "sudo systemctl status futu-opend --no-pager"
OPEND_LOG: Final = "sudo journalctl -u futu-opend -n 30 --no-pager"
RESTART_OPEND: Final = "sudo systemctl restart futu-opend"
# OpenD's maintenance port, with the port that docs/operations.md tells to set. It answers within moments.
OPEND_CONSOLE: Final = "nc -C 127.0.0.1 22222"
TAKE_BACK: Final = "echo request_highest_quote_right | nc -C -q 3 127.0.0.1 22222"
RELOGIN: Final = "echo relogin | nc -C -q 3 127.0.0.1 22222"
GAPS: Final = "hk-tick-collector gaps --open"
SLOW_DISK: Final = "cat /proc/pressure/io; sudo dmesg | tail"
LAST_LINES: Final = "sudo journalctl -u hk-tick-collector -b --no-pager | tail -n 200"
CHECK_SETTINGS: Final = "sudo hk-tick-collector config --check"
ENDS: Final = (  # how runs of the last hour ended, in their words and systemd's
    "sudo journalctl -u hk-tick-collector --since '1 hour ago' --no-pager"
    " | grep -E 'ERROR|Traceback|exited|result|started' | tail -n 50"
)
INSTALLED_SETTINGS: Final = "/opt/futu_tick_downloader/.env"
EDIT_SETTINGS: Final = f"sudo vim {INSTALLED_SETTINGS}; {RESTART}"
DISK_MESSAGES: Final = "sudo dmesg | tail"
EDIT_OPEND: Final = f"sudo vim /opt/FutuOpenD/FutuOpenD.xml; {RESTART_OPEND}"
HUNG: Final = f"{JOURNAL}; {RESTART}"


def grep(event: str) -> str:
    """The last lines of one event."""
    return f"sudo journalctl -u hk-tick-collector --no-pager | grep {event} | tail"


STALL: Final = f"{grep('WATCHDOG')}; {RESTART}"
NO_TICKS: Final = Remedy(DOCTOR, "if doctor finds nothing wrong, restart futu-opend")
NOT_STORED: Final = Remedy(f"{DOCTOR}; {JOURNAL}")
SLOW_COPY: Final = Remedy("sudo hk-tick-collector snapshot", "end that copy and take a snapshot instead")


def for_rejected(cause: str, symbol: str, ticks: int) -> str:
    """Shows the rejected ticks of a symbol; at most a hundred of a cause are logged whole."""
    lines = f"grep 'tick_rejected cause={cause}' | grep {symbol} | tail -n {min(ticks, 100)}"
    return f"sudo journalctl -u hk-tick-collector --no-pager | {lines}"


def for_opend(kind: str) -> Remedy:
    """By OpenD's program state, or by what Notify told."""
    return _OPEND.get(kind.removeprefix("program_"), Remedy(OPEND_STATUS))


def for_link(address: str) -> str:
    """While there is no connection to OpenD, by the `host:port` where it should be."""
    host, _, port = address.rpartition(":")
    return f"{OPEND_STATUS}; nc -vz {host} {port}; {RESTART_OPEND}"


def for_login() -> Remedy:
    """OpenD runs and is not logged in to the quote server."""
    advice = "another terminal of this account may have taken its quotes: the second command takes them back"
    return Remedy(f"{OPEND_LOG}; {TAKE_BACK}", f"{advice}; if it stays so, log it in again (docs/operations.md)")


def for_questions() -> Remedy:
    """OpenD delivers, and does not answer questions beside that."""
    return Remedy(grep("question_failed"), "it is asked again")


def for_refusal(cause: str) -> Remedy:
    """Symbols that OpenD did not subscribe, by one of the causes of `refusals`."""
    return _REFUSAL[cause]


def for_frozen_disk(data_root: str) -> str:
    """For a file system that was frozen, and is not thawed by who did it."""
    return f"sudo fsfreeze --unfreeze $(findmnt -n -o TARGET -T {shlex.quote(data_root)})"


def for_lock(path: str) -> str:
    """Names the processes that have a file or what is beside it open."""
    return f"sudo fuser -v {shlex.quote(path)}*"


def for_writer(trouble: str, data_root: str, day: str, account: str = "", holder_pid: int | None = None) -> Remedy:
    """By the cause for which the writer waits; `day` is that of the file it writes.

    `account` is the service's `user:group`, `holder_pid` who holds a lock, where they are known.
    """
    if trouble == "busy" and holder_pid and holder_pid > 0:
        return Remedy(end_process(holder_pid), f"end that process, {_RESUMES}")
    if trouble == "foreign_file":
        return Remedy(for_held_day(trouble, data_root, day))
    remedy = _WRITER.get(trouble, Remedy(JOURNAL))
    db = f"{data_root}/{day or '*'}.db"
    return remedy._replace(command=remedy.command.format(root=data_root, db=db, account=account or _ACCOUNT))


def end_process(pid: int) -> str:
    """Ends a process that was named before."""
    return f"sudo kill -TERM {pid}"


def for_held_day(cause: str, data_root: str, day: str, account: str = "") -> str:
    """By the cause for which only the file of `day` cannot be written."""
    if cause in ("foreign_file", "damaged"):
        return move_command(Path(data_root, f"{day}.db"))
    if cause == "predecessor_file":
        return import_command(Path(data_root, f"{day}.db"))
    db = shlex.quote(f"{data_root}/{day}.db")
    words = _HELD.get(cause, "ls -l {db}*; sudo hk-tick-collector doctor")
    return words.format(db=db, account=account or _ACCOUNT)


def predecessor_days(days: Sequence[str]) -> str:
    """What is told of day files of the predecessor."""
    if len(days) == 1:
        return f"{days[0]} is the predecessor's day file: no verb reads it before it is imported"
    span = f"{len(days)} day files, {days[0]} to {days[-1]},"
    return f"{span} are the predecessor's: no verb reads them before they are imported"


def for_sealing(data_root: str, name: str) -> Remedy:
    """For a file of a finished day that cannot be sealed."""
    return Remedy(f"ls -ld {data_root}/{name}*", "see docs/sqlite-wal.md")


def for_hint(hint: str, otherwise: str) -> Remedy:
    """An error's hint is a command or advice."""
    return Remedy(hint) if is_command(hint) else Remedy(otherwise, hint)


def is_command(text: str) -> bool:
    """Whether a text can be pasted into a shell: each of its parts begins with a program that an operator has."""
    parts = _SEPARATOR.split(_QUOTED.sub("_", text))
    return all(_COMMAND.match(part.strip()) for part in parts)


_QUOTED: Final = re.compile(r"'[^']*'|\"[^\"]*\"|\$\([^)]*\)")
_SEPARATOR: Final = re.compile(r";|&&|\|\|?")
_COMMAND: Final = re.compile(
    r"(sudo )?(hk-tick-collector|systemctl|journalctl|timedatectl|usermod|newgrp|sqlite3|chown|chmod|mount -o|mkdir"
    r"|fuser|dmesg|lsof|echo|grep|tail|ping|cat|vim|df|ls|mv|nc|ip|ss|findmnt)( [^ ]|$)"
    r"|free -m|(sudo )?kill -[A-Z]+ [0-9]"
    r"|for f in |do \[ |done$|[a-z]=_?[^ ]*$"
)

_ACCOUNT: Final = "hkcollector:hkcollector"
_WAIT: Final = Remedy(OPEND_LOG, "wait a minute; if it stays so, restart futu-opend")
_PASSWORD: Final = Remedy(EDIT_OPEND, "set OpenD's account and password")
_RIGHT: Final = Remedy(
    TAKE_BACK,
    "another terminal of this account may hold the quote right, this takes it back; if not, the account has no right"
    " to Hong Kong quotes (docs/operations.md)",
)
_DISCLAIMER: Final = Remedy(RESTART_OPEND, "agree to the API disclaimer in Futu's app before OpenD is restarted")
_REINSTALL: Final = Remedy(RESTART_OPEND, "install OpenD anew beside its data before it is restarted")
_RESUMES: Final = "it resumes by itself"

_REFUSAL: Final = {
    refusals.QUOTA: Remedy(f"{DOCTOR}; {EDIT_SETTINGS}", "doctor tells the quota: take symbols out of FUTU_SYMBOLS"),
    refusals.QUOTE_RIGHT: _RIGHT,
    refusals.TEMPORARY: Remedy(
        DOCTOR, "OpenD cannot serve it now; it is asked again every minute; if it lasts, see doctor"
    ),
    refusals.OTHER: Remedy(EDIT_SETTINGS, "correct FUTU_SYMBOLS; refused ones are tried again every minute"),
}

# By the words of opend.messages for program states and for what Notify tells.
_OPEND: Final = {
    "loaded": _WAIT,
    "logging_in": _WAIT,
    "preparing": _WAIT,
    "needs_captcha": Remedy(OPEND_CONSOLE, "enter req_pic_verify_code, then the captcha (docs/operations.md)"),
    "needs_sms_code": Remedy(OPEND_CONSOLE, "enter req_phone_verify_code, then the SMS code (docs/operations.md)"),
    "device_lock_enabled": Remedy(OPEND_CONSOLE, "enter req_phone_verify_code, then the code (docs/operations.md)"),
    "login_failed": _PASSWORD,
    "password_changed": _PASSWORD,
    "trade_password_changed": Remedy(RESTART_OPEND, "ticks need no trade password: restart OpenD after the close"),
    "login_banned": Remedy(OPEND_LOG, "the account may not log in: ask Futu's support"),
    "forced_logout": Remedy(
        RELOGIN, "another login or Futu logged OpenD out; this logs it in again, without a restart"
    ),
    "kicked_out": Remedy(
        TAKE_BACK, "another terminal of this account took its quotes; this takes them back, without a restart of OpenD"
    ),
    "needs_update": Remedy(OPEND_LOG, "install the current version of OpenD"),
    "disclaimer_not_agreed": _DISCLAIMER,
    "disclaimer_unavailable": _DISCLAIMER,
    "config_load_failed": Remedy(EDIT_OPEND, "correct OpenD's configuration"),
    "network_config_missing": Remedy(EDIT_OPEND, "check OpenD's configuration and installation"),
    "app_data_missing": _REINSTALL,
    "data_missing": _REINSTALL,
    "api_server_failed": Remedy("sudo ss -ltnp", f"another program holds OpenD's port: end it, {_RESUMES}"),
    "quote_link_lost": Remedy(
        "ip route; ping -c 3 www.futunn.com", f"OpenD does not reach Futu: check this host's network, {_RESUMES}"
    ),
    "quote_right_bmp": _RIGHT,
    "quote_right_none": _RIGHT,
}
# {db} is the day file, {root} DATA_ROOT.
_WRITER: Final = {
    "busy": Remedy("sudo fuser -v {db} {db}-wal {db}-shm", f"end the other program that writes it, {_RESUMES}"),
    "disk_full": Remedy("df -h {root}; df -i {root}", f"free some space, {_RESUMES}"),
    "read_only": Remedy(
        "sudo dmesg | tail; sudo mount -o remount,rw $(findmnt -n -o TARGET -T {root})", f"once mounted, {_RESUMES}"
    ),
    "no_permission": Remedy("sudo chown -R {account} {root}", _RESUMES),
    "no_directory": Remedy("ls -ld {root}", f"bring the directory back (is its disk mounted?), {_RESUMES}"),
    "no_file": Remedy("ls -l {db}", f"nobody may move the file, {_RESUMES}"),
    "cannot_open": Remedy("ls -l {db}; sudo hk-tick-collector doctor"),
    "damaged": Remedy("ls -l {root}", "see docs/sqlite-wal.md"),
    "io_error": Remedy("sudo dmesg | tail", f"the disk may be failing; {_RESUMES}"),
    "no_descriptors": Remedy(RESTART),
    "file_size_limit": Remedy(
        f"sudo systemctl edit hk-tick-collector; {RESTART}",
        "set LimitFSIZE=infinity in [Service], in a shell: ulimit -f unlimited",
    ),
    "no_memory": Remedy("free -m", f"end what takes the memory, {_RESUMES}"),
    "schema_changed": Remedy("sudo sqlite3 {db} .schema", f"undo the change that is named, {_RESUMES}"),
}
# For the file of one day, {db}.
_HELD: Final = {
    "schema_changed": _WRITER["schema_changed"].command,
    "no_permission": "sudo chown {account} {db}*; sudo chmod u+rw {db}*",
    "busy": _WRITER["busy"].command,
    "io_error": "sudo dmesg | tail",
}
