"""Every error that this package raises on purpose.

    CollectorError               has a hint: what the operator does next
    ├── UsageError               an argument or a setting that cannot work      exit 2
    ├── ProtocolError            the peer broke OpenD's wire protocol           the connection is reset
    │   └── CryptoError          a body that cannot be decrypted, or a bad key
    ├── OpenDError               OpenD answered a request with a failure
    ├── StoreError               a day file or its directory cannot be used
    │   ├── ForeignFileError     exists, but is not a day file of ours (or is of a newer version)
    │   │   └── PredecessorFileError   it is the predecessor's: `import` copies it into our format
    │   ├── DamagedFileError     a day file of ours whose content cannot be trusted
    │   ├── SchemaChangedError   another program changed the tables of a day file of ours
    │   ├── SealedDayError       the day is finished and read-only
    │   ├── SealedEarlyError     a file is marked as sealed before its day is over, not by a collector
    │   ├── BusyFileError        another process holds a lock on a day file
    │   ├── DiskHangsError       the disk of a day file does not respond
    │   ├── NoDayError           there is no file for that day
    │   └── GapsError            ticks of a range are missing, and the caller asked for an error
    ├── ArchiveError             the archive cannot be used, or a file of it is not what it should be
    │   └── OtherContentError    a name of the archive already has other content
    ├── StreamError              the NATS servers refuse us, or cannot serve us: an operator has to act
    │   └── StreamAwayError      no server answers, or the connection is lost: the next attempt may succeed
    ├── MessageError             the bytes of a message are not one of ours
    ├── AlertError               a message did not reach its destination
    ├── OwnedError               another collector owns DATA_ROOT
    └── JournalError             systemd's journal cannot be read

Low layers raise errors. One place handles each: `collect` while the service runs, `cli` for everything else.
"""

from __future__ import annotations


class CollectorError(Exception):
    """The base class: `str(error)` says what is wrong, `hint` says what to do about it. A traceback shows both."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint
        if hint:
            self.add_note(hint)

    def one_line(self) -> str:
        """The cause and its remedy in one line, as the operator sees them."""
        text = " ".join(str(self).split())
        return f"{text}: {self.hint}" if self.hint else text


class UsageError(CollectorError):
    """An argument, a setting or a settings file is invalid. `faults` has the single errors where there are several."""

    faults: tuple[UsageError, ...] = ()


class ProtocolError(CollectorError):
    """The peer sent bytes that are not OpenD's protocol. The bytes after them cannot be trusted either."""


class CryptoError(ProtocolError):
    """An RSA key is invalid, or a body cannot be decrypted."""


class OpenDError(CollectorError):
    """OpenD answered a request with a failure, or did not answer in time."""


class StoreError(CollectorError):
    """A day file or its directory cannot be used."""


class ForeignFileError(StoreError):
    """The file exists but is not a day file that this version may write. It was not changed."""


class PredecessorFileError(ForeignFileError):
    """The file is a day file of the predecessor, another collector with the same file names. It was not changed."""


class DamagedFileError(StoreError):
    """A day file of ours does not pass its check. It was not changed."""


class SchemaChangedError(StoreError):
    """Another program changed the tables of a day file of ours so that it cannot be used. Nothing was written."""


class SealedDayError(StoreError):
    """The day is finished: its file is read-only."""


class SealedEarlyError(StoreError):
    """A file is marked as sealed although its day is not over: another program wrote the mark."""


class BusyFileError(StoreError):
    """Another process holds a lock on a day file."""


class DiskHangsError(StoreError):
    """The disk of `place`, a directory or a file, does not respond. `is_frozen`: its file system is frozen."""

    place: str = ""
    is_frozen: bool = False


class NoDayError(StoreError):
    """There is no file for that day."""


class GapsError(StoreError):
    """Ticks of the range are known to be missing, and the caller asked for an error in that case."""


class ArchiveError(CollectorError):
    """The archive cannot be used, or a file in it is not what it should be."""


class OtherContentError(ArchiveError):
    """A name of the archive already has other content. Nothing was overwritten."""


class StreamError(CollectorError):
    """The NATS servers refuse us, or cannot serve us as they are: an old version, wrong credentials, other settings."""


class StreamAwayError(StreamError):
    """No NATS server answers, the connection is lost, or the stream has no leader. The next attempt may succeed."""


class MessageError(CollectorError):
    """The bytes of a message are not a message of ours. Nothing of it may be used."""


class AlertError(CollectorError):
    """A message did not reach its destination."""


class OwnedError(CollectorError):
    """Another collector owns this DATA_ROOT."""


class JournalError(CollectorError):
    """The systemd journal does not exist, or this user may not read it."""
