"""Changes the sources in small ways and counts how many changes the tests notice. Called by `make mutants`.

mutmut does the work; which sources and tests take part is told in [tool.mutmut] of pyproject.toml. This ends it after
--minutes, sums up what is known so far, and lists the mutants that no test noticed. A later run goes on where this one
ended; mutants of a function that was changed since are tried again. mutmut begins with the mutants whose tests are the
fastest, so what a run that was ended has tried is no fair sample of all. `--sample 300` is one: 300 of each package, at
each call the same ones. Exit code 0: at least --threshold per cent of the mutants that were tried are noticed; 1:
fewer; 2: nothing could be tried.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT: Final = Path(__file__).resolve().parent.parent
NOTICED: Final = {"killed", "timeout", "segfault", "caught by type check"}
UNTRIED: Final = {"not checked", "check was interrupted by user", "skipped"}
_PYTHON: Final = [sys.executable, "-X", "dev", "-W", "ignore", "-m"]
_STOP_S: Final = 120
_CAP_S: Final = 10  # a test waits this long for an event that a mutant never causes
_MEMORY: Final = Path("/dev/shm")  # a file system in memory: a test that waits for fsync would be left out


def find_quick_tests() -> bool:
    """Runs the tests once as they are: they pass, and those that wait or start processes are known."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["mutmut"]
    options = ["--quick" if each == "--quick-as-known" else each for each in settings["pytest_add_cli_args"]]
    tests = settings["pytest_add_cli_args_test_selection"]
    command = [sys.executable, "-X", "dev", "-m", "pytest", "--quiet", "-rfE", *options, *tests]
    return subprocess.run(command, cwd=ROOT, check=False).returncode == 0


def try_mutants(minutes: float, options: list[str]) -> None:
    """Tries mutants that were not tried yet. After Ctrl-C, or when the time is over, the results so far are kept."""
    with subprocess.Popen([*_PYTHON, "tools.run_mutmut", *options], cwd=ROOT) as run:
        try:
            run.wait(minutes * 60)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            run.send_signal(signal.SIGINT)
            try:
                run.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                run.kill()


def results() -> dict[str, str]:
    """The result of each mutant, as mutmut names it."""
    command = [*_PYTHON, "mutmut", "results", "--all", "true"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return dict(re.findall(r"(?m)^\s+(\S+): (.+)$", done.stdout))


def module_of(mutant: str) -> str:
    """`hk_tick_collector.opend.frame` of `hk_tick_collector.opend.frame.xǁFrameǁpack__mutmut_1`."""
    return re.split(r"\.x[_ǁ]", mutant)[0]


def package_of(mutant: str) -> str:
    """`hk_tick_collector.opend` of the same."""
    return module_of(mutant).rpartition(".")[0]


def sample_of(mutants: Iterable[str], size: int, seed: str) -> set[str]:
    """`size` mutants of each package, each as likely as any other.

    The names alone decide: a call with the same seed chooses the same ones, and a mutant that comes or goes moves at
    most one other in or out.
    """
    drawn: defaultdict[str, list[str]] = defaultdict(list)
    for mutant in sorted(mutants, key=lambda name: hashlib.sha256(f"{seed} {name}".encode()).digest()):
        drawn[package_of(mutant)].append(mutant)
    return {mutant for names in drawn.values() for mutant in names[:size]}


def table(found: dict[str, str]) -> list[str]:
    """A line for each module, each package and all: the numbers of mutants, of tried ones, and of each result."""
    rows: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for of in (module_of, package_of, lambda _: "all"):
        for mutant, status in found.items():
            rows[of(mutant)][_kind(status)] += 1
    width = max(map(len, rows))
    lines = [f"{'':{width}}  mutants  tried  killed  timeout  survived      %"]
    for name, counts in rows.items():
        tried = counts.total() - counts["untried"]
        share = f"{100 * (tried - counts['survived']) / tried:6.1f}" if tried else "     -"
        lines.append(
            f"{name:{width}}  {counts.total():7}  {tried:5}  {counts['killed']:6}  {counts['timeout']:7}"
            f"  {counts['survived']:8} {share}"
        )
    return lines


def _kind(status: str) -> str:
    if status in UNTRIED:
        return "untried"
    if status not in NOTICED:
        return "survived"
    return "timeout" if status == "timeout" else "killed"


def share(found: dict[str, str]) -> float | None:
    """Per cent of the mutants that were tried and were noticed; None where none was tried."""
    tried = [status for status in found.values() if status not in UNTRIED]
    return 100 * sum(status in NOTICED for status in tried) / len(tried) if tried else None


def main() -> int:
    """See above."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--threshold", type=float, default=85)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument(
        "--sample", type=int, default=0, metavar="N", help="try N mutants of each package, chosen at random"
    )
    parser.add_argument("--seed", default="1", help="another one draws other mutants")
    parser.add_argument("--again", action="store_true", help="try survivors once more, after a test was added")
    parser.add_argument("names", nargs="*", help="patterns of mutants, 'hk_tick_collector.opend.frame.*' for example")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mutants-", dir=_MEMORY if os.access(_MEMORY, os.W_OK) else None) as files:
        os.environ |= {"PYTEST_DEBUG_TEMPROOT": files, "TESTS_CAP_S": str(_CAP_S)}
        if not find_quick_tests():
            print("make mutants: these tests must pass before mutants are tried", file=sys.stderr)
            return 2
        chosen = ["--sample", str(arguments.sample), "--seed", arguments.seed, *["--again"] * arguments.again]
        try_mutants(arguments.minutes, ["--processes", str(arguments.processes), *chosen, *arguments.names])
    found = results()
    if arguments.sample:
        drawn = sample_of(found, arguments.sample, arguments.seed)
        found = {mutant: status for mutant, status in found.items() if mutant in drawn}
    noticed = share(found)
    if noticed is None:
        print("make mutants: no mutant was tried; mutmut's lines above say why", file=sys.stderr)
        return 2
    survivors = sorted(f"{mutant}: {status}" for mutant, status in found.items() if _kind(status) == "survived")
    (ROOT / "mutants/survivors.txt").write_text("".join(f"{each}\n" for each in survivors), "utf-8")
    print("", *table(found), "", sep="\n")
    print(f"mutants/survivors.txt lists {len(survivors)}; one of them: .venv/bin/mutmut show NAME")
    if left := sum(status in UNTRIED for status in found.values()):
        print(f"{left} of {len(found)} were not tried: the same command goes on with them")
    print(f"{noticed:.1f} % noticed, {arguments.threshold:g} % wanted")
    return 0 if noticed >= arguments.threshold else 1


if __name__ == "__main__":
    sys.exit(main())
