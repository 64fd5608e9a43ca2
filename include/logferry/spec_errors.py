"""Turns validation findings into sentences: ``file: key: what is wrong; what to do``, one line each."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

_KINDS = ("datadog", "azure_monitor", "azure_log_search")
_CHANNELS = ("smtp", "webhook")

_EXAMPLES = {
    "name": "web_errors",
    "source": "{kind: datadog, connection: datadog_default}",
    "source.kind": "datadog",
    "source.connection": "datadog_default",
    "source.query": '"service:web-store"',
    "source.workspace": "the workspace's GUID (for azure_log_search its name)",
    "source.table": "AppRequests",
    "source.subscription": "the subscription's GUID",
    "source.resource_group": "the resource group's name",
    "schedule": '"@daily"',
    "start": "2026-01-01T00:00:00Z",
}
_LISTS = {"to": "[oncall@example.org]", "on": "[short, behind]"}
_EXAMPLES_OF_CHANNELS = {
    "kind": "webhook",
    "connection": "slack_webhook",
    "to": "[oncall@example.org]",
}


class Refusals(ValueError):
    """Several findings of one check, each with the key it belongs to (dotted, relative to the model)."""

    def __init__(self, findings: Iterable[tuple[str, str]]) -> None:
        self.findings = tuple(findings)
        super().__init__("; ".join(reason for _, reason in self.findings))


def sentences(error: ValidationError, where: str, allowed: Mapping[str, tuple[str, ...]]) -> list[str]:
    """One line per finding, each beginning with ``where``; ``allowed``: the keys of each section's model.

    The section of the source is ``source.<kind>``, the top one ``""``.
    """
    lines: list[str] = []
    for detail in error.errors(include_url=False):
        key = _key(detail["loc"])
        if detail["type"].startswith("union_tag"):
            key = f"{key}.kind" if key else "kind"
        inner = detail.get("ctx", {}).get("error")
        if isinstance(inner, Refusals):
            found = [(f"{key}.{name}" if key else name, reason) for name, reason in inner.findings]
        else:
            found = [(key, _reason(detail, key, allowed))]
        for name, reason in found:
            line = f"{where}: {name}: {reason}" if name else f"{where}: {reason}"
            if line not in lines:
                lines.append(line)
    return lines


def _key(location: tuple[int | str, ...]) -> str:
    """The dotted key as the file has it: no union tag, list places as ``[2]`` counted from one."""
    parts = list(location)
    if len(parts) > 2 and parts[0] == "notify" and parts[2] in _CHANNELS:
        del parts[2]
    if len(parts) > 1 and parts[0] in _KINDS:
        del parts[0]
    if len(parts) > 1 and parts[0] == "source" and parts[1] in _KINDS:
        del parts[1]
    text = ""
    for part in parts:
        text += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _reason(detail: ErrorDetails, key: str, allowed: Mapping[str, tuple[str, ...]]) -> str:
    kind, given = detail["type"], detail["input"]
    context: dict[str, Any] = detail.get("ctx", {})
    if kind == "value_error":
        return str(context["error"])
    kinds = ", ".join(_CHANNELS if key.startswith("notify[") else _KINDS)
    if kind == "union_tag_not_found":
        return f"is missing; add it, one of {kinds}"
    if kind == "missing":
        name = key.rpartition(".")[2]
        example = _EXAMPLES_OF_CHANNELS.get(name) if key.startswith("notify[") else _EXAMPLES.get(key)
        return f"is missing; add it, for example '{name}: {example}'" if example else "is missing; add it"
    if kind == "extra_forbidden":
        return _unknown_key(detail["loc"], allowed)
    if kind == "union_tag_invalid":
        return f"{shown(given.get('kind'))} is not known; write one of {kinds}"
    if kind == "literal_error":
        choices = str(context.get("expected")).replace(" or ", ", ")
        return f"{shown(given)} is not allowed; write one of {choices}"
    if given is None:
        return "is empty; give it a value or leave the key out"
    if kind in ("model_type", "model_attributes_type", "dict_type", "mapping_type"):
        return f"{shown(given)} is no block of 'key: value' lines; indent its keys below it"
    if kind in ("tuple_type", "list_type"):
        if key == "notify":
            return (
                f"{shown(given)} is not a list; begin each channel with '- kind: webhook' or '- kind: smtp'"
            )
        example = _LISTS.get(key.rpartition(".")[2], '["*"]')
        return f"{shown(given)} is not a list; write it in brackets, such as {example}"
    if kind == "string_type":
        return (
            f"{shown(given)} is not text; put it in quotes"
            if given is not None
            else "is empty; give it a value"
        )
    if kind.startswith("int"):
        return f"{shown(given)} is not a whole number; write it in digits, without quotes"
    return f"{shown(given)} is not usable here ({detail['msg']}); correct it"


def _unknown_key(location: tuple[int | str, ...], allowed: Mapping[str, tuple[str, ...]]) -> str:
    section = ".".join(str(part) for part in location[:-1])
    if section.startswith("columns."):
        section = "columns"
    if location[0] == "notify" and len(location) > 2:
        section = f"notify.{location[2]}"
    if section in _KINDS:
        section = f"source.{section}"
    keys = allowed.get(section, ())
    name = str(location[-1])
    close = difflib.get_close_matches(name, keys, 1)
    homes = [home for home, others in allowed.items() if name in others and home != section]
    family = section.partition(".")[0]
    others = [home.removeprefix(f"{family}.") for home in homes if home.startswith(f"{family}.")]
    if others and section.startswith(f"{family}."):
        kind = section.removeprefix(f"{family}.")
        hint = f"it is for kind {' and '.join(others)}; {kind} has {', '.join(keys)}"
    elif homes:
        hint = (
            f"it belongs below {homes[0].split('.')[0]}" if homes[0] else "it belongs at the top of the file"
        )
    elif close:
        hint = f"did you mean {close[0]}?"
    else:
        hint = f"remove it, or use one of {', '.join(keys)}"
    return f"is not a key that this block knows; {hint}"


def shown(value: object) -> str:
    """A value as a sentence can quote it: short, and never a whole nested structure."""
    if isinstance(value, dict):
        return "a block of keys"
    if isinstance(value, list | tuple):
        return "a list"
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}…"
