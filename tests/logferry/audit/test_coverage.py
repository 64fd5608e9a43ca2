"""Coverage: every slice of a range has exactly one state, and what is final stays final."""

from __future__ import annotations

from pathlib import Path

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from tests.logferry.audit.covering import covered, found_in, spec
from tests.logferry.made_archive import START, MadeArchive, hours

from logferry.audit.coverage import STATES, default_range, due_before
from logferry.audit.gaps import gap_state, gaps, remedies
from logferry.records.journal import Record
from logferry.records.manifest import Intent, Manifest, Status
from logferry.window import TICK_PER_HOUR, TICK_PER_MINUTE, parse_instant


def test_each_state_is_told_apart(archive: MadeArchive) -> None:
    archive.publish(hours(0), files=False)
    archive.publish(hours(1), files=False, status="unproven")
    archive.publish(hours(2), files=False, status="short")
    states = [one.state for one in covered(archive.ledger, hours(0, 4 * 24)).slices]
    assert states[:4] == ["proven", "unproven", "short", "missing"]
    assert states[71:73] == ["missing", "not_due"]
    assert covered(archive.ledger, hours(0, 96)).count() == {
        "proven": 1, "unproven": 1, "short": 1, "missing": 69, "not_due": 24,
    }  # fmt: skip


def test_a_slice_is_due_with_its_window_of_the_schedule_and_not_before() -> None:
    noon = parse_instant("2026-11-12T12:00:00Z")
    assert due_before(spec(), noon) == parse_instant("2026-11-12T00:00:00Z")
    assert due_before(spec(schedule="@hourly"), noon) == parse_instant("2026-11-12T11:00:00Z")
    midnight = parse_instant("2026-11-12T00:29:00Z")
    assert due_before(spec(), midnight) == parse_instant("2026-11-11T00:00:00Z")
    assert due_before(spec(), midnight + TICK_PER_MINUTE) == parse_instant("2026-11-12T00:00:00Z")


def test_nothing_is_due_before_the_export_starts() -> None:
    early = parse_instant("2026-11-01T00:00:00Z")
    assert due_before(spec(), early) == START
    assert default_range(spec(), early) == hours(0)


def test_the_totals_count_rows_and_bytes_once(archive: MadeArchive) -> None:
    archive.publish(hours(0, 2), files=False)
    archive.publish(hours(1, 2), rows=5, files=False)
    coverage = covered(archive.ledger, hours(0, 4))
    assert (coverage.rows, coverage.bytes) == (3 + 5 + 5, 300)


def test_another_definition_is_flagged_and_is_no_gap(archive: MadeArchive) -> None:
    archive.publish(hours(0, 24), files=False)
    archive.fingerprint = "sha256:two"
    archive.publish(hours(24, 24), files=False)
    coverage = covered(archive.ledger, hours(0, 48), fingerprint="sha256:two")
    assert [one.other_definition for one in coverage.slices] == [True] * 24 + [False] * 24
    assert gaps(coverage) == []


def test_without_a_present_definition_nothing_is_called_another(archive: MadeArchive) -> None:
    archive.publish(hours(0), files=False)
    assert not covered(archive.ledger, hours(0), fingerprint=None).slices[0].other_definition


def test_an_open_intent_interrupts_until_the_window_is_published(archive: MadeArchive) -> None:
    archive.publish(hours(0, 24), files=False)
    archive.begin(hours(0, 2))
    coverage = covered(archive.ledger, hours(0, 3))
    assert [one.interrupted for one in coverage.slices] == [True, True, False]
    assert [(one.state, one.window) for one in gaps(coverage)] == [("interrupted", hours(0, 2))]
    archive.publish(hours(0, 2), files=False)
    assert gaps(covered(archive.ledger, hours(0, 3))) == []


def test_a_kept_slice_belongs_to_the_definition_that_its_rows_were_written_under(
    archive: MadeArchive,
) -> None:
    archive.publish(hours(0), files=False)
    record = archive.publish(hours(0), files=False)
    assert record.publication is not None
    archive.fingerprint = "sha256:two"
    intent = archive.begin(hours(0))
    kept = msgspec.structs.replace(record.publication.slices[0], fingerprint="sha256:one")
    archive.append(
        msgspec.structs.replace(
            record.publication, seq=intent.seq + 1, previous=intent.hash, intent=intent.seq,
            fingerprint="sha256:two", slices=[kept],
        )
    )  # fmt: skip
    assert covered(archive.ledger, hours(0), fingerprint="sha256:two").slices[0].other_definition


def test_a_run_at_work_on_a_window_that_is_not_due_is_no_gap(archive: MadeArchive) -> None:
    archive.begin(hours(72, 2))
    coverage = covered(archive.ledger, hours(72, 2))
    assert [(one.state, one.interrupted) for one in coverage.slices] == [("not_due", True)] * 2
    assert gaps(coverage) == []


LENGTHS = st.sampled_from([1, 2, 3, 6, 24])


@given(data=st.data())
def test_states_partition_the_range_and_gaps_and_good_slices_are_all_that_is_due(data: st.DataObject) -> None:
    """Random publications, intents and damage over four days."""
    archive = _Records()
    for _ in range(data.draw(st.integers(0, 8))):
        first, length = data.draw(st.integers(0, 90)), data.draw(LENGTHS)
        action = data.draw(st.sampled_from(["proven", "unproven", "short", "begin"]))
        archive.fingerprint = data.draw(st.sampled_from(["sha256:one", "sha256:two"]))
        if action == "begin":
            archive.begin(hours(first, length))
        else:
            status: Status = action  # type: ignore[assignment]
            archive.publish(hours(first, length), files=False, status=status)
    damaged = data.draw(st.lists(st.integers(0, 95), max_size=3))
    damage = {hours(at): [found_in(hours(at))] for at in damaged if hours(at) in archive.ledger.slices}
    first, length = data.draw(st.integers(0, 95)), data.draw(st.integers(1, 48))
    now = START + data.draw(st.integers(0, 6 * 24 * 60)) * TICK_PER_MINUTE
    definition = data.draw(st.sampled_from(["sha256:one", None]))
    window = hours(first, length)
    coverage = covered(archive.ledger, window, now=now, damage=damage, fingerprint=definition)

    assert [one.window for one in coverage.slices] == list(window.slices(TICK_PER_HOUR))
    assert sum(coverage.count().values()) == length
    assert all(one.state in STATES for one in coverage.slices)
    due = due_before(spec(), now)
    for one in coverage.slices:
        assert bool(one.published) == (one.window in archive.ledger.slices)
        assert (one.state == "not_due") == (not one.published and one.window.end > due)
        assert (one.state != "not_due") == (one.good or gap_state(one) is not None)
        assert not (one.good and gap_state(one) is not None)
    found = gaps(coverage)
    listed = [slice_ for gap in found for slice_ in gap.window.slices(TICK_PER_HOUR)]
    assert listed == [one.window for one in coverage.slices if gap_state(one) is not None]
    healed = [
        window
        for remedy in remedies(spec(), [gap.window for gap in found], now=now)
        for window in remedy.windows
    ]
    for slice_ in listed:
        settled = slice_.end + spec().settle <= now
        assert not settled or any(window.covers(slice_) for window in healed)
    assert all(window.end + spec().settle <= now for window in healed)


class _Records(MadeArchive):
    """The ledger alone: nothing is written."""

    def __init__(self) -> None:
        super().__init__(Path("nowhere"))

    def append(self, content: Manifest | Intent) -> Record:
        record = Record.of(content.encode())
        self.ledger.apply(record)
        return record
