"""Encryption of message bodies: RSA for InitConnect, AES for every message after it.

OpenD encrypts when it is configured with an RSA key. Both sides then have the same private key file (PEM; the vendor
requires 1,024 bits). RSA is PKCS#1 v1.5 in blocks. The AES key, and for CBC the iv, come from the reply to InitConnect.
Each message is encrypted separately, starting from that iv.

`cryptography` is imported only when a key is set: without encryption it is not needed.
"""

from __future__ import annotations

from typing import Final, Protocol

from hk_tick_collector.errors import CryptoError

ENC_ALGO_NONE: Final = -1
ENC_ALGO_FTAES_ECB: Final = 0
ENC_ALGO_AES_CBC: Final = 2

_BLOCK: Final = 16
_PKCS1_OVERHEAD: Final = 11
_SDK_RSA_CHUNK: Final = 100  # bytes that the vendor's SDK puts into one RSA block, for any key size


class Cipher(Protocol):
    """Encrypts and decrypts bodies; `decrypt` raises CryptoError."""

    def encrypt(self, plain: bytes) -> bytes:
        """The encrypted body."""
        ...

    def decrypt(self, wire: bytes) -> bytes:
        """The decrypted body."""
        ...


class RsaCipher:
    """PKCS#1 v1.5 with the same private key on both sides, as InitConnect needs it.

    Raises CryptoError when `pem` is not an unencrypted RSA private key.
    """

    def __init__(self, pem: bytes) -> None:
        try:
            from cryptography.hazmat.primitives.asymmetric import padding, rsa
            from cryptography.hazmat.primitives.serialization import load_pem_private_key
        except ImportError:
            raise CryptoError(
                "an RSA key is set but the package cryptography is missing",
                hint="install hk-tick-collector[encryption]",
            ) from None
        try:
            key = load_pem_private_key(pem, password=None)  # also checks the key
        except (ValueError, TypeError) as error:
            raise CryptoError(
                f"the RSA key cannot be read ({str(error).split('.')[0][:80]})",
                hint="expected the unencrypted PEM private key that OpenD itself uses",
            ) from None
        if not isinstance(key, rsa.RSAPrivateKey):
            raise CryptoError("the key is not an RSA key", hint="OpenD requires an RSA key of 1,024 bits in PEM format")
        self._key = key
        self._public = key.public_key()
        self._padding = padding.PKCS1v15()
        self._block_bytes = (key.key_size + 7) // 8

    def encrypt(self, plain: bytes) -> bytes:
        """The body as consecutive RSA blocks."""
        chunk = min(_SDK_RSA_CHUNK, self._block_bytes - _PKCS1_OVERHEAD)
        pieces = (plain[i : i + chunk] for i in range(0, len(plain), chunk))
        return b"".join(self._public.encrypt(piece, self._padding) for piece in pieces)

    def decrypt(self, wire: bytes) -> bytes:
        """The body of consecutive RSA blocks. Raises CryptoError when they were encrypted with another key."""
        if len(wire) % self._block_bytes:
            raise _wrong_key()
        blocks = (wire[i : i + self._block_bytes] for i in range(0, len(wire), self._block_bytes))
        try:
            return b"".join(self._key.decrypt(block, self._padding) for block in blocks)
        except ValueError:
            raise _wrong_key() from None


class AesCipher:
    """AES as OpenD uses it after InitConnect: CBC with PKCS#7 if there is an iv, otherwise the vendor's form of ECB.

    The vendor's ECB pads with zeros and appends one unencrypted block whose last byte is the length of the plain body
    modulo 16. Raises CryptoError when `key` or `iv` has an invalid size.
    """

    def __init__(self, key: bytes, iv: bytes | None = None) -> None:
        from cryptography.hazmat.primitives.ciphers import Cipher as Mode
        from cryptography.hazmat.primitives.ciphers import algorithms, modes

        try:
            self._mode = Mode(algorithms.AES(key), modes.CBC(iv) if iv else modes.ECB())  # noqa: S305 - the vendor's choice
        except ValueError as error:
            raise CryptoError(f"OpenD gave an AES key or iv that cannot be used: {error}") from None
        self._cbc = bool(iv)

    def encrypt(self, plain: bytes) -> bytes:
        """The encrypted body."""
        rest = len(plain) % _BLOCK
        if self._cbc:
            count = _BLOCK - rest
            return self._run(self._mode.encryptor(), plain + bytes([count]) * count)
        padded = plain + bytes((_BLOCK - rest) % _BLOCK)
        return self._run(self._mode.encryptor(), padded) + bytes(_BLOCK - 1) + bytes([rest])

    def decrypt(self, wire: bytes) -> bytes:
        """The decrypted body. Raises CryptoError for an invalid length or padding."""
        if len(wire) % _BLOCK or not wire:
            raise CryptoError(f"an encrypted body has {len(wire)} bytes, not a multiple of {_BLOCK}")
        if self._cbc:
            plain = self._run(self._mode.decryptor(), wire)
            count = plain[-1]
            if not 1 <= count <= _BLOCK:
                raise CryptoError("an encrypted body has an invalid padding")
            return plain[:-count]
        plain, rest = self._run(self._mode.decryptor(), wire[:-_BLOCK]), wire[-1]
        if rest >= _BLOCK:
            raise CryptoError("an encrypted body has an invalid padding")
        return plain[: len(plain) - _BLOCK + rest] if rest else plain

    @staticmethod
    def _run(context: _Context, data: bytes) -> bytes:
        return context.update(data) + context.finalize()


class _Context(Protocol):
    def update(self, data: bytes) -> bytes: ...

    def finalize(self) -> bytes: ...


def _wrong_key() -> CryptoError:
    return CryptoError(
        "the reply to InitConnect cannot be decrypted",
        hint="use the RSA key that OpenD itself is configured with",
    )
