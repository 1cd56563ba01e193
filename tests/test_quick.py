"""`pytest --quick` on tests of a small project: what it skips, what it remembers, and when it tries again."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

_CONFTEST = """
from tests import quick
pytest_addoption = quick.add_options
pytest_configure = quick.configure
"""
_MIXED = """
import asyncio, subprocess, sys, threading, time
from pathlib import Path

# Many short waits: on a loaded machine one wait can be over before its thread has a core to begin it with.
STEPS = [0.03] * 50

def test_quick():
    pass

def test_wrong():
    assert Path("mended").exists()

def test_sleeps():
    time.sleep(60)

def test_starts_a_process():
    subprocess.run([sys.executable, "-c", "print()"], check=True)

def test_starts_a_process_in_vain():
    try:
        subprocess.run([sys.executable, "-c", "print()"], check=True)
    except BaseException:
        raise AssertionError("hidden by the test itself") from None

def test_waits_for_a_thread():
    for step_s in STEPS:
        asked = threading.Event()
        threading.Timer(step_s, asked.set).start()
        assert asked.wait(60)

def test_waits_in_a_loop():
    async def wait():
        for step_s in STEPS:
            await asyncio.sleep(step_s)

    asyncio.run(wait())
"""
_SLOW = """
import time
from pathlib import Path

Path("imported").write_text(Path("imported").read_text() + "x" if Path("imported").exists() else "x")

def test_sleeps():
    time.sleep(60)
"""
_PROPERTY = """
from hypothesis import given, strategies as st

tried = []

@given(st.integers())
def test_a_property(number):
    tried.append(number)

def teardown_module():
    with open("tried", "a") as file:
        file.write(" ".join(map(str, tried)) + "|")
"""


_SHARED = """
import subprocess, sys
import pytest

@pytest.fixture(scope="session")
def process():
    subprocess.run([sys.executable, "-c", "print()"], check=True)

def test_first(process):
    pass

def test_second(process):
    pass
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """One test is quick, one fails, and the others wait or start a process."""
    (tmp_path / "conftest.py").write_text(_CONFTEST, "utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\n", "utf-8")
    (tmp_path / "test_mixed.py").write_text(_MIXED, "utf-8")
    (tmp_path / "test_slow.py").write_text(_SLOW, "utf-8")
    return tmp_path


def counts(project: Path, *options: str) -> dict[str, int]:
    """The counts of a run's last line: passed, failed, skipped, deselected."""
    # On a loaded machine the report of a failure may take more than the CPU time of a quick test.
    command = [sys.executable, "-m", "pytest", "-p", "no:xdist", "-q", "--work", "5", *options]
    done = subprocess.run(
        command, cwd=project, env={"PYTHONPATH": str(ROOT), "PATH": ""}, capture_output=True, text=True, check=False
    )
    last = done.stdout.strip().splitlines()[-1]
    return {what: int(number) for number, what in re.findall(r"(\d+) (passed|failed|skipped|deselected)", last)}


def test_a_test_that_waits_is_skipped_and_not_run_again(project: Path) -> None:
    """A test that turns the interruption into its own failure is skipped too; one that really fails stays a failure."""
    assert counts(project, "--quick") == {"passed": 3, "failed": 1, "skipped": 4}  # two of them waited, seen at the end
    (project / "mended").touch()
    assert counts(project, "--quick") == {"passed": 2, "deselected": 5}
    assert (project / "imported").read_text("utf-8") == "x"  # a file without a quick test is not even imported


def test_a_fixture_that_starts_a_process_skips_each_of_its_tests(project: Path) -> None:
    """pytest asks a fixture of the whole run once: those that come later are left for its sake too."""
    (project / "test_mixed.py").unlink()
    (project / "test_slow.py").write_text(_SHARED, "utf-8")
    assert counts(project, "--quick") == {"skipped": 2}
    (project / "test_mixed.py").write_text("def test_quick(): pass\n", "utf-8")
    assert counts(project, "--quick") == {"passed": 1}


def test_a_changed_file_is_tried_again(project: Path) -> None:
    """The changed test may not sleep any more."""
    counts(project, "--quick")
    (project / "test_slow.py").write_text("def test_sleeps(): pass\n", "utf-8")
    (project / "mended").touch()
    assert counts(project, "--quick") == {"passed": 3, "deselected": 5}


def test_a_run_of_one_test_says_nothing_about_the_rest_of_its_file(project: Path) -> None:
    """After a run of one slow test alone, the quick tests of its file are still run."""
    (project / "mended").touch()
    assert counts(project, "--quick", "test_mixed.py::test_sleeps") == {"skipped": 1}
    assert counts(project, "--quick", "test_mixed.py")["passed"] == 4


def test_as_known_interrupts_no_test(project: Path) -> None:
    """For mutants: a mutant that makes a quick test sleep must be caught, not skipped."""
    (project / "mended").touch()
    counts(project, "--quick")
    assert counts(project, "--quick-as-known") == {"passed": 2, "deselected": 5}
    (project / "test_mixed.py").write_text("import time\ndef test_quick(): time.sleep(0.3)\n", "utf-8")
    assert counts(project, "--quick-as-known") == {"passed": 1}
    assert counts(project, "--quick-as-known") == {"passed": 1}


def test_a_longer_patience_is_remembered_separately(project: Path) -> None:
    """For mutants: tests that wait for a thread take part there, and `make quick` still leaves them."""
    (project / "mended").touch()
    counts(project, "--quick")
    patient = ("--patience=30",)
    assert counts(project, "--quick", *patient) == {"passed": 4, "skipped": 4}
    assert counts(project, "--quick-as-known", *patient) == {"passed": 4, "deselected": 3}
    assert counts(project, "--quick-as-known") == {"passed": 2, "deselected": 5}


def test_two_parts_have_each_file_once(project: Path) -> None:
    """Two processes share the files, also those that they skip, and remember what they saw apart."""
    (project / "mended").touch()
    for number in range(4):
        (project / f"test_more_{number}.py").write_text("def test_one():\n    pass\n", "utf-8")
    parts = [counts(project, "--quick", "--part", f"{part}/2") for part in (1, 2)]
    assert sum(part.get("passed", 0) for part in parts) == 8  # two of them waited, seen at the end
    assert all(part.get("passed", 0) for part in parts)
    parts = [counts(project, "--quick", "--part", f"{part}/2") for part in (1, 2)]
    assert sum(part.get("passed", 0) for part in parts) == 6
    assert sum(part.get("skipped", 0) for part in parts) == 0


@pytest.mark.parametrize("part", ["0/2", "3/2", "2", "a/b"])
def test_a_wrong_part_is_refused_with_one_line(project: Path, part: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--quick", "--part", part], cwd=project, capture_output=True, text=True,
        check=False, env={"PYTHONPATH": str(ROOT), "PATH": ""},
    )  # fmt: skip
    assert done.returncode == 4
    assert f"--part {part}: give a part and their number, like 1/2" in done.stderr


def test_the_same_examples_are_tried_in_each_run(project: Path) -> None:
    """For mutants: one that a property noticed is noticed in the next run too."""
    (project / "test_mixed.py").write_text(_PROPERTY, "utf-8")
    (project / "test_slow.py").unlink()
    for options in (("--quick",), ("--quick-as-known",), ("--quick-as-known",)):
        assert counts(project, *options, "--same-examples") == {"passed": 1}
    runs = (project / "tried").read_text("utf-8").split("|")
    assert runs[0] == runs[1] == runs[2] != ""
    assert len(runs[0].split()) == 10
