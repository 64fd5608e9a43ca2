"""The memory of findings: it shows damage, and never stands in the way."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from tests.logferry.made_archive import EXPORT, hours

from logferry.audit.findings import OBJECT_KINDS, Finding, Remembered, beside, damage, remember, remembered
from logferry.errors import StoreError
from logferry.layout import findings_key, slice_key
from logferry.records.manifest import Span
from logferry.stores.local import LocalStore
from logferry.window import Window

AT = "2026-11-13T00:00:00Z"


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "lake")


def finding(window: Window | None, kind: str = "object_size", **changes: object) -> Finding:
    span = None if window is None else Span.of(window)
    return Finding(kind=kind, window=span, key="k", detail="d", remedy="r", **changes)  # type: ignore[arg-type]


def kept(store: LocalStore) -> list[Finding]:
    return [one.finding for one in remembered(store, EXPORT)]


def keep(
    store: LocalStore,
    *findings: Finding,
    verified: Window | None = None,
    seq: int = 5,
    deep: bool = False,
    newest: dict[Window, int] | None = None,
) -> None:
    remember(store, EXPORT, findings, verified=verified, deep=deep, newest=newest or {}, seq=seq, found_at=AT)


def test_what_was_found_is_remembered_with_when_and_after_which_record(store: LocalStore) -> None:
    keep(store, finding(hours(1)))
    assert remembered(store, EXPORT) == [Remembered(finding=finding(hours(1)), seq=5, found_at=AT)]


def test_notes_are_not_remembered(store: LocalStore) -> None:
    keep(store, finding(hours(1), level="note"))
    assert kept(store) == []


def test_a_later_verification_replaces_what_was_found_in_its_range_only(store: LocalStore) -> None:
    keep(store, finding(hours(1)), finding(hours(5)), finding(None, "chain_broken"))
    keep(store, finding(hours(2)), verified=hours(0, 3))
    assert kept(store) == [finding(hours(5)), finding(hours(2))]
    keep(store)
    assert kept(store) == []


def test_what_a_range_did_not_look_at_stays_and_the_journal_is_looked_at_always(store: LocalStore) -> None:
    stray = Finding(kind="object_stray", window=None, key=slice_key(EXPORT, hours(5)), detail="d", remedy="r")
    foreign = finding(None, "object_stray")
    journal = (finding(hours(6), "copy_missing"), finding(hours(6), "manifest_contradicts"))
    keep(store, stray, foreign, *journal)
    keep(store, *journal, verified=hours(0, 3))
    assert kept(store) == [stray, foreign, *journal]
    keep(store, verified=hours(0, 3))
    assert kept(store) == [stray, foreign]
    keep(store, verified=hours(5))
    assert kept(store) == [foreign]
    keep(store)
    assert kept(store) == []


def test_what_only_decoded_rows_show_outlives_a_pass_that_decodes_none(store: LocalStore) -> None:
    decoded, shallow = finding(hours(1), "row_order"), finding(hours(1), "object_size")
    keep(store, decoded, shallow, deep=True)
    keep(store, newest={hours(1): 5})
    assert kept(store) == [decoded]
    keep(store, newest={hours(1): 6}, seq=6)
    assert kept(store) == []
    keep(store, decoded, deep=True)
    keep(store, deep=True, newest={hours(1): 5})
    assert kept(store) == []


def test_nothing_is_remembered_twice(store: LocalStore) -> None:
    keep(store, finding(hours(1), "row_order"), deep=True)
    keep(store, finding(hours(1), "row_order"), finding(hours(1), "row_order"), newest={hours(1): 5})
    assert kept(store) == [finding(hours(1), "row_order")]


ODD_WINDOW = (
    b'{"format": 1, "export": "web", "found": [{"finding": {"kind": "k", "window": {"from": "x", "to": "y"}, '
    b'"key": "k", "detail": "d", "remedy": "r"}, "seq": 1, "found_at": ""}]}'
)


@pytest.mark.parametrize(
    "data", [b"", b"{", b"\xff", b"[]", b'{"format": 1, "export": "web", "found": [{}]}', ODD_WINDOW]
)
def test_a_memory_that_is_not_readable_is_passed_over_and_replaced(
    store: LocalStore, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    store.put_bytes(findings_key(EXPORT), data)
    with caplog.at_level(logging.WARNING):
        assert remembered(store, EXPORT) == []
    assert "not readable" in caplog.text
    keep(store, finding(hours(1)))
    assert kept(store) == [finding(hours(1))]


def test_a_lake_that_cannot_be_written_to_is_logged_and_no_error(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise StoreError("read-only")

    monkeypatch.setattr(LocalStore, "put_bytes", refused)
    keep(store, finding(hours(1)))
    assert "could not be kept in the lake" in caplog.text


def test_damage_stands_until_the_slice_is_published_again(store: LocalStore) -> None:
    keep(store, finding(hours(1)), finding(hours(2)), finding(hours(3)))
    found = remembered(store, EXPORT)
    assert set(damage(found, {hours(1): 4, hours(2): 5, hours(3): 6})) == {hours(1), hours(2)}
    assert damage(found, {}) == {}


def test_only_findings_about_a_slices_object_damage_it(store: LocalStore) -> None:
    keep(store, finding(hours(1), "copy_missing"), finding(None, "head"), finding(hours(1), "row_order"))
    found = remembered(store, EXPORT)
    assert [one.finding.kind for one in damage(found, {hours(1): 1})[hours(1)]] == ["row_order"]
    assert [one.finding.kind for one in beside(found, {hours(1): 1})] == ["copy_missing", "head"]
    assert [one.finding.kind for one in beside(found, {hours(1): 6})] == ["head"]
    assert "object_stray" not in OBJECT_KINDS


def test_a_memory_that_is_nested_too_deeply_is_passed_over(store: LocalStore) -> None:
    store.put_bytes(findings_key(EXPORT), b'{"a":' * 100_000)
    assert remembered(store, EXPORT) == []
