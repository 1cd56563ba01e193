"""Signs a text as `ssh-keygen -Y sign` does, byte for byte, and checks such signatures. Ed25519 keys only.

A certificate can be checked without this program: `ssh-keygen -Y verify`, OpenSSH 8.1 or later. The format is
described in PROTOCOL.sshsig of OpenSSH. Ed25519 signatures have no random part: the same text gives the same signature.
"""

from __future__ import annotations

import base64
import hashlib
import os
import stat
from shlex import quote as quote_word
from typing import TYPE_CHECKING, Final, NamedTuple

from hk_tick_collector.errors import ArchiveError
from hk_tick_collector.store.disk import sync_directory
from hk_tick_collector.store.small_file import read_small

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

NAMESPACE: Final = "certificate@hk-tick-collector"  # a signature for another purpose is not accepted
PRINCIPAL: Final = "hk-tick-collector"  # the name of the signer in allowed_signers, of every host

_KEY_TYPE: Final = "ssh-ed25519"
_MAGIC: Final = b"SSHSIG"
_VERSION: Final = 1
_HASH: Final = b"sha512"
_BEGIN: Final = "-----BEGIN SSH SIGNATURE-----"
_END: Final = "-----END SSH SIGNATURE-----"
_LINE: Final = 70  # characters of base64 a line, as ssh-keygen writes them
_KEY_MODE: Final = 0o600
_KEY_BYTES: Final = 1 << 20


class PublicKey(NamedTuple):
    """The public half of a key of a host."""

    blob: bytes  # as OpenSSH stores it, before base64
    comment: str  # which host

    @property
    def line(self) -> str:
        """Its line in `allowed_signers`: who, for which purpose, key, host."""
        text = base64.b64encode(self.blob).decode()
        return f'{PRINCIPAL} namespaces="{NAMESPACE}" {_KEY_TYPE} {text} {self.comment}'.rstrip()

    @property
    def fingerprint(self) -> str:
        """As `ssh-keygen -l` shows it: SHA256:…"""
        return "SHA256:" + base64.b64encode(hashlib.sha256(self.blob).digest()).decode().rstrip("=")


class SigningKey:
    """The private key of a host, read from its file. Raises ArchiveError if there is none, or another kind of key."""

    def __init__(self, path: Path, comment: str) -> None:
        self._key = _load(path)
        self.public = _public(self._key, comment)

    def sign(self, text: bytes) -> bytes:
        """The signature of a text, in the armour of OpenSSH."""
        signature = _string(_KEY_TYPE.encode()) + _string(self._key.sign(_signed(text)))
        blob = _MAGIC + _VERSION.to_bytes(4, "big")
        blob += b"".join(map(_string, (self.public.blob, NAMESPACE.encode(), b"", _HASH, signature)))
        lines = base64.b64encode(blob).decode()
        parts = [lines[at : at + _LINE] for at in range(0, len(lines), _LINE)]
        return "\n".join([_BEGIN, *parts, _END, ""]).encode()


def make_key(path: Path, owner: Path) -> None:
    """Makes a new private key: mode 0600, of the account that owns `owner`. An existing file is never overwritten.

    Raises ArchiveError if there is one, or if it cannot be written.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    content = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    draft = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, _KEY_MODE)
        try:
            os.fchmod(fd, _KEY_MODE)
            if os.geteuid() == 0:
                found = owner.stat()
                os.fchown(fd, found.st_uid, found.st_gid)
            os.write(fd, content)
            os.fsync(fd)
            os.link(draft, path)  # never replaces a file
            sync_directory(path.parent)
        finally:
            os.close(fd)
            draft.unlink()
    except FileExistsError:
        raise ArchiveError(
            f"{path} exists: a key is never overwritten, because certificates are checked with it",
            hint="to change the key, rename the old file first and keep it",
        ) from None
    except OSError as error:
        raise ArchiveError(
            f"cannot write the key {path} ({error.strerror})", hint="sudo -u hkcollector, or set CERTIFICATE_KEY"
        ) from error


def check(text: bytes, signature: bytes, signers: Iterable[PublicKey]) -> PublicKey:
    """The signer of a text. ArchiveError if the signature is not valid, or not of one of these keys."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    key, raw = _parse(signature)
    signer = next((each for each in signers if each.blob == key), None)
    if signer is None:
        other = PublicKey(key, "").fingerprint
        raise ArchiveError(f"it is signed by another key ({other}), which allowed_signers does not name")
    try:
        Ed25519PublicKey.from_public_bytes(_strings(key, 2)[1]).verify(raw, _signed(text))
    except (InvalidSignature, ValueError):
        raise ArchiveError("its signature is not valid: the text or the signature was changed") from None
    return signer


