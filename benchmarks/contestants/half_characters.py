"""Real logs hold escaped halves of characters, and integers of more than 64 bits, which most writers refuse."""

from __future__ import annotations

import re
from typing import Any

_MOST = 2**63
_HALF = re.compile("[\ud800-\udfff]")


def whole(value: Any) -> Any:
    """The value with U+FFFD for every half character, and huge integers as text."""
    if isinstance(value, str):
        return _HALF.sub("\ufffd", value)
    if isinstance(value, list):
        return [whole(one) for one in value]
    if isinstance(value, dict):
        return {whole(name): whole(one) for name, one in value.items()}
    return str(value) if isinstance(value, int) and not -_MOST <= value < _MOST else value
