"""`top` on a real terminal: every size, every key, every end; and what it says when something is wrong."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from tests.cli.live_view.scenes import figures, squeezed
from tests.collect.conftest import wait_until
from tests.live_state import leave_live_state
from tests.reliability.disks import disk_of_its_own, frozen
from tests.screen import Screen, winch

from hk_tick_collector import market
from hk_tick_collector.ops.live import kernel_wait
from hk_tick_collector.store.dayfile import Batch, StoreOptions
from hk_tick_collector.store.dayfile import DayFile as StoredDay

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from tests.cli.live_view.conftest import Service
    from tests.conftest import DayFile
    from tests.nursery import Forked, Nursery

    from hk_tick_collector.model import TickRow

    Top = Callable[..., tuple[Screen, Forked]]
    Cli = Callable[..., subprocess.CompletedProcess[str]]

HOSTILE: Final = "訂阅\x1b[2J\x1b]0;title\x07\x9b1A\u202e\u2066\u200b\nOK: collecting, nothing to do\r\x7f<b>&"
DAY: Final = "20261120"
SIZES: Final = [
    (40, 10), (41, 60), (47, 13), (56, 10), (63, 24), (64, 24), (72, 11), (80, 24), (80, 25), (99, 31), (100, 10),
    (118, 40), (120, 60), (132, 43), (160, 50), (199, 17), (203, 60), (249, 59), (250, 60), (250, 10),
]  # fmt: skip
# Times, durations, and figures that grow while the test runs; the figures of the data are longer, or begin with 7 to 9.
MOVING: Final = re.compile(
    r"\d\d:\d\d:\d\d(\.\d{3}|:)?|\d{4}-\d\d-\d\d|\d\d-\d\d|[0-6]?\d|[0-6]?\d\.\d\d?|\+\d+|\d\.\d"
)
LIVE: Final = {
    "received": 987_654_321, "stored": 986_543_210, "duplicate": 7_654_321, "rejected": 98_765, "dropped": 87_654,
    "waiting": 765_432, "persisted_rows_per_min": 987_654, "rows_per_s": [98_765] * 60, "disk_free_mb": 98_765_432,
    "wal_bytes": 9_876_543_210, "commit_ms_p50": 987.5, "commit_ms_p99": 98_765.4, "symbols": 1_987,
    "subscribed": 1_986, "market_state": "morning", "outage_budget_s": 9_876.0,
}  # fmt: skip


@pytest.mark.parametrize("lang", ["en", "zh-Hant"])
def test_each_frame_fits_the_terminal_while_it_is_resized(
    top: Top, day: DayFile, service: Service, cli: Cli, lang: str
) -> None:
    """Twenty sizes from 40×10 to 250×60, one after the other: the screen fails if a character has no place, and each
    number that is shown is whole."""
    service.tell(**LIVE)
    known = figures(cli("top", COLUMNS="600", OPERATOR_LANG=lang).stdout.splitlines())
    screen, process = top(*SIZES[0], OPERATOR_LANG=lang)
    foot = "q quit" if lang == "en" else "q 離開"
    for size in SIZES:
        screen.resize(*size)
        winch(process.pid)
        lines = screen.wait(lambda lines: foot in lines[-1] and "HKT" in lines[0], str(size))
        cut = {word for word in figures(lines[1:]) - known if not MOVING.fullmatch(word)}
        assert cut == set(), "\n".join([str(size), *lines])
    screen.type(b"q")
    screen.read_to_end()
    assert process.wait(60) == 0


def test_keys_sort_look_find_and_end(top: Top, day: DayFile, service: Service) -> None:
    """The keys that the last line names; after `q` the terminal is as it was and the exit code is 0."""
    service.tell(connected=True)
    screen, process = top(80, 24)
    screen.wait(lambda lines: any(line.startswith("HK.00700") for line in lines), "the table")
    screen.type(b"s")
    screen.wait(lambda lines: "s sort: day ticks " in lines[-1], "sorted by ticks")
    rows = [line for line in screen.lines if line.startswith("HK.")]
    assert rows[0].startswith("HK.00700")
    assert "98,765,432" in rows[0]
    screen.type(b"/981\r\r")
    lines = screen.shows("q quit  ? help  Esc back")
    assert any(line.startswith("HK.00981") for line in lines)
    lines = screen.wait(lambda lines: sum("388.200" in line for line in lines) > 5, "the last ticks of HK.00981")
    assert lines[[line.split()[:1] for line in lines].index(["time"]) + 1].split()[:2] == ["09:30:00.039", "388.200"]
    screen.type(b"\x1b")
    screen.wait(lambda lines: "s sort: day ticks " in lines[-1], "sorted by ticks")
    screen.type(b"?")
    screen.shows("end the view; the collector goes on")
    screen.type(b"\x1b[B\x1bf")
    screen.shows("q quit  ? help  Esc back")
    screen.type(b"q")
    screen.read_to_end()
    screen.demand_restored()
    assert process.wait(60) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_ends_it_and_leaves_the_terminal_as_it_was(top: Top, service: Service, number: int) -> None:
    """The exit code tells the signal, as a shell expects; nothing is printed, and the process that reads ends too."""
    screen, process = top(80, 24)
    screen.shows("no collector is running")
    (observer,) = children(process.pid)
    process.send_signal(number)
    assert process.wait(60) == 128 + number
    screen.read_to_end()
    screen.demand_restored()
    assert screen.printed == ""
    wait_until(lambda: kernel_wait.state(Path(f"/proc/{observer}")) in ("", "Z"), "the process that reads has ended")


def test_a_closed_terminal_ends_it(top: Top, service: Service) -> None:
    """As when a window is closed or a connection breaks: it ends, and so does the process that reads."""
    screen, process = top(80, 24)
    screen.shows("no collector is running")
    (observer,) = children(process.pid)
    screen.close()
    assert process.wait(60) == 128 + signal.SIGHUP
    wait_until(lambda: kernel_wait.state(Path(f"/proc/{observer}")) in ("", "Z"), "the process that reads has ended")


def test_a_killed_view_leaves_no_process(top: Top, service: Service) -> None:
    """SIGKILL cannot be answered; the process that reads notices that nobody asks any more."""
    screen, process = top(80, 24)
    screen.shows("no collector is running")
    (observer,) = children(process.pid)
    process.kill()
    process.wait(60)
    wait_until(lambda: kernel_wait.state(Path(f"/proc/{observer}")) in ("", "Z"), "the process that reads has ended")


def test_a_killed_reader_is_replaced(top: Top, service: Service) -> None:
    """For example by the kernel when memory is short: the view goes on."""
    screen, process = top(80, 24)
    screen.shows("no collector is running")
    (observer,) = children(process.pid)
    os.kill(observer, signal.SIGKILL)
    service.tell(trading=True, received=1_234_567)
    screen.shows("1,234,567")
    assert children(process.pid) != [observer]


def test_ctrl_z_and_fg_in_a_shell(workdir: Path, service: Service) -> None:
    """In an interactive bash: stopped, the terminal has its modes and the shell works; continued, the view is back."""
    service.tell(received=1_234_567)
    with Screen(80, 24) as screen:
        shell = in_shell(screen, workdir)
        try:
            screen.type(f"{sys.executable} -m hk_tick_collector top\n".encode())
            screen.shows("1,234,567")
            screen.type(b"\x1a")
            wait_for(screen, "Stopped")
            assert not screen.is_own
            assert screen.has_cursor
            screen.type(b"stty -a | tr ' ;' '\\n\\n' | grep -xE -- '-?(icanon|echo)' | tr '\\n' ' '; echo done\n")
            wait_for(screen, "icanon echo done\r\n$ ")
            screen.printed = ""
            screen.type(b"fg\n")
            screen.shows("1,234,567")
            screen.type(b"\x03")
            wait_for(screen, "$ ")
            screen.type(b"echo code $?; exit\n")
            wait_for(screen, "code 130")
        finally:
            os.kill(shell, signal.SIGKILL)
            os.waitpid(shell, 0)


def test_it_says_what_is_wrong_and_recovers_by_itself(top: Top, day: DayFile, service: Service) -> None:
    """No service, an old report, a service again: each is said at once with since when, without a restart of `top`."""
    screen, _ = top(100, 24)
    screen.shows("no collector is running for DATA_ROOT=")
    lines = screen.shows("-> sudo systemctl start hk-tick-collector")
    assert re.match(r"CRITICAL seen since \d\d:\d\d:\d\d: ", lines[1])
    service.tell(received=1_234_567)
    screen.wait(lambda lines: "1,234,567" in "\n".join(lines) and "CRITICAL" not in "\n".join(lines), "the figures")
    service.tell(received=1_234_567, age_s=60)
    lines = screen.shows("HKT: not live")
    assert lines[1].startswith("CRITICAL seen since ")
    service.tell(received=7_654_321)
    screen.wait(lambda lines: "7,654,321" in "\n".join(lines) and "not live" not in "\n".join(lines), "live again")


def test_a_frozen_disk_is_named_and_keys_are_answered_meanwhile(
    workdir: Path, top: Top, tick: Callable[..., TickRow]
) -> None:
    """The finding with its command; keys work while a read waits; when the disk answers again, all is back."""
    with disk_of_its_own(workdir / "disk") as disk:
        root = disk / "HK"
        root.mkdir()
        (workdir / ".env").write_text(f"DATA_ROOT={root}\nDISK_MIN_FREE_MB=1\nFUTU_SYMBOLS=HK.00700\nFUTU_PORT=1\n")
        open_ms = market.day_start_ms(market.parse_day(DAY)) + 34_200_000
        file = StoredDay(root / f"{DAY}.db", DAY, "run", open_ms, "test", StoreOptions())
        try:
            file.write(Batch(rows=[tick("HK.00700", 1, open_ms)]), open_ms)
            leave_live_state(root, written_ms=time.time_ns() // 10**6, pid=os.getpid(), newest_day=DAY, connected=True)
            screen, process = top(100, 24)
            screen.wait(lambda lines: any(line.startswith("HK.00700") for line in lines), "the table")
            screen.type(b"f")  # the live state gets old meanwhile, which is another finding
            with frozen(disk):
                screen.shows("is frozen (fsfreeze)")
                screen.shows("sudo fsfreeze --unfreeze")  # the rest of the same frame
                assert waiting_below(process.pid) >= 1
                screen.type(b"?")
                screen.shows("end the view; the collector goes on")
                screen.type(b"f")
                for _ in range(4):
                    screen.next_second()
                assert waiting_below(process.pid) <= 2
            screen.wait(lambda lines: "isfrozen" not in squeezed(lines), "the disk answers again")
            screen.type(b"q")
            assert process.wait(60) == 0
        finally:
            file.abandon()


def test_a_terminal_that_reads_nothing_stops_nobody(top: Top, day: DayFile, service: Service) -> None:
    """Ctrl-S, or a connection that hangs: SIGTERM ends it within its second, and the modes are restored."""
    service.tell(**LIVE)
    screen, process = top(250, 60)
    screen.shows("986,543,210")
    screen.type(b"\x13")
    before_s = time.monotonic()
    for size in SIZES:
        screen.resize(*size)
        winch(process.pid)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 128 + signal.SIGTERM
    print(f"ended after {time.monotonic() - before_s:.1f} s")
    import termios

    assert termios.tcgetattr(screen.leader) == screen.modes


def test_words_from_outside_act_on_no_terminal(top: Top, day: DayFile, service: Service) -> None:
    """Escape codes, line breaks, bidi and a second line in OpenD's words and in a symbol: the screen refuses any."""
    day.execute("UPDATE symbols SET symbol = ?, rows = 99999999 WHERE symbol = 'HK.00981'", (HOSTILE,))
    service.tell(
        connected=False, link_reason=HOSTILE, address=HOSTILE, market_state=HOSTILE, instance=HOSTILE,
        link_since_ms=time.time_ns() // 10**6 - 60_000, link_hint=HOSTILE, busiest_symbol=HOSTILE,
        trouble={HOSTILE: HOSTILE}, program=HOSTILE, version=HOSTILE,
    )  # fmt: skip
    screen, process = top(250, 60)
    for keys in (b"s", b"f", b"f", b"/X1B\r\r"):
        screen.type(keys)
        screen.wait(lambda lines: "HKT" in lines[0], "the title")
        lines = screen.next_second()
        assert not any(line.startswith("OK:") for line in lines)
    screen.wait(lambda lines: "\\x1b[2J" in "".join(lines), "the words as text")
    screen.type(b"q")
    assert process.wait(60) == 0
    screen.read_to_end()
    screen.demand_restored()


