"""What each single value of a definition may be; every refusal is a sentence with its remedy.

Validators here see the value as the file wrote it. Times and durations are text there; a whole number is
taken as ticks only when the definition is made in code, never in a file.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, BeforeValidator, ValidationInfo

from logferry.errors import DefinitionError
from logferry.schedule import Schedule
from logferry.window import (
    EARLIEST,
    LATEST,
    TICK_PER_DAY,
    TICK_PER_MINUTE,
    format_duration,
    format_instant,
    parse_duration,
    parse_instant,
)

FROM_FILE = "file"
"""Validation context of a definition that comes from a file."""

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_GUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_KQL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_COLUMN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules
_RESOURCE_NAME = re.compile(r"[\w().-]{0,89}[\w()-]")
_WORKSPACE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{2,61}[A-Za-z0-9]")
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
# One plain address: no display name, no list, nothing that could begin another header.
_ADDRESS = re.compile(r"[^\s@,;:<>()\[\]\"\\]{1,64}@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*")
_LEGACY_COMMANDS = ("where", "extend")
_LEGACY_STRINGS = re.compile(r'"[^"]*"|\'[^\']*\'')
_LEGACY_RELATIVE = re.compile(r"\bNOW\b", re.I)


def _written(value: Any, example: str, info: ValidationInfo) -> str | None:
    """The text to parse, or None for ticks given in code."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, int) and not isinstance(value, bool):
        if info.context != FROM_FILE:
            return None
        if "T" in example:
            raise ValueError(f"{value} is no time with a zone; write it like {example}")
        raise ValueError(f"{value} has no unit; write {value}m, {value}h or {value}d")
    raise ValueError(
        f"is empty; write it like {example}"
        if value is None
        else f"{repr(value)[:80]} is no text; write it like {example}"
    )


def _duration(value: Any, info: ValidationInfo) -> Any:
    text = _written(value, "30m", info)
    return value if text is None else parse_duration(text)


def _instant(value: Any, info: ValidationInfo) -> Any:
    text = _written(value, "2026-01-01T00:00:00Z", info)
    return value if text is None else parse_instant(text)


def _optional_duration(value: Any, info: ValidationInfo) -> Any:
    return None if value is None else _duration(value, info)


def _span(least: int, most: int) -> AfterValidator:
    def check(ticks: int) -> int:
        if not least <= ticks <= most:
            raise ValueError(
                f"{format_duration(ticks)} is out of bounds; choose between {format_duration(least)} and "
                f"{format_duration(most)}"
            )
        return ticks

    return AfterValidator(check)


def _retention_bounds(ticks: int | None) -> int | None:
    if ticks is not None and not TICK_PER_MINUTE <= ticks <= 36_500 * TICK_PER_DAY:
        raise ValueError(
            f"{format_duration(ticks)} is out of bounds; write how long the source keeps rows, such as 15d, "
            "or leave it out"
        )
    return ticks


def _start_bounds(tick: int) -> int:
    if not EARLIEST <= tick < LATEST:
        raise ValueError(f"{format_instant(tick)} is not between 1970 and 2200; correct the year")
    return tick


def _text(value: str) -> str:
    if not value.strip():
        raise ValueError("is empty; give it a value or leave the key out")
    if value != value.strip() or any(ord(char) < 32 for char in value):
        raise ValueError(f"{value!r} has spaces at an end or control characters; remove them")
    if len(value) > 250:
        raise ValueError(f"is {len(value)} characters long; shorten it to 250")
    return value


def _matching(pattern: re.Pattern[str], sentence: str) -> AfterValidator:
    def check(value: str) -> str:
        if pattern.fullmatch(value) is None:
            raise ValueError(f"{value[:80]!r} {sentence}")
        return value

    return AfterValidator(check)


def is_export_name(value: str) -> bool:
    """Whether an export can have this name; only such a one may go into a query or the name of a DAG."""
    return _NAME.fullmatch(value) is not None and len(value) <= 200


