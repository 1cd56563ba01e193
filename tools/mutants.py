"""Changes the sources in small ways and counts how many changes the tests notice. Called by `make mutants`.

mutmut makes the changes; [tool.mutmut] of pyproject.toml lists the sources and tests. This script stops it after
--minutes, summarises the results so far, and lists the mutants that no test noticed. A later run continues; mutants of
a function that has changed are tried again. Exit code 0: at least --threshold per cent of the mutants that were tried
are noticed; 1: fewer; 2: nothing could be tried.
"""

from __future__ import annotations

import argparse
import re
import signal
import subprocess
import sys
import tomllib
from collections import Counter, defaultdict
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
NOTICED: Final = {"killed", "timeout", "segfault", "caught by type check"}
UNTRIED: Final = {"not checked", "check was interrupted by user", "skipped"}
_MUTMUT: Final = [sys.executable, "-X", "dev", "-W", "ignore", "-m", "mutmut"]
_STOP_S: Final = 120


def find_quick_tests() -> bool:
    """Runs the tests on the unchanged sources: they must pass, and tests that wait or start processes are found."""
    selected = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["mutmut"]
    tests = selected["pytest_add_cli_args_test_selection"]
    command = [sys.executable, "-X", "dev", "-m", "pytest", "--quick", "--quiet", "-rfE", *tests]
    return subprocess.run(command, cwd=ROOT, check=False).returncode == 0


def try_mutants(minutes: float, processes: int, names: list[str]) -> None:
    """Tries the remaining mutants. The results so far are kept after Ctrl-C and at the end of the time."""
    command = [*_MUTMUT, "run", "--max-children", str(processes), *names]
    with subprocess.Popen(command, cwd=ROOT) as run:
        try:
            run.wait(minutes * 60)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            run.send_signal(signal.SIGINT)
            try:
                run.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                run.kill()


def results() -> dict[str, str]:
    """Each mutant by its name, with its status from mutmut."""
    done = subprocess.run([*_MUTMUT, "results", "--all", "true"], cwd=ROOT, capture_output=True, text=True, check=False)
    return dict(re.findall(r"(?m)^\s+(\S+): (.+)$", done.stdout))


def module_of(mutant: str) -> str:
    """`hk_tick_collector.opend.frame` for `hk_tick_collector.opend.frame.xǁFrameǁpack__mutmut_1`."""
    return re.split(r"\.x[_ǁ]", mutant)[0]


def table(found: dict[str, str]) -> list[str]:
    """One line for each module: tried, noticed, per cent, not tried yet."""
    modules: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for mutant, status in found.items():
        modules[module_of(mutant)][_kind(status)] += 1
    modules["all"] = sum(modules.values(), Counter())
    width = max(map(len, modules))
    lines = [f"{'':{width}}  tried  noticed      %  to try"]
    for module, counts in modules.items():
        tried = counts["noticed"] + counts["survived"]
        share = f"{100 * counts['noticed'] / tried:6.1f}" if tried else "     -"
        lines.append(f"{module:{width}}  {tried:5}  {counts['noticed']:7} {share}  {counts['untried']:6}")
    return lines


def _kind(status: str) -> str:
    return "noticed" if status in NOTICED else "untried" if status in UNTRIED else "survived"


def share(found: dict[str, str]) -> float | None:
    """The percentage of tried mutants that were noticed; None if none was tried."""
    tried = [status for status in found.values() if status not in UNTRIED]
    return 100 * sum(status in NOTICED for status in tried) / len(tried) if tried else None


def main() -> int:
    """Runs as described at the top of this module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--threshold", type=float, default=85)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("names", nargs="*", help="patterns of mutants, 'hk_tick_collector.opend.frame.*' for example")
    arguments = parser.parse_args()
    if not find_quick_tests():
        print("make mutants: these tests must pass before mutants are tried", file=sys.stderr)
        return 2
    try_mutants(arguments.minutes, arguments.processes, arguments.names)
    found = results()
    noticed = share(found)
    if noticed is None:
        print("make mutants: no mutant was tried; see mutmut's lines above", file=sys.stderr)
        return 2
    survivors = sorted(f"{mutant}: {status}" for mutant, status in found.items() if _kind(status) == "survived")
    (ROOT / "mutants/survivors.txt").write_text("".join(f"{each}\n" for each in survivors), "utf-8")
    print("", *table(found), "", sep="\n")
    print(f"mutants/survivors.txt lists {len(survivors)}; one of them: .venv/bin/mutmut show NAME")
    if left := sum(status in UNTRIED for status in found.values()):
        print(f"{left} of {len(found)} were not tried: run the same command again to continue")
    print(f"{noticed:.1f} % noticed, {arguments.threshold:g} % wanted")
    return 0 if noticed >= arguments.threshold else 1


if __name__ == "__main__":
    sys.exit(main())
