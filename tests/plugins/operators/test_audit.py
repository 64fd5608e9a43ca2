"""Audits, driven by hand: a lake in a folder, and the events that Airflow was told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException
from tests.plugins.operators.upkeep_world import TODAY, At, FakeEvents, at_hour, audit, day, publish, witness

from logferry.audit.sampling import AUDIT_WHOLE
from logferry.errors import StoreError
from logferry.spec import ExportSpec
from logferry.stores.local import LocalStore
from logferry.window import TICK_PER_HOUR, to_datetime

pytestmark = [pytest.mark.airflow, pytest.mark.integration]


def test_an_audit_that_cannot_read_the_lake_for_hours_is_told(
    told: list[str], shop: ExportSpec, context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert shop.file is not None
    shop.file.write_text(
        shop.file.read_text().replace("connection: hook}", "connection: hook, on: [verification]}")
    )
    with monkeypatch.context() as patch:

        def away(*given: Any, **more: Any) -> Any:
            raise StoreError("the lake is away")

        patch.setattr("logferry.audit.archive.open_archive", away)
        for hour in (0, 3, 4):
            at_hour(hour, patch)
            with pytest.raises(StoreError):
                audit(context)
            assert len(told) == (hour >= 3)
    assert told == [told[0]]
    assert told[0].startswith("shop could not be verified: the lake is away")
    (values,) = context["asset_state_store"].values()
    assert values
    audit(context)
    assert not values


def test_an_intact_archive_passes_its_audit(shop: ExportSpec, context: Any, lake: Path) -> None:
    manifest = publish(shop, day(4))
    files = {path: path.read_bytes() for path in lake.rglob("*") if path.is_file()}
    context["inlet_events"] = FakeEvents([witness(lake, manifest)])
    audit(context)
    assert {path: path.read_bytes() for path in lake.rglob("*") if path.is_file()} == files


def test_a_flipped_byte_fails_the_audit_with_a_sentence_that_names_the_file(
    shop: ExportSpec, context: Any, lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = publish(shop, day(4))
    key = manifest.slices[1].file.key
    data = bytearray((lake / key).read_bytes())
    data[len(data) // 2] ^= 1
    (lake / key).write_bytes(data)
    # One of so many turns looks at this slice; each looks at some.
    for hour in range(30):
        monkeypatch.setattr(
            "logferry_airflow.operators.audit.SystemClock",
            lambda hour=hour: At(TODAY + hour * TICK_PER_HOUR),
        )
        try:
            audit(context)
        except AirflowFailException as error:
            found = str(error)
            break
    assert "the archive of shop is not what was published, 1 finding:" in found
    assert key in found


def test_a_journal_that_was_cut_is_told_by_the_events_of_the_asset(
    shop: ExportSpec, context: Any, lake: Path
) -> None:
    publish(shop, day(4))
    before = {path: path.read_bytes() for path in (lake / "_manifests/shop").rglob("*") if path.is_file()}
    manifest = publish(shop, day(3))
    told = witness(lake, manifest)
    for path in (lake / "_manifests/shop").rglob("*"):
        if path.is_file():
            path.unlink()
    for path, data in before.items():
        path.write_bytes(data)
    for path in (lake / "shop").glob(f"dt={to_datetime(day(3).start):%Y-%m-%d}/*"):
        path.unlink()
    audit(context)  # without a witness everything agrees
    context["inlet_events"] = FakeEvents([told])
    with pytest.raises(AirflowFailException, match="the archive of shop is not what was published"):
        audit(context)


def test_a_journal_that_lost_its_end_is_believed_again_once_the_lost_window_was_exported_again(
    shop: ExportSpec, context: Any, lake: Path
) -> None:
    kept = witness(lake, publish(shop, day(4)))
    head = (lake / "_manifests/shop/HEAD.json").read_bytes()
    lost = publish(shop, day(3))
    told = witness(lake, lost)
    for seq in (lost.seq, lost.seq - 1):
        (lake / f"_manifests/shop/journal/{seq:012}.json").unlink()
    (lake / "_manifests/shop/HEAD.json").write_bytes(head)
    context["inlet_events"] = FakeEvents([told, kept])
    with pytest.raises(AirflowFailException, match="its tail was cut off"):
        audit(context)
    again = witness(lake, publish(shop, day(3)))
    assert again["seq"] == told["seq"]
    assert again["hash"] != told["hash"]
    context["inlet_events"] = FakeEvents([again, told, kept])
    audit(context)
    # Of another window it still tells that the journal was rewritten.
    context["inlet_events"] = FakeEvents([again, {**told, "window": kept["window"]}])
    with pytest.raises(AirflowFailException, match="the journal was rewritten"):
        audit(context)


def test_an_audit_reads_the_end_of_the_journal_and_in_its_turn_all_of_it(
    shop: ExportSpec, context: Any, lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (5, 4, 3, 2):
        for window in day(number).slices(shop.slice):
            newest = publish(shop, window)
    context["inlet_events"] = FakeEvents([witness(lake, newest)])
    operations: list[str] = []

    def counted(name: str) -> None:
        plain = getattr(LocalStore, name)

        def counting(store: LocalStore, key: str, **more: Any) -> Any:
            operations.append(key)
            return plain(store, key, **more)

        monkeypatch.setattr(LocalStore, name, counting)

    for name in ("read", "head", "list"):
        counted(name)

    def cost(turn: int) -> tuple[int, set[int]]:
        operations.clear()
        monkeypatch.setattr(
            "logferry_airflow.operators.audit.SystemClock", lambda: At(TODAY + turn * TICK_PER_HOUR)
        )
        audit(context)
        small = [key for key in operations if not key.startswith("shop/")]
        return len(small), {int(Path(key).stem) for key in small if "/journal/0" in key}

    costs = [cost(turn) for turn in range(AUDIT_WHOLE)]
    (whole,) = [one for one in costs if one[1] >= set(range(1, newest.seq + 1))]
    others = [one for one in costs if one != whole]
    assert len(others) == AUDIT_WHOLE - 1
    # The ledger is read twice (HEAD, a checkpoint, up to 16 records), the journal once from the witness on.
    assert max(most for most, _ in others) <= 60
    assert all(min(records) >= newest.seq - 16 for _, records in others)


def test_damage_far_back_in_the_journal_is_told_within_a_day_and_remembered_meanwhile(
    shop: ExportSpec, context: Any, lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (5, 4, 3):
        for window in day(number).slices(shop.slice):
            newest = publish(shop, window)
    context["inlet_events"] = FakeEvents([witness(lake, newest)])
    record = lake / "_manifests/shop/journal/000000000002.json"
    record.write_bytes(record.read_bytes().replace(b"proven", b"prOven", 1))
    failed: list[str] = []
    for turn in range(2 * AUDIT_WHOLE):
        monkeypatch.setattr(
            "logferry_airflow.operators.audit.SystemClock",
            lambda turn=turn: At(TODAY + turn * TICK_PER_HOUR),
        )
        try:
            audit(context)
        except AirflowFailException as error:
            failed.append(str(error))
        if failed:
            assert record.name in (lake / "_manifests/shop/findings.json").read_text()
    assert len(failed) == 2
    assert all(record.name in sentence for sentence in failed)


@pytest.mark.parametrize("replaced", [{"lake": "s3://elsewhere/logs"}, {"lake": None}, {"seq": None}])
def test_events_of_another_lake_or_without_a_proof_are_no_witnesses(
    replaced: dict[str, Any], shop: ExportSpec, context: Any, lake: Path
) -> None:
    manifest = publish(shop, day(4))
    told = witness(lake, manifest, hash="sha256:" + "0" * 64)
    context["inlet_events"] = FakeEvents([{**told, **replaced}])
    audit(context)
    context["inlet_events"] = FakeEvents([told])
    with pytest.raises(AirflowFailException):
        audit(context)


def test_an_emptied_lake_is_no_quiet_success(shop: ExportSpec, context: Any, lake: Path) -> None:
    told = {"seq": 2, "hash": "sha256:" + "1" * 64, "lake": lake.as_uri()}
    context["inlet_events"] = FakeEvents([told])
    with pytest.raises(AirflowFailException):
        audit(context)
