"""Signals, standard streams, limits of the process: rows are flushed, or the problem is reported; no abort."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from hk_tick_collector.cli import VERBS
from hk_tick_collector.ops.findings.health import Limits, check
from hk_tick_collector.ops.live.status import STATUS_NAME, read_status

from .conftest import CAP_S, PROGRAM, wait_until

if TYPE_CHECKING:
    from .conftest import Collector, Start

LIMITS: Final = Limits(drift_warn_s=2.0, lag_critical_s=300.0, disk_min_free_mb=0, queue_warn_rows=50_000)
NO_COPY: Final = {"MAX_WAIT_MS": "5000", "BATCH_ROWS": "100000"}  # so long ticks wait for company: they are in memory


def closed(*redirections: str) -> tuple[str, ...]:
    """Runs a command with closed streams, as some supervisors do."""
    return ("bash", "-c", f'exec "$@" {" ".join(redirections)}', "bash")


# stderr is a full pipe without an active reader, like that of a supervisor that hangs.
UNREAD: Final = (
    sys.executable,
    "-c",
    (
        "import fcntl, os, sys; r, w = os.pipe(); os.set_inheritable(r, True);"
        " os.write(w, bytes(fcntl.fcntl(w, fcntl.F_GETPIPE_SZ))); os.dup2(w, 2); os.execvp(sys.argv[1], sys.argv[1:])"
    ),
)


def finding_of(collector: Collector, code: str) -> bool:
    """Whether `status` has this finding."""
    status = read_status(collector.data_root / STATUS_NAME)
    return status is not None and code in {each.code for each in check(status, status.written_ms, LIMITS)}


# --- signals ---


def test_a_terminal_that_is_closed_loses_no_tick(start: Start) -> None:
    """SIGHUP flushes like SIGTERM: waiting rows are in the day file, and the last line says so."""
    opend = start.simulate("--rate", "200")
    collector = start.run(opend.port, NO_COPY)
    collector.wait_for("subscribed")
    status = collector.data_root / STATUS_NAME
    wait_until(lambda: (now := read_status(status)) is not None and now.received > 50, "ticks received")
    collector.signal(signal.SIGHUP)
    assert collector.finish() == 0
    told = collector.shutdown()
    assert (told["reason"], told["left_rows"]) == ("signal", "0")
    assert int(told["stored"]) + int(told["duplicate"]) == int(told["received"]) > 50
    assert collector.wait_for("signal").fields["name"] == "SIGHUP"


def test_a_log_that_is_not_read_stops_nothing(start: Start) -> None:
    """Ticks are stored while no line can be written, and SIGTERM works."""
    opend = start.simulate("--rate", "200")
    collector = start.run(opend.port, {"HEALTH_INTERVAL_SEC": "1"}, wrapper=UNREAD)
    status = collector.data_root / STATUS_NAME
    wait_until(lambda: (now := read_status(status)) is not None and now.stored > 500, "ticks stored")
    collector.signal(signal.SIGTERM)
    assert collector.finish() == 0
    told = read_status(status)
    assert told is not None
    assert (told.state, told.waiting) == ("stopped", 0)


@pytest.mark.parametrize("redirections", [("2>/dev/full",), (">/dev/full", "2>/dev/full"), ("2>", ">(exec true)")])
def test_a_log_that_cannot_be_written_is_no_failure(start: Start, redirections: tuple[str, ...]) -> None:
    """On a full disk, or without a reader, a clean stop still has exit code 0."""
    opend = start.simulate("--rate", "200")
    collector = start.run(opend.port, wrapper=closed(*redirections))
    status = collector.data_root / STATUS_NAME
    wait_until(lambda: (now := read_status(status)) is not None and now.stored > 100, "ticks stored")
    collector.signal(signal.SIGTERM)
    assert collector.finish() == 0


def test_nohup_is_respected(start: Start, free_port: int) -> None:
    """Started with nohup, it continues when the terminal is closed."""
    collector = start.run(free_port, wrapper=("nohup",))
    collector.wait_for("health")
    collector.signal(signal.SIGHUP)
    collector.wait_for("health", count=len(collector.events("health")) + 2)
    assert collector.stop() == 0
    assert [event.fields["name"] for event in collector.events("signal")] == ["SIGTERM"]


def test_a_hangup_ends_the_simulator_cleanly(start: Start) -> None:
    """Its last line is there, and its exit code is 0."""
    opend = start.simulate("--rate", "100")
    opend.signal(signal.SIGHUP)
    assert opend.finish() == 0
    assert opend.events("simulator_stopped")


# --- standard streams ---


@pytest.mark.parametrize("redirections", [(">&-",), ("<&-",), ("2>&-",), ("<&-", ">&-", "2>&-")])
def test_closed_streams_are_no_reason_to_abort(start: Start, redirections: tuple[str, ...]) -> None:
    """The service collects and stops as usual; no socket of its own takes a stream's descriptor."""
    opend = start.simulate("--rate", "200")
    collector = start.run(opend.port, wrapper=closed(*redirections))
    collector.wait_stored(50)
    for number in range(3):
        assert "socket" not in str(Path(f"/proc/{collector.pid}/fd/{number}").readlink())
    assert collector.stop() == 0
    assert "Traceback" not in collector.output


