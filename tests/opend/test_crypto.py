"""Ciphers: each body comes back as it was, and everything else is a CryptoError with a remedy.

That they are OpenD's ciphers and not merely ours is shown in test_sdk.py.
"""

from __future__ import annotations

import base64
import sys
from contextlib import suppress
from functools import cache

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given
from hypothesis import strategies as st

from hk_tick_collector.errors import CryptoError
from hk_tick_collector.opend.crypto import AesCipher, RsaCipher

AES: dict[str, AesCipher] = {
    "cbc": AesCipher(b"0123456789abcdef", b"fedcba9876543210"),
    "ecb": AesCipher(b"0123456789abcdef"),
    "cbc-256": AesCipher(bytes(32), bytes(range(16))),
}
LENGTHS = [*range(71), 95, 96, 97, 99, 100, 101, 199, 200, 201, 1023, 1024, 1025]


@cache
def private_key(bits: int = 1024, which: int = 0) -> rsa.RSAPrivateKey:
    """A key for this test run; another `which`, another key."""
    return rsa.generate_private_key(65537, bits)


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, password: bytes | None = None) -> bytes:
    """The key in the form that the vendor asks for, PKCS#1."""
    protection = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, protection)


def damaged_pem() -> bytes:
    """A key whose modulus lost one byte to a slip of an editor; still perfect PEM and ASN.1."""
    der = bytearray(private_key().private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
    der[60] ^= 0x55
    body = base64.encodebytes(bytes(der))
    return b"-----BEGIN RSA PRIVATE KEY-----\n" + body + b"-----END RSA PRIVATE KEY-----\n"


@pytest.mark.parametrize("mode", AES)
def test_aes_gives_back_every_length(mode: str) -> None:
    """Around every multiple of the block, empty bodies and bodies that end in zeros included."""
    cipher = AES[mode]
    for length in LENGTHS:
        for plain in (bytes(length), bytes(i % 251 for i in range(length))):
            wire = cipher.encrypt(plain)
            assert len(wire) % 16 == 0
            assert cipher.decrypt(wire) == plain


@pytest.mark.parametrize("bits", [1024, 2048])
def test_rsa_gives_back_every_length(bits: int) -> None:
    """Around the 100 bytes of one block and the size of the key, with either usual key."""
    cipher = RsaCipher(pem(private_key(bits)))
    for length in (0, 1, 99, 100, 101, 128, 199, 200, 201, 245, 246, 300):
        plain = bytes(i % 251 for i in range(length))
        assert cipher.decrypt(cipher.encrypt(plain)) == plain


@pytest.mark.parametrize("mode", AES)
@given(wire=st.binary(max_size=100))
def test_aes_never_fails_otherwise(mode: str, wire: bytes) -> None:
    """Whatever arrives decrypts to something (the SHA-1 judges it) or is a CryptoError."""
    try:
        plain = AES[mode].decrypt(wire)
    except CryptoError:
        return
    assert len(plain) <= len(wire)


@given(wire=st.binary(min_size=100, max_size=300))
def test_rsa_never_fails_otherwise(wire: bytes) -> None:
    """The same for the reply to InitConnect."""
    with suppress(CryptoError):
        RsaCipher(pem(private_key())).decrypt(wire + bytes(-len(wire) % 128))


@pytest.mark.parametrize("wire", [b"", b"x", bytes(15), bytes(17), bytes(16 * 2) + b"\x10"])
@pytest.mark.parametrize("mode", AES)
def test_a_body_of_an_impossible_length_is_refused(mode: str, wire: bytes) -> None:
    """AES makes whole blocks and never an empty body."""
    with pytest.raises(CryptoError, match="multiple of 16"):
        AES[mode].decrypt(wire)


def test_an_impossible_padding_is_refused() -> None:
    """PKCS#7 counts 1 to 16, the vendor's tail 0 to 15."""
    ecb = AES["ecb"]
    with pytest.raises(CryptoError, match="padding"):
        ecb.decrypt(bytes(31) + b"\x10")
    cbc, iv = AES["cbc"], b"fedcba9876543210"
    for count in (0, 17, 255):
        last = bytes(15) + bytes([count])
        # One block of CBC is ECB of the block xor iv: the way to a padding that the encryptor would never write.
        wire = ecb.encrypt(bytes(a ^ b for a, b in zip(last, iv, strict=True)))[:16]
        with pytest.raises(CryptoError, match="padding"):
            cbc.decrypt(wire)


@pytest.mark.parametrize(("key", "iv"), [(b"", None), (bytes(15), None), (bytes(33), None), (bytes(16), b"short")])
def test_an_aes_key_of_a_wrong_size_is_refused(key: bytes, iv: bytes | None) -> None:
    """OpenD names key and iv in text; a size that AES does not know is OpenD's fault, not a traceback."""
    with pytest.raises(CryptoError, match="AES key or iv"):
        AesCipher(key, iv)


@pytest.mark.parametrize("length", [1, 127, 129, 200])
def test_a_reply_that_is_not_rsa_names_the_key(length: int) -> None:
    """An OpenD without a key answers in the clear: the operator is sent to the key."""
    with pytest.raises(CryptoError, match="cannot be decrypted") as caught:
        RsaCipher(pem(private_key())).decrypt(bytes(length))
    assert "RSA key" in caught.value.hint


@pytest.mark.parametrize(
    "bad",
    {
        "empty": b"",
        "text": b"not a key",
        "certificate": b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
        "half": pem(private_key())[:200],
        "damaged": damaged_pem(),
        "encrypted": pem(private_key(), b"secret"),
        "public": private_key().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "elliptic": pem(ec.generate_private_key(ec.SECP256R1())),
    }.items(),
    ids=lambda item: item[0],
)
def test_a_file_that_is_no_rsa_key_is_refused_when_it_is_read(bad: tuple[str, bytes]) -> None:
    """One line with the cause and what is expected, before anything is sent; the key itself is in no message."""
    with pytest.raises(CryptoError) as caught:
        RsaCipher(bad[1])
    line = caught.value.one_line()
    assert "RSA" in line
    assert "\n" not in line
    assert "PEM" in caught.value.hint


def test_the_extra_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plain installation with a key configured is told which extra to install."""
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.asymmetric", None)
    with pytest.raises(CryptoError) as caught:
        RsaCipher(pem(private_key()))
    assert "encryption" in caught.value.hint
