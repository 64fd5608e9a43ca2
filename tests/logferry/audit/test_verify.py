"""Verification: whatever was done to an archive behind Logferry's back, it is named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.logferry.made_archive import EXPORT, MadeArchive, hours, times, write_file

from logferry.audit.findings import remembered
from logferry.audit.verify import Verification, Witness, verify
from logferry.layout import checkpoint_key, findings_key, head_key, journal_key, manifest_key, slice_key
from logferry.records.journal import Head, Record
from logferry.records.manifest import Manifest, content_hash
from logferry.stores.local import LocalStore
from logferry.window import TICK_PER_HOUR, TICK_PER_MINUTE, Window, parse_instant

NOW = parse_instant("2026-11-22T00:00:00Z")


@pytest.fixture
def archive(tmp_path: Path) -> MadeArchive:
    """Two windows of three hours each."""
    made = MadeArchive(tmp_path / "lake")
    made.publish(hours(0, 3))
    made.publish(hours(3, 3), rows=5)
    return made


def verified(
    archive: MadeArchive,
    *,
    window: Window | None = None,
    deep: bool = False,
    witnesses: tuple[Witness, ...] = (),
) -> Verification:
    return verify(archive.store, EXPORT, now=NOW, window=window, deep=deep, witnesses=witnesses)


def kinds(found: Verification) -> list[str]:
    return [one.kind for one in found.findings if one.level == "finding"]


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("deep", [False, True])
def test_an_untouched_archive_has_no_findings(archive: MadeArchive, deep: bool) -> None:
    archive.checkpoint()
    found = verified(archive, deep=deep)
    assert (found.findings, found.failed, found.objects, found.records) == ((), False, 6, 4)
    assert (found.seq, found.hash) == (4, archive.ledger.head.hash)


def test_nothing_published_is_nothing_wrong(tmp_path: Path) -> None:
    found = verify(LocalStore(tmp_path / "none"), EXPORT, now=NOW)
    assert (found.findings, found.seq, found.hash) == ((), 0, None)


def test_one_byte_flipped_in_the_rows_is_found(archive: MadeArchive) -> None:
    flip(archive.object(hours(1)), 40)
    (finding,) = verified(archive).findings
    assert finding.kind == "object_sha256"
    assert finding.key == slice_key(EXPORT, hours(1))
    assert "logferry export web --from 2026-11-10T01:00:00Z --to 2026-11-10T02:00:00Z" in finding.remedy


def test_a_flipped_byte_in_any_place_of_a_file_is_found(archive: MadeArchive) -> None:
    path = archive.object(hours(1))
    whole = path.read_bytes()
    for at in range(0, len(whole), 97):
        flip(path, at)
        assert len(kinds(verified(archive, window=hours(1)))) == 1
        path.write_bytes(whole)
    assert kinds(verified(archive)) == []


def test_a_deleted_object_is_found(archive: MadeArchive) -> None:
    archive.object(hours(4)).unlink()
    (finding,) = verified(archive).findings
    assert (finding.kind, finding.key) == ("object_missing", slice_key(EXPORT, hours(4)))


def test_two_swapped_files_are_called_swapped_and_each_names_the_other(archive: MadeArchive) -> None:
    one, other = archive.object(hours(0)), archive.object(hours(4))
    first = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(first)
    found = verified(archive)
    assert kinds(found) == ["object_swapped", "object_swapped"]
    assert [one.detail for one in found.findings] == [f"it holds the file of {hours(at)}" for at in (4, 0)]


def test_an_object_cut_short_is_no_parquet_file(archive: MadeArchive) -> None:
    path = archive.object(hours(2))
    path.write_bytes(path.read_bytes()[:-20])
    assert kinds(verified(archive)) == ["object_unreadable"]


def test_a_file_with_other_rows_is_found_by_its_size(archive: MadeArchive) -> None:
    write_file(archive.store, hours(2), times(hours(2), 50))
    assert kinds(verified(archive)) == ["object_size"]


def test_an_object_of_another_grid_in_the_table_is_found_as_readers_meet_its_rows_twice(
    archive: MadeArchive,
) -> None:
    half = Window(hours(2).start, hours(2).start + TICK_PER_HOUR // 2)
    write_file(archive.store, half, times(half, 2))
    (finding,) = verified(archive).findings
    assert finding.kind == "object_stray"
    assert "beside those of" in finding.detail
    assert "--from 2026-11-10T02:00:00Z --to 2026-11-10T03:00:00Z" in finding.remedy


def test_a_foreign_file_in_the_table_is_found(archive: MadeArchive) -> None:
    archive.store.put_bytes(f"{EXPORT}/dt=2026-11-10/copy of part.parquet", b"x")
    assert kinds(verified(archive)) == ["object_stray"]
    assert kinds(verified(archive, window=hours(0))) == []


def test_only_the_objects_of_the_range_are_looked_at(archive: MadeArchive) -> None:
    flip(archive.object(hours(1)), 40)
    archive.object(hours(4)).unlink()
    found = verified(archive, window=hours(3, 3))
    assert (kinds(found), found.objects) == (["object_missing"], 3)


def test_a_record_claiming_more_rows_than_its_file_is_found_by_the_footer(archive: MadeArchive) -> None:
    rewrite(archive, lambda manifest: with_slice(manifest, 0, file={"rows": 9}))
    assert set(kinds(verified(archive))) == {"footer_rows", "manifest_contradicts"}


def test_a_record_claiming_other_times_than_its_file_is_found_by_the_footer(archive: MadeArchive) -> None:
    rewrite(archive, lambda manifest: with_slice(manifest, 0, file={"max_time": "2026-11-10T00:59:00Z"}))
    assert kinds(verified(archive)) == ["footer_times"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rows": 10_000}, "it claims 10,000 rows, its slices 9"),
        ({"source_rows": 10_000}, "it claims 10000 rows at the source, its slices 9"),
        ({"status": "unproven"}, "it claims to be unproven, its slices are proven"),
    ],
)
def test_a_record_whose_numbers_contradict_themselves_is_found(
    archive: MadeArchive, change: dict[str, object], words: str
) -> None:
    rewrite(archive, lambda manifest: {**manifest, **change})
    (finding,) = verified(archive).findings
    assert (finding.kind, finding.detail) == ("manifest_contradicts", words)


def test_a_short_slice_declared_proven_is_found(tmp_path: Path) -> None:
    archive = MadeArchive(tmp_path / "lake")
    archive.publish(hours(0, 3), status="short")
    rewrite(archive, lambda manifest: with_slice(manifest, 1, status="proven"), seq=2)
    found = verified(archive)
    assert kinds(found) == ["manifest_contradicts"]
    assert "proven with 3 rows and 4 at the source" in found.findings[0].detail


def test_a_deleted_record_in_the_middle_is_found(archive: MadeArchive) -> None:
    archive.record(2).unlink()
    (finding,) = [one for one in verified(archive).findings if one.key == journal_key(EXPORT, 2)]
    assert finding.kind == "record_missing"


@pytest.mark.parametrize(
    ("data", "kind"),
    [(b"", "record_unreadable"), (b"{}", "record_unreadable"), (b"\xff", "record_unreadable"),
     (b"[" * 100_000, "record_unreadable")],
)  # fmt: skip
def test_a_record_that_is_no_record_is_found(archive: MadeArchive, data: bytes, kind: str) -> None:
    archive.record(2).write_bytes(data)
    assert kind in kinds(verified(archive))


def test_a_record_of_another_export_is_foreign(archive: MadeArchive) -> None:
    content = json.loads(archive.record(2).read_bytes())
    archive.record(2).write_text(json.dumps({**content, "export": "other"}))
    assert "record_foreign" in kinds(verified(archive))


def test_an_edited_record_breaks_the_chain(archive: MadeArchive) -> None:
    archive.record(2).write_bytes(archive.record(2).read_bytes().replace(b'"run-1"', b'"run-9"'))
    assert "chain_broken" in kinds(verified(archive))


def test_the_last_manifest_removed_by_hand_is_found_by_head(archive: MadeArchive) -> None:
    archive.record(4).unlink()
    (finding,) = [one for one in verified(archive).findings if one.key == journal_key(EXPORT, 4)]
    assert finding.kind == "record_missing"


def test_a_missing_head_is_found(archive: MadeArchive) -> None:
    archive.path(head_key(EXPORT)).unlink()
    assert kinds(verified(archive)) == ["head"]


def test_a_missing_head_is_found_after_the_first_publication_too(tmp_path: Path) -> None:
    archive = MadeArchive(tmp_path / "lake")
    archive.publish(hours(0))
    archive.path(head_key(EXPORT)).unlink()
    assert kinds(verified(archive)) == ["head"]


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"\xff", b'{"seq": -1, "hash": "x"}', b'{"seq": 4, "hash": null}']
)
def test_a_head_that_is_not_readable_is_found(archive: MadeArchive, data: bytes) -> None:
    archive.path(head_key(EXPORT)).write_bytes(data)
    assert "head" in kinds(verified(archive))


def test_a_head_that_names_another_hash_is_found(archive: MadeArchive) -> None:
    archive.store.put_bytes(head_key(EXPORT), msgspec.json.encode(Head(4, "sha256:other")))
    assert verified(archive).failed


def test_a_tail_cut_off_with_head_rewritten_is_found_by_the_copy_it_leaves(archive: MadeArchive) -> None:
    cut_tail(archive)
    found = verified(archive)
    assert "copy_unknown" in kinds(found)


def test_a_tail_cut_off_without_a_trace_in_the_lake_is_found_by_a_witness(archive: MadeArchive) -> None:
    witness = Witness(4, str(archive.ledger.head.hash))
    cut_tail(archive)
    archive.path(manifest_key(EXPORT, hours(3, 3))).unlink()
    for at in range(3, 6):
        archive.object(hours(at)).unlink()
    assert not verified(archive).failed
    (finding,) = verified(archive, witnesses=(witness,)).findings
    assert finding.kind == "witness"
    assert "its tail was cut off" in finding.detail


def test_a_whole_journal_rewritten_consistently_is_found_by_a_witness(tmp_path: Path) -> None:
    archive = MadeArchive(tmp_path / "lake")
    archive.publish(hours(0, 3))
    witness = Witness(2, str(archive.ledger.head.hash))
    assert not verified(archive, witnesses=(witness,)).failed
    shutil.rmtree(tmp_path / "lake")
    forged = MadeArchive(tmp_path / "lake")
    forged.publish(hours(0, 3), rows=2)
    assert not verified(forged).failed
    (finding,) = verified(forged, witnesses=(witness,)).findings
    assert "the journal was rewritten" in finding.detail


@pytest.mark.parametrize(
    "text", ["", "5", "x:1", "0:" + "a" * 64, "5:sha256:abc", "5:" + "A" * 64, "٥:" + "a" * 64]
)
def test_a_witness_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no witness"):
        Witness.parse(text)


def test_a_witness_is_read_with_and_without_the_name_of_the_hash() -> None:
    assert (
        Witness.parse("5:sha256:" + "a" * 64)
        == Witness.parse("5:" + "a" * 64)
        == Witness(5, "sha256:" + "a" * 64)
    )


@pytest.mark.parametrize("change", [lambda path: path.unlink(), lambda path: path.write_bytes(b"{")])
def test_a_window_copy_that_is_gone_or_changed_is_found(
    archive: MadeArchive, change: Callable[[Path], None]
) -> None:
    change(archive.path(manifest_key(EXPORT, hours(0, 3))))
    assert kinds(verified(archive))[0] in ("copy_missing", "copy_differs")


def test_a_window_copy_put_back_to_an_older_record_is_found(archive: MadeArchive) -> None:
    copy = archive.path(manifest_key(EXPORT, hours(0, 3)))
    older = copy.read_bytes()
    archive.publish(hours(0, 3), rows=4)
    copy.write_bytes(older)
    (finding,) = verified(archive).findings
    assert (finding.kind, finding.detail) == (
        "copy_differs",
        "it is an older record, the last one of the window is 6",
    )


def test_a_manifest_of_a_window_that_was_never_published_is_found(archive: MadeArchive) -> None:
    data = archive.record(2).read_bytes().replace(b'"rows": 9', b'"rows": 8')
    archive.store.put_bytes(manifest_key(EXPORT, hours(12, 3)), data)
    assert kinds(verified(archive)) == ["copy_unknown"]


def test_a_run_that_died_right_after_its_record_is_a_note(archive: MadeArchive) -> None:
    head, copy = archive.path(head_key(EXPORT)), archive.path(manifest_key(EXPORT, hours(0, 3)))
    before = head.read_bytes(), copy.read_bytes()
    archive.publish(hours(0, 3), rows=4)
    head.write_bytes(before[0])
    copy.write_bytes(before[1])
    found = verified(archive)
    assert [(one.kind, one.level) for one in found.findings] == [("copy_differs", "note"), ("head", "note")]
    assert not found.failed


def test_a_forged_checkpoint_is_found_against_the_journal(archive: MadeArchive) -> None:
    true = archive.ledger.slices.pop(hours(0))
    archive.checkpoint()
    archive.ledger.slices[hours(0)] = true
    (finding,) = [one for one in verified(archive).findings if one.kind == "checkpoint"]
    assert finding.key == checkpoint_key(EXPORT, 4)


def test_a_damaged_checkpoint_is_found_and_done_without(archive: MadeArchive) -> None:
    archive.checkpoint()
    flip(archive.path(checkpoint_key(EXPORT, 4)), 30)
    assert kinds(verified(archive)) == ["checkpoint"]


@pytest.mark.parametrize("came", ["old", "new"])
def test_under_an_open_intent_the_old_and_the_new_content_are_explained(
    archive: MadeArchive, came: str
) -> None:
    slice_ = hours(1)
    before = archive.object(slice_).read_bytes()
    new = write_file(archive.store, slice_, times(slice_, 7))
    archive.begin(slice_, {new.key: new.row_hash})
    if came == "old":
        archive.object(slice_).write_bytes(before)
    found = verified(archive, deep=True)
    (note,) = found.findings
    assert (note.kind, note.level) == ("interrupted", "note")
    assert "run the window again" in note.remedy


def test_under_an_open_intent_any_other_content_is_a_finding(archive: MadeArchive) -> None:
    archive.begin(hours(1))
    write_file(archive.store, hours(1), times(hours(1), 8))
    assert kinds(verified(archive)) == ["object_size"]


def test_a_first_publication_that_never_ended_explains_its_files_and_their_absence(
    archive: MadeArchive,
) -> None:
    new = write_file(archive.store, hours(8), times(hours(8), 2))
    archive.begin(hours(8, 2), {new.key: new.row_hash})
    assert not verified(archive).failed
    write_file(archive.store, hours(9), times(hours(9), 2))
    assert kinds(verified(archive)) == ["object_stray"]


@pytest.mark.parametrize(
    ("ticks", "ids", "kind"),
    [
        ([3, 1, 2], None, "row_order"),
        ([0, 1, 60], None, "footer_times"),
        ([0, 1, 2], ["a", "b", "a"], "row_ids"),
    ],
)
def test_rows_that_are_wrong_although_every_hash_agrees_are_found_by_deep(
    tmp_path: Path, ticks: list[int], ids: list[str] | None, kind: str
) -> None:
    archive = MadeArchive(tmp_path / "lake")
    archive.publish(hours(0, 3))
    slice_ = hours(1)
    file = write_file(
        archive.store, slice_, [slice_.start + tick * TICK_PER_MINUTE for tick in ticks], ids=ids
    )
    rewrite(archive, lambda manifest: with_slice(manifest, 1, file=msgspec.to_builtins(file)), seq=2)
    assert kind in kinds(verified(archive, deep=True))


def test_a_row_hash_that_is_not_the_rows_is_found_by_deep_alone(archive: MadeArchive) -> None:
    rewrite(archive, lambda manifest: with_slice(manifest, 0, file={"row_hash": "sha256:" + "0" * 64}))
    assert kinds(verified(archive)) == []
    assert kinds(verified(archive, deep=True)) == ["row_hash"]


def test_findings_are_remembered_until_the_range_is_verified_again(archive: MadeArchive) -> None:
    whole = archive.object(hours(4)).read_bytes()
    archive.object(hours(4)).unlink()
    verified(archive)
    assert [one.finding.kind for one in remembered(archive.store, EXPORT)] == ["object_missing"]
    archive.object(hours(4)).write_bytes(whole)
    verified(archive, window=hours(0, 3))
    assert len(remembered(archive.store, EXPORT)) == 1
    verified(archive, window=hours(4))
    assert remembered(archive.store, EXPORT) == []


def test_an_intact_archive_is_not_written_to(archive: MadeArchive) -> None:
    verified(archive)
    assert not archive.path(findings_key(EXPORT)).exists()


def test_a_range_forgets_no_finding_elsewhere_and_doubles_none_of_the_journal(archive: MadeArchive) -> None:
    archive.object(hours(4)).unlink()
    archive.store.put_bytes(f"{EXPORT}/dt=2026-11-10/copy.parquet", b"x")
    archive.path(manifest_key(EXPORT, hours(3, 3))).unlink()
    verified(archive)
    before = {one.finding for one in remembered(archive.store, EXPORT)}
    assert {one.kind for one in before} == {"object_missing", "object_stray", "copy_missing"}
    verified(archive, window=hours(0, 2))
    verified(archive, window=hours(0, 2))
    after = [one.finding for one in remembered(archive.store, EXPORT)]
    assert (len(after), set(after)) == (3, before)


def test_a_look_without_decoding_keeps_what_decoding_found(archive: MadeArchive) -> None:
    rewrite(archive, lambda manifest: with_slice(manifest, 0, file={"row_hash": "sha256:" + "0" * 64}))
    verified(archive, deep=True)
    verified(archive)
    assert [one.finding.kind for one in remembered(archive.store, EXPORT)] == ["row_hash"]


def test_under_an_open_intent_a_flipped_byte_of_the_rows_is_found(archive: MadeArchive) -> None:
    slice_ = hours(1)
    new = write_file(archive.store, slice_, times(slice_, 7))
    archive.begin(slice_, {new.key: new.row_hash})
    whole = archive.object(slice_).read_bytes()
    footer = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    unseen = []
    for at in range(4, footer, 7):
        flip(archive.object(slice_), at)
        if not kinds(verified(archive, window=slice_)):
            unseen.append(at)
        archive.object(slice_).write_bytes(whole)
    assert kinds(verified(archive)) == []
    assert unseen == [at for at in unseen if rows_are_equal(whole, at)]


def rows_are_equal(whole: bytes, at: int) -> bool:
    """Whether a flipped byte changes nothing that a reader reads: such as a page's statistics."""
    other = bytearray(whole)
    other[at] ^= 1
    return pq.read_table(pa.BufferReader(bytes(other))).equals(pq.read_table(pa.BufferReader(whole)))


