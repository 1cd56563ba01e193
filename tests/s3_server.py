"""S3 servers for tests, on loopback: moto, and one that misbehaves as it is told."""

from __future__ import annotations

import hashlib
import logging
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Callable

KEYS = {"AWS_ACCESS_KEY_ID": "an-id", "AWS_SECRET_ACCESS_KEY": "very-SECRET", "AWS_REGION": "us-east-1"}


class S3Server:
    """moto's server, with one bucket."""

    def __init__(self) -> None:
        import boto3
        from moto.server import ThreadedMotoServer

        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self._server.start()
        host, port = self._server.get_host_and_port()
        self.variables = {**KEYS, "AWS_ENDPOINT_URL": f"http://{host}:{port}"}
        self.client: Any = boto3.client(
            "s3",
            endpoint_url=self.variables["AWS_ENDPOINT_URL"],
            aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
            region_name=KEYS["AWS_REGION"],
        )
        self.bucket = "ticks-archive"
        self.client.create_bucket(Bucket=self.bucket)

    def close(self) -> None:
        """Stops it."""
        self.client.close()
        self._server.stop()


class HostileS3:
    """Keeps objects in memory, and does to each request what `trick` does first; that returns False to go on."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.trick: Callable[[_Handler], bool] = lambda _: False
        self.released = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (_Handler,), {"hostile": self}))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        self.variables = {**KEYS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self._server.server_address[1]}"}

    def close(self) -> None:
        """Ends it, and what it let hang."""
        self.released.set()
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hostile: HostileS3

    def log_message(self, *_: Any) -> None:
        """Says nothing."""

    @property
    def name(self) -> str:
        """The key of the object."""
        return unquote(self.path.partition("?")[0]).split("/", 2)[2]

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        """Sends a whole answer."""
        self.send_response(status)
        for key, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(key.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def refuse(self, status: int, code: str, message: str) -> bool:
        """Sends an error as S3 words it."""
        self.body()
        self.answer(status, f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode())
        return True

    def body(self) -> bytes:
        """What the client sends."""
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def drop(self) -> bool:
        """Closes the connection without an answer."""
        self.close_connection = True
        self.connection.close()
        return True

    def do_PUT(self) -> None:
        if self.hostile.trick(self):
            return
        data = self.body()
        if self.name in self.hostile.objects and self.headers.get("If-None-Match") == "*":
            self.answer(412)
            return
        self.keep(data)

    def keep(self, data: bytes) -> None:
        """Stores and confirms."""
        self.hostile.objects[self.name] = data
        self.answer(200, ETag=f'"{hashlib.md5(data).hexdigest()}"')

    def do_GET(self) -> None:
        if self.hostile.trick(self):
            return
        data = self.hostile.objects.get(self.name)
        if data is None:
            self.answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
            return
        about = {"ETag": '"x"', "Last_Modified": "Fri, 20 Nov 2026 00:00:00 GMT"}
        if asked := self.headers.get("Range"):
            start, end = (int(each) for each in asked.removeprefix("bytes=").split("-"))
            about["Content_Range"] = f"bytes {start}-{end}/{len(data)}"
            self.answer(206, data[start : end + 1], **about)
        else:
            self.answer(200, data, **about)

    do_HEAD = do_GET  # noqa: N815 - the name that http.server calls

    def do_DELETE(self) -> None:
        self.hostile.objects.pop(self.name, None)
        self.answer(204)

    def do_POST(self) -> None:
        """The bulk removal: the only POST that a small object needs."""
        if self.hostile.trick(self):
            return
        body = self.body().decode()
        for name in list(self.hostile.objects):
            if f"<Key>{name}</Key>" in body:
                del self.hostile.objects[name]
        self.answer(200, b"<DeleteResult></DeleteResult>")
