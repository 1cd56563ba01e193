"""What the person on duty can see of the machine without root: `status`, rows, the journal."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from .host import Host

DATA: Final = "/data/sqlite/HK"
_DB: Final = f"{DATA}/$(TZ=Asia/Hong_Kong date +%Y%m%d).db"
_COUNT: Final = f'sqlite3 "file:{_DB}?mode=ro" "SELECT COUNT(*) FROM ticks;"'
_UNIT: Final = "hk-tick-collector"


class Watch:
    """Looks as `duty`, a member of the group hkcollector."""

    def __init__(self, host: Host) -> None:
        self.host = host

    def rows(self) -> int:
        """Rows in today's file; -1 while it cannot be read."""
        answer = self.host.quietly(_COUNT, who="duty")
        return int(answer.text) if answer.code == 0 and answer.text.strip().isdecimal() else -1

    def grows(self, cap_s: float = 90.0) -> None:
        """Until today's file has more rows than now."""
        before = self.rows()
        self.host.wait(f"more than {before} rows", lambda: self.rows() > max(before, 0), cap_s)

    def collecting(self, cap_s: float = 120.0) -> None:
        """Until the service is active, its rows grow and `status` has nothing critical to say."""
        try:
            self.host.wait("active", lambda: self.show("ActiveState") == "active", cap_s)
        except AssertionError:
            self.host.ask("systemctl status hk-tick-collector futu-opend --no-pager -l")  # for the log
            raise
        self.grows(cap_s)
        self.host.wait("status is fine", lambda: self.status()[0] <= 1, cap_s)

    def status(self) -> tuple[int, str]:
        """Exit code and the one line of `status`."""
        answer = self.host.quietly("hk-tick-collector status", who="duty")
        lines = [line for line in answer.text.splitlines() if not line.startswith("warning: ")]  # of the settings
        return answer.code, lines[0] if lines else ""

    def named(self, pattern: str, code: int, cap_s: float = 90.0) -> str:
        """Until the one line of `status` has `pattern` and it exits with `code`; the whole answer goes to the log."""
        said: list[str] = []

        def holds() -> bool:
            found, line = self.status()
            if not said or said[-1] != f"{found} {line}":
                said.append(f"{found} {line}")
            return found == code and re.search(pattern, line) is not None

        try:
            self.host.wait(f"status says {pattern!r} with {code}", holds, cap_s)
        except AssertionError as error:
            raise AssertionError(f"{error}; it said:\n" + "\n".join(said[-12:])) from None
        return self.host.run("hk-tick-collector status", who="duty", codes=(0, 1, 2, 3))

    def live(self) -> dict[str, Any]:
        """The live state in `status --json`."""
        document = json.loads(self.host.quietly("hk-tick-collector status --json 2>/dev/null", who="duty").text)
        live = document["live"]
        assert isinstance(live, dict)
        return live

    def show(self, name: str, unit: str = _UNIT) -> str:
        """One property of a unit."""
        return self.host.quietly(f"systemctl show --property={name} --value {unit}").text.strip()

    def pid(self, unit: str = _UNIT) -> int:
        """The main process of a unit, 0 if there is none."""
        return int(self.show("MainPID", unit) or 0)

    def journal(self, since: str = "-5min", unit: str = _UNIT) -> str:
        """The unit's lines."""
        return self.host.quietly(f"journalctl -u {unit} --since={since} --no-pager -o cat", who="duty").text
