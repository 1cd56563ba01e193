"""All trials of the cluster, one after the other, and a table at the end.

python -m tests.cluster.soak                     every trial, with a random seed that is printed
python -m tests.cluster.soak hosts --seed 7      one of them
python -m tests.cluster.soak engine-away-hour    one that takes 70 minutes and runs only if it is named
"""

from __future__ import annotations

import argparse
import random
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.cluster.scenarios import LONG, MATRIX, without_anchor
from tests.cluster.surroundings import NotHereError

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 if no tick is missing in any union, and the control without the anchor lost some."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    usual = {**MATRIX, "without-anchor": without_anchor}
    parser.add_argument(
        "trial", nargs="*", help=f"of {', '.join(usual)}; default: all of these. Only if named: {', '.join(LONG)}"
    )
    parser.add_argument("--seed", type=int, help="of the faults and the market; default: at random, printed")
    parser.add_argument("--keep", type=Path, help="run in this directory, and leave all files there")
    options = parser.parse_args(arguments)
    known = {**usual, **LONG}
    if unknown := [name for name in options.trial if name not in known]:
        parser.error(f"there is no trial {unknown[0]!r}: they are {', '.join(known)}")
    seed = random.SystemRandom().randrange(1_000_000) if options.seed is None else options.seed
    for number_of in (signal.SIGTERM, signal.SIGINT):  # so that every process of a trial ends with it
        signal.signal(number_of, signal.default_int_handler)
    lines, failed = [], []
    with tempfile.TemporaryDirectory(prefix="cluster-") as scratch:
        directory = options.keep.absolute() if options.keep else Path(scratch)
        directory.mkdir(parents=True, exist_ok=True)
        print(f"cluster: seed {seed}, in {directory}", flush=True)
        for name in options.trial or usual:
            try:
                outcome = known[name](directory, seed)
            except NotHereError as missing:
                lines.append(f"{name}: SKIPPED: {missing}")
                continue
            except Exception as error:  # noqa: BLE001 - the other trials go on
                lines.append(f"{name}: seed {seed}: FAILED {type(error).__name__}: {error}")
                failed.append(name)
                continue
            lines.append(outcome.line() + (" (as it must)" if name == "without-anchor" and not outcome.ok else ""))
            if outcome.ok == (name == "without-anchor"):
                failed.append(name)
    print("", *lines, sep="\n")
    again = f'make soak ARGS="--cluster {" ".join(failed)} --seed {seed}"'
    words = f"FAILED {', '.join(failed)} (again: {again})" if failed else "ok: no tick is missing"
    print(f"cluster verdict: {words}")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
