"""Checks made only at a start: `run`, `config --check`, `status` and `doctor` give the same setting, value and line."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tests.e2e.conftest import Start

from hk_tick_collector.cli._refused_settings import refusals
from hk_tick_collector.config import load_settings
from hk_tick_collector.ops.doctor.files import Account
from hk_tick_collector.simulator.control import tell

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator

    from tests.nursery import Nursery

    Cli = Callable[..., subprocess.CompletedProcess[str]]
    Ask = Callable[..., str]

CAP_S: Final = 300.0
# A line of .env, with @ for a directory of the test's own, and what is said of it behind its place.
WRONG: Final = [
    ("FUTU_SYMBOLS=", "FUTU_SYMBOLS (from {env}:3) is empty"),
    ("DATA_ROOT=@/none", "DATA_ROOT=@/none (from {env}:3) does not exist"),
    ("DATA_ROOT=@/file", "DATA_ROOT=@/file (from {env}:3) is not a directory"),
    ("SPOOL_DIR=@/file", "SPOOL_DIR=@/file (from {env}:3) is not a directory"),
    ("SPOOL_DIR=@/file/spool", "SPOOL_DIR=@/file/spool (from {env}:3) is below @/file, which is not a directory"),
    ("FUTU_RSA_KEY=@/none", "FUTU_RSA_KEY=@/none (from {env}:3): No such file or directory"),
    ("FUTU_RSA_KEY=@/file", "FUTU_RSA_KEY=@/file (from {env}:3): "),
    ("ALERT_URLS=foo://x", "ALERT_URLS (from {env}:3): URL 1:foo://*** is not supported by Apprise"),
    ("ALERT_URLS=json://h tgramm://1/2", "ALERT_URLS (from {env}:3): URL 2:tgramm://*** is not supported"),
]


@pytest.fixture
def start(workdir: Path, nursery: Nursery) -> Iterator[Start]:
    """Starts collectors and simulators, and ends them with the test."""
    processes = Start(workdir, nursery)
    yield processes
    processes.end()


@pytest.fixture
def ask(cli: Cli) -> Ask:
    """The output of a verb in a directory with a .env."""

    def run(*args: str) -> str:
        done = cli(*args)
        return done.stdout + done.stderr

    return run


@pytest.mark.parametrize(("line", "said"), WRONG, ids=[line for line, _ in WRONG])
def test_every_verb_reports_what_a_start_refuses(cli: Cli, ask: Ask, workdir: Path, line: str, said: str) -> None:
    """`run` refuses it with exit code 2; the others report the same before: setting, value, file and line."""
    (workdir / "HK").mkdir()
    (workdir / "file").write_text("neither a directory nor a key\n")
    given = [f"DATA_ROOT={workdir}/HK", "FUTU_SYMBOLS=HK.00700", line.replace("@", str(workdir))]
    name = line.partition("=")[0]
    lines = ["METRICS_ADDR=" if each.startswith(name + "=") else each for each in given[:2]] + given[2:]
    (workdir / ".env").write_text("\n".join([*lines, "FUTU_PORT=1", ""]))
    words = said.replace("@", str(workdir)).format(env=workdir / ".env")
    done = cli("run")
    assert (done.returncode, done.stderr.count(words)) == (2, 1), done.stderr
    assert f"ERROR: {words}" in ask("config", "--check")
    assert f"cannot start with these settings: {words}" in ask("status").splitlines()[0]
    failures = [each for each in ask("doctor").splitlines() if each.startswith("FAILURE ")]
    assert sum(words in each for each in failures) == 1, failures


@pytest.mark.parametrize("kind", ["pipe", "device", "directory", "large"])
def test_a_key_that_is_no_file_holds_nobody_up(ask: Ask, workdir: Path, kind: str) -> None:
    """A pipe without a writer, a device without an end: one line, at once, and no memory."""
    path = workdir / "key"
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "device":
            path = Path("/dev/zero")
        case "directory":
            path.mkdir()
        case _:
            path.write_bytes(b"x" * (2 << 20))
    (workdir / ".env").write_text(f"DATA_ROOT={workdir}\nFUTU_SYMBOLS=HK.00700\nFUTU_PORT=1\nFUTU_RSA_KEY={path}\n")
    for verb in (["run"], ["status"], ["config", "--check"]):
        assert f"FUTU_RSA_KEY={path} (from {workdir}/.env:4)" in ask(*verb), verb


def test_a_refused_setting_is_reported_before_the_restart(start: Start, ask: Ask, workdir: Path) -> None:
    """With a wrong ALERT_URLS in the file `status` warns while the service still runs, until it is corrected."""
    port = start.simulate(symbols="HK.00700").port
    (workdir / "HK").mkdir()
    text = f"FUTU_SYMBOLS=HK.00700\nDATA_ROOT={workdir}/HK\nFUTU_PORT={port}\nMETRICS_ADDR=\n"
    collector = start.run(port, data_root=workdir / "HK")
    collector.wait_stored(10)
    wrong = f"these settings: ALERT_URLS (from {workdir}/.env:5): URL 1:tgramm://***"
    for url, is_told in (("tgramm://123/456", True), ("json://127.0.0.1", False)):
        (workdir / ".env").write_text(f"{text}ALERT_URLS={url}\n")
        deadline_s = time.monotonic() + CAP_S
        while True:
            document = json.loads(ask("status", "--json"))
            told = [each for each in document["findings"] if each["code"] == "settings" and wrong in each["text"]]
            if bool(told) is is_told and document["live"]["state"] == "running":
                break
            assert time.monotonic() < deadline_s, document["findings"]
            time.sleep(0.1)


def test_kicked_out_has_one_cause_and_remedy(start: Start, ask: Ask, workdir: Path) -> None:
    """`doctor` and `status` agree; after a restart the reason is unknown, and both give the likely one."""
    opend = start.simulate("--control", str(workdir / "control"), symbols="HK.00700")
    (workdir / "HK").mkdir()
    text = f"FUTU_SYMBOLS=HK.00700\nDATA_ROOT={workdir}/HK\nFUTU_PORT={opend.port}\nMETRICS_ADDR=\n"
    (workdir / ".env").write_text(text)
    take_back = "echo request_highest_quote_right | nc -C -q 3 127.0.0.1 22222"

    def both_say(verdict: str, words: str) -> None:
        deadline_s = time.monotonic() + CAP_S
        while verdict not in (line := ask("status").splitlines()[0]):
            assert time.monotonic() < deadline_s, line
            time.sleep(0.1)
        (login,) = [each for each in ask("doctor").splitlines() if each.startswith("FAILURE     login")]
        for said in (line, login):
            assert words in said
            assert take_back in said

    collector = start.run(opend.port, data_root=workdir / "HK")
    collector.wait_stored(10)
    tell(workdir / "control", "kicked-out")
    both_say("kicked out", "kicked out")
    collector.kill()
    start.run(opend.port, data_root=workdir / "HK").wait_for("started")
    both_say("not logged in", "another terminal of this account may have taken the quotes")


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone may read what the service may not")
def test_a_key_that_the_service_may_not_read_is_a_refusal(workdir: Path) -> None:
    """Root can read it, the service's account cannot: reported before the start, with the command that corrects it."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    (workdir / "key.pem").write_bytes(pem)
    (workdir / "key.pem").chmod(0o600)
    (workdir / ".env").write_text(f"DATA_ROOT={workdir}\nFUTU_SYMBOLS=HK.00700\nFUTU_RSA_KEY={workdir}/key.pem\n")
    loaded = load_settings(workdir / ".env", {})
    account = Account("svc", 65534, frozenset({65534}), installed=True)
    found = refusals(loaded, account=account)
    assert list(found) == ["FUTU_RSA_KEY"]
    assert str(found["FUTU_RSA_KEY"]).endswith(f"(from {workdir}/.env:3): svc may not read it")
    assert found["FUTU_RSA_KEY"].hint.startswith(f"sudo chown root:svc {workdir}/key.pem; ")
    os.chown(workdir / "key.pem", 0, 65534)
    (workdir / "key.pem").chmod(0o640)
    assert refusals(loaded, account=account) == {}
