"""Ad-hoc questions to the Azure log APIs: what was asked, answered as received, nothing widened or stored."""

from __future__ import annotations

import json
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from logferry.convert.repair import readable_text
from logferry.errors import FailedAnswer
from logferry.sources.azure_query import Workspace
from logferry.sources.azure_search_job import LegacyWorkspace
from logferry.sources.base import Request, Response
from logferry.window import Window

T = TypeVar("T")

_decode_row = msgspec.json.Decoder(list[Any]).decode


@dataclass(frozen=True, slots=True)
class KqlAnswer:
    """``(name, KQL type)`` columns, and rows of JSON values: times, decimals and dynamics as received."""

    columns: tuple[tuple[str, str], ...]
    rows: list[list[Any]]


@dataclass(frozen=True, slots=True)
class LegacyAnswer:
    """``total`` rows match; ``top``: the limit the API says it applied, None if it names none."""

    total: int
    top: int | None
    rows: list[dict[str, Any]]


def run_kql(
    query_endpoint: str, workspace: str, kql: str, timespan: Window | None
) -> Generator[Request, Response, KqlAnswer]:
    """The whole answer to a KQL query in the workspace with this GUID.

    ``timespan`` is a hint, sent a second wider on both sides, that the service applies to TimeGenerated: an
    exact range belongs in the query's own ``where``, and beside one on another column there must be none
    (``azure_query.timespan_hint``). Raises TooMuch when the answer was cut; the errors of ``Workspace.ask`` else.
    """
    answer = yield from Workspace(query_endpoint, workspace).ask(kql, timespan, purpose="search")
    return KqlAnswer(answer.columns, [_values(raw) for raw in answer.rows])


def run_log_search(
    workspace: LegacyWorkspace,
    *,
    query: str,
    top: int,
    window: Window,
) -> Generator[Request, Response, LegacyAnswer]:
    """The first ``top`` rows of a legacy search between the window's two instants, as the API bounds them."""
    answer = yield from workspace.search(query, top=top, start=window.start, end=window.end, purpose="search")
    return LegacyAnswer(answer.total, answer.top, [_object(raw) for raw in answer.rows])


def _values(raw: msgspec.Raw) -> list[Any]:
    try:
        return _decode_row(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        text, _ = readable_text(bytes(raw))
        return _loaded(text, list)


def _object(raw: bytes) -> dict[str, Any]:
    return _loaded(readable_text(raw)[0], dict)


def _loaded(text: str, kind: type[T]) -> T:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FailedAnswer(f"the answer holds a row that is not readable: {error}") from error
    if not isinstance(value, kind):
        raise FailedAnswer(f"the answer holds a row that is no {kind.__name__}")
    return value
