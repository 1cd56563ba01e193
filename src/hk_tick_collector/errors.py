"""Every error that this package raises on purpose.

    CollectorError               carries a hint: what the operator does next
    ├── UsageError               an argument or a setting that cannot work      exit 2
    ├── ProtocolError            the peer broke OpenD's wire protocol           the connection is reset
    │   └── CryptoError          a body or a key that does not decrypt
    ├── OpenDError               OpenD answered a request with a failure
    ├── StoreError               a day file or its directory cannot be used
    │   ├── ForeignFileError     exists, but is no day file of ours (or a newer one)
    │   │   └── PredecessorFileError   it is the predecessor's: `import` brings it into ours
    │   ├── DamagedFileError     a day file of ours whose content cannot be trusted
    │   ├── SchemaChangedError   somebody else changed the tables of a day file of ours
    │   ├── SealedDayError       the day is finished and read-only
    │   ├── SealedEarlyError     a file says so of a day that is not over, and no collector sealed it
    │   ├── BusyFileError        another process keeps a day file locked
    │   ├── DiskHangsError       the disk of a day file does not answer
    │   └── NoDayError           there is no file for that day
    ├── AlertError               a message did not reach its destination
    ├── OwnedError               another collector owns DATA_ROOT
    └── JournalError             systemd's journal cannot be read

Errors are raised low and decided on once: in `collect` while the service runs, in `cli` for everything else.
"""

from __future__ import annotations


class CollectorError(Exception):
    """Base of all: `str(error)` names what was wrong, `hint` what to do about it."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    def one_line(self) -> str:
        """The cause and its remedy in one line, as an operator sees them."""
        text = " ".join(str(self).split())
        return f"{text}: {self.hint}" if self.hint else text


class UsageError(CollectorError):
    """An argument, a setting or a file of settings that cannot work; `faults` are its parts, where it has several."""

    faults: tuple[UsageError, ...] = ()


class ProtocolError(CollectorError):
    """The peer sent bytes that are not OpenD's protocol; nothing after them can be trusted."""


class CryptoError(ProtocolError):
    """An RSA key that does not parse, or a body that does not decrypt."""


class OpenDError(CollectorError):
    """OpenD answered a request with a failure, or not in time."""


class StoreError(CollectorError):
    """A day file or its directory cannot be used."""


class ForeignFileError(StoreError):
    """The file exists but is not a day file that this version may write; it was not touched."""


class PredecessorFileError(ForeignFileError):
    """The file is a day file of the predecessor, another collector with the same file names; it was not touched."""


class DamagedFileError(StoreError):
    """A day file of ours does not pass its check; it was not changed."""


class SchemaChangedError(StoreError):
    """Somebody else changed the tables of a day file of ours so that it cannot be used; nothing was written."""


class SealedDayError(StoreError):
    """The day is finished: its file is read-only."""


class SealedEarlyError(StoreError):
    """A file says that its day is sealed while the day goes on: somebody else wrote that into it."""


class BusyFileError(StoreError):
    """Another process keeps a day file locked."""


class DiskHangsError(StoreError):
    """The disk of a day file does not answer: it is frozen, or fails."""


class NoDayError(StoreError):
    """There is no file for that day."""


class AlertError(CollectorError):
    """A message did not reach its destination."""


class OwnedError(CollectorError):
    """Another collector owns this DATA_ROOT."""


class JournalError(CollectorError):
    """The journal of systemd is not there, or this user may not read it."""
