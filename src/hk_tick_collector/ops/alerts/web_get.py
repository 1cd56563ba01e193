"""One GET of a web address. Output: empty, or why there was no answer with 2xx. The body is not read."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from typing import Final

_WAIT_S: Final = 10.0  # for one wait on the network; the caller limits the whole


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect is a failure: the secret part of the URL goes to its own host only."""

    def redirect_request(self, *_: object) -> None:
        return None


def get(url: str) -> str:
    """Empty for an answer with 2xx, otherwise its code, or why there is none. The text may contain parts of the URL."""
    request = urllib.request.Request(url, headers={"User-Agent": "hk-tick-collector"})  # noqa: S310 - http or https
    try:
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=_WAIT_S):
            return ""  # the body is not read
    except urllib.error.HTTPError as error:
        error.close()
        return f"HTTP {error.code}"
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        return f"{type(error).__name__}: {reason}"
