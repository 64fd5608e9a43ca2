"""One search of the legacy Log Search API: submitted, polled until it is done, read whole or refused.

https://learn.microsoft.com/previous-versions/azure/azure-monitor/log-query/log-search-api. A search that is
not done at once answers ``Pending`` with an id; its result is then fetched under that id, and is dropped
about six minutes later (410).
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import msgspec

from logferry.convert.repair import repair_surrogates
from logferry.errors import FailedAnswer, QueryRejected, Unavailable
from logferry.sources.azure_errors import error_beside, failed_search, search_refusal
from logferry.sources.base import MIB, Purpose, Request, Response
from logferry.sources.bounds import check_values, reason, text_of
from logferry.window import FIRST_INSTANT, LAST_INSTANT, TICK_PER_MS, format_instant

BUCKET = "azure_arm"
API_VERSION = "2015-11-01-preview"
_FIRST_PAUSE_S = 0.25
_LONGEST_PAUSE_S = 15.0
_DEADLINE_S = 600.0
_MOST_BYTES = 64 * MIB
"""Of 5,000 rows: 13 kB each."""
_SUBMISSIONS = 4
"""The first and at most three more after a result was dropped."""


class _Metadata(msgspec.Struct):
    status: str | None = msgspec.field(name="Status", default=None)
    total: Any = None
    top: Any = None
    result_type: str | None = msgspec.field(name="resultType", default=None)


class _Envelope(msgspec.Struct):
    id: str | None = None
    metadata: _Metadata | None = msgspec.field(name="__metadata", default=None)
    value: list[msgspec.Raw] | None = None
    error: msgspec.Raw = msgspec.Raw(b"")


_decode = msgspec.json.Decoder(_Envelope).decode


@dataclass(frozen=True, slots=True)
class SearchAnswer:
    """``total`` rows match; ``rows`` are those that came, each as received; ``top`` as echoed."""

    total: int
    top: int | None
    rows: list[bytes]
    body_bytes: int


@dataclass(frozen=True, slots=True)
class LegacyWorkspace:
    """Where searches go: Resource Manager's endpoint and the workspace's place and NAME."""

    endpoint: str
    subscription: str
    resource_group: str
    name: str

    @property
    def search_url(self) -> str:
        parts = {
            "subscriptions": self.subscription,
            "resourcegroups": self.resource_group,
            "providers": "Microsoft.OperationalInsights",
            "workspaces": self.name,
        }
        path = "/".join(f"{kind}/{quote(value, safe='')}" for kind, value in parts.items())
        return f"{self.endpoint.rstrip('/')}/{path}/search"

    def search(
        self, query: str, *, top: int, start: int, end: int, purpose: Purpose
    ) -> Generator[Request, Response, SearchAnswer]:
        """The finished answer for ticks ``start`` to ``end``, both sent as milliseconds.

        Whether the API counts rows exactly on a bound is not documented. Waits 0.25, 0.5, 1 … 15 s between
        polls, 10 minutes in all. Raises FailedAnswer, QueryRejected, CredentialsError, Unavailable;
        SourceError when the API is retired.
        """
        body = {"top": top, "query": query, "start": instant_ms(start), "end": instant_ms(end)}
        submit = self._request("POST", self.search_url, purpose, body=msgspec.json.encode(body))
        waited = 0.0
        for _ in range(_SUBMISSIONS):
            response = yield submit
            pause = _FIRST_PAUSE_S
            while True:
                if response.status not in (200, 202):
                    raise search_refusal(response, query)
                envelope, rows = _read(response)
                metadata = envelope.metadata or _Metadata()
                if metadata.status != "Pending":
                    return _finished(envelope, metadata, rows, len(response.body))
                if waited >= _DEADLINE_S:
                    raise Unavailable(f"the search was still Pending after {waited:.0f} s of waiting")
                poll = self._request("GET", self._poll_url(envelope), purpose, after_s=pause)
                response = yield poll
                waited += pause
                pause = min(pause * 2, _LONGEST_PAUSE_S)
                if response.status == 410:
                    break  # The result was dropped before it was fetched; the API itself still lives.
        raise Unavailable(f"the search's result was dropped {_SUBMISSIONS} times before it could be fetched")

    def _poll_url(self, envelope: _Envelope) -> str:
        identity = (envelope.id or "").rpartition("/")[2]
        if not identity:
            raise FailedAnswer("the Log Search API answered Pending without an id to ask for")
        return f"{self.search_url}/{quote(identity, safe='')}"

    def _request(
        self, method: str, url: str, purpose: Purpose, *, body: bytes | None = None, after_s: float = 0.0
    ) -> Request:
        return Request(
            method=method,
            url=f"{url}?api-version={API_VERSION}",
            purpose=purpose,
            bucket=BUCKET,
            headers={"Accept": "application/json", "Content-Type": "application/json"},
            body=body,
            after_s=after_s,
            most_bytes=_MOST_BYTES,
        )


def instant_ms(tick: int) -> str:
    """The documented form of a bound, always with three decimals: ``2015-02-04T21:03:29.231Z``.

    A tick beyond the calendar becomes its first or last instant.
    """
    milliseconds = min(max(tick, FIRST_INSTANT), LAST_INSTANT) // TICK_PER_MS
    whole = format_instant(milliseconds // 1000 * 1000 * TICK_PER_MS).removesuffix("Z")
    return f"{whole}.{milliseconds % 1000:03d}Z"


def _read(response: Response) -> tuple[_Envelope, list[bytes] | None]:
    """The answer, and its rows as received (None: it has no ``value``)."""
    body = response.body
    if not body.strip():
        raise FailedAnswer(f"the Log Search API answered {response.status} with an empty body")
    check_values(body, "the Log Search API's answer")
    document = body
    try:
        envelope = _decode(document)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        document, _ = repair_surrogates(body)
        try:
            envelope = _decode(document)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise FailedAnswer(
                f"the Log Search API's answer of {len(body):,} bytes is cut or not readable ({reason(error)})"
            ) from error
    if envelope.value is None:
        return envelope, None
    rows = [bytes(raw) for raw in envelope.value]
    return envelope, rows if document is body else _as_received(rows, document, body)


def _as_received(rows: list[bytes], document: bytes, body: bytes) -> list[bytes]:
    """The same rows cut from ``body``; ``document`` is its repaired copy, of the same length."""
    originals = []
    place = 0
    for row in rows:
        place = document.index(row, place)
        originals.append(body[place : place + len(row)])
        place += len(row)
    return originals


def _finished(
    envelope: _Envelope, metadata: _Metadata, rows: list[bytes] | None, body_bytes: int
) -> SearchAnswer:
    if bytes(envelope.error) not in (b"", b"null"):
        raise failed_search(error_beside(bytes(envelope.error)))
    if metadata.status != "Successful":
        raise FailedAnswer(
            f"the Log Search API gave the status {text_of(metadata.status)!r}, neither Pending nor Successful"
        )
    if metadata.result_type not in (None, "raw"):
        raise QueryRejected(
            f"the search's result is {text_of(metadata.result_type)!r}, not rows; an aggregating query (measure) "
            "cannot be exported by time"
        )
    total = metadata.total
    if type(total) is not int or total < 0:
        raise FailedAnswer(
            f"the Log Search API's answer of {body_bytes:,} bytes names no total that is a number of rows"
        )
    if rows is None:
        raise FailedAnswer("the Log Search API's answer has no rows member")
    if len(rows) > total:
        raise FailedAnswer(f"the Log Search API sent {len(rows):,} rows of a total of {total:,}")
    return SearchAnswer(total, metadata.top if type(metadata.top) is int else None, rows, body_bytes)