@pytest.mark.parametrize("lang", ["en", "zh-Hant"])
def test_six_incidents_are_named_on_the_smallest_terminal(
    top: Top, day: DayFile, service: Service, cli: Cli, lang: str
) -> None:
    """Rows 3, 7, 9, 12, 17 and 19 of the fault table at 40×10, one after the other: the cause, and the whole command
    that `status` gives."""
    ago_ms = time.time_ns() // 10**6 - 60_000
    screen, process = top(40, 10, OPERATOR_LANG=lang)
    writer = {"writer_trouble_since_ms": ago_ms, "writer_day": DAY, "waiting": 5_000}
    for told, cause in (
        ({**writer, "writer_trouble": "disk_full"}, ("disk_full", "磁碟已滿")),
        ({**writer, "writer_trouble": "busy", "writer_holder_pid": 1}, ("locked by pid 1", "被 pid 1")),
        (
            {"connected": False, "link_since_ms": ago_ms, "link_reason": "refused", "address": "127.0.0.1:11111"},
            ("refused", "refused"),
        ),
        ({"gaps_lost_lately": 3, "ticks_lost_lately": 1_234, "lost_found_ms": ago_ms}, ("1,234", "1,234")),
        ({"dropped": 9_876, "dropped_lately": 9_876}, ("9876 ticks", "9876 筆")),
        (
            {"trouble": {"kicked_out": "x"}, "trouble_since_ms": {"kicked_out": ago_ms}},
            ("kicked out", "另一終端取得了行情"),
        ),
    ):
        service.tell(**told)
        first = json.loads(cli("status", "--json").stdout)["findings"][0]
        said = cause[lang == "zh-Hant"]
        wanted = {squeezed([said]), squeezed([f"-> {first['remedy']}"])}
        lines = screen.wait(partial(shows_all, wanted), f"{wanted} of {first}")
        assert re.match(r"(CRITICAL|WARNING)( since| seen since|，)", lines[1])
    screen.type(b"q")
    assert process.wait(60) == 0