def _export_name(value: str) -> str:
    if not is_export_name(value):
        raise ValueError(
            f"{value[:80]!r} is not a name; use small letters, digits and _, begin with a letter (at most "
            "200)"
        )
    return value


def _notify_connection(value: str) -> str:
    """An address is a secret, and the id is logged: so the value is not repeated here either."""
    if "://" in value:
        raise ValueError(
            "is an address and not the ID of a connection; addresses are secrets: put this one into an Airflow "
            "connection, as its password or host, and write the connection's ID here"
        )
    return _text(value)


def _schedule(value: str) -> str:
    Schedule(value)
    return value.strip()


def _datadog_query(value: str) -> str:
    if not value.strip():
        raise ValueError('the query is empty; write "*" for every log')
    return value


def _index_list(value: Any) -> Any:
    if not isinstance(value, list | tuple):
        return value
    names = tuple(value)
    if not names:
        raise ValueError('the list is empty; write ["*"] for every index')
    for name in names:
        if not isinstance(name, str) or not name.strip():
            raise ValueError(f'{name!r} is not the name of an index; write names in quotes, such as ["main"]')
    if len(set(names)) < len(names):
        raise ValueError("an index is named twice; name it once")
    return names


def _workspace_guid(value: str) -> str:
    if _GUID.fullmatch(value) is None:
        raise ValueError(
            f"{value[:80]!r} is not a workspace GUID; a workspace's name does not work here, copy the "
            "Workspace ID "
            "from its overview page in the Azure portal"
        )
    return value.lower()


def _pipeline(value: str | None) -> str | None:
    if value is not None:
        from logferry.kql_pipeline import parse_pipeline  # KQL, which the other sources do without

        try:
            parse_pipeline(value)
        except DefinitionError as error:
            raise ValueError(str(error)) from None
    return value


def _legacy_query(value: str) -> str:
    """The old language's row filters only: its other commands, too, would be cut by time (``Type=Event``)."""
    if not value.strip():
        raise ValueError("the query is empty; write one such as Type=Event, or * for everything")
    code = _LEGACY_STRINGS.sub("", value)
    if _LEGACY_RELATIVE.search(code):
        raise ValueError(
            "the query holds NOW, which moves with the clock; remove it, Logferry sets start and end"
        )
    for command in code.split("|")[1:]:
        word = (command.split() or [""])[0]
        if word.lower() not in _LEGACY_COMMANDS:
            raise ValueError(
                f"the command {word!r} after '|' is not allowed, because the query is cut by time; "
                f"use only {' and '.join(_LEGACY_COMMANDS)}"
            )
    return value


def _top(value: int) -> int:
    if not 1 <= value <= 5000:
        raise ValueError(f"{value} is out of bounds; the API gives 1 to 5000 records at once")
    return value


def _listed(value: Any) -> Any:
    """A list as the tuple that a frozen model keeps."""
    return tuple(value) if isinstance(value, list) else value


def _addresses(values: tuple[str, ...]) -> tuple[str, ...]:
    if not values:
        raise ValueError("the list is empty; name who is written to, such as [oncall@example.org]")
    for value in values:
        if _ADDRESS.fullmatch(value) is None:
            raise ValueError(f"{value[:80]!r} is not a mail address; write it like oncall@example.org")
    if len(set(values)) < len(values):
        raise ValueError("an address is named twice; name it once")
    return values


def _events(values: tuple[str, ...]) -> tuple[str, ...]:
    if not values:
        raise ValueError(
            "the list is empty, so nothing would be told; name events, or leave `on` out for all of them"
        )
    if len(set(values)) < len(values):
        raise ValueError("an event is named twice; name it once")
    return values


