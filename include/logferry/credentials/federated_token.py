"""The token file of a workload identity."""

from __future__ import annotations

from pathlib import Path

from logferry.errors import CredentialsError


def federated_token(conn_id: str, path: str) -> str:
    """The file's token as it is now: the platform replaces it before it expires. Raises CredentialsError."""
    try:
        token = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "not text"
        raise CredentialsError(
            f"Connection {conn_id!r}: the federated token file {path!r} cannot be read ({reason}): "
            "check the workload identity of this pod."
        ) from error
    if not token:
        raise CredentialsError(
            f"Connection {conn_id!r}: the federated token file {path!r} is empty: check the workload identity of "
            "this pod."
        )
    return token