def test_demo_uses_the_same_view_and_nothing_is_cut_at_80_by_24(top: Top) -> None:
    """Its figures say whether they are of the day or of the run; `q` ends it; the totals follow."""
    screen, process = top(80, 24, "demo", "--symbols", "30", "--rate", "300")
    lines = screen.wait(lambda lines: sum(line.startswith("HK.") for line in lines) > 5, "the symbols")
    assert lines[0].startswith("hk-tick-collector demo")
    starts = [line.split("  ")[0] for line in lines]
    for name in ("now", "OpenD", "of the day", "of the run", "day file"):
        assert starts.count(name) == 1, lines
    assert not any("…" in line for line in lines)
    assert lines[-1].startswith("q quit")
    screen.type(b"q")
    code = process.wait(120)
    screen.read_to_end()
    assert code == 0, screen.printed
    screen.demand_restored()
    assert "simulated ticks pushed" in screen.printed
    assert "sqlite3 -header" in screen.printed


def test_a_terminal_that_cannot_redraw_gets_one_frame(
    on_terminal: Callable[..., tuple[int, str]], day: DayFile
) -> None:
    """TERM=dumb, as in an editor's shell: plain lines, and it ends."""
    code, text = on_terminal("top", TERM="dumb")
    assert code == 0
    assert "no collector is running" in text.replace("\n", " ")
    assert "\33" not in text


