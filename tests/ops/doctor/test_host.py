"""Checks of `doctor` that concern this host: which version runs and which is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hk_tick_collector.ops.doctor import host
from hk_tick_collector.ops.doctor.result import Outcome

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_a_version_that_was_installed_and_not_started_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As after an upgrade that was killed between the two: with the command that ends it."""
    monkeypatch.setattr(host, "INSTALLED", tmp_path)
    assert host.check_version("1.0", "1.0").outcome is Outcome.OK
    assert host.check_version("", "1.0").outcome is Outcome.OK
    differs = host.check_version("0.9", "1.0")
    assert differs.outcome is Outcome.WARNING
    assert "0.9 runs and 1.0 is installed" in differs.text
    (tmp_path / ".upgrade").touch()
    interrupted = host.check_version("0.9", "1.0")
    assert interrupted.outcome is Outcome.FAILURE
    assert "interrupted" in interrupted.text
    assert interrupted.remedy.endswith("--upgrade")
