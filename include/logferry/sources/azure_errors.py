"""Refusals of the Azure log APIs to the error tree.

Bodies: https://learn.microsoft.com/azure/azure-monitor/logs/api/errors. The shape is nested
(``error.innererror.innererror``, ``error.details[]``), codes come as names, numbers or numeric text, and
gateways answer HTML; so a body is read leniently and judged by everything it says.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from logferry.budget import retry_after_s
from logferry.errors import (
    CredentialsError,
    FailedAnswer,
    LogferryError,
    QueryRejected,
    SourceError,
    TooMuch,
    Unavailable,
)
from logferry.sources.base import Response
from logferry.sources.bounds import text_of
from logferry.wording import excerpt

_DEEPEST = 12
_MOST_ERROR_BYTES = 64 * 1024
_TOO_LARGE_CODES = frozenset({"-2133196797", "0x80DA0003", "ResponsePayloadTooLarge", "ResponseSizeTooLarge"})
_NUMBER = r"(?:\d{1,3}(?:,\d{3})+|\d{1,18})"
_TOO_LARGE = re.compile(
    r"E_QUERY_RESULT_SET_TOO_LARGE|0x80DA0003"
    rf"|exceeds? the set limit of {_NUMBER}\s*(?:bytes|records|rows|[KMGT]i?B)\b"
    r"|exceeded the internal (?:data size|record count) limit"
    rf"|Maximum response size of {_NUMBER} bytes exceeded",
    re.IGNORECASE,
)
_MOST_ROWS = re.compile(
    rf"set limit of ({_NUMBER})\s+(?:records|rows)\b"
    rf"|record count limit ({_NUMBER})\b(?![.,]\d|\s*(?:bytes|[KMGT]i?B)\b)",
    re.IGNORECASE,
)
"""Rows only where they are said to be: bytes or a cut number taken for them would multiply the requests."""
_UNRESOLVED = re.compile(r"Failed to resolve .*?named '([^']*)'", re.DOTALL)
_LEGACY_TYPE = re.compile(r"\bType\s*[=:]\s*\"?([A-Za-z0-9_]+)", re.IGNORECASE)


class UnknownName(QueryRejected):
    """The query names a table or column that does not exist; ``name`` is the service's word for it."""

    def __init__(self, message: str, *, name: str) -> None:
        super().__init__(message)
        self.name = name


@dataclass(frozen=True, slots=True)
class Layer:
    """One level of an error body."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class AzureError:
    """What an error body says: its layers from the outside in, and the place in the query or ``""``."""

    layers: tuple[Layer, ...]
    correlation_id: str
    place: str

    @property
    def codes(self) -> frozenset[str]:
        return frozenset(layer.code for layer in self.layers if layer.code)

    @property
    def is_size(self) -> bool:
        """The result was too large: any of the service's ways to say so."""
        return bool(self.codes & _TOO_LARGE_CODES) or any(
            _TOO_LARGE.search(layer.message) for layer in self.layers
        )

    @property
    def most_rows(self) -> int | None:
        """The most records of an answer, where that is the limit that was exceeded and it is named."""
        for layer in self.layers:
            if match := _MOST_ROWS.search(layer.message):
                return int((match[1] or match[2]).replace(",", "")) or None
        return None

    @property
    def unresolved(self) -> str | None:
        """The table or column that a semantic error (SEM0100) could not resolve."""
        for layer in self.layers:
            if match := _UNRESOLVED.search(layer.message):
                return match[1]
        return None

    def __str__(self) -> str:
        codes = " > ".join(dict.fromkeys(layer.code for layer in self.layers if layer.code))
        messages = [layer.message for layer in self.layers if layer.message]
        # The innermost message is the specific one; the outer ones only say that something went wrong.
        text = " ".join(messages[-1].split())[:200] if messages else "no message"
        where = f" at {self.place}" if self.place else ""
        tail = f" (correlation id {self.correlation_id})" if self.correlation_id else ""
        return f"{codes or 'no code'}{where}: {text}{tail}"


def read_error(body: bytes) -> AzureError:
    """What an error body says; a body that is no JSON becomes one layer with its first 200 characters."""
    try:
        value = json.loads(body)
        if isinstance(value, str):
            value = json.loads(value)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        return AzureError((Layer("", excerpt(body)),), "", "")
    error = value.get("error", value)
    return (
        describe_error(error) if isinstance(error, dict) else AzureError((Layer("", text_of(error)),), "", "")
    )


def describe_error(error: Any) -> AzureError:
    """The layers of a decoded ``error`` object; of another value, its type alone, for it may be data."""
    if not isinstance(error, dict):
        return AzureError((Layer("", f"the error is no object but of type {type(error).__name__}"),), "", "")
    objects = list(_objects(error, _DEEPEST))
    layers = tuple(
        Layer(text_of(one.get("code") or one.get("type")), text_of(one.get("message"))) for one in objects
    )
    correlation = next((text_of(one["correlationId"]) for one in objects if "correlationId" in one), "")
    located = next((one for one in objects if "line" in one and "pos" in one), None)
    place = ""
    if located is not None:
        token = f", token {text_of(located['token'])!r}" if "token" in located else ""
        place = f"line {text_of(located['line'])}, position {text_of(located['pos'])}{token}"
    return AzureError(layers, correlation, place)


def error_beside(raw: bytes) -> AzureError:
    """The layers of an ``error`` as it was received within an answer; of one too large to be an error, its size."""
    if len(raw) > _MOST_ERROR_BYTES:
        return AzureError((Layer("", f"its error is {len(raw):,} bytes long"),), "", "")
    try:
        return describe_error(json.loads(raw))
    except (ValueError, RecursionError):
        return AzureError((Layer("", "its error is not readable"),), "", "")


