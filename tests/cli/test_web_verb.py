"""The verb `web`: where it listens, and what it refuses."""

from __future__ import annotations

import json
import socket
import sys
from typing import TYPE_CHECKING

import pytest

from hk_tick_collector.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from subprocess import CompletedProcess


@pytest.mark.parametrize("address", ["0.0.0.0:9110", "[::]:9110", "192.168.1.7:9110", "desk.example:9110"])
def test_an_address_that_others_can_reach_needs_a_token(
    workdir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], address: str
) -> None:
    """From the settings and from the command line: exit code 2, one line, and both ways out."""
    assert main(["web", "--addr", address]) == 2
    monkeypatch.setenv("WEB_ADDR", address)
    assert main(["web"]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert f"--addr {address} can be reached by other hosts, and WEB_TOKEN is empty" in first
    assert f"WEB_ADDR={address} (from environment) can be reached by other hosts" in second
    assert "openssl rand -hex 16" in second
    assert "ssh -L" in second
    assert workdir.exists()


@pytest.mark.usefixtures("workdir")
@pytest.mark.parametrize("address", ["9110", "localhost", "127.0.0.1:99999", "http://127.0.0.1:9110", ""])
def test_an_address_that_is_none_is_a_usage_error(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With an example of a right one."""
    assert main(["web", "--addr", address]) == 2
    assert "write it like 127.0.0.1:9110" in capsys.readouterr().err


@pytest.mark.usefixtures("workdir")
@pytest.mark.parametrize("token", ["short", "with a blank in it", "中文" * 10, "x" * 129])
def test_a_token_that_is_none_is_not_shown(
    token: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The settings are refused with what is allowed; the value stays secret."""
    monkeypatch.setenv("WEB_TOKEN", token)
    assert main(["web"]) == 2
    said = capsys.readouterr().err
    assert "16 to 128 ASCII characters" in said
    assert token not in said


def test_a_port_that_is_taken_is_one_line(cli: Callable[..., CompletedProcess[str]]) -> None:
    """And the command that names its owner."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = cli("web", "--addr", f"127.0.0.1:{port}")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert f"cannot listen on 127.0.0.1:{port} (Address already in use)" in done.stderr
    assert f"sudo ss -ltnp 'sport = :{port}'" in done.stderr


@pytest.mark.usefixtures("workdir")
@pytest.mark.parametrize("package", ["jinja2", "starlette", "uvicorn"])
def test_without_its_packages_it_says_how_to_install_them(
    package: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line, no traceback."""
    monkeypatch.setitem(sys.modules, package, None)
    assert main(["web"]) == 1
    assert capsys.readouterr().err.endswith(f"{package} is not installed: pip install 'hk-tick-collector[web]'\n")


@pytest.mark.usefixtures("workdir")
def test_config_masks_the_token(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody sees it over a shoulder, in any form."""
    monkeypatch.setenv("WEB_TOKEN", "correct-horse-battery")
    for args in (["config"], ["config", "--json"]):
        assert main(args) == 0
        said = capsys.readouterr().out
        assert "correct-horse" not in said
        assert "***" in said
    assert json.loads(said)
