"""The asset that stands for an export's table in Airflow."""

from __future__ import annotations

from airflow.sdk import Asset


def export_asset(name: str) -> Asset:
    """The asset of an export's table; consumers write ``Asset("<name>")`` or the URI.

    The URI names the export and not the bucket: it stays when the destination moves, and where the files are is
    in the event (``manifest``). Its scheme begins with ``x-`` because Airflow takes such a URI as it is; for any
    other it first imports every provider's URI handlers, boto3 among them, at each parse.
    """
    return Asset(name=name, uri=f"x-logferry://exports/{name}")
