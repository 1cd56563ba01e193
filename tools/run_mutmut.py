"""`mutmut run` for chosen mutants: those of a sample, and survivors once more. Called by tools/mutants.py.

mutmut itself chooses by patterns of names, which it compares one by one: a thousand names would take hours. It also
lets a survivor stand when a test is added. Both choices are put in where it lists the mutants that it will try.
"""

from __future__ import annotations

import argparse
import fnmatch
from typing import Any

from mutmut import __main__ as mutmut
from mutmut.stats import status_by_exit_code
from tools.mutants import NOTICED, UNTRIED, sample_of


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--processes", type=int, required=True)
    parser.add_argument("--sample", type=int, default=0, help="of each package; 0: all")
    parser.add_argument("--seed", default="1")
    parser.add_argument("--again", action="store_true", help="survivors as well")
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    listed = mutmut.collect_source_file_mutation_data

    def choose(*, mutant_names: Any) -> tuple[list[tuple[Any, str, int | None]], dict[str, Any]]:
        mutants, files = listed(mutant_names=mutant_names)
        wanted = {name for _, name, _ in mutants}
        if arguments.names:
            wanted = {name for name in wanted if any(fnmatch.fnmatchcase(name, each) for each in arguments.names)}
        if arguments.sample:
            wanted &= sample_of((name for _, name, _ in mutants), arguments.sample, arguments.seed)
        return [
            (file, name, _known(result, again=arguments.again)) for file, name, result in mutants if name in wanted
        ], files

    mutmut.collect_source_file_mutation_data = choose
    mutmut._run([], arguments.processes)  # noqa: SLF001 - made for callers, says mutmut


def _known(result: int | None, *, again: bool) -> int | None:
    """The result that mutmut need not find again; None if it must try the mutant."""
    status = status_by_exit_code[result]
    return None if status in UNTRIED or (again and status not in NOTICED) else result


if __name__ == "__main__":
    main()
