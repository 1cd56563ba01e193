"""Giving signals back to the system, with real signals that do not end."""

from __future__ import annotations

import subprocess
import sys

FLOODED = """
import os, signal, sys
from hk_tick_collector.signals import give_back

signal.signal(signal.SIGUSR1, lambda *_: None)
main = os.getpid()
child = os.fork()
if child == 0:
    while os.getppid() == main:
        os.kill(main, signal.SIGUSR1)
    os._exit(0)
for _ in range(30_000):
    signal.signal(signal.SIGUSR1, lambda *_: None)
    give_back([signal.SIGUSR1], signal.SIG_IGN)
os.kill(child, signal.SIGKILL)
os.waitpid(child, 0)
print(signal.getsignal(signal.SIGUSR1) is signal.SIG_IGN, signal.pthread_sigmask(signal.SIG_BLOCK, []))
"""


def test_a_signal_that_arrives_at_that_moment_leaves_no_traceback() -> None:
    """30,000 times while another process sends the signal without end: nothing on standard error, no mask is left."""
    ran = subprocess.run([sys.executable, "-c", FLOODED], capture_output=True, text=True, check=True)
    assert (ran.stdout, ran.stderr) == ("True set()\n", "")
