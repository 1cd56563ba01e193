"""Which of several live states of `publish` and `merge` counts, on real files."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

import pytest
from tests.ops.conftest import NOW_MS

from hk_tick_collector.ops.live import stream_states
from hk_tick_collector.ops.live.publish_state import PUBLISH_NAME, PublishState
from hk_tick_collector.ops.live.stream_states import read_stream_states

if TYPE_CHECKING:
    from pathlib import Path

HOUR_MS: Final = 3_600_000


@pytest.mark.parametrize(("older", "newer"), [("run", "root"), ("root", "run")])
def test_the_newer_live_state_of_publish_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, older: str, newer: str
) -> None:
    """In the directory that systemd makes, or in DATA_ROOT, where one that was run by hand leaves its own."""
    monkeypatch.setattr(stream_states, "PUBLISH_DIRECTORY", tmp_path / "run")
    monkeypatch.setattr(stream_states, "MERGE_DIRECTORY", tmp_path / "none")
    root = str(tmp_path / "root")
    for name, written_ms in ((older, NOW_MS - HOUR_MS), (newer, NOW_MS - 900)):
        (tmp_path / name).mkdir()
        state = PublishState(written_ms, NOW_MS, 1, "1", "one", root, "publishing")
        (tmp_path / name / PUBLISH_NAME).write_text(json.dumps(asdict(state)))
    found = read_stream_states(root, NOW_MS)
    assert found.publish is not None
    assert (found.publish.written_ms, found.merge) == (NOW_MS - 900, None)
