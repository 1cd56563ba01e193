"""Giving signals back to the system, with real signals that do not end."""

from __future__ import annotations

import subprocess
import sys

FLOODED = """
import os, signal, threading, time
from hk_tick_collector.signals import give_back

for _ in range(4):  # the system may give a signal to any of them
    threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()
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


OTHER_FAULT = """
import signal
from hk_tick_collector.signals import give_back

class Kept:
    def __del__(self):
        raise OSError("a fault of another kind")

give_back([signal.SIGUSR1], signal.SIG_IGN)
give_back([signal.SIGUSR1], signal.SIG_DFL)
Kept()
"""


def test_other_faults_that_nothing_can_catch_are_still_printed() -> None:
    """Only that one message of Python is left out."""
    ran = subprocess.run([sys.executable, "-c", OTHER_FAULT], capture_output=True, text=True, check=True)
    assert "OSError: a fault of another kind" in ran.stderr
