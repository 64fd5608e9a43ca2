"""From a destination's URL to its store."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

from logferry.connection import Connection
from logferry.errors import DefinitionError
from logferry.stores.base import Store
from logferry.stores.local import LocalStore


def open_store(url: str, connection: Connection | None) -> Store:
    """The store at ``file:///absolute/folder`` or ``s3://bucket[/prefix]``; nothing is sent or created yet.

    ``connection`` is of type ``aws`` and matters to S3 only; None uses boto3's own chain of credentials.
    Raises DefinitionError for any other URL or connection.
    """
    scheme, separator, rest = url.partition("://")
    if separator and scheme == "file" and rest.startswith("/"):
        return LocalStore(Path(unquote(rest)))
    if separator and scheme == "s3":
        bucket, _, prefix = rest.partition("/")
        if bucket:
            # Only a lake in S3 pays for importing boto3.
            from logferry.credentials.aws import s3_settings
            from logferry.stores.s3 import S3Store

            return S3Store(bucket, prefix.strip("/"), s3_settings(connection))
    raise DefinitionError(
        f"destination.url {url!r} is not supported: use file:///absolute/folder or s3://bucket/prefix."
    )