def test_a_record_under_the_name_of_another_window_is_found(archive: MadeArchive) -> None:
    archive.store.put_bytes(manifest_key(EXPORT, hours(12, 3)), archive.record(2).read_bytes())
    archive.store.put_bytes(manifest_key(EXPORT, hours(3, 3)), archive.record(2).read_bytes())
    found = verified(archive).findings
    assert [one.detail for one in found] == [f"it is the manifest of {hours(0, 3)}"] * 2


@pytest.mark.parametrize(
    "name", ["notes.txt", "journal/x.json", "journal/000000000001.json.bak", "old/HEAD.json"]
)
def test_a_file_that_logferry_does_not_know_beside_the_journal_is_a_note(
    archive: MadeArchive, name: str
) -> None:
    archive.store.put_bytes(f"_manifests/{EXPORT}/{name}", b"x")
    found = verified(archive)
    assert [(one.kind, one.level) for one in found.findings] == [("manifest_stray", "note")]
    assert not found.failed


def test_a_head_set_back_is_a_note(archive: MadeArchive) -> None:
    first = Record.of(archive.record(2).read_bytes())
    archive.store.put_bytes(head_key(EXPORT), msgspec.json.encode(Head(2, first.hash)))
    found = verified(archive)
    assert ("head", "note") in [(one.kind, one.level) for one in found.findings]
    assert "it names record 2, the last publication is 4" in [
        one.detail.partition(":")[0] for one in found.findings
    ]
    assert not found.failed


