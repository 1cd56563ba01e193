"""The verbs' output in Chinese; output for scripts stays English."""

from __future__ import annotations

import contextlib
import json
import re
import socket
from typing import TYPE_CHECKING

import pytest
from tests.others_lock import in_transaction
from tests.predecessor_files import write_file

from hk_tick_collector import market
from hk_tick_collector.cli import main
from hk_tick_collector.clock import now_ms
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


ODD = {
    "export": ("export BATCH_ROWS=5", "export 只用於 shell"),
    "quotes": ("BATCH_ROWS='5'", "的值以引號開始"),
    "blanks": ("BATCH_ROWS = 5", "= 前有空格"),
    "number": ("BATCH_ROWS=many", "BATCH_ROWS=many（"),
    "unknown": ("FUTU_NOTHING=1", "不明的設定 FUTU_NOTHING"),
    "two": ("BATCH_ROWS=many\nexport A=1", "2 項設定有錯"),
    "bytes": ("# \udca4\udca4", "有非 UTF-8 的位元組"),
    "rsa": ("FUTU_RSA_KEY=/no/key", "指定 OpenD 所用的 PEM 檔"),
    "spool": ("SPOOL_DIR=/etc/passwd/x", "/etc/passwd 不是目錄"),
}


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("verb", ["status", "doctor"])
def test_a_refused_setting_is_told_in_chinese(
    verb: str, odd: str, env_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Cause and remedy are in the operator's language, not only the words around them."""
    line, says = ODD[odd]
    with env_file.open("a", encoding="utf-8", errors="surrogateescape") as file:
        file.write(f"{line}\n")
    main([verb, "--env-file", str(env_file)])
    out = capsys.readouterr().out
    assert says in out, out


@pytest.mark.parametrize("verb", ["status", "doctor"])
@pytest.mark.parametrize("what", ["predecessor", "status.json", "directory", "no SQLite", "locked"])
def test_a_file_in_the_way_is_told_in_chinese(
    verb: str, what: str, env_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The predecessor's day file, a live state that cannot be read, what is no day file, and who locks one."""
    root = env_file.parent / "data"
    path = root / f"{market.day_name(market.day_number(now_ms()))}.db"
    with contextlib.ExitStack() as stack:
        match what:
            case "predecessor":
                write_file(path, [])
            case "status.json":
                path = root / "status.json"
                path.write_text("{}")
            case "directory":
                path.mkdir()
            case "no SQLite":
                path.write_bytes(b"x" * 5000)
            case _:
                write_file(path, [])
                stack.enter_context(in_transaction(path, "PRAGMA journal_mode = DELETE;", "BEGIN EXCLUSIVE;"))
        main([verb, "--env-file", str(env_file)])
    told = [line for line in capsys.readouterr().out.splitlines() if str(path) in line.partition(" -> ")[0]]
    assert told or (what, verb) == ("status.json", "doctor")
    for line in told:
        assert not re.search(r"\b(is|are|not|stays|cannot|of the|service)\b", line.partition(" -> ")[0]), line


def test_the_predecessors_settings_are_told_in_chinese(env_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What became of each, the Telegram settings, and a bad symbol."""
    with env_file.open("a") as file:
        file.write("FUTU_POLL_ENABLED=1\nBATCH_SIZE=5\nTG_TOKEN=1:a\nTG_CHAT_ID=2\nHEALTH_INTERVAL_SEC=900\n")
    text = env_file.read_text().replace("FUTU_SYMBOLS=HK.00700", "FUTU_SYMBOLS=HK.00700,981")
    env_file.write_text(text)
    main(["doctor", "--env-file", str(env_file)])
    out = capsys.readouterr().out
    for words in ("不會發出任何告警", "改用 BATCH_ROWS", "按每隻股票的序列", "兩則訊息的間隔", "'981' 不是有效的股票"):
        assert words in out, out
    for words in ("not needed", "they do nothing", "the predecessor's", "did you mean"):
        assert words not in out, out


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
