"""The verbs' output in Chinese; output for scripts stays English."""

from __future__ import annotations

import json
import re
import socket
from typing import TYPE_CHECKING

import pytest

from hk_tick_collector.cli import main
from hk_tick_collector.ops.findings.registry import REGISTRY

if TYPE_CHECKING:
    from pathlib import Path

HAN = re.compile(r"[\u4e00-\u9fff]")


@pytest.fixture
def env_file(tmp_path: Path) -> Path:
    """Settings with which nothing works, so that every verb reports something."""
    (tmp_path / "data").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    path = tmp_path / "settings"
    path.write_text(f"DATA_ROOT={tmp_path / 'data'}\nFUTU_PORT={port}\nOPERATOR_LANG=zh-Hant\nFUTU_SYMBOLS=HK.00700\n")
    return path


@pytest.mark.parametrize("verb", ["status", "doctor", "report"])
def test_a_verb_speaks_chinese(verb: str, env_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The first word of a line, a severity or an outcome, stays English: documents and scripts use it."""
    main([verb, "--env-file", str(env_file)])
    lines = capsys.readouterr().out.splitlines()
    assert sum(bool(HAN.search(line)) for line in lines) > len(lines) * 0.7, lines
    assert any(re.match(r"(OK|WARNING|CRITICAL|FAILURE|NOT CHECKED)\b", line) for line in lines)


@pytest.mark.parametrize("verb", ["status", "top", "doctor", "report"])
def test_json_stays_english(verb: str, env_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """JSON is always English and ASCII."""
    main([verb, "--json", "--env-file", str(env_file)])
    text = capsys.readouterr().out
    assert not HAN.search(json.dumps(json.loads(text), ensure_ascii=False))


def test_every_name_is_explained_in_chinese(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`logs --explain all`: meaning and remedy of each, without Markdown marks."""
    monkeypatch.setenv("OPERATOR_LANG", "zh-Hant")
    assert main(["logs", "--explain", "all"]) == 0
    lines = capsys.readouterr().out.splitlines()
    explained = {line.partition(" ")[0] for line in lines if " (finding): " in line}
    assert explained == {spec.code for spec in REGISTRY}
    assert not [line for line in lines if "`" in line]
    assert not [line for line in lines if not line.startswith("  ") and not HAN.search(line)]