def _destination_url(value: str | None) -> str | None:
    if value is None:
        return None
    text = value.strip()
    remedy = "write s3://bucket/prefix, file:///folder or ./folder (below the project)"
    if any(ord(char) <= 32 for char in text) or any(char in text for char in "?#\\"):
        raise ValueError(f"{value[:80]!r} has spaces or one of ? # \\ in it; {remedy}")
    parts = urlsplit(text)
    if "@" in parts.netloc:
        raise ValueError(
            "the url carries credentials; put them into a connection and name it in destination.connection"
        )
    if parts.scheme == "s3":
        if _BUCKET.fullmatch(parts.netloc) is None:
            raise ValueError(f"{parts.netloc!r} is not the name of a bucket; {remedy}")
        path = parts.path
    elif parts.scheme == "file":
        if parts.netloc or parts.path in ("", "/"):
            raise ValueError(f"{value[:80]!r} names no folder of this machine (three slashes); {remedy}")
        path = unquote(parts.path)
    elif not parts.scheme and text.startswith("./") and text != "./":
        path = text[1:]
    elif text.startswith("/") and not text.startswith("//"):
        raise ValueError(f"{value[:80]!r} has no scheme; write file://{text[:80]}")
    else:
        raise ValueError(f"{value[:80]!r} is not a destination that Logferry knows; {remedy}")
    inner = path.strip("/").split("/") if path.strip("/") else []
    if any(part in ("", ".", "..") for part in inner):
        raise ValueError(f"{value[:80]!r} has '//', '.' or '..' inside; write the plain path")
    return text.rstrip("/")


def _column_path(value: str) -> str:
    if value.startswith("@"):
        raise ValueError(f"{value!r} begins with @, as in a search; write the path without it: {value[1:]!r}")
    return _text(value)


def column_name(name: str) -> str | None:
    """Why this cannot name a promoted column, or None when it can."""
    if _COLUMN_NAME.fullmatch(name) is None or len(name) > 200:
        return f"{name[:80]!r} is not a column name; use letters, digits and _, and do not begin with a digit"
    if name.startswith("__"):
        return f"{name!r} begins with '__', which Logferry keeps for itself; rename it"
    return None


Text = Annotated[str, AfterValidator(_text)]
NotifyConnection = Annotated[str, AfterValidator(_notify_connection)]
ExportName = Annotated[str, AfterValidator(_export_name)]
ScheduleText = Annotated[str, AfterValidator(_schedule)]
DatadogQuery = Annotated[str, AfterValidator(_datadog_query)]
Indexes = Annotated[tuple[str, ...], BeforeValidator(_index_list)]
WorkspaceGuid = Annotated[str, AfterValidator(_workspace_guid)]
SubscriptionGuid = Annotated[
    str, _matching(_GUID, "is not a subscription GUID; copy the Subscription ID from the Azure portal")
]
ResourceName = Annotated[
    str,
    _matching(
        _RESOURCE_NAME, "is not the name of a resource group; use letters, digits and ( ) . _ -, at most 90"
    ),
]
WorkspaceName = Annotated[
    str,
    _matching(
        _WORKSPACE_NAME,
        "is not the name of a workspace; use 4 to 63 letters, digits and -, as its URL in Azure shows it",
    ),
]
KqlName = Annotated[
    str, _matching(_KQL_NAME, "is not a KQL name; use letters, digits and _, and do not begin with a digit")
]
PipelineText = Annotated[str | None, AfterValidator(_pipeline)]
LegacyQuery = Annotated[str, AfterValidator(_legacy_query)]
Top = Annotated[int, AfterValidator(_top)]
DestinationUrl = Annotated[str | None, AfterValidator(_destination_url)]
Addresses = Annotated[tuple[str, ...], BeforeValidator(_listed), AfterValidator(_addresses)]
Event = Literal["short", "verification", "behind"]
Events = Annotated[tuple[Event, ...], BeforeValidator(_listed), AfterValidator(_events)]
Listed = BeforeValidator(_listed)
ColumnPath = Annotated[str, AfterValidator(_column_path)]
Instant = Annotated[int, BeforeValidator(_instant), AfterValidator(_start_bounds)]
SliceLength = Annotated[int, BeforeValidator(_duration), _span(TICK_PER_MINUTE, TICK_PER_DAY)]
Delay = Annotated[int, BeforeValidator(_duration), _span(0, 366 * TICK_PER_DAY)]
Retention = Annotated[int | None, BeforeValidator(_optional_duration), AfterValidator(_retention_bounds)]
