"""Files that are complete or not there: written under a hidden name, synced, and only then given their name.

Enters: batches and a path. Leaves: a file, or an error and nothing. A file that exists is never written over, unless
`replace` is given; then it keeps its content until the new file is complete.
"""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager, suppress
from itertools import count
from shlex import quote as quote_word
from typing import TYPE_CHECKING, Final

from hk_tick_collector.errors import StoreError, UsageError
from hk_tick_collector.store.disk import sync_directory

from .formats import writer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path
    from typing import BinaryIO

    import pyarrow as pa

    from .formats import Format

_NUMBERS: Final = count()
_NO_LINKS: Final = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EACCES})
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def write_file(
    path: Path,
    form: Format,
    schema: pa.Schema,
    batches: Iterable[pa.RecordBatch],
    *,
    about: Mapping[str, str],
    replace: bool = False,
) -> int:
    """Writes one file and returns its number of rows.

    UsageError if it exists and `replace` is not given; StoreError if it cannot be written: then nothing is left of it.
    """
    demand_free(path, replace=replace)
    rows = 0
    with Draft(path) as draft:
        with named_errors(path):
            target = writer(form, draft.file, schema, about)
        for batch in batches:
            with named_errors(path):
                target.write(batch)
            rows += batch.num_rows
        with named_errors(path):
            target.close()
            draft.finish(replace=replace)
    return rows


def demand_free(path: Path, *, replace: bool) -> None:
    """Raises UsageError if a file is in the way, StoreError if the directory does not exist."""
    if path.is_dir():
        raise UsageError(f"{path} is a directory", hint="name a file")
    if replace and path.exists() and not path.is_file():
        raise UsageError(f"{path} is not a regular file, so it is not replaced", hint="name a file")
    if not replace and os.path.lexists(path):
        raise UsageError(
            f"{path} exists already and was not changed",
            hint="choose another name, or replace it: --replace, replace=True",
        )
    if not path.parent.is_dir():
        raise StoreError(f"there is no directory {path.parent}", hint="create it first")


class Draft:
    """A file under a hidden name beside its final one; a context manager that removes it unless it was finished."""

    def __init__(self, path: Path) -> None:
        self.path = path
        # Its own in each process and in each thread: what another one is writing must not get this file's name.
        self._hidden = path.with_name(f".{path.name}.{os.getpid()}.{next(_NUMBERS)}.partial")
        self._file: BinaryIO | None = None

    @property
    def file(self) -> BinaryIO:
        """The open file."""
        assert self._file is not None
        return self._file

    def __enter__(self) -> Draft:
        with named_errors(self.path):
            self._hidden.unlink(missing_ok=True)  # of a process with the same number, which was killed
            self._file = self._hidden.open("xb")
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self.file.close()  # what it still holds may not fit onto the disk
        self._hidden.unlink(missing_ok=True)

    def finish(self, *, replace: bool) -> None:
        """Gives the file its name once its content is on the disk. Raises OSError, UsageError if the name was taken."""
        self.sync()
        self.name(replace=replace)
        sync_directory(self.path.parent)

    def sync(self) -> None:
        """Returns once the content is on the disk. Raises OSError."""
        self.file.flush()
        os.fsync(self.file.fileno())

    def name(self, *, replace: bool) -> None:
        """Gives the file its name; the caller syncs the directory. Raises OSError, UsageError if the name was taken."""
        if replace:
            self._hidden.rename(self.path)
            return
        try:
            os.link(self._hidden, self.path)  # never replaces a file, as a rename would
        except FileExistsError:
            raise UsageError(f"{self.path} exists already and was not changed", hint="choose another name") from None
        except OSError as error:
            if error.errno not in _NO_LINKS or self.path.exists():
                raise
            self._hidden.rename(self.path)  # a file system without hard links


@contextmanager
def named_errors(path: Path) -> Iterator[None]:
    """Replaces errors of writing by StoreErrors that name the file and say what to do."""
    try:
        yield
    except OSError as error:  # Arrow raises it too, with the number of the system's error where it knows it
        number = error.errno if error.errno is not None else _number_in(str(error))
        if number in _FULL:
            raise StoreError(
                f"no room to write {path}: nothing is left of it", hint=f"df -h {quote_word(str(path.parent))}"
            ) from error
        words = os.strerror(number) if number else " ".join(str(error).split())[:200]
        raise StoreError(f"cannot write {path} ({words})", hint="check the directory's rights and its disk") from error


def _number_in(words: str) -> int | None:
    """Arrow writes `[errno 28] …` into the text of some of its errors."""
    _, found, rest = words.partition("[errno ")
    number = rest.partition("]")[0]
    return int(number) if found and number.isdigit() else None
