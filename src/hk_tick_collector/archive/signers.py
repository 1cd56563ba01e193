"""What lies in an archive for those who check it: `allowed_signers` with the keys of all hosts, and `verify.sh`."""

from __future__ import annotations

import hashlib
from importlib.resources import files
from typing import TYPE_CHECKING

from . import layout
from .sshsig import read_signers

if TYPE_CHECKING:
    from pathlib import Path

    from .places import Place
    from .sshsig import PublicKey


def known_signers(place: Place) -> list[PublicKey]:
    """The keys that the archive names; none if it has no `allowed_signers`."""
    return read_signers(_text(place, layout.ALLOWED_SIGNERS))


def signers_there(place: Place) -> list[PublicKey]:
    """As `known_signers`, also after a run that was killed while it renewed the file."""
    return read_signers("\n".join(_lines(place)))


def place_helpers(place: Place, workspace: Path, key: PublicKey) -> None:
    """Stores `verify.sh` of this version, and `allowed_signers` with this key added to those that were there.

    Call it inside `place.hold`, before the first certificate.
    """
    _renew(place, workspace, layout.VERIFY, files(__package__).joinpath("verify.sh").read_text("utf-8"))
    lines = _lines(place)
    if key.blob not in {each.blob for each in read_signers("\n".join(lines))}:
        lines.append(key.line)
    _renew(place, workspace, layout.ALLOWED_SIGNERS, "\n".join([*dict.fromkeys(lines), ""]))


def _lines(place: Place) -> list[str]:
    """The lines of `allowed_signers`.

    A run that was killed between moving the old file and storing the new one has left the old ones only.
    """
    names = [layout.ALLOWED_SIGNERS]
    if not place.exists(layout.ALLOWED_SIGNERS):
        names += [name for name in place.list(layout.SUPERSEDED) if name.endswith(f"/{layout.ALLOWED_SIGNERS}")]
    return [line for name in names for line in _text(place, name).splitlines() if line]


def _renew(place: Place, workspace: Path, name: str, text: str) -> None:
    """Stores a text under a name; another text there is moved to `_superseded/` first."""
    before = place.read(name) if place.exists(name) else None
    if before == text.encode():
        return
    if before is not None:
        place.move(name, layout.superseded_name(name, name, hashlib.sha256(before).hexdigest()))
    draft = workspace / name
    draft.write_text(text, "utf-8")
    place.put_new(name, draft)


def _text(place: Place, name: str) -> str:
    return place.read(name).decode("utf-8", "replace") if place.exists(name) else ""
