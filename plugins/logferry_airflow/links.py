"""Where to look: links of a task's page in the UI, and the addresses that notices name.

Airflow asks for a link on the worker, once the task has ended, and keeps the answer as an XCom
(https://airflow.apache.org/docs/apache-airflow/stable/howto/define-extra-link.html).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit

from airflow.sdk import BaseOperatorLink, conf

from logferry.window import Window, format_instant

if TYPE_CHECKING:
    from logferry.records.manifest import Manifest
    from logferry_airflow.publication import Publication

PAGE = "/plugin/logferry"
"""The page inside Airflow's UI, below ``[api] base_url``."""
_CONSOLES = {
    ".amazonaws.com": "https://s3.console.aws.amazon.com/s3/buckets/",
    ".amazonaws.com.cn": "https://console.amazonaws.cn/s3/buckets/",
}


@dataclass(frozen=True, slots=True)
class Shown:
    """What a task was about: an export that the page knows, and the range, None for no range in particular."""

    export: str
    window: Window | None = None


def page_url(export: str, window: Window | None = None) -> str:
    """The export's view of the page, over a range or its newest one."""
    query = ""
    if window is not None:
        span = {"from": format_instant(window.start), "to": format_instant(window.end)}
        query = f"?{urlencode(span, safe=':')}"
    return f"{_base_url()}{PAGE}#/export/{quote(export)}{query}"


def record_url(export: str, seq: int) -> str:
    """The page's view of one publication."""
    return f"{_base_url()}{PAGE}#/export/{quote(export)}/record/{seq}"


def partition_url(manifest: Manifest, lake: str, endpoint: str | None) -> str | None:
    """The published partition in the S3 console; None where the lake is not in AWS.

    ``lake``: the store's URL. ``endpoint``: where it sends its requests, None for a local folder. The console has no
    documented address of a prefix; this is the one that it shows itself.
    """
    parts = urlsplit(lake)
    console = next((url for host, url in _CONSOLES.items() if _host(endpoint).endswith(host)), None)
    if parts.scheme != "s3" or console is None:
        return None
    prefix = "/".join(piece for piece in (parts.path.strip("/"), _partition(manifest)) if piece)
    return f"{console}{quote(parts.netloc)}?{urlencode({'prefix': f'{prefix}/', 'showversions': 'false'}, safe='/=')}"


def _host(endpoint: str | None) -> str:
    return (urlsplit(endpoint).hostname or "") if endpoint else ""


def _partition(manifest: Manifest) -> str:
    """The deepest folder that holds every file of the publication."""
    folders = [file.key.split("/")[:-1] for file in manifest.files]
    common = []
    for pieces in zip(*folders, strict=False):
        if len(set(pieces)) > 1:
            break
        common.append(pieces[0])
    return "/".join(common)


def _base_url() -> str:
    return str(conf.get("api", "base_url", fallback="http://localhost:8080")).rstrip("/")


class CoverageLink(BaseOperatorLink):
    """To the coverage page, at the range that the task was about (``operator.shown``)."""

    name = "Coverage"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        shown: Shown | None = getattr(operator, "shown", None)
        return "" if shown is None else page_url(shown.export, shown.window)


class PartitionLink(BaseOperatorLink):
    """To what the task published: the partition in the S3 console, else the page's view of the publication."""

    name = "Published partition"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        published: Publication | None = getattr(operator, "published", None)
        if published is None:
            return ""
        manifest = published.manifest
        console = partition_url(manifest, published.lake, published.endpoint)
        if console is not None:
            return console
        return "" if getattr(operator, "shown", None) is None else record_url(manifest.export, manifest.seq)
