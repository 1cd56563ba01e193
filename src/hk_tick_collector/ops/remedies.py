"""What an operator types or does next, by what is wrong. Words only."""

from __future__ import annotations

from typing import Final

JOURNAL: Final = "sudo journalctl -u hk-tick-collector --since '10 minutes ago' --no-pager"
START: Final = "sudo systemctl start hk-tick-collector"
RESTART: Final = "sudo systemctl restart hk-tick-collector"
OPEND_STATUS: Final = "sudo systemctl status futu-opend --no-pager"
RESTART_OPEND: Final = "sudo systemctl restart futu-opend"
GAPS: Final = "hk-tick-collector gaps --open"
SLOW_DISK: Final = "rows wait in memory; what keeps the disk busy: cat /proc/pressure/io; sudo dmesg | tail"
HUNG: Final = f"{RESTART}; why, with every thread's stack: {JOURNAL}"


def grep(event: str) -> str:
    """The last lines of one event."""
    return f"sudo journalctl -u hk-tick-collector --no-pager | grep {event} | tail"


def for_opend(kind: str) -> str:
    """By OpenD's program state, or by what Notify told."""
    return _OPEND.get(kind.removeprefix("program_"), OPEND_STATUS)


def for_writer(trouble: str) -> str:
    """By the cause for which the writer waits."""
    return _WRITER.get(trouble, JOURNAL)


_PASSWORD: Final = f"check OpenD's account and password, then {RESTART_OPEND}"
_RIGHT: Final = "check the account's Hong Kong quote right; another terminal may hold it"
_DISCLAIMER: Final = f"agree to the API disclaimer in Futu's app, then {RESTART_OPEND}"

# By the words of opend.messages for program states and for what Notify tells.
_OPEND: Final = {
    "loaded": f"wait a minute; if it stays so, {RESTART_OPEND}",
    "logging_in": f"wait a minute; if it stays so, {RESTART_OPEND}",
    "preparing": f"wait a minute; if it stays so, {RESTART_OPEND}",
    "needs_captcha": "enter the captcha in OpenD's console (docs/operations.md)",
    "needs_sms_code": "enter the SMS code in OpenD's console (docs/operations.md)",
    "device_lock_enabled": "enter the device's code in OpenD's console (docs/operations.md)",
    "login_failed": _PASSWORD,
    "password_changed": _PASSWORD,
    "trade_password_changed": f"ticks need no trade password: {RESTART_OPEND}",
    "login_banned": "the account may not log in: ask Futu's support",
    "forced_logout": f"OpenD was logged out, by another login or by Futu: {RESTART_OPEND}",
    "kicked_out": f"log out the other terminal of this account, then {RESTART_OPEND}",
    "needs_update": "install the current version of OpenD",
    "disclaimer_not_agreed": _DISCLAIMER,
    "disclaimer_unavailable": _DISCLAIMER,
    "config_load_failed": f"check OpenD.xml, then {RESTART_OPEND}",
    "network_config_missing": f"check OpenD.xml and the installation of OpenD, then {RESTART_OPEND}",
    "app_data_missing": f"install OpenD anew beside its data, then {RESTART_OPEND}",
    "data_missing": f"install OpenD anew beside its data, then {RESTART_OPEND}",
    "api_server_failed": "another program may hold OpenD's port: sudo ss -ltnp",
    "quote_link_lost": "OpenD lost Futu's servers: check this host's network; it comes back by itself",
    "quote_right_bmp": _RIGHT,
    "quote_right_none": _RIGHT,
}
_WRITER: Final = {
    "busy": "find the other writer: sudo fuser -v the day file",
    "disk_full": "free space: df -h, then wait, it resumes by itself",
    "read_only": "mount | grep /data; remount read-write, it resumes by itself",
    "no_permission": "sudo chown -R hkcollector:hkcollector DATA_ROOT, it resumes by itself",
    "no_directory": "bring DATA_ROOT back (is its disk mounted?), it resumes by itself",
    "foreign_file": "move the foreign file away, it resumes by itself",
    "damaged": "see docs/sqlite-wal.md",
    "io_error": "sudo dmesg | tail tells of a disk that fails; it resumes by itself",
    "no_descriptors": RESTART,
}