def test_a_publication_while_verifying_is_no_finding(
    archive: MadeArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = LocalStore.read
    done = []

    def read_and_publish(store: LocalStore, key: str) -> bytes:
        if key == slice_key(EXPORT, hours(1)) and not done:
            done.append(True)
            archive.publish(hours(0, 3), rows=30)
        return read(store, key)

    monkeypatch.setattr(LocalStore, "read", read_and_publish)
    found = verified(archive)
    assert (kinds(found), done, found.seq) == ([], [True], 6)


@pytest.mark.parametrize(
    "span",
    [
        {"from": "2026-11-10T00:00:00.5Z", "to": "2026-11-10T01:00:00Z"},
        {"from": "0001-01-01T00:00:00Z", "to": "9999-12-31T00:00:00Z"},
    ],
)
def test_a_record_with_slices_that_no_export_has_is_a_finding_and_no_traceback(
    archive: MadeArchive, span: dict[str, str]
) -> None:
    rewrite(archive, lambda manifest: with_slice({**manifest, "window": span}, 0, **span))
    assert "manifest_contradicts" in kinds(verified(archive))


def rewrite(
    archive: MadeArchive, change: Callable[[dict[str, object]], dict[str, object]], seq: int = 2
) -> None:
    """Forge a record and everything after it, consistently: chain, window copies, HEAD."""
    last = archive.ledger.head.seq
    contents = [json.loads(archive.record(number).read_bytes()) for number in range(seq, last + 1)]
    contents[0] = change(contents[0])
    previous = contents[0]["previous"]
    for content in contents:
        content["previous"] = previous
        data = json.dumps(content).encode()
        record = Record.of(data)
        previous = content_hash(data)
        archive.record(record.seq).write_bytes(data)
        if isinstance(record.content, Manifest) and record.window.on_grid(TICK_PER_MINUTE):
            archive.store.put_bytes(manifest_key(EXPORT, record.window), data)
    archive.store.put_bytes(head_key(EXPORT), msgspec.json.encode(Head(last, previous)))


def with_slice(manifest: dict[str, object], at: int, **changes: object) -> dict[str, object]:
    slices = [dict(one) for one in manifest["slices"]]  # type: ignore[attr-defined]
    for name, value in changes.items():
        slices[at][name] = {**slices[at][name], **value} if isinstance(value, dict) else value
    rows = sum(one["rows"] for one in slices)
    return {**manifest, "slices": slices, "rows": rows}


def cut_tail(archive: MadeArchive) -> None:
    """The second publication and its intent gone, HEAD naming the one before."""
    archive.record(4).unlink()
    archive.record(3).unlink()
    data = archive.record(2).read_bytes()
    archive.store.put_bytes(head_key(EXPORT), msgspec.json.encode(Head(2, content_hash(data))))
