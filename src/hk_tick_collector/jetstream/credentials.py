"""Signs the challenge of a NATS server with the key of a credentials file or of an nkey seed file.

Enters: the path of STREAM_CREDS. Leaves: the public key or the token for the server, and signatures. The file is read
again for each connection, so that a renewed one is used without a restart. The formats are those of NATS: a seed is
`S`, the kind, 32 bytes of an Ed25519 seed and a CRC-16, in base32; a credentials file has a token (JWT) and a seed
between lines of dashes. The package `nkeys` is not used: it has no wheel, and `cryptography` is there anyway.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import stat
from dataclasses import dataclass, field
from shlex import quote as quote_word
from typing import TYPE_CHECKING, Final

from hk_tick_collector.errors import UsageError
from hk_tick_collector.frames.extras import need
from hk_tick_collector.store.disk import open_without_waiting

if TYPE_CHECKING:
    from pathlib import Path

_MOST_BYTES: Final = 65_536
_SEED: Final = re.compile(r"\bSU[A-Z2-7]{56}\b")
_TOKEN: Final = re.compile(r"-----BEGIN NATS USER JWT-----\s*(\S+)\s*-+END NATS USER JWT-+")
_USER: Final = 20 << 3  # the prefix byte of a user's key, which begins with U
_SEED_BYTES: Final = 36  # two of the prefix, 32 of the seed, two of the checksum
_HINT: Final = "name a file of `nsc generate creds`, or one with an nkey seed of a user (SU...)"


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who we are to the server: `token` of a credentials file, or the public key where it is empty."""

    token: str
    public_key: str
    _seed: bytes = field(repr=False)

    def sign(self, challenge: str) -> bytes:
        """The signature of the server's challenge, in base64."""
        ed25519 = need("cryptography.hazmat.primitives.asymmetric.ed25519", "stream")
        signature: bytes = ed25519.Ed25519PrivateKey.from_private_bytes(self._seed).sign(challenge.encode())
        return base64.b64encode(signature)


def read_credentials(path: Path) -> Credentials:
    """The credentials in a file. UsageError if it cannot be read, others may read it, or it holds no valid key."""
    text = _secret_text(path)
    found = _SEED.search(text)
    if found is None:
        raise UsageError(f"STREAM_CREDS={path} has no key of a user", hint=_HINT)
    token = _TOKEN.search(text)
    if token is None and "BEGIN NATS USER JWT" in text:
        raise UsageError(f"STREAM_CREDS={path} is cut off: its token (JWT) has no end", hint=_HINT)
    seed = _seed_of(found[0])
    if seed is None:
        raise UsageError(f"STREAM_CREDS={path} has a key with a wrong checksum", hint=_HINT)
    return Credentials(token[1] if token else "", _public_key(seed), seed)


def _secret_text(path: Path) -> str:
    try:
        with os.fdopen(open_without_waiting(path), "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise UsageError(f"STREAM_CREDS={path} is not a file", hint=_HINT)
            if mode & 0o007:
                raise UsageError(
                    f"every user can read or change STREAM_CREDS={path}", hint=f"chmod o= {quote_word(str(path))}"
                )
            return file.read(_MOST_BYTES).decode("utf-8", "replace")
    except OSError as error:
        raise UsageError(
            f"cannot read STREAM_CREDS={path} ({error.strerror})", hint="correct the path or its rights"
        ) from None


def _seed_of(text: str) -> bytes | None:
    """The 32 bytes of a seed; None if the checksum is wrong."""
    try:
        data = base64.b32decode(text + "=" * (-len(text) % 8))
    except binascii.Error:
        return None
    if len(data) != _SEED_BYTES or binascii.crc_hqx(data[:-2], 0) != int.from_bytes(data[-2:], "little"):
        return None
    return data[2:-2]


def _public_key(seed: bytes) -> str:
    ed25519 = need("cryptography.hazmat.primitives.asymmetric.ed25519", "stream")
    key: bytes = ed25519.Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    data = bytes([_USER]) + key
    return base64.b32encode(data + binascii.crc_hqx(data, 0).to_bytes(2, "little")).decode().rstrip("=")
