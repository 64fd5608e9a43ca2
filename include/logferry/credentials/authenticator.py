"""How a request gets its credentials."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Protocol


class Authenticator(Protocol):
    """The credentials of one API, asked before every request; safe to share between threads.

    ``key`` is a short digest that names the budget shared by everything that uses the same credential.
    """

    key: str

    def headers(self) -> Mapping[str, str]:
        """The headers that authenticate one request. Raises CredentialsError, or Unavailable to ask again."""
        ...

    def refresh(self) -> bool:
        """Drops what is cached after the API refused it; True when asking again can give something new."""
        ...

    def secrets(self) -> tuple[str, ...]:
        """Every text that must not be logged, tokens included."""
        ...


def credential_key(*parts: str) -> str:
    """Names a credential without telling it: the first 16 hex digits of the parts' SHA-256."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
