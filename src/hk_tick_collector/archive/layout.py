"""The names of the files in an archive. A day is `20261120` in this program, and `2026-11-20` in these names.

    ticks/date=2026-11-20/ticks-0123456789abcdef.parquet    the ticks; the name has the first digits of their digest
    books/2026-11-20.db                                     every other table of the day, SQLite
    certificates/2026-11-20.txt and .txt.sig                what was archived, and its signature
    allowed_signers, verify.sh                              to check all of it without this program
    _superseded/2026-11-20-0123456789abcdef/…               what was replaced, under the same names as before

Nothing is overwritten. What another content replaces (`archive --replace`) is moved to `_superseded/` first; the
directory there is named after the certificate that went with it, and can be checked with it as before.
"""

from __future__ import annotations

import re
from typing import Final

from hk_tick_collector import market

TICKS: Final = "ticks/"
DELTA_LOG: Final = "ticks/_delta_log/"  # only with --delta
BOOKS: Final = "books/"
CERTIFICATES: Final = "certificates/"
SUPERSEDED: Final = "_superseded/"
ALLOWED_SIGNERS: Final = "allowed_signers"
VERIFY: Final = "verify.sh"
SIGNATURE: Final = ".sig"  # after the name of a certificate

_DIGITS: Final = 16
_DAY_IN: Final = re.compile(
    r"(?:ticks/date=|books/|certificates/)([0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:/ticks-[0-9a-f]{16}\.parquet|\.db|\.txt|\.txt\.sig)"
)


def dashed(day: str) -> str:
    """`2026-11-20` for the day `20261120`."""
    return f"{day[:4]}-{day[4:6]}-{day[6:]}"


def ticks_directory(day: str) -> str:
    """Where the ticks of a day are: a directory with exactly one file."""
    return f"{TICKS}date={dashed(day)}/"


def ticks_name(day: str, digest: str) -> str:
    """The name of the ticks of a day with this digest of their content."""
    return f"{ticks_directory(day)}ticks-{digest[:_DIGITS]}.parquet"


def book_name(day: str) -> str:
    """The name of the book of a day."""
    return f"{BOOKS}{dashed(day)}.db"


def certificate_name(day: str) -> str:
    """The name of the certificate of a day."""
    return f"{CERTIFICATES}{dashed(day)}.txt"


def superseded_name(name: str, why: str, digest: str) -> str:
    """Where a file goes that is replaced. `why` is the day, or another word; `digest` tells it from earlier ones."""
    return f"{SUPERSEDED}{why}-{digest[:_DIGITS]}/{name}"


def day_of(name: str) -> str | None:
    """The day of a file in the archive; None for a file that is not of a day, or was replaced."""
    found = _DAY_IN.fullmatch(name)
    if found is None:
        return None
    try:
        return market.day_name(market.parse_day(found[1]))
    except ValueError:
        return None
