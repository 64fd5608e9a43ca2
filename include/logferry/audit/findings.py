"""What ``verify`` finds, and how the archive remembers it until it is healed.

The memory is ``_manifests/<name>/findings.json``, so that coverage shows damage that only reading every object can
see. It proves nothing and may be deleted: the next ``verify`` writes it anew.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

from logferry.errors import StoreError
from logferry.layout import findings_key, number_of, slice_of
from logferry.records.manifest import Span, refusing_depth
from logferry.stores.base import NotFound, Store
from logferry.window import Window

log = logging.getLogger(__name__)

OBJECT_KINDS = frozenset(
    {
        "object_missing",
        "object_size",
        "object_sha256",
        "object_swapped",
        "object_unreadable",
        "footer_rows",
        "footer_times",
        "row_hash",
        "row_order",
        "row_outside",
        "row_ids",
        "row_unreadable",
    }
)
"""Findings about the object of one slice: they damage it until it is published or verified again."""

DEEP_KINDS = frozenset(kind for kind in OBJECT_KINDS if kind.startswith("row_"))
"""Findings that only decoding the rows can make, and unmake."""

_MOST = 20_000


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is not as the journal says. ``level`` note: explained, nothing is lost.

    ``window``: the slice or window it is about, None for the journal as a whole. ``key``: the object. ``detail`` and
    ``remedy``: one clause each, for people.
    """

    kind: str
    level: Literal["finding", "note"] = "finding"
    window: Span | None
    key: str
    detail: str
    remedy: str

    @property
    def damages(self) -> bool:
        """It is about the object of a slice, whose rows cannot be trusted."""
        return self.kind in OBJECT_KINDS and self.level == "finding"

    def sentence(self) -> str:
        return f"{self.key}: {self.detail}; {self.remedy}"


class Remembered(msgspec.Struct, frozen=True, kw_only=True):
    """A finding with the newest sequence number of the journal when it was found, and the time."""

    finding: Finding
    seq: int
    found_at: str


class _Memory(msgspec.Struct, frozen=True, kw_only=True):
    format: int = 1
    export: str
    found: list[Remembered]


_decode = msgspec.json.Decoder(_Memory).decode


def remembered(store: Store, export: str) -> list[Remembered]:
    """What the last verifications found. An unreadable memory is as good as none: it is only a memory."""
    try:
        data = store.read(findings_key(export))
        with refusing_depth():
            memory = _decode(data)
        for one in memory.found:
            if one.finding.window is not None:
                one.finding.window.window()
    except NotFound:
        return []
    except (msgspec.DecodeError, ValueError) as error:
        log.warning("%s in %s is not readable and passed over: %s", findings_key(export), store.url, error)
        return []
    return memory.found


def remember(
    store: Store,
    export: str,
    findings: Iterable[Finding],
    *,
    verified: Window | None,
    deep: bool,
    newest: Mapping[Window, int],
    seq: int,
    since: int | None = None,
    found_at: str,
) -> None:
    """Replace what was remembered of what was looked at by ``findings``.

    ``verified``: the range whose objects were looked at, None for all. ``since``: the first record of the journal that
    was looked at; None: all of them, and all that repeats them. ``deep``: rows were decoded; otherwise what only
    decoding shows stays, unless the slice was published since. ``newest``: the sequence number of each slice's last
    publication. A lake that cannot be written to is logged and no error.
    """
    try:
        before = remembered(store, export)
        kept = [one for one in before if not _looked_at(one, verified, since=since, deep=deep, newest=newest)]
        new = [
            Remembered(finding=finding, seq=seq, found_at=found_at)
            for finding in findings
            if finding.level == "finding"
        ]
        after = list({one.finding: one for one in (*kept, *new)}.values())[:_MOST]
        if [(one.finding, one.seq) for one in after] == [(one.finding, one.seq) for one in before]:
            return
        data = msgspec.json.encode(_Memory(export=export, found=after))
        store.put_bytes(findings_key(export), msgspec.json.format(data, indent=1) + b"\n")
    except StoreError as error:
        log.warning("the findings could not be kept in the lake, so coverage will not show them: %s", error)


def damage(found: Iterable[Remembered], newest: Mapping[Window, int]) -> dict[Window, list[Remembered]]:
    """Per slice the findings that still stand; ``newest``: the sequence number of each slice's last publication.

    A newer publication has looked at the object, byte by byte, and replaced it where it was not right.
    """
    standing: dict[Window, list[Remembered]] = {}
    for one in found:
        if one.finding.window is None or not one.finding.damages:
            continue
        slice_ = one.finding.window.window()
        if newest.get(slice_, one.seq + 1) <= one.seq:
            standing.setdefault(slice_, []).append(one)
    return standing


def beside(found: Iterable[Remembered], newest: Mapping[Window, int]) -> list[Remembered]:
    """The remembered findings that are about no slice's rows: journal, HEAD, window copies, stray objects.

    ``newest``: the sequence number of the last publication of each window and slice; a newer one has written the
    copy, or removed the stray object, anew.
    """
    return [
        one
        for one in found
        if not one.finding.damages
        and (one.finding.window is None or newest.get(one.finding.window.window(), 0) <= one.seq)
    ]


def _looked_at(
    one: Remembered,
    verified: Window | None,
    *,
    since: int | None,
    deep: bool,
    newest: Mapping[Window, int],
) -> bool:
    """Whether a verification would have found this again, so that its silence is an answer."""
    finding = one.finding
    if finding.kind == "object_stray":
        place = slice_of(finding.key)
        return verified is None or (place is not None and place.overlaps(verified))
    if finding.kind not in OBJECT_KINDS or finding.window is None:
        if since is None or finding.kind in ("head", "checkpoint"):
            return since is None or finding.kind == "head"
        return (number_of(finding.key) or 0) >= since
    slice_ = finding.window.window()
    if verified is not None and not slice_.overlaps(verified):
        return False
    return deep or finding.kind not in DEEP_KINDS or newest.get(slice_, one.seq + 1) > one.seq
