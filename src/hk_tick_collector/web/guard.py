"""Before every request: the name that it uses, its method, its token. After every answer: the headers of security.

Input: requests from anybody who can reach the port. It answers itself what must not reach the views.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from .hosts import is_ours

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from .tokens import Attempts, Token

SESSION: Final = "hktc_session"  # the cookie
LOGIN: Final = "/login"
STATIC: Final = "/static/"
_READING: Final = ("GET", "HEAD")
_BEARER: Final = "bearer "
_LONGEST_TOKEN: Final = 512
POLICY: Final = (  # nothing from elsewhere, nothing inside the page itself
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; font-src 'self';"
    " manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}


class Guard:
    """An ASGI application around another. `token` is None if the page needs none."""

    def __init__(self, app: ASGIApp, names: frozenset[str], token: Token | None, attempts: Attempts) -> None:
        self._app = app
        self._names = names
        self._token = token
        self._attempts = attempts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers, or passes the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        refused = self._refused(scope)
        await (refused or self._app)(scope, receive, send_guarded)

    def _refused(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        if not is_ours(headers.get("host", ""), self._names):
            return PlainTextResponse(
                "this page answers only under its IP address, localhost, this host's name, and the names of"
                " WEB_HOSTS\n",
                421,
            )
        path, method = str(scope["path"]), str(scope["method"])
        if method not in _READING and (method, path) != ("POST", LOGIN):
            return PlainTextResponse("this page only reads: GET and HEAD\n", 405, {"Allow": "GET, HEAD"})
        if self._token is None or path == LOGIN or path.startswith(STATIC):
            return None
        return self._without_token(self._token, scope, headers)

    def _without_token(self, token: Token, scope: Scope, headers: Headers) -> Response | None:
        given = headers.get("authorization", "")
        if given[: len(_BEARER)].lower() == _BEARER:
            return self._judged(token, given[len(_BEARER) :], address_of(scope))
        if token.is_session(_cookie(headers), time.time()):
            return None
        if "text/html" in headers.get("accept", "") and scope["method"] == "GET":
            return RedirectResponse(LOGIN, 303)
        return PlainTextResponse("WEB_TOKEN is needed\n", 401, {"WWW-Authenticate": "Bearer"})

    def _judged(self, token: Token, given: str, address: str) -> Response | None:
        now_s = time.monotonic()
        if (wait_s := self._attempts.wait_s(address, now_s)) > 0:
            return too_many(wait_s)
        if len(given) <= _LONGEST_TOKEN and token.is_right(given):
            return None
        self._attempts.failed(address, now_s)
        return PlainTextResponse("wrong WEB_TOKEN\n", 401, {"WWW-Authenticate": "Bearer"})


def too_many(wait_s: float) -> Response:
    """The answer to an address that has tried too many wrong tokens."""
    return PlainTextResponse("too many wrong tokens: wait\n", 429, {"Retry-After": str(int(wait_s) + 1)})


def address_of(scope: Scope) -> str:
    """The client's IP address."""
    client: Any = scope.get("client")
    return str(client[0]) if client else ""


def _cookie(headers: Headers) -> str:
    # Not SimpleCookie: a browser sends the cookies of all ports of a host, and one that is odd hides those after it.
    return cookie_parser(headers.get("cookie", "")).get(SESSION, "")
