"""`hk-tick-collector run` on a faulty disk, in a process of its own whose faults come and go while it collects.

    PYTHONPATH=. python -m tests.faults.run_on_faulty_disk [ARGUMENTS OF run]

Its stdin takes one request a line, a JSON object with one key, and stdout answers each with one line of JSON:

    {"inject": {"operations": ["write"], "error": "ENOSPC"}}   the fields of Fault; answers its number
    {"hits": 1}                                                answers how many operations it has hit
    {"lift": 1} or {"lift": null}                              ends that fault, or all; answers its number
    {"cut": {"after": 9, "of": "-wal", "into": DIRECTORY, "seed": 1}}
                                                               of a forgetful disk: the power goes after so many changes
                                                               of files whose names end so

The power takes the process with SIGKILL, in the middle of what it does; what its disk may hold then is in DIRECTORY.
`FaultyRun` is the other end of these pipes, for tests and the soak. The end of stdin lifts every fault.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from .faulty_disk import Fault, FaultyDisk
from .power_loss import PowerLossDisk

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT: Final = Path(__file__).parents[2]


class FaultyRun:
    """The service on a faulty disk. It logs to `log_path`; `environ` are its settings, on top of this process's own.

    The process is `process`: signal it and wait for it there, then call `close`. ConnectionError when it has ended.
    """

    def __init__(self, log_path: Path, environ: Mapping[str, str], *arguments: str) -> None:
        with log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.run_on_faulty_disk", *arguments],
                cwd=log_path.parent,
                env={**os.environ, "PYTHONPATH": str(ROOT), **environ},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def inject(self, fault: Fault) -> int:
        """Switches a fault on; returns its number."""
        values = {each.name: getattr(fault, each.name) for each in fields(fault) if each.init}
        return int(self._ask("inject", values))

    def hits(self, number: int) -> int:
        """How many operations a fault has hit so far."""
        return int(self._ask("hits", number))

    def lift(self, number: int | None = None) -> None:
        """Ends one fault, or all."""
        self._ask("lift", number)

    def close(self) -> None:
        """Closes the pipes of a process that has ended."""
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()

    def _ask(self, request: str, value: Any) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({request: value}) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise ConnectionError("the collector on the faulty disk has ended")
        return json.loads(answer)


def serve(disk: FaultyDisk, power: PowerLossDisk | None = None) -> None:
    """Answers requests until stdin ends."""
    injected: list[Fault] = []
    with disk, open(0, "rb", buffering=0, closefd=False) as requests:
        for line in requests:
            ((request, value),) = json.loads(line).items()
            if request == "inject":
                injected.append(disk.inject(Fault(**value)))
                value = len(injected)
            elif request == "hits":
                value = injected[value - 1].hits
            elif request == "cut" and power is not None:
                power.after_change = _PowerCut(power, **value)
            else:
                disk.lift(None if value is None else injected[value - 1])
            print(json.dumps(value), flush=True)


class _PowerCut:
    """The end of the power, so many changes of the disk from now."""

    def __init__(self, power: PowerLossDisk, after: int, of: str, into: str, seed: int) -> None:
        self._power = power
        self._left = after
        self._of = of
        self._into = Path(into)
        self._seed = seed

    def __call__(self, operation: str, path: str) -> None:
        """Something on the disk was changed: by the writer's thread alone, which is stopped here."""
        self._left -= path.endswith(self._of)
        if self._left == 0:
            self._power.crash(self._into, self._seed)
            print(f"the power went after {operation} of {Path(path).name}", file=sys.stderr, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)


def main(*, forgetful: bool = False) -> int:
    """Runs the service; SQLite's default disk is the faulty one, or a forgetful one on top of it."""
    disk = FaultyDisk("faulty", default=not forgetful)
    power = PowerLossDisk("power", disk.name, default=True) if forgetful else None
    threading.Thread(target=serve, args=(disk, power), name="faults", daemon=True).start()
    from hk_tick_collector.cli import main as run_verb

    return run_verb(["run", *sys.argv[1:]])


if __name__ == "__main__":
    raise SystemExit(main())
