"""Checks of `doctor` on this host: the running and the installed version."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.others import open_to_others
from tests.predecessor_files import write_file

from hk_tick_collector.cli import doctor
from hk_tick_collector.config import Settings
from hk_tick_collector.ops.doctor import files, host
from hk_tick_collector.ops.doctor.result import Outcome
from hk_tick_collector.ops.live import systemd_unit

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_a_version_that_was_installed_and_not_started_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """After an upgrade that was killed in between: with the command that completes it."""
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


def test_before_the_takeover_nobody_is_told_to_take_the_data_away(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Until the restart the files belong to another program: the remedy is the restart, not chown or import."""
    drop_in, root = tmp_path / "take-over.conf", tmp_path / "HK"
    root.mkdir(mode=0o755)
    open_to_others(root)
    write_file(root / "20261119.db", [])
    monkeypatch.setattr(systemd_unit, "TAKE_OVER", drop_in)
    settings = Settings.model_validate({"data_root": root})
    stranger = files.Account("hkcollector", 54_321, frozenset({54_321}), installed=True)
    told = list(doctor._check_data(settings, stranger, {}))  # noqa: SLF001 - the verb needs a host with the account
    assert [any(word in check.remedy for check in told) for word in ("chown", " import ")] == [True, True], told
    drop_in.touch()
    told = list(doctor._check_data(settings, stranger, {}))  # noqa: SLF001
    assert (told[0].name, told[0].remedy) == ("takeover", "sudo systemctl restart hk-tick-collector")
    assert all(check.outcome is not Outcome.FAILURE for check in told)
    assert not any("chown" in check.remedy or " import " in check.remedy for check in told)
