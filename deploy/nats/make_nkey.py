"""Makes an nkey for one program: writes its seed into a new file and prints the public key for nats.conf.

    sudo /opt/futu_tick_downloader/.venv/bin/python make_nkey.py /etc/hk-tick-collector/a.nk

The file is what STREAM_CREDS names. It needs no network and no other tool; the extra `stream` has the one package.
"""

from __future__ import annotations

import base64
import os
import sys
from pathlib import Path
from typing import Final, NamedTuple

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

# https://docs.nats.io/running-a-nats-service/configuration/securing_nats/auth_intro/nkey_auth: a prefix, the bytes, a
# CRC-16 (XMODEM) in little-endian order, all in base32.
_SEED: Final = 18 << 3
_USER: Final = 20 << 3


class Nkey(NamedTuple):
    """The two texts of a key."""

    public: str  # for nats.conf
    seed: str  # for the file of STREAM_CREDS


def make_nkey() -> Nkey:
    """A new key of a user."""
    key = ed25519.Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    raw = key.private_bytes(serialization.Encoding.Raw, serialization.PrivateFormat.Raw, serialization.NoEncryption())
    head = bytes([_SEED | _USER >> 5, (_USER & 31) << 3])
    return Nkey(_encoded(bytes([_USER]) + public), _encoded(head + raw))


def _encoded(data: bytes) -> str:
    crc = 0
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ (0x1021 if crc & 0x8000 else 0)) & 0xFFFF
    return base64.b32encode(data + crc.to_bytes(2, "little")).decode("ascii").rstrip("=")


def main(arguments: list[str]) -> int:
    """Writes the seed, prints the public key. Exit code 2 for wrong usage, 1 if the file cannot be made."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print("make_nkey.py: name the new file of the seed: make_nkey.py FILE", file=sys.stderr)
        return 2
    key = make_nkey()
    path = Path(arguments[0])
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
        with os.fdopen(fd, "w", encoding="ascii") as file:
            file.write(f"{key.seed}\n")
    except OSError as error:
        print(f"make_nkey.py: cannot make {path} ({error.strerror}): name a new file", file=sys.stderr)
        return 1
    print(key.public)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