def read_signers(text: str) -> list[PublicKey]:
    """The keys of an `allowed_signers` file that may sign certificates. Lines for another purpose are left out."""
    found = []
    for line in text.splitlines():
        words = line.split()
        if _KEY_TYPE not in words or words[0] != PRINCIPAL or f'namespaces="{NAMESPACE}"' not in words:
            continue
        at = words.index(_KEY_TYPE) + 1
        try:
            blob = base64.b64decode(words[at], validate=True)
        except (IndexError, ValueError):
            continue
        found.append(PublicKey(blob, " ".join(words[at + 1 :])))
    return found


def _load(path: Path) -> Ed25519PrivateKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_ssh_private_key

    try:
        mode, content = path.stat().st_mode, read_small(path, _KEY_BYTES)
    except ValueError as error:  # a pipe, a device, a file that is too long
        raise ArchiveError(f"cannot use the key {path}: {error}", hint="set CERTIFICATE_KEY to another file") from None
    except FileNotFoundError:
        raise ArchiveError(f"there is no key {path}", hint="hk-tick-collector certificate --new-key") from None
    except OSError as error:
        raise ArchiveError(
            f"cannot read the key {path} ({error.strerror})", hint="run it as its owner: sudo -u hkcollector"
        ) from error
    if stat.S_IMODE(mode) & 0o077:
        raise ArchiveError(f"others than its owner can read the key {path}", hint=f"chmod 0600 {quote_word(str(path))}")
    try:
        key = load_ssh_private_key(content, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        words = "it has a passphrase" if isinstance(error, TypeError) else "it is not a private key of OpenSSH"
        raise ArchiveError(f"cannot use the key {path}: {words}", hint="set CERTIFICATE_KEY to another file") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ArchiveError(f"the key {path} is not an Ed25519 key", hint="ssh-keygen -t ed25519 makes one")
    return key


def _public(key: Ed25519PrivateKey, comment: str) -> PublicKey:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    raw = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return PublicKey(_string(_KEY_TYPE.encode()) + _string(raw), comment)


def _signed(text: bytes) -> bytes:
    """What is signed: the purpose, and the hash of the text."""
    digest = hashlib.sha512(text).digest()
    return _MAGIC + b"".join(map(_string, (NAMESPACE.encode(), b"", _HASH, digest)))


def _parse(signature: bytes) -> tuple[bytes, bytes]:
    """The public key and the raw signature of an armoured signature. ArchiveError if it is not one of ours."""
    try:
        key, namespace, _, hash_name, inner = _strings(_unarmoured(signature), 5)
        kind, raw = _strings(inner, 2)
        known = _strings(key, 2)[0] == kind == _KEY_TYPE.encode()
    except (ValueError, IndexError):
        known = False
    if not known or (namespace, hash_name) != (NAMESPACE.encode(), _HASH):
        raise ArchiveError("its signature is damaged, or was made for another purpose")
    return key, raw


def _unarmoured(signature: bytes) -> bytes:
    """What follows the magic and the version. ValueError if a byte of the armour is not as `sign` writes it.

    The last line break may be missing: ssh-keygen accepts that too.
    """
    lines = signature.decode("ascii").removesuffix("\n").split("\n")
    if (lines[0], lines[-1]) != (_BEGIN, _END):
        raise ValueError("no armour")
    head = _MAGIC + _VERSION.to_bytes(4, "big")
    blob = base64.b64decode("".join(lines[1:-1]), validate=True)
    if not blob.startswith(head):
        raise ValueError("no SSHSIG")
    return blob[len(head) :]


def _string(content: bytes) -> bytes:
    """A `string` of the SSH protocol: RFC 4251, section 5."""
    return len(content).to_bytes(4, "big") + content


def _strings(blob: bytes, count: int) -> list[bytes]:
    """Exactly `count` strings. ValueError if the blob is not made of them."""
    found = []
    for _ in range(count):
        size = int.from_bytes(blob[:4], "big")
        if len(blob) < 4 + size:
            raise ValueError("too short")
        found.append(blob[4 : 4 + size])
        blob = blob[4 + size :]
    if blob:
        raise ValueError("too long")
    return found
