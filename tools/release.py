"""Builds a release into dist/: sdist, wheel, SBOM, notes and SHA256SUMS. Called by `make release`.

The version is that of the tag on the commit; the notes are its section of CHANGELOG.md. Without a tag, or with
uncommitted changes, nothing is built unless --draft is given: then the notes are those of [Unreleased], or of the next
version.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tools import version as versions

NAME = "hk-tick-collector"
RELEASED = re.compile(r"\d+\.\d+\.\d+")


def notes(changelog: str, version: str) -> str:
    """The section `## [version]` of a changelog in the format of keepachangelog.com, without its heading.

    Raises LookupError if it does not exist or is empty.
    """
    parts = re.split(r"(?m)^## \[([^\]]+)\].*\n", changelog)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    text = sections.get(version, "").strip()
    if not text:
        raise LookupError(f"CHANGELOG.md has no section '## [{version}] - DATE' with the notes of this release")
    return text + "\n"


def sums(directory: Path) -> str:
    """The output of `sha256sum *` in a directory."""
    files = sorted(path for path in directory.iterdir() if path.name != "SHA256SUMS")
    return "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files)


def build(root: Path, dist: Path) -> None:
    """Builds sdist and wheel. File times are those of the commit, so the same sources give the same files."""
    time = subprocess.run(["git", "log", "-1", "--format=%ct"], cwd=root, capture_output=True, text=True, check=False)
    environ = {**os.environ, **({"SOURCE_DATE_EPOCH": time.stdout.strip()} if time.returncode == 0 else {})}
    command = [sys.executable, "-m", "hatchling", "build", "--directory", str(dist)]
    subprocess.run(command, cwd=root, env=environ, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def bill_of_materials(root: Path, version: str) -> str:
    """CycloneDX: every package that is installed with ours, with version and hashes, from the locked requirements."""
    command = [sys.executable, "-W", "ignore", "-m", "cyclonedx_py", "requirements", "--output-reproducible"]
    command += ["--pyproject", "pyproject.toml", "requirements/runtime.txt"]
    made = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout
    bill: dict[str, Any] = json.loads(made)
    ours = bill["metadata"]["component"]  # pyproject.toml takes the version from the tags
    ours |= {"version": version, "purl": f"pkg:pypi/{NAME}@{quote(version)}"}
    needs = sorted(part["bom-ref"] for part in bill["components"])
    others = [each for each in bill.get("dependencies", []) if each["ref"] != ours["bom-ref"]]
    bill["dependencies"] = [{"ref": ours["bom-ref"], "dependsOn": needs}, *others]
    return json.dumps(bill, indent=2, ensure_ascii=False) + "\n"


def notes_of(root: Path, version: str, *, draft: bool) -> str:
    """The notes of a release; for a draft those of the section that will become its notes."""
    changelog = (root / "CHANGELOG.md").read_text("utf-8")
    if not draft:
        return notes(changelog, version)
    try:
        return notes(changelog, version.partition(".dev")[0])
    except LookupError:
        return notes(changelog, "Unreleased")


def release(root: Path, dist: Path, *, draft: bool) -> str:
    """Fills `dist`, after emptying it; returns the version. Raises LookupError that says what is missing."""
    version = versions.version(root)
    if not draft and not RELEASED.fullmatch(version):
        hint = f"git tag --annotate v{versions.next_version(root)}"
        raise LookupError(f"this is {version}, not a tagged commit: {hint}, or try it with make release DRAFT=1")
    text = notes_of(root, version, draft=draft)
    shutil.rmtree(dist, ignore_errors=True)
    dist.mkdir(parents=True)
    build(root, dist)
    (dist / f"{NAME}-{version}.cdx.json").write_text(bill_of_materials(root, version), "utf-8")
    (dist / "NOTES.md").write_text(text, "utf-8")
    (dist / "SHA256SUMS").write_text(sums(dist), "ascii")
    return version


def main() -> int:
    """Exit code 0 if everything was built, otherwise 1 and a line that says what is missing."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--draft", action="store_true", help="also without a tag")
    parser.add_argument("--root", type=Path, default=versions.ROOT)
    parser.add_argument("--dist", type=Path, help="default: dist/ of the tree")
    arguments = parser.parse_args()
    root = arguments.root.resolve()
    dist = (arguments.dist or root / "dist").resolve()
    try:
        version = release(root, dist, draft=arguments.draft)
    except LookupError as error:
        print(f"make release: {error.args[0]}", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        print(f"make release: {error}\n{error.stderr or ''}", file=sys.stderr)
        return 1
    print(f"release {version} in {dist}:")
    print(*(f"  {path.name}" for path in sorted(dist.iterdir())), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
