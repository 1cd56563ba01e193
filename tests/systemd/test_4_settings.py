"""A wrong line in .env stops the restart with its reason in `systemctl status`, and is not tried again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from .cargo import edits

if TYPE_CHECKING:
    from .host import Host
    from .reader import Reader
    from .watching import Watch

ENV: Final = "/opt/futu_tick_downloader/.env"
RESTART: Final = "sudo systemctl restart hk-tick-collector"
STATUS: Final = "sudo systemctl status hk-tick-collector --no-pager -l"


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("FUTU_PORT=eleven", ("FUTU_PORT", "1 to 65535")),
        ("FUTU_SIMBOLS=HK.00700", ("FUTU_SIMBOLS", "FUTU_SYMBOLS")),
        ("MAX_WAIT_MS=0", ("MAX_WAIT_MS", "1 to ")),
        ("LOG_LEVEL='DEBUG'", ("LOG_LEVEL", "quote")),
        ("DATA_ROOT=/data/nowhere", ("/data/nowhere", "sudo install -d")),
    ],
)
def test_a_wrong_line_is_reported_and_the_start_is_not_repeated(
    machine: Host, reader: Reader, watch: Watch, line: str, named: tuple[str, ...]
) -> None:
    """The restart fails at once, `systemctl status` has name, value and what is allowed; corrected, it starts."""
    edits(machine, f"$ a {line}\n")
    reader.paste(f"sudo vim {ENV}")
    reader.paste(RESTART, codes=(1,))
    said = reader.paste(STATUS, codes=(3,))
    assert all(word in said for word in named), said
    assert "Active: failed" in said
    assert "Traceback" not in said
    assert (watch.show("NRestarts"), watch.show("ExecMainStatus")) == ("0", "2")
    machine.wait("it is not tried again", lambda: _seconds_since_end(machine, watch) > 7)  # RestartSec is 5
    assert (watch.show("ActiveState"), watch.show("NRestarts")) == ("failed", "0")
    edits(machine, "$ d\n")
    reader.paste(f"sudo vim {ENV}")
    reader.paste(RESTART)


def test_wrong_arguments_have_one_line(machine: Host) -> None:
    """Cause and remedy on one line, exit code 2, or 1 for what is not there; never a traceback."""
    for command in ("gaps --day 20261332", "gaps --day 20991231", "ticks --nonsense", "statsu"):
        answer = machine.ask(f"hk-tick-collector {command}", who="duty")
        assert answer.code in (1, 2), answer
        assert len(answer.text.splitlines()) == 1, answer
        assert "Traceback" not in answer.text


def test_a_user_outside_the_group_gets_a_remedy(machine: Host) -> None:
    """Someone outside of the group: one line with the remedy."""
    machine.run("id stranger >/dev/null 2>&1 || useradd --create-home --shell /bin/bash stranger")
    answer = machine.ask("hk-tick-collector status", who="stranger")
    assert answer.code in (2, 3), answer
    assert len(answer.text.splitlines()) == 1, answer
    assert "usermod -aG hkcollector" in answer.text, answer


def _seconds_since_end(machine: Host, watch: Watch) -> float:
    now_s = float(machine.quietly("cut -d' ' -f1 /proc/uptime").text)
    return now_s - int(watch.show("ExecMainExitTimestampMonotonic")) / 1e6
