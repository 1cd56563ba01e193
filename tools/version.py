"""The version of this tree, from git's tags. The build of pyproject.toml calls this; run it to print the version.

    tagged v0.2.0, nothing changed    0.2.0
    3 commits after that tag          0.2.1.dev3+g1a2b3c4d, or NEXT_VERSION.dev3+… if that is higher
    changed since the last commit     …+g1a2b3c4d.dirty
    no tag known                      NEXT_VERSION.dev412+g1a2b3c4d (412: the number of commits)
    an archive of `git archive`       as above, from .git_archival.txt
    an sdist                          the version in its PKG-INFO
    none of these (a plain copy)      NEXT_VERSION, from src/hk_tick_collector/__init__.py

Git is asked only if this tree itself is a checkout. An error of git is never an error here: git may be missing, or
refuse the checkout of another account.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Release tags, and no other tags.
_TAGS = "v[0-9]*.[0-9]*.[0-9]*"
_RELEASE = r"(\d+)\.(\d+)\.(\d+)"
_DESCRIBED = re.compile(rf"v(?P<tag>{_RELEASE})(?:-(?P<commits>\d+)-g(?P<commit>[0-9a-f]+))?(?P<dirty>-dirty)?")


def version(root: Path = ROOT) -> str:
    """The version of the tree below `root`, as PEP 440 spells it."""
    return _of_sdist(root) or _of_checkout(root) or _of_archive(root) or next_version(root)


def next_version(root: Path = ROOT) -> str:
    """The version of a tree without tags."""
    source = (root / "src/hk_tick_collector/__init__.py").read_text("utf-8")
    found = re.search(rf'^NEXT_VERSION = "({_RELEASE})"$', source, re.MULTILINE)
    if found is None:
        raise ValueError('src/hk_tick_collector/__init__.py needs a line NEXT_VERSION = "X.Y.Z"')
    return found[1]


def from_description(described: str, upcoming: str) -> str:
    """The version for an output of `git describe --tags`; empty if it has no release tag."""
    found = _DESCRIBED.fullmatch(described)
    if found is None:
        return ""
    tag, commits = found["tag"], int(found["commits"] or 0)
    if not commits and not found["dirty"]:
        return tag
    local = [f"g{found['commit']}"] if found["commit"] else []
    return _between(tag, upcoming, commits, [*local, *(["dirty"] if found["dirty"] else [])])


def _between(tag: str, upcoming: str, commits: int, local: list[str]) -> str:
    """A version after the tag and before the next release."""
    major, minor, patch = _numbers(tag)
    following = max((major, minor, patch + 1), _numbers(upcoming))
    return ".".join(map(str, following)) + f".dev{commits}" + (f"+{'.'.join(local)}" if local else "")


def _numbers(release: str) -> tuple[int, int, int]:
    major, minor, patch = map(int, release.split("."))
    return major, minor, patch


def _of_sdist(root: Path) -> str:
    info = root / "PKG-INFO"
    found = re.search(r"^Version: (\S+)$", info.read_text("utf-8"), re.MULTILINE) if info.is_file() else None
    return found[1] if found else ""


def _of_checkout(root: Path) -> str:
    if not (root / ".git").exists():  # a tree inside the checkout of another project has no version from that
        return ""
    described = _git(root, "describe", "--tags", "--dirty", "--match", _TAGS)
    if found := from_description(described, next_version(root)):
        return found
    commit = _git(root, "describe", "--always", "--dirty", "--exclude", "*")
    commits = _git(root, "rev-list", "--count", "HEAD")
    if not commit or not commits:
        return ""
    name, _, dirty = commit.partition("-")
    return f"{next_version(root)}.dev{commits}+g{name}" + (f".{dirty}" if dirty else "")


def _of_archive(root: Path) -> str:
    """`git archive`, and a download from a forge, write the description of the commit into this file."""
    file = root / ".git_archival.txt"
    found = re.search(r"^describe: (\S+)$", file.read_text("utf-8"), re.MULTILINE) if file.is_file() else None
    return from_description(found[1], next_version(root)) if found else ""


def _git(root: Path, *arguments: str) -> str:
    """Git's answer in one line; empty on an error. GIT_DIR, which hooks set, is ignored.

    The installer runs as root in an operator's checkout, and executes what is in it anyway.
    """
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    settings = ["-c", f"safe.directory={root}", "-c", "core.fsmonitor=false", "--no-optional-locks"]
    command = ["git", *settings, *arguments]
    try:
        done = subprocess.run(command, cwd=root, env=environ, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


if __name__ == "__main__":
    print(version())
