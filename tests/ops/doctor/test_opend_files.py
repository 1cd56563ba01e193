"""OpenD's program and the login's device file, as `doctor` reports them."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING

import pytest

from hk_tick_collector.ops.doctor.opend_files import check_opend_files
from hk_tick_collector.ops.doctor.result import Outcome

if TYPE_CHECKING:
    from pathlib import Path

DEVICE = ".com.futunn.FutuOpenD/F3CNN/Device.dat"


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """An OpenD at a predecessor's usual place."""
    program = tmp_path / "opend/FutuOpenD"
    program.parent.mkdir()
    program.touch(0o755)
    return program


def unit(program: Path, home: Path) -> dict[str, str]:
    """systemd's properties of the unit that starts it."""
    said = f"{{ path={program} ; argv[]={program} -no_monitor=1 ; ignore_errors=no ; pid=7 }}"
    return {"ExecStart": said, "User": getpass.getuser(), "Environment": f"A=b HOME=/nowhere HOME={home}"}


def test_program_account_and_device_file_are_named(program: Path, tmp_path: Path) -> None:
    """So that an operator who moves or deletes files knows which ones must stay."""
    device = tmp_path / "home" / DEVICE
    device.parent.mkdir(parents=True)
    device.touch()
    check = check_opend_files(unit(program, tmp_path / "home"))
    assert check.outcome is Outcome.OK
    assert f"{program} runs as {getpass.getuser()}, the login's device file is {device}" in check.text


def test_a_login_that_will_ask_for_a_code_is_told(program: Path, tmp_path: Path) -> None:
    """No device file in the home of the unit's account."""
    check = check_opend_files(unit(program, tmp_path))
    assert f"no device file at {tmp_path / DEVICE}: the next login asks for an SMS code" in check.text


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    """With the file in which its path is set."""
    check = check_opend_files(unit(tmp_path / "gone", tmp_path))
    assert check.outcome is Outcome.WARNING
    assert f"futu-opend.service starts {tmp_path / 'gone'}, which does not exist" in check.text
    assert "/etc/default/futu-opend" in check.remedy
