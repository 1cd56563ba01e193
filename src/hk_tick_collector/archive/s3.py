"""An archive in an S3 bucket, or in a store with the same protocol. Needs the extra `lake`.

Enters: names and bytes. Leaves: objects that were read back and equal what was sent. A confirmation by the server is
not enough: after each upload the object is read again and its SHA-256 is compared.

No object is ever overwritten: `If-None-Match: *` makes the server refuse a name that exists. A large file is uploaded
in parts under a temporary name. Then a copy inside the store, with the same condition, gives it its name
(docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html).

Each request transfers at most PART_BYTES and has a time limit. The limit is long enough for a slow server, and ends the
wait for one that hangs.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import secrets
import tempfile
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from shlex import quote as quote_word
from typing import TYPE_CHECKING, Any, BinaryIO, Final, cast

from hk_tick_collector.errors import ArchiveError, OtherContentError, UsageError
from hk_tick_collector.frames.extras import need

from .places import Stored, lock_alone, stored_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SCHEME: Final = "s3://"
PART_BYTES: Final = 8 * 2**20  # at least 5 MiB, which S3 demands of all parts but the last
TIMEOUT_S: Final = 60.0  # of one request: 140 kB/s at the least
_CONNECT_S: Final = 10.0
_RETRIES: Final = 3
_BUFFER_BYTES: Final = 2**20
_DRAFTS: Final = ".uploads"  # a hidden folder: `list` leaves it out
_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_TAKEN: Final = (  # the variables of the AWS tools that are passed to the library
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "AWS_VIRTUAL_HOSTED_STYLE_REQUEST",
    "AWS_REQUEST_PAYER",
    "AWS_SKIP_SIGNATURE",
    "AWS_ROLE_ARN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)
_ANSWER: Final = re.compile(r"<Code>([^<]*)</Code>(?:\s*<Message>([^<]*)</Message>)?")
_STATUS: Final = re.compile(r"non-2xx status code: (\d+ [A-Za-z ]+)")
_CAUSES: Final = re.compile(r'(?:message|error): "([^"]+)"')
_TIMED_OUT: Final = ("TimedOut", "kind: Timeout")
_HINTS: Final = (
    (("NoSuchBucket",), "create the bucket, or correct its name; it is never created here"),
    (
        ("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "403 ", "401 "),
        "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment or .env, and the bucket's policy",
    ),
)
_HINT: Final = "check AWS_ENDPOINT_URL and AWS_REGION in the environment or .env, then run it again"


class S3Place:
    """A prefix of a bucket: `s3://bucket/prefix`. Names below it have `/` between their parts.

    `variables` are AWS_ variables by their usual names. Raises UsageError for a bad address, CollectorError without the
    extra `lake`. Every method raises ArchiveError, one line with the cause, if the store refuses, hangs, or lies.
    """

    def __init__(self, url: str, variables: Mapping[str, str], *, timeout_s: float = TIMEOUT_S) -> None:
        bucket, _, prefix = url.removeprefix(SCHEME).partition("/")
        parts = [part for part in prefix.split("/") if part]
        if not url.startswith(SCHEME) or not _BUCKET.fullmatch(bucket) or {".", ".."} & set(parts):
            raise UsageError(f"{url} is not the address of a bucket", hint="write s3://BUCKET or s3://BUCKET/PREFIX")
        self.where = SCHEME + "/".join([bucket, *parts])
        self._lib = need("obstore", "lake")
        self._errors = need("obstore.exceptions", "lake")
        chosen = {name: variables[name] for name in _TAKEN if variables.get(name)}
        self._endpoint = endpoint = chosen.get("AWS_ENDPOINT_URL_S3") or chosen.get("AWS_ENDPOINT_URL", "")
        options: dict[str, Any] = {
            "timeout": timedelta(seconds=timeout_s),
            "connect_timeout": timedelta(seconds=min(_CONNECT_S, timeout_s)),
            "allow_http": endpoint.startswith("http://"),  # as for the AWS tools: who writes http:// means it
        }
        with self._named("open"):
            self._store = need("obstore.store", "lake").S3Store(
                bucket,
                prefix="/".join(parts) or None,
                config=chosen,
                client_options=options,
                retry_config={"max_retries": _RETRIES, "retry_timeout": timedelta(seconds=timeout_s)},
                copy_if_not_exists="multipart",
            )

    @contextmanager
    def hold(self) -> Iterator[Path]:
        """As `Place.hold`. It excludes other runs on this host; a run on another host never overwrites anything."""
        # Buckets of two servers may have the same name.
        digest = hashlib.sha256(f"{self._endpoint} {self.where}".encode()).hexdigest()[:16]
        lock = Path(tempfile.gettempdir()) / f"hk-tick-collector-{os.geteuid()}-{digest}.lock"
        try:
            fd = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ArchiveError(
                f"cannot write {lock} ({error.strerror})", hint=f"ls -l {quote_word(str(lock))}"
            ) from error
        try:
            lock_alone(fd, self.where)
            with tempfile.TemporaryDirectory(prefix="hk-tick-collector-") as workspace:
                yield Path(workspace)
        finally:
            os.close(fd)

    def put_new(self, name: str, source: Path) -> bool:
        """As `Place.put_new`. The stored object is read back before this returns."""
        wanted = stored_in(source)
        if self.size(name) is None and self._send(name, source, wanted.size_bytes):
            self._prove(name, wanted)
            return True
        if self.stored(name) != wanted:
            raise OtherContentError(f"{self.where}/{name} already has other content", hint="nothing was changed")
        return False

    def exists(self, name: str) -> bool:
        """As `Place.exists`."""
        return self.size(name) is not None

    def identity(self, name: str) -> object:
        """As `Place.identity`: its address."""
        return f"{self.where}/{name}"

    def open(self, name: str) -> BinaryIO:
        """As `Place.open`: it reads the ranges that are asked for."""
        size = self.size(name)
        if size is None:
            raise ArchiveError(f"there is no {self.where}/{name}", hint="sh verify.sh lists what is missing")
        return cast("BinaryIO", io.BufferedReader(Ranges(self, name, size), _BUFFER_BYTES))

    def read(self, name: str) -> bytes:
        """As `Place.read`."""
        with self.open(name) as file:
            return file.read()

    def stored(self, name: str) -> Stored | None:
        """As `Place.stored`: all of it is read from the server, whose own checksums are not used."""
        size = self.size(name)
        if size is None:
            return None
        digest = hashlib.sha256()
        for start in range(0, size, PART_BYTES):
            digest.update(self.range(name, start, min(start + PART_BYTES, size)))
        return Stored(size, digest.hexdigest())

    def list(self, prefix: str = "") -> list[str]:
        """As `Place.list`."""
        return list(self.versions(prefix))

    def versions(self, prefix: str) -> dict[str, str]:
        """The same names, each with the tag of its content as the server tells it; empty if it tells none."""
        folder = prefix.rpartition("/")[0]
        with self._named("list", folder):
            entries = [entry for batch in self._lib.list(self._store, folder or None) for entry in batch]
        tags = {str(entry["path"]): entry.get("e_tag") or "" for entry in entries}
        shown = [name for name in tags if not any(part.startswith(".") for part in name.split("/"))]
        return {name: tags[name] for name in sorted(shown, key=str.encode) if name.startswith(prefix)}

    def move(self, name: str, to: str) -> None:
        """As `Place.move`: a copy inside the store if the new name is free, then a removal of the old name."""
        try:
            with self._named("move", name):
                self._lib.copy(self._store, name, to, overwrite=False)
        except FileNotFoundError:
            raise ArchiveError(f"there is no {self.where}/{name}") from None
        except self._errors.AlreadyExistsError:
            pass
        if self.stored(to) != self.stored(name):
            raise OtherContentError(f"{self.where}/{to} already has other content", hint="nothing was changed")
        self._remove(name)

    def range(self, name: str, start: int, end: int) -> bytes:
        """The bytes of an object from `start` to `end`, exactly so many."""
        try:
            with self._named("read", name):
                piece = bytes(self._lib.get_range(self._store, name, start=start, end=end))
        except FileNotFoundError:
            raise ArchiveError(f"{self.where}/{name} was removed while it was read") from None
        if len(piece) != end - start:
            raise ArchiveError(
                f"{self.where}/{name}: the server gave {len(piece):,} bytes where it said {end - start:,}", hint=_HINT
            )
        return piece

    def size(self, name: str) -> int | None:
        """The size of an object in bytes, as the server says; None if there is none."""
        try:
            with self._named("look up", name):
                return int(self._lib.head(self._store, name)["size"])
        except FileNotFoundError:
            return None

    def _remove(self, name: str) -> None:
        with self._named("remove", name):
            self._lib.delete(self._store, name)

    def _send(self, name: str, source: Path, size: int) -> bool:
        """Uploads; False if the name has been taken meanwhile, also by an earlier try of the same request."""
        try:
            if size <= PART_BYTES:
                with self._named("write", name):
                    self._lib.put(self._store, name, source.read_bytes(), mode="create", use_multipart=False)
            else:
                self._send_in_parts(name, source)
        except self._errors.AlreadyExistsError:
            return False
        return True

    def _send_in_parts(self, name: str, source: Path) -> None:
        draft = f"{_DRAFTS}/{secrets.token_hex(8)}"
        try:
            with self._named("write", name):
                self._lib.put(self._store, draft, source, use_multipart=True, chunk_size=PART_BYTES, max_concurrency=2)
                self._lib.copy(self._store, draft, name, overwrite=False)
        finally:
            with suppress(self._errors.BaseError, OSError):  # a lifecycle rule of the bucket can remove what is left
                self._lib.delete(self._store, draft)

    def _prove(self, name: str, wanted: Stored) -> None:
        """Reads back what this process has just stored. A wrong object is removed: the next run can store it."""
        found = self.stored(name)
        if found == wanted:
            return
        if found:
            with suppress(ArchiveError):
                self._remove(name)
        what = "has other content than was sent" if found else "does not exist"
        raise ArchiveError(
            f"{self.where}/{name} {what}, although the server confirmed the upload",
            hint="nothing was archived; do not trust this server until that is explained",
        )

    @contextmanager
    def _named(self, what: str, name: str = "") -> Iterator[None]:
        """Turns refusals of the store into one line. AlreadyExistsError and FileNotFoundError of an object pass."""
        where = f"{self.where}/{name}" if name else self.where
        try:
            yield
        except self._errors.AlreadyExistsError:
            raise
        except (self._errors.BaseError, OSError, ValueError) as error:
            text = str(error)
            if isinstance(error, FileNotFoundError) and "NoSuchBucket" not in text:
                raise
            cause = _cause(text)
            hint = next((hint for words, hint in _HINTS if any(word in cause for word in words)), _HINT)
            raise ArchiveError(
                f"cannot {what} {where}: {cause}", hint=hint
            ) from None  # its text may repeat the address


class Ranges(io.RawIOBase):
    """An object as a file that can be read and seeked."""

    def __init__(self, place: S3Place, name: str, size: int) -> None:
        self._place, self._name, self._size, self._at = place, name, size, 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """The offset of the next byte."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Moves to an offset from the start, from here or from the end."""
        self._at = max(0, offset + (0, self._at, self._size)[whence])
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Reads the next bytes, as many as fit; 0 at the end."""
        end = min(self._at + min(len(buffer), PART_BYTES), self._size)
        if end <= self._at:
            return 0
        piece = self._place.range(self._name, self._at, end)
        buffer[: len(piece)] = piece
        self._at = end
        return len(piece)


def _cause(text: str) -> str:
    """The cause in a long message of the library: the error of the server, or that of the system."""
    if any(word in text for word in _TIMED_OUT):
        return "no answer in time"
    if answer := _ANSWER.search(text):
        return f"{answer[1]}, {answer[2]}" if answer[2] else answer[1]
    status, causes = _STATUS.search(text), _CAUSES.findall(text)
    if status:
        return status[1].strip()
    return causes[-1] if causes else " ".join(text.partition("\n\nDebug")[0].split())[:200]
