"""The version of this tree, from git's tags. pyproject.toml has the build ask here; run it to see the version.

    tagged v0.2.0, nothing changed    0.2.0
    3 commits behind that tag         0.2.1.dev3+g1a2b3c4d, or NEXT_VERSION.dev3+… where that is higher
    changed since the last commit     …+g1a2b3c4d.dirty
    no tag known                      NEXT_VERSION.dev412+g1a2b3c4d (412: the commits that are here)
    an archive of `git archive`       as above, from .git_archival.txt
    an sdist                          what its PKG-INFO says
    none of these (a plain copy)      NEXT_VERSION, from src/hk_tick_collector/__init__.py

Asks git only where this tree itself is a checkout, and never fails for its sake: git may be missing, or refuse the
checkout of another account.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Release tags, and nothing else that somebody may have tagged.
_TAGS = "v[0-9]*.[0-9]*.[0-9]*"
_RELEASE = r"(\d+)\.(\d+)\.(\d+)"
_DESCRIBED = re.compile(rf"v(?P<tag>{_RELEASE})(?:-(?P<commits>\d+)-g(?P<commit>[0-9a-f]+))?(?P<dirty>-dirty)?")


def version(root: Path = ROOT) -> str:
    """The version of the tree below `root`, as PEP 440 spells it."""
    return _of_sdist(root) or _of_checkout(root) or _of_archive(root) or next_version(root)


def next_version(root: Path = ROOT) -> str:
    """What a tree that knows no tag is called."""
    source = (root / "src/hk_tick_collector/__init__.py").read_text("utf-8")
    found = re.search(rf'^NEXT_VERSION = "({_RELEASE})"$', source, re.MULTILINE)
    if found is None:
        raise ValueError('src/hk_tick_collector/__init__.py needs a line NEXT_VERSION = "X.Y.Z"')
    return found[1]


def from_description(described: str, upcoming: str) -> str:
    """The version that `git describe --tags` means, or nothing where its words name no release tag."""
    found = _DESCRIBED.fullmatch(described)
    if found is None:
        return ""
    tag, commits = found["tag"], int(found["commits"] or 0)
    if not commits and not found["dirty"]:
        return tag
    local = [f"g{found['commit']}"] if found["commit"] else []
    return _between(tag, upcoming, commits, [*local, *(["dirty"] if found["dirty"] else [])])


def _between(tag: str, upcoming: str, commits: int, local: list[str]) -> str:
    """A version behind the tag and before the release that follows it."""
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
    if not (root / ".git").exists():  # a tree inside the checkout of something else has no version of that
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
    """`git archive`, also a forge's download, writes the description of its commit into this file."""
    file = root / ".git_archival.txt"
    found = re.search(r"^describe: (\S+)$", file.read_text("utf-8"), re.MULTILINE) if file.is_file() else None
    return from_description(found[1], next_version(root)) if found else ""


def _git(root: Path, *arguments: str) -> str:
    """What git answers in one line; nothing where it cannot. A hook's GIT_DIR does not lead it elsewhere.

    The installer is root in the checkout of an operator, and runs what is in it anyway.
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
