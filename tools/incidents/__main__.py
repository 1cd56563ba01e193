"""Pictures of incidents that do not say what they are, to try out whether a person finds cause and remedy from them.

    python -m tools.incidents --out DIRECTORY --key FILE [--seed 7] [--only NAME,NAME]

Each incident is made with a simulated OpenD, the collector and the page. Leaves for each the view Now, `N-phone.png`
and `N-desk.png`, and the screen of `top` at 80×24, `N-top.txt`; the seed decides the numbers. The key has the number,
the cause and the expected command of each. It takes half a minute for each incident, and needs chromium.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from hk_tick_collector.errors import CollectorError

from .incidents import INCIDENTS
from .scene import Scene, photograph

if TYPE_CHECKING:
    from .incidents import Incident


def main() -> None:
    """Makes one incident after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="directory of the pictures")
    parser.add_argument("--key", type=Path, required=True, help="file that says what each of them is")
    parser.add_argument("--seed", type=int, default=7, help="decides the order")
    parser.add_argument("--only", default=",".join(each.name for each in INCIDENTS), help="names, separated by commas")
    arguments = parser.parse_args()
    wanted = arguments.only.split(",")
    if unknown := set(wanted) - {each.name for each in INCIDENTS}:
        parser.error(f"no incident is named {', '.join(sorted(unknown))}")
    arguments.out.mkdir(parents=True, exist_ok=True)
    chosen = [each for each in INCIDENTS if each.name in wanted]
    random.Random(arguments.seed).shuffle(chosen)
    lines = []
    for number, incident in enumerate(chosen, 1):
        try:
            remedy = _make(incident, arguments.out, number)
        except (CollectorError, TimeoutError) as error:
            print(f"{number} left out, {incident.name}: {error}", flush=True)
            continue
        lines.append(f"{number}  {incident.name}: {incident.cause}\n   {incident.finding} -> {remedy}\n")
        arguments.key.write_text("".join(lines), "utf-8")
        print(f"{number} of {len(chosen)}", flush=True)


def _make(incident: Incident, out: Path, number: int) -> str:
    """Makes one incident and its pictures; returns the command that `status` gives."""
    with tempfile.TemporaryDirectory(prefix="hk-") as directory:
        data_root = Path(directory, "HK")
        data_root.mkdir()
        with incident.disk(data_root), Scene(Path(directory), data_root) as scene:
            url = scene.page()
            incident.make(scene)
            first = scene.wait_first(incident.finding)
            remedy = str(first["remedy"])
            photograph(url, remedy, {name: out / f"{number}-{name}.png" for name in ("phone", "desk")})
            (out / f"{number}-top.txt").write_text(scene.top(), "utf-8")
            return remedy


if __name__ == "__main__":
    main()