@pytest.mark.parametrize("arguments", [("--version",), ("--help",), *((verb, "--help") for verb in VERBS)])
def test_every_verb_works_without_standard_output(arguments: tuple[str, ...]) -> None:
    """There is no reader, so there is no output; that is no failure and no traceback."""
    command = [*closed("<&-", ">&-"), *PROGRAM, *arguments]
    done = subprocess.run(command, check=False, stderr=subprocess.PIPE, text=True, timeout=CAP_S)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_error_without_standard_error_keeps_its_exit_code() -> None:
    """Wrong usage is 2, also if its line cannot be printed."""
    done = subprocess.run([*closed("2>&-"), *PROGRAM, "nonsense"], check=False, capture_output=True, timeout=CAP_S)
    assert (done.returncode, done.stdout) == (2, b"")


# --- limits ---


def test_a_limit_of_file_size_is_named(start: Start) -> None:
    """RLIMIT_FSIZE: rows are kept while it applies, stored when it is lifted; `status` reports it."""
    opend = start.simulate("--rate", "500", "--wait")
    collector = start.run(opend.port, {"HEALTH_INTERVAL_SEC": "3600"})  # its log is a file with the same limit
    collector.wait_stored(50)
    before = resource.prlimit(collector.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(collector.pid, resource.RLIMIT_FSIZE, (4096, before[1]))
    assert collector.wait_for("persist_failed").fields["cause"] == "file_size_limit"
    # The live state is a file as well, small enough to be written.
    resource.prlimit(collector.pid, resource.RLIMIT_FSIZE, (30_000, before[1]))
    wait_until(lambda: finding_of(collector, "writer_file_size_limit"), lambda: collector.output)
    assert collector.alive
    resource.prlimit(collector.pid, resource.RLIMIT_FSIZE, before)
    collector.wait_for("writer_recovered", cause="file_size_limit")
    collector.read_all_from(opend)
    assert collector.stop() == 0
    told = collector.shutdown()
    assert int(told["stored"]) + int(told["duplicate"]) == int(told["received"])
    assert {tick.seq for tick in collector.ticks()} == {tick.seq for tick in opend.truth()}


@pytest.mark.parametrize("limit", [6, 10, 15])
def test_too_few_descriptors_are_named_at_the_start(start: Start, free_port: int, limit: int) -> None:
    """With fewer descriptors than the event loop needs, the start is refused in one line; libuv would abort."""
    collector = start.run(free_port, wrapper=("prlimit", f"--nofile={limit}:{limit}"))
    assert collector.finish() == 1
    assert f"only {limit} open files are allowed" in collector.output
    assert "Traceback" not in collector.output


@pytest.mark.parametrize("limit_mb", [40, 60, 75, 100, 140])
def test_too_little_memory_is_named_at_the_start(start: Start, free_port: int, limit_mb: int) -> None:
    """With too little memory for the first threads, the start is refused in one line."""
    limit = limit_mb << 20
    collector = start.run(free_port, wrapper=("prlimit", f"--as={limit}:{limit}"))
    assert collector.finish() == 1
    assert f"the memory limit of {limit_mb} MB" in collector.output
    assert "Traceback" not in collector.output


def test_a_memory_limit_stops_the_service_in_time(start: Start) -> None:
    """RLIMIT_AS nearly met: named, everything that is held on the disk, exit code 1 for systemd; no abort."""
    opend = start.simulate("--rate", "50")
    collector = start.run(opend.port)
    collector.wait_stored(20)
    pages = int(Path(f"/proc/{collector.pid}/statm").read_text("ascii").split()[0])
    limit = pages * resource.getpagesize() + 2 * 2**20
    resource.prlimit(collector.pid, resource.RLIMIT_AS, (limit, limit))
    assert collector.finish() == 1
    assert "memory" in collector.wait_for("stopping").fields["cause"]
    told = collector.shutdown()
    assert (told["reason"], told["lost_rows"]) == ("failure", "0")
