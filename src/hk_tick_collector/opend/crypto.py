"""The bodies of an encrypted connection: InitConnect under RSA, everything after it under AES.

OpenD encrypts when its operator configured an RSA key; both sides then hold the same private key file (PEM; the vendor
asks for 1,024 bits). RSA is PKCS#1 v1.5 in blocks. AES takes its key, and for CBC its iv, from the reply to
InitConnect; every message starts the cipher anew.

`cryptography` is imported only when a key is set: a plain collector does without it.
"""

from __future__ import annotations

from typing import Final, Protocol

from hk_tick_collector.errors import CryptoError

ENC_ALGO_NONE: Final = -1
ENC_ALGO_FTAES_ECB: Final = 0
ENC_ALGO_AES_CBC: Final = 2

_BLOCK: Final = 16
_PKCS1_OVERHEAD: Final = 11
_SDK_RSA_CHUNK: Final = 100  # what the vendor's SDK puts into one RSA block, whatever the size of the key


class Cipher(Protocol):
    """Turns plain bodies into wire bodies and back; `decrypt` raises CryptoError."""

    def encrypt(self, plain: bytes) -> bytes:
        """A plain body as it travels."""
        ...

    def decrypt(self, wire: bytes) -> bytes:
        """A travelled body as it was."""
        ...


class RsaCipher:
    """PKCS#1 v1.5 with one private key on both sides, as InitConnect wants it.

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
            key = load_pem_private_key(pem, password=None)  # 6 ms, once: a damaged key is told from a foreign one
        except (ValueError, TypeError) as error:
            raise CryptoError(
                f"the RSA key does not parse ({str(error).split('.')[0][:80]})",
                hint="expected the unencrypted PEM private key that OpenD itself uses",
            ) from None
        if not isinstance(key, rsa.RSAPrivateKey):
            raise CryptoError("the key is not an RSA key", hint="OpenD wants RSA, 1024 bits, PEM")
        self._key = key
        self._public = key.public_key()
        self._padding = padding.PKCS1v15()
        self._block_bytes = (key.key_size + 7) // 8

    def encrypt(self, plain: bytes) -> bytes:
        """RSA blocks, one behind the other."""
        chunk = min(_SDK_RSA_CHUNK, self._block_bytes - _PKCS1_OVERHEAD)
        pieces = (plain[i : i + chunk] for i in range(0, len(plain), chunk))
        return b"".join(self._public.encrypt(piece, self._padding) for piece in pieces)

    def decrypt(self, wire: bytes) -> bytes:
        """The plain body behind RSA blocks; CryptoError when they are not ours."""
        if len(wire) % self._block_bytes:
            raise _foreign_key()
        blocks = (wire[i : i + self._block_bytes] for i in range(0, len(wire), self._block_bytes))
        try:
            return b"".join(self._key.decrypt(block, self._padding) for block in blocks)
        except ValueError:
            raise _foreign_key() from None


class AesCipher:
    """AES as OpenD uses it after InitConnect: CBC with PKCS#7 when there is an iv, the vendor's own ECB otherwise.

    The vendor's ECB pads with zeros and appends one block in the clear whose last byte is the length of the plain
    body modulo 16. Raises CryptoError when `key` or `iv` has a size that AES does not know.
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
        """One wire body."""
        rest = len(plain) % _BLOCK
        if self._cbc:
            count = _BLOCK - rest
            return self._run(self._mode.encryptor(), plain + bytes([count]) * count)
        padded = plain + bytes((_BLOCK - rest) % _BLOCK)
        return self._run(self._mode.encryptor(), padded) + bytes(_BLOCK - 1) + bytes([rest])

    def decrypt(self, wire: bytes) -> bytes:
        """One plain body; CryptoError for a length or a padding that cannot be."""
        if len(wire) % _BLOCK or not wire:
            raise CryptoError(f"an encrypted body has {len(wire)} bytes, not a multiple of {_BLOCK}")
        if self._cbc:
            plain = self._run(self._mode.decryptor(), wire)
            count = plain[-1]
            if not 1 <= count <= _BLOCK:
                raise CryptoError("an encrypted body has an impossible padding")
            return plain[:-count]
        plain, rest = self._run(self._mode.decryptor(), wire[:-_BLOCK]), wire[-1]
        if rest >= _BLOCK:
            raise CryptoError("an encrypted body has an impossible padding")
        return plain[: len(plain) - _BLOCK + rest] if rest else plain

    @staticmethod
    def _run(context: _Context, data: bytes) -> bytes:
        return context.update(data) + context.finalize()


class _Context(Protocol):
    def update(self, data: bytes) -> bytes: ...

    def finalize(self) -> bytes: ...


def _foreign_key() -> CryptoError:
    return CryptoError(
        "the reply to InitConnect does not decrypt",
        hint="use the RSA key that OpenD itself is configured with",
    )
