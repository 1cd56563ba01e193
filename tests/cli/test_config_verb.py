"""`config`: what is in force and where it came from, for a person and as JSON; secrets stay secret."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from hk_tick_collector.config import DEFINITIONS

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    Cli = Callable[..., subprocess.CompletedProcess[str]]


def test_the_table_has_every_setting(cli: Cli, workdir: Path) -> None:
    """Name, value, place, default, unit and bounds of every setting, in columns when piped."""
    (workdir / ".env").write_text("MAX_WAIT_MS=50\n")
    done = cli("config", FUTU_PORT="2222")
    assert (done.returncode, done.stderr) == (0, "")
    header, *rows = done.stdout.splitlines()
    assert header.split() == ["setting", "value", "from", "default", "unit", "allowed"]
    assert [row.split()[0] for row in rows] == [setting.name for setting in DEFINITIONS]
    squeezed = [" ".join(row.split()) for row in rows]
    assert "FUTU_PORT 2222 environment 11111 1 to 65535" in squeezed
    assert f"MAX_WAIT_MS 50 {workdir}/.env:1 200 ms 1 to 2147483647" in squeezed


def test_json_is_one_document(cli: Cli, workdir: Path) -> None:
    """Numbers are numbers, lists are lists, and stdout holds nothing else; a warning goes to stderr and into it."""
    done = cli("config", "--json", FUTU_SYMBOLS="HK.00700,HK.00700,HK.00981", METRICS_ADDR="")
    document = json.loads(done.stdout)
    by_name = {setting["name"]: setting for setting in document["settings"]}
    assert document["env_file"] == f"{workdir}/.env"
    assert by_name["FUTU_PORT"]["value"] == 11111
    assert by_name["FUTU_SYMBOLS"]["value"] == ["HK.00700", "HK.00981"]
    assert by_name["METRICS_ADDR"]["value"] is None
    assert by_name["RECONNECT_MAX_DELAY"] == {
        "name": "RECONNECT_MAX_DELAY",
        "value": 1.5,
        "from": "default",
        "default": "1.5",
        "unit": "s",
        "allowed": "0.001 to 31536000",
        "description": "longest wait before connecting again",
    }
    assert len(document["warnings"]) == 1
    assert done.stderr.startswith("warning: FUTU_SYMBOLS names HK.00700")


def test_secrets_are_masked(cli: Cli) -> None:
    """A token of ALERT_URLS appears in no form of the output."""
    for args in (["config"], ["config", "--json"]):
        done = cli(*args, ALERT_URLS="tgram://123:hunter2/chat")
        assert "tgram://***" in done.stdout
        assert "hunter2" not in done.stdout + done.stderr


def test_the_example_starts_a_collector(cli: Cli, workdir: Path) -> None:
    """What `--example` prints is a file that is read without a word, with symbols to collect."""
    (workdir / "new.env").write_text(cli("config", "--example").stdout)
    done = cli("config", "--env-file", "new.env", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    symbols = next(item for item in json.loads(done.stdout)["settings"] if item["name"] == "FUTU_SYMBOLS")
    assert symbols["value"]
    assert symbols["from"].startswith(f"{workdir}/new.env:")
