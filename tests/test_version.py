"""The version of a tree, from git's tags: real checkouts, archives and copies, each with its own tools/version.py."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PARTS = ("tools/version.py", "src/hk_tick_collector/__init__.py", ".gitattributes", ".git_archival.txt")


def git(place: Path, *arguments: str) -> str:
    """Runs git in a checkout of the test's account, with no other configuration of the machine."""
    ours = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    who = ["-c", "user.name=A Test", "-c", "user.email=test@example.org"]
    done = subprocess.run(
        ["git", *who, *arguments], cwd=place, env={**os.environ, **ours}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def version(place: Path, **environ: str) -> str:
    """What the tree's tools/version.py prints."""
    command = [sys.executable, "-I", str(place / "tools/version.py")]
    environ = {**os.environ, **environ}
    return subprocess.run(command, cwd="/", env=environ, capture_output=True, text=True, check=True).stdout.strip()


def commit(place: Path) -> str:
    """Makes one more commit; returns its short name."""
    git(place, "commit", "--quiet", "--allow-empty", "--message", "a change")
    return git(place, "rev-parse", "--short", "HEAD")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the files that a version is made from, without git; the next version is 0.3.0."""
    place = tmp_path / "copy"
    for part in PARTS:
        (place / part).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / part, place / part)
    init = place / "src/hk_tick_collector/__init__.py"
    init.write_text(re.sub(r'(?m)^NEXT_VERSION = ".*"$', 'NEXT_VERSION = "0.3.0"', init.read_text("utf-8")), "utf-8")
    return place


@pytest.fixture
def checkout(copy: Path) -> Path:
    """That copy as a git repository with one commit and no tag."""
    git(copy, "init", "--quiet")
    git(copy, "add", ".")
    commit(copy)
    return copy


def test_a_tag_is_the_version(checkout: Path) -> None:
    """The tag decides, not NEXT_VERSION; tags that are not names of releases do not count."""
    git(checkout, "tag", "v0.2.0")
    git(checkout, "tag", "--annotate", "--message", "tried", "before-the-move")
    assert version(checkout) == "0.2.0"


def test_after_a_tag_it_is_a_development_version_of_the_next_release(checkout: Path) -> None:
    """Of the next patch, or of NEXT_VERSION if that is higher; with the commit, and whether files were changed."""
    git(checkout, "tag", "v0.2.0")
    name = commit(checkout)
    assert version(checkout) == f"0.3.0.dev1+g{name}"
    git(checkout, "tag", "v0.3.0")
    assert version(checkout) == "0.3.0"
    name = commit(checkout)
    assert version(checkout) == f"0.3.1.dev1+g{name}"
    (checkout / "src/hk_tick_collector/__init__.py").write_text('NEXT_VERSION = "1.0.0"\n', "utf-8")
    assert version(checkout) == f"1.0.0.dev1+g{name}.dirty"


def test_a_changed_tree_is_not_the_release(checkout: Path) -> None:
    """Its version differs from that of the tag."""
    git(checkout, "tag", "v0.3.0")
    (checkout / ".gitattributes").write_text("# changed\n", "utf-8")
    assert version(checkout) == "0.3.1.dev0+dirty"


def test_without_a_tag_the_commits_are_counted(checkout: Path) -> None:
    """A plain clone, also a shallow one, has no tags."""
    name = commit(checkout)
    assert version(checkout) == f"0.3.0.dev2+g{name}"


def test_a_copy_without_git_has_the_next_version(copy: Path) -> None:
    """The installer's copy, for example; also if it lies inside a checkout of another project."""
    assert version(copy) == "0.3.0"
    git(copy.parent, "init", "--quiet")
    commit(copy.parent)
    git(copy.parent, "tag", "v7.0.0")
    assert version(copy) == "0.3.0"


def test_a_checkout_on_a_host_without_git(checkout: Path) -> None:
    """It is not refused: it has the version of a copy."""
    git(checkout, "tag", "v0.2.0")
    assert version(checkout, PATH="/nowhere") == "0.3.0"


def test_variables_of_a_git_hook_are_ignored(checkout: Path, tmp_path: Path) -> None:
    """git sets GIT_DIR for its hooks; the version still comes from this tree."""
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "--quiet")
    commit(other)
    git(other, "tag", "v9.0.0")
    git(checkout, "tag", "v0.2.0")
    assert version(checkout, GIT_DIR=str(other / ".git")) == "0.2.0"


@pytest.mark.skipif(os.getuid() != 0, reason="only root may give a checkout to another account")
def test_root_in_the_checkout_of_another_account(checkout: Path) -> None:
    """The installer: git refuses such a checkout by default, and the version would depend on the account."""
    git(checkout, "tag", "v0.2.0")
    for each in [checkout, *checkout.rglob("*")]:
        os.chown(each, 65534, 65534)
    assert version(checkout) == "0.2.0"


def test_an_archive_knows_its_version(checkout: Path, tmp_path: Path) -> None:
    """The output of `git archive`, or a forge's download of a tag, has no .git but is no plain copy."""
    git(checkout, "tag", "v0.2.0")
    git(checkout, "archive", "--output", str(tmp_path / "tagged.tar"), "HEAD")
    name = commit(checkout)
    git(checkout, "archive", "--output", str(tmp_path / "later.tar"), "HEAD")
    for archive, wanted in (("tagged", "0.2.0"), ("later", f"0.3.0.dev1+g{name}")):
        (tmp_path / archive).mkdir()
        subprocess.run(["tar", "-xf", f"../{archive}.tar"], cwd=tmp_path / archive, check=True)
        assert version(tmp_path / archive) == wanted


def test_an_sdist_keeps_its_version(copy: Path) -> None:
    """A wheel is built from it with the same version, also inside a checkout."""
    (copy / "PKG-INFO").write_text("Metadata-Version: 2.4\nName: hk-tick-collector\nVersion: 0.2.0\n", "utf-8")
    git(copy, "init", "--quiet")
    commit(copy)
    assert version(copy) == "0.2.0"


def test_sources_that_are_not_installed_have_the_next_version(copy: Path) -> None:
    """A copy of the package on PYTHONPATH alone, without metadata, still says which version it is."""
    print_it = "import hk_tick_collector; print(hk_tick_collector.__version__)"
    command = [sys.executable, "-S", "-c", print_it]  # -S: without site-packages, where ours may be installed
    environ = {**os.environ, "PYTHONPATH": str(copy / "src")}
    done = subprocess.run(command, env=environ, cwd=copy, capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("0.3.0", "")


def test_the_next_version_is_not_behind_the_changelog() -> None:
    """If CHANGELOG.md has a section for a release, NEXT_VERSION must not be lower."""
    source = (ROOT / "src/hk_tick_collector/__init__.py").read_text("utf-8")
    upcoming = re.findall(r'(?m)^NEXT_VERSION = "(\d+)\.(\d+)\.(\d+)"$', source)
    released = re.findall(r"(?m)^## \[(\d+)\.(\d+)\.(\d+)\]", (ROOT / "CHANGELOG.md").read_text("utf-8"))
    assert len(upcoming) == 1
    assert max(map(tuple_of, released), default=(0, 0, 0)) <= tuple_of(upcoming[0])


def tuple_of(numbers: tuple[str, ...]) -> tuple[int, ...]:
    return tuple(map(int, numbers))
