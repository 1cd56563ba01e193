"""Keys, tokens and certificates for nats-servers of tests: nkeys, credentials files with JWT, TLS.

The formats are NATS's: keys in base32 with a prefix byte and a CRC-16; tokens signed with Ed25519, algorithm
`ed25519-nkey`. They are made here and read by the real server, so a wrong format would not pass.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import hashlib
import ipaddress
import json
from typing import TYPE_CHECKING, Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from pathlib import Path

_SEED: Final = 18 << 3
_KINDS: Final = {"O": 14 << 3, "A": 0, "U": 20 << 3}


def _base32(data: bytes) -> str:
    return base64.b32encode(data + binascii.crc_hqx(data, 0).to_bytes(2, "little")).decode().rstrip("=")


def _url64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


class Key:
    """A key of an operator (O), an account (A) or a user (U)."""

    def __init__(self, kind: str) -> None:
        self._kind = _KINDS[kind]
        self._key = Ed25519PrivateKey.generate()

    @property
    def seed(self) -> str:
        """The secret part, as a file has it."""
        prefix = bytes([_SEED | self._kind >> 5, (self._kind & 31) << 3])
        return _base32(prefix + self._key.private_bytes_raw())

    @property
    def public(self) -> str:
        """The public part, as the configuration of a server has it."""
        return _base32(bytes([self._kind]) + self._key.public_key().public_bytes_raw())

    def token(self, subject: Key, name: str, claims: dict[str, Any], expires_s: int = 0) -> str:
        """A token (JWT) of ours for the subject."""
        body: dict[str, Any] = {"iss": self.public, "sub": subject.public, "name": name, "iat": 1, "nats": claims}
        if expires_s:
            body["exp"] = expires_s
        body["jti"] = base64.b32encode(hashlib.sha512(json.dumps(body).encode()).digest()[:32]).decode().rstrip("=")
        parts = ({"typ": "JWT", "alg": "ed25519-nkey"}, body)
        signed = ".".join(_url64(json.dumps(part).encode()) for part in parts)
        return f"{signed}.{_url64(self._key.sign(signed.encode()))}"


class Operator:
    """An operator with one account that may use JetStream, and credentials files of its users."""

    def __init__(self) -> None:
        self._operator, self._account, self._system = Key("O"), Key("A"), Key("A")

    @property
    def config(self) -> str:
        """The part of a server's configuration."""
        limits = {"subs": -1, "data": -1, "payload": -1, "conn": -1, "leaf": -1, "imports": -1, "exports": -1}
        stores = {"mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1, "wildcards": True}
        claims = {"type": "account", "version": 2, "limits": limits | stores}
        account = self._operator.token(self._account, "hk", claims)
        system = self._operator.token(self._system, "system", {"type": "account", "version": 2, "limits": limits})
        operator = self._operator.token(self._operator, "operator", {"type": "operator", "version": 2})
        accounts = f"{self._account.public}: {account}, {self._system.public}: {system}"
        return f"""
            operator: {operator}
            system_account: {self._system.public}
            resolver: MEMORY
            resolver_preload {{ {accounts} }}
            """

    def credentials(self, path: Path, expires_s: int = 0) -> Path:
        """A credentials file of a new user."""
        user = Key("U")
        claims = {"type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1, "pub": {}, "sub": {}}
        token = self._account.token(user, "user", claims, expires_s)
        path.write_text(
            f"-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n"
            "************************* IMPORTANT *************************\n"
            f"-----BEGIN USER NKEY SEED-----\n{user.seed}\n------END USER NKEY SEED------\n",
            "utf-8",
        )
        path.chmod(0o600)
        return path


class Authority:
    """Signs certificates of servers on loopback. Files are below `directory`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
        self.file = directory / "ca.pem"
        certificate = self._signed(self._name, self._key.public_key(), 3650, is_authority=True)
        self.file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def config(self, days: int = 365) -> str:
        """The TLS part of a server's configuration, with a new certificate valid until `days` from now."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
        certificate = self._signed(name, key.public_key(), days, is_authority=False)
        cert_file, key_file = self._directory / "server.pem", self._directory / "server.key"
        cert_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        key_file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return f'tls {{ cert_file: "{cert_file}", key_file: "{key_file}" }}\n'

    def _signed(
        self, name: x509.Name, key: ec.EllipticCurvePublicKey, days: int, *, is_authority: bool
    ) -> x509.Certificate:
        now = dt.datetime.now(dt.UTC)
        end = now + dt.timedelta(days=days)
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(min(now, end) - dt.timedelta(days=9))
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
            .add_extension(names, critical=False)
        )
        return builder.sign(self._key, hashes.SHA256())