def partial_answer(error: AzureError) -> SourceError:
    """The error for a 200 whose body carries ``error``: its rows are never taken."""
    if error.is_size:
        return TooMuch(f"Log Analytics cut the answer: {error}", most_rows=error.most_rows)
    return FailedAnswer(f"Log Analytics gave a partial answer: {error}")


def query_refusal(response: Response, *, table: str | None = None) -> LogferryError:
    """The error for a query API answer that is not 200; ``table``: the table the query starts from.

    Of an unexpected 2xx only the size is told: its body may hold rows.
    """
    status = response.status
    if status == 204:
        return FailedAnswer(
            "Log Analytics answered 204 without a body: the workspace holds no data yet or has not been "
            "placed; check that it receives data"
        )
    if 200 <= status < 300:
        return FailedAnswer(f"Log Analytics answered {status} with {len(response.body):,} bytes, not 200")
    error = read_error(response.body)
    if error.is_size or status == 413:
        return TooMuch(f"Log Analytics says the answer is too large ({status}): {error}")
    if status == 504 and "GatewayTimeout" in error.codes:
        return TooMuch(f"Log Analytics ran out of time on the query: {error}")
    if status in (502, 504):
        return FailedAnswer(f"Log Analytics' gateway answered {status}: {error}")
    if status in (401, 403):
        return CredentialsError(f"Log Analytics refused access ({status}: {error}); {_remedy(error)}")
    if status == 404:
        return QueryRejected(
            f"Log Analytics does not know this workspace ({error}); `workspace` is the Workspace ID, a GUID, "
            "not the workspace's name, and it must be of the connection's cloud"
        )
    if status == 400:
        return _rejected(error, table)
    return _other(response, f"Log Analytics answered {status}: {error}")


def search_refusal(response: Response, query: str) -> LogferryError:
    """The error for a legacy Log Search answer that is neither 200 nor 202. 410 means: the API is gone.

    Of an unexpected 2xx only the size is told: its body may hold rows.
    """
    status = response.status
    if 200 <= status < 300:
        return FailedAnswer(
            f"the Log Search API answered {status} with {len(response.body):,} bytes, not 200"
        )
    error = read_error(response.body)
    if status == 410:
        match = _LEGACY_TYPE.search(query)
        table = match[1] if match else "Event"
        return SourceError(
            "the Log Search API answered 410: it is retired for this workspace; use `kind: azure_monitor` "
            f"with the workspace's GUID instead, where `Type={table}` becomes `table: {table}`"
        )
    if status in (401, 403):
        return CredentialsError(
            f"Azure Resource Manager refused access ({status}: {error}); the principal needs Log Analytics "
            "Reader on the workspace (a new grant can take up to 60 minutes) and a token for Resource "
            "Manager in the workspace's cloud"
        )
    if status == 404:
        return QueryRejected(
            f"Azure Resource Manager does not know the workspace ({error}); check `subscription`, "
            "`resource_group` and `workspace`, which here is the workspace's name"
        )
    if status == 400:
        return QueryRejected(f"the Log Search API refused the query: {error}; correct `query`")
    if status == 413:
        return TooMuch(f"the Log Search API says the answer is too large: {error}")
    return _other(response, f"the Log Search API answered {status}: {error}")


def failed_search(error: AzureError) -> LogferryError:
    """The error for a legacy search whose answer carries ``error``; its types were never listed in full."""
    if error.is_size:
        return TooMuch(f"the Log Search API cut the answer: {error}")
    kinds = " ".join(error.codes).lower()
    if any(word in kinds for word in ("syntax", "parse", "invalid", "badrequest", "semantic")):
        return QueryRejected(f"the Log Search API refused the query: {error}; correct `query`")
    return FailedAnswer(f"the Log Search API failed: {error}")


def _other(response: Response, text: str) -> LogferryError:
    if response.status in (408, 429) or response.status >= 500:
        return Unavailable(text, wait_s=retry_after_s(response.headers))
    return SourceError(text)


def _rejected(error: AzureError, table: str | None) -> QueryRejected:
    unknown = error.unresolved
    if unknown is None:
        wrong_time = "SEM0064" in error.codes
        remedy = (
            "correct `time_column`, which must name a datetime column"
            if wrong_time
            else "correct the pipeline"
        )
        return QueryRejected(f"Log Analytics refused the query: {error}; {remedy}")
    if unknown == table:
        return UnknownName(
            f"the table {table} has never been filled in this workspace, or its name is misspelt "
            f"(names are case-sensitive): {error}",
            name=unknown,
        )
    return UnknownName(f"Log Analytics does not know {unknown!r} in this query: {error}", name=unknown)


def _remedy(error: AzureError) -> str:
    codes = error.codes
    if "NspValidationFailedError" in codes or "public networks" in str(error):
        return (
            "the workspace accepts no queries from this network: go through its Private Link, or change its "
            "Networking settings or network security perimeter"
        )
    if any("Audience" in code for code in codes):
        return "the token is for another audience: check `cloud_environment` and `scope` of the connection"
    if "InsufficientAccessError" in codes or "AuthorizationFailedError" in codes:
        return (
            "the principal needs Log Analytics Reader on the workspace; a new grant can take up to 60 minutes"
        )
    return (
        "check tenant, client id and secret of the connection, its cloud, and that the application has the "
        "Log Analytics API permission Data.Read"
    )


def _objects(error: dict[str, Any], depth: int) -> Iterator[dict[str, Any]]:
    yield error
    if depth == 0:
        return
    details = error.get("details")
    inner = [error.get("innererror"), *(details if isinstance(details, list) else ())]
    for one in inner:
        if isinstance(one, dict):
            yield from _objects(one, depth - 1)
