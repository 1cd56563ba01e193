"""A receiver on loopback, of alerts for Apprise's `json://` and of dead-man pings; it can also fail or hang."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

# At the end of an alert URL: a receiver on a loaded machine may take longer than the four seconds that Apprise waits.
PATIENT: Final = "?cto=60&rto=60"


class Receiver:
    """Keeps every message. `answers` are the HTTP codes of the next requests, 200 where there is none left.

    One that `hangs` takes a connection and never answers.
    """

    def __init__(self, *answers: int, hangs: bool = False) -> None:
        self.messages: list[dict[str, Any]] = []
        self.pings: list[str] = []  # the path of each GET that was answered with 200
        self.requests = 0
        self._answers = list(answers)
        self._released = threading.Event()
        if not hangs:
            self._released.set()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                code = receiver._next_code()
                if code == 200:
                    receiver.messages.append(json.loads(body))
                self._answer(code)

            def do_GET(self) -> None:
                code = receiver._next_code()
                if code == 200:
                    receiver.pings.append(self.path)
                self._answer(code)

            def _answer(self, code: int) -> None:
                try:
                    self.send_response(code)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                except OSError:
                    return  # the other side did not wait

            def log_message(self, *_: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="receiver")
        self._thread.start()

    def _next_code(self) -> int:
        self.requests += 1
        self._released.wait()
        return self._answers.pop(0) if self._answers else 200

    def recover(self) -> None:
        """From now on every answer is 200."""
        self._answers.clear()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._server.server_address[1])

    def titles(self) -> list[str]:
        """The titles that have arrived so far."""
        return [str(message["title"]) for message in self.messages]

    def close(self) -> None:
        """Ends it, with every waiting connection."""
        self._released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
