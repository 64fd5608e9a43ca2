"""JSON string tokens to text that a file can hold."""

from __future__ import annotations

import json

import msgspec

_decode = msgspec.json.Decoder(str).decode


def read_text(token: bytes) -> tuple[str, bool]:
    """The text of a JSON string token, and whether something in it was not valid Unicode.

    An escaped half of a surrogate pair (``"\\ud83d"``) is legal JSON but no text: it becomes U+FFFD.
    Raises ValueError when the token is no JSON string.
    """
    try:
        return _decode(token), False
    except msgspec.ValidationError:
        raise ValueError("not a JSON string") from None
    except msgspec.DecodeError:
        text = json.loads(token)
        if not isinstance(text, str):
            raise ValueError("not a JSON string") from None
        valid = valid_text(text)
        return valid, valid != text


def valid_text(text: str) -> str:
    """The text with each half of a surrogate pair that stands alone as U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
