"""The body of an alert in the format of its destination, such that the reader sees exactly these characters.

Enters: the text, which may contain words of OpenD, and Apprise's service. Leaves: text and format for Apprise. Nothing
in the text becomes a link, a heading, a mention, or a tag:

- a service that takes plain text and shows it as it is gets it unchanged;
- HTML is escaped here, because not every service of Apprise does so;
- a service that shows Markdown, also in what it is given as text, gets a code block: nothing in it is interpreted, and
  a command can be copied from it unchanged.
"""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, Final

from hk_tick_collector.text import plain

if TYPE_CHECKING:
    from apprise import NotifyBase

# Services of Apprise whose server interprets Markdown in what Apprise sends as text, by the name of their class.
_INTERPRETS_TEXT: Final = frozenset(
    f"Notify{name}"
    for name in (
        *("Discord", "Fluxer", "Guilded", "HomeAssistant", "HumHub", "Mattermost", "Misskey", "NextcloudTalk"),
        *("Notifiarr", "Ryver", "ServerChan", "Zulip"),
    )
)
# Services whose text is searched for names and headings also inside a code block, by Apprise or by their server.
_SEARCHES: Final = frozenset(
    f"Notify{name}"
    for name in ("BlueSky", "Discord", "Fluxer", "Guilded", "Mastodon", "Misskey", "Notifiarr", "Twitter")
)
_FENCE: Final = "```"
_SPARE: Final = 200  # for the title and Apprise's own characters
_APART: Final = "\u200b"  # a character without width
_NAME_OR_HEADING: Final = re.compile(r"(?<=@)(?=\S)|^(?=\s*#)", re.MULTILINE)


def as_shown(body: str, service: NotifyBase) -> tuple[str, str]:
    """The body and its format for Apprise."""
    body = "\n".join(map(plain, body.split("\n")))
    resolve = getattr(service, "resolve_format", None)
    declared = resolve("text") if resolve else service.notify_format
    markup = getattr(declared, "value", declared)
    if markup == "html":
        return html.escape(body, quote=False).replace("\n", "<br/>"), "html"
    name = type(service).__name__
    if name in _SEARCHES:
        body = _NAME_OR_HEADING.sub(_APART, body)
    if markup != "markdown" and name not in _INTERPRETS_TEXT:
        return body, "text"
    body = body.replace(_FENCE, "'''")
    most = service.body_maxlen - _SPARE  # a longer text is cut in two by Apprise, and the block with it
    if len(body) > most > 0:
        body = f"{body[:most]}..."
    return f"{_FENCE}\n{body}\n{_FENCE}", "markdown" if markup == "markdown" else "text"