def test_a_terminal_of_any_size_does_no_harm(top: Top, day: DayFile, service: Service) -> None:
    """Narrower than 40 columns the left part is shown; one row shows the title; a huge one is filled."""
    service.tell(**LIVE)
    screen, process = top(1, 1)
    for width, height in ((1, 1), (7, 3), (39, 2), (400, 120), (3, 200), (80, 24)):
        screen.resize(width, height)
        winch(process.pid)
        screen.wait(lambda lines: lines[0].startswith("hk-tick-collector top"[: max(1, min(width, 3))]), f"{width}")  # noqa: B023
    screen.shows("986,543,210")


def test_without_keys_signals_end_it(workdir: Path, nursery: Nursery, service: Service) -> None:
    """stdin is no terminal, as in `top < /dev/null`: the last line says so, and Ctrl-C works."""
    with Screen(80, 24) as screen, Path(os.devnull).open("rb") as nothing:
        files = (nothing.fileno(), screen.follower, screen.follower)
        process = nursery.fork(["top"], workdir, files, {**os.environ, "TERM": "xterm"})
        screen.shows("Ctrl-C ends it")
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        screen.read_to_end()
        screen.demand_restored()


def test_without_a_terminal_it_prints_one_frame(cli: Cli, day: DayFile, service: Service) -> None:
    """A pipe gets plain lines of COLUMNS columns, with rates; the exit code is 0 also without a service."""
    done = cli("top")
    assert (done.returncode, done.stderr) == (0, "")
    assert "no collector is running" in done.stdout
    service.tell(**LIVE)
    done = cli("top", COLUMNS="60", OPERATOR_LANG="zh-Hant")
    assert (done.returncode, done.stderr) == (0, "")
    assert "已儲存 986,543,210" in done.stdout
    assert "\33" not in done.stdout
    row = next(line for line in done.stdout.splitlines() if line.startswith("HK.00005"))
    assert row.split()[1:3] == ["388.200", "0.0"]


