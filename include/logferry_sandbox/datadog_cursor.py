"""Page cursors: an opaque text that is a position in the order of the answer, and holds no state.

The real API's cursors decode to base64url JSON ``{"after": "<event id>", "values": ["<sort value>"]}``.
"""

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Cursor:
    """Right after the event ``after`` whose sort value is ``value`` (None: it lacks the facet)."""

    after: str
    value: str | None
    attempt: int = 0

    def encode(self) -> str:
        """The text a client sends back."""
        content: dict[str, Any] = {"after": self.after, "values": [self.value]}
        if self.attempt:
            content["attempt"] = self.attempt
        raw = json.dumps(content, separators=(",", ":")).encode()
        return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def decode_cursor(text: str) -> Cursor:
    """Read a cursor. Raises ValueError if this API cannot have made it."""
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        content = json.loads(raw)
        (value,) = content["values"]
        after = content["after"]
    except (binascii.Error, ValueError, KeyError, TypeError):
        raise ValueError("not a cursor") from None
    if not isinstance(after, str) or not (value is None or isinstance(value, str)):
        raise ValueError("not a cursor")
    return Cursor(after, value, int(content.get("attempt", 0)))
