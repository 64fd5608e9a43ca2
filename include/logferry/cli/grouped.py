"""Findings for people: what adjoins and is of one kind is one line, with one command for all of it."""

from __future__ import annotations

from collections.abc import Iterable

from logferry.audit.findings import OBJECT_KINDS, Finding
from logferry.layout import number_of
from logferry.wording import counted


def grouped(findings: Iterable[Finding]) -> list[list[Finding]]:
    """The findings in their order; adjoining slices, and consecutive records, of one kind and level together."""
    groups: list[list[Finding]] = []
    for one in findings:
        if groups and _adjoin(groups[-1][-1], one):
            groups[-1].append(one)
        else:
            groups.append([one])
    return groups


def sentence(group: list[Finding], export: str) -> str:
    """One line for a group."""
    first, last = group[0], group[-1]
    if len(group) == 1:
        return first.sentence()
    same = len({one.detail for one in group}) == 1
    detail = first.detail if same else f"of the first: {first.detail}"
    if first.window is None or last.window is None:
        return f"{first.key} and {counted(len(group) - 1, 'record')} after it: {detail}; {first.remedy}"
    return (
        f"{counted(len(group), 'object')} from {first.window.start} to {last.window.end}, {first.key} first: {detail}; "
        f"export them again (logferry export {export} --from {first.window.start} --to {last.window.end})"
    )


def _adjoin(one: Finding, other: Finding) -> bool:
    if (one.kind, one.level) != (other.kind, other.level):
        return False
    if one.window is not None and other.window is not None:
        return one.kind in OBJECT_KINDS and one.window.end == other.window.start
    numbers = number_of(one.key), number_of(other.key)
    if one.window is not None or other.window is not None or None in numbers:
        return False
    return numbers[1] == (numbers[0] or 0) + 1 and (one.detail, one.remedy) == (other.detail, other.remedy)
