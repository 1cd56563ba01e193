"""Signatures are those of OpenSSH: its own ssh-keygen makes the same bytes and accepts ours."""

from __future__ import annotations

import stat
import subprocess
from typing import TYPE_CHECKING

import pytest

from hk_tick_collector.archive.sshsig import (
    NAMESPACE,
    PRINCIPAL,
    SigningKey,
    check,
    make_key,
    read_signers,
)
from hk_tick_collector.errors import ArchiveError

if TYPE_CHECKING:
    from pathlib import Path

TEXT = "# certificate\n證書\n".encode()


def ssh_keygen(*args: str | Path, text: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["ssh-keygen", *args], input=text, capture_output=True, check=False)


@pytest.fixture
def key_path(tmp_path: Path) -> Path:
    path = tmp_path / "the key"
    make_key(path, tmp_path)
    return path


def verified(tmp_path: Path, signers: str, signature: bytes, text: bytes) -> bool:
    (tmp_path / "signers").write_text(signers)
    (tmp_path / "sig").write_bytes(signature)
    files = ("-f", tmp_path / "signers", "-s", tmp_path / "sig")
    return ssh_keygen("-Y", "verify", "-I", PRINCIPAL, "-n", NAMESPACE, *files, text=text).returncode == 0


def test_ssh_keygen_makes_the_same_signature(key_path: Path, tmp_path: Path) -> None:
    """Byte for byte, with the same key; and its fingerprint of the key is ours."""
    (tmp_path / "text").write_bytes(TEXT)
    assert ssh_keygen("-Y", "sign", "-n", NAMESPACE, "-f", key_path, tmp_path / "text").returncode == 0
    key = SigningKey(key_path, "host-1")
    assert key.sign(TEXT) == (tmp_path / "text.sig").read_bytes()
    assert key.public.fingerprint in ssh_keygen("-l", "-f", key_path).stdout.decode()


def test_ssh_keygen_accepts_ours_and_no_other_text(key_path: Path, tmp_path: Path) -> None:
    """With the line that we write into allowed_signers."""
    key = SigningKey(key_path, "host-1")
    assert verified(tmp_path, f"{key.public.line}\n", key.sign(TEXT), TEXT)
    assert not verified(tmp_path, f"{key.public.line}\n", key.sign(TEXT), TEXT + b" ")


def test_ours_accepts_the_same(key_path: Path, tmp_path: Path) -> None:
    """The signer is named; a changed text, a changed byte, another key and another purpose are refused."""
    key = SigningKey(key_path, "host-1")
    signature, signers = key.sign(TEXT), read_signers(f"# ours\n{key.public.line}\n")
    assert check(TEXT, signature, signers) == key.public
    with pytest.raises(ArchiveError, match="not valid"):
        check(TEXT + b" ", signature, signers)
    make_key(tmp_path / "other", tmp_path)
    with pytest.raises(ArchiveError, match=r"another key \(SHA256:"):
        check(TEXT, SigningKey(tmp_path / "other", "x").sign(TEXT), signers)
    (tmp_path / "text").write_bytes(TEXT)
    ssh_keygen("-Y", "sign", "-n", "file", "-f", key_path, tmp_path / "text")
    with pytest.raises(ArchiveError, match="another purpose"):
        check(TEXT, (tmp_path / "text.sig").read_bytes(), signers)


def test_every_flipped_byte_is_noticed(key_path: Path) -> None:
    """Wherever it is in the signature file."""
    key = SigningKey(key_path, "host-1")
    signature = key.sign(TEXT)
    for at in range(len(signature) - 1):
        changed = signature[:at] + bytes([signature[at] ^ 1]) + signature[at + 1 :]
        with pytest.raises(ArchiveError):
            check(TEXT, changed, [key.public])


def test_a_key_is_never_overwritten(key_path: Path, tmp_path: Path) -> None:
    """It is the owner's alone from the first moment, and stays what it is."""
    before = key_path.read_bytes()
    with pytest.raises(ArchiveError, match="never overwritten"):
        make_key(key_path, tmp_path)
    assert key_path.read_bytes() == before
    assert stat.S_IMODE(key_path.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["the key"]


def test_what_is_no_usable_key(key_path: Path, tmp_path: Path) -> None:
    """Each with its reason: none, readable by others, of another kind, with a passphrase, no key at all."""
    with pytest.raises(ArchiveError, match="there is no key"):
        SigningKey(tmp_path / "none", "x")
    for name, options in (("rsa", ["-t", "rsa", "-N", ""]), ("locked", ["-t", "ed25519", "-N", "secret"])):
        ssh_keygen("-q", *options, "-f", tmp_path / name)
    with pytest.raises(ArchiveError, match="not an Ed25519 key"):
        SigningKey(tmp_path / "rsa", "x")
    with pytest.raises(ArchiveError, match="passphrase"):
        SigningKey(tmp_path / "locked", "x")
    key_path.chmod(0o640)
    with pytest.raises(ArchiveError, match="others than its owner"):
        SigningKey(key_path, "x")
    key_path.chmod(0o600)
    key_path.write_text("no key")
    with pytest.raises(ArchiveError, match="not a private key"):
        SigningKey(key_path, "x")