def test_json_is_one_document(cli: Cli, day: DayFile, service: Service) -> None:
    """Verdict, the run's and the day's figures apart, every symbol with its rate: in English whatever the language."""
    service.tell(**LIVE)
    done = cli("top", "--json", OPERATOR_LANG="zh-Hant")
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(done.stdout)
    assert done.stdout.isascii()
    assert document["verdict"] in document["line"]
    assert document["run"]["stored"] == 986_543_210
    assert document["day"]["day"] == "20261120"
    symbols = {each["symbol"]: each for each in document["symbols"]}
    assert sorted(symbols) == ["HK.00005", "HK.00700", "HK.00981"]
    assert (symbols["HK.00700"]["missing"], symbols["HK.00700"]["rate_per_s"]) == (1, 0.0)


def test_a_warning_about_settings_is_given_once(cli: Cli, day: DayFile, service: Service, workdir: Path) -> None:
    """Not with each reading of the settings."""
    with (workdir / ".env").open("a") as file:
        file.write("TG_TOKEN=1\n")
    service.tell(**LIVE)
    done = cli("top")
    assert done.returncode == 0
    assert [line.partition(":")[0] for line in done.stderr.splitlines()] == ["warning"]


def test_wrong_arguments_are_one_line(cli: Cli, workdir: Path) -> None:
    """Exit code 2; what was wrong and what to do; nothing is drawn."""
    for args in (("top", "--env-file", "none"), ("top", "--colour"), ("top", "HK.00700")):
        done = cli(*args)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), args


def shows_all(wanted: set[str], lines: list[str]) -> bool:
    """Whether a screen has all these texts, wherever its lines are broken."""
    return all(text in squeezed(lines) for text in wanted)


def children(pid: int) -> list[int]:
    """The processes that it started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()]


def waiting_below(pid: int) -> int:
    """How many processes of the reading process wait in the kernel."""
    (observer,) = children(pid)
    return sum(kernel_wait.state(Path(f"/proc/{child}")) == "D" for child in children(observer))


def in_shell(screen: Screen, directory: Path) -> int:
    """An interactive bash with this terminal; its process id."""
    import fcntl
    import termios

    pid = os.fork()
    if pid == 0:
        os.setsid()
        fcntl.ioctl(screen.follower, termios.TIOCSCTTY, 0)
        for number in (0, 1, 2):
            os.dup2(screen.follower, number)
        os.chdir(directory)
        variables = {
            "PS1": "$ ",
            "TERM": "xterm",
            "PATH": os.environ["PATH"],
            "HOME": str(directory),
            "LANG": "C.UTF-8",
        }
        os.execve("/bin/bash", ["bash", "--norc", "--noprofile", "--noediting", "-i"], variables)
    return pid


def wait_for(screen: Screen, text: str) -> None:
    """Reads until the shell has printed this."""
    deadline_s = time.monotonic() + 120
    while text not in screen.printed:
        assert time.monotonic() < deadline_s, screen.printed
        screen.read(0.2)
