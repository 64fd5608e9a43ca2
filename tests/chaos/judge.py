"""The end of a chaos run: is the lake the truth, and is everything that was ever published true?

Reads the lake's objects as they are, without the engine; what that says itself is asked last, as one more opinion.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import duckdb
from tests.chaos.figures import Figures
from tests.chaos.lakes import Lake
from tests.chaos.reader import rows_of, slice_of
from tests.chaos.truth import Truth
from tests.chaos.world import ANSWER_ROWS, EXPORTS, PAGE_ROWS, World, definition, hours_of

from logferry.audit.coverage import cover
from logferry.audit.gaps import gaps
from logferry.audit.verify import verify
from logferry.clock import SystemClock
from logferry.records.ledger import read_ledger
from logferry.spec import export_from
from logferry.stores.base import Store
from logferry.window import TICK_PER_HOUR, TICK_PER_SECOND, Window, parse_instant

_COUNT_TAKES = 15 * TICK_PER_SECOND
"""The most time that may lie between what a count saw and the ``counted_at`` it is given."""

Record = dict[str, Any]


class Judge:
    """Judges one lake; every finding becomes a violation that names the object or the record."""

    def __init__(
        self, world: World, lake: Lake, store: Store, truth: Truth, figures: Figures, folder: Path
    ) -> None:
        self._world, self._lake, self._truth, self._figures = world, lake, truth, figures
        self._store = store
        self._folder = folder

    def judge(self, published_runs: frozenset[str], filling_runs: frozenset[str]) -> None:
        """``published_runs``: the ids of runs whose last attempt published: nothing of them may stay staged.
        ``filling_runs``: those of the last pass.
        """
        self._objects = {key: self._lake.read(key) for key in self._lake.marks()}
        for export in EXPORTS:
            records = self._journal(export)
            self._publications_follow_their_intents(export, records)
            publications = [record for record in records if record["record"] == "publication"]
            self._figures.add("publications", len(publications))
            self._figures.add("intents", len(records) - len(publications))
            for record in publications:
                last_pass = record["run"]["id"] in filling_runs
                self._figures.add("minimum_to_fill" if last_pass else "minimum", _fewest_requests(record))
            self._proofs_were_true(export, publications)
            self._objects_are_what_was_published(export, publications)
            self._rows_are_the_truth(export)
        for key in self._objects:
            if key.startswith("_staging/"):
                # Parts of a run that never came back stay for a week; then any publication sweeps them.
                self._figures.add("parts_abandoned")
                if key.split("/")[2] in published_runs:
                    self._violated(f"{key} is left in the staging folder by a run that published")
            elif key.endswith((".tmp", ".inprogress")):
                self._violated(f"{key} is left over")
        for export in EXPORTS:
            self._the_engine_agrees(export)
        if uploads := self._lake.unfinished_uploads():
            self._violated(f"{uploads} multipart uploads are unfinished")

    def _the_engine_agrees(self, export: str) -> None:
        """``verify --deep`` finds nothing, and ``gaps`` has nothing to fill."""
        now = SystemClock().now()
        for finding in verify(self._store, export, now=now, deep=True).findings:
            if finding.level == "finding":
                self._violated(f"verify: {finding.sentence()}")
        spec = export_from(definition(export, self._lake.url, None), where="chaos", written=True)
        ledger = read_ledger(self._store, export)
        for gap in gaps(cover(spec, ledger, self._world.whole, now=now, fingerprint=None, damage={})):
            self._violated(f"gaps of {export}: {gap.window} is {gap.state}: {gap.reason}")

    def _violated(self, sentence: str) -> None:
        self._figures.violated(sentence)

    def _journal(self, export: str) -> list[Record]:
        """Every record, numbered without a gap, each naming the hash of the bytes before it, HEAD the last."""
        records: list[Record] = []
        previous = None
        prefix = f"_manifests/{export}/journal/"
        for number, key in enumerate(sorted(key for key in self._objects if key.startswith(prefix)), 1):
            data = self._objects[key]
            try:
                record = json.loads(data)
            except ValueError:
                self._violated(f"{key} is no record: {data[:80]!r}")
                return []
            if (record["seq"], key) != (number, f"{prefix}{number:012d}.json"):
                self._violated(f"{key} is record {record['seq']} and should be {number}")
            if record["previous"] != previous:
                self._violated(f"{key} does not follow the record before it")
            previous = _hash(data)
            records.append(record)
        head = json.loads(self._objects.get(f"_manifests/{export}/HEAD.json", b"{}"))
        if (head.get("seq"), head.get("hash")) != (len(records), previous):
            self._violated(f"HEAD of {export} names record {head.get('seq')}, the last is {len(records)}")
        return records

    def _publications_follow_their_intents(self, export: str, records: list[Record]) -> None:
        """Between an intent and its publication nobody else began or ended anything on the same slices; and no
        slice has an intent without a later publication."""
        open_: dict[str, int] = {}
        for record in records:
            if record["record"] == "intent":
                open_.update((start, record["seq"]) for start in _starts(record["slices"]))
                continue
            for start in _starts([*record["slices"], *record.get("removed", [])]):
                open_.pop(start, None)
            intent = records[record["intent"] - 1] if record.get("intent") else None
            name = f"record {record['seq']} of {export}"
            if intent is None or intent["record"] != "intent" or intent["window"] != record["window"]:
                self._violated(f"{name} fulfils no intent of its own window")
                continue
            if intent["run"]["id"] != record["run"]["id"]:
                self._violated(f"{name} fulfils the intent of another run")
            for between in records[intent["seq"] : record["seq"] - 1]:
                if _overlap(_window(between), _window(record)):
                    self._violated(f"{name} was committed although record {between['seq']} came between")
        for start, seq in open_.items():
            self._violated(f"the intent in record {seq} of {export} is still open for the slice at {start}")

    def _proofs_were_true(self, export: str, publications: list[Record]) -> None:
        """A proven slice had exactly the rows that were there when they were counted, and never lost one."""
        best: dict[str, tuple[int, int]] = {}
        for record in publications:
            entries = record["slices"]
            if record["rows"] != sum(entry["rows"] for entry in entries):
                self._violated(
                    f"record {record['seq']} of {export} says {record['rows']} rows, its slices do not"
                )
            for entry in entries:
                self._figures.count(self._figures.statuses, entry["status"])
                start = parse_instant(entry["from"])
                name = f"record {record['seq']} of {export}, slice {entry['from']}"
                seq, rows = best.get(entry["from"], (0, 0))
                if entry["rows"] < rows:
                    self._violated(f"{name}: {entry['rows']} rows after record {seq} had proven {rows}")
                if entry["status"] != "proven":
                    continue
                best[entry["from"]] = record["seq"], entry["rows"]
                counted_at = parse_instant(entry["counted_at"])
                possible = self._truth.possible_counts(
                    export, start // TICK_PER_HOUR, counted_at, _COUNT_TAKES
                )
                if entry["rows"] != entry["source_rows"] or entry["rows"] not in possible:
                    self._violated(
                        f"{name} is called proven with {entry['rows']} rows, counted {entry['source_rows']} at "
                        f"{entry['counted_at']}; there were {sorted(possible)}"
                    )

    def _objects_are_what_was_published(self, export: str, publications: list[Record]) -> None:
        """The last publication of each slice describes the object that lies there, to the byte."""
        last = {entry["from"]: entry for record in publications for entry in record["slices"]}
        for entry in last.values():
            file = entry["file"]
            data = self._objects.get(file["key"], b"")
            if (len(data), _hash(data)) != (file["bytes"], file["sha256"]):
                self._violated(f"{file['key']} is not what its last publication says")
            if entry["status"] != "proven":
                self._violated(f"{file['key']} is {entry['status']} at the end")
        for record in publications:
            copy = self._objects.get(_copy_key(export, record["window"]))
            if copy is None:
                self._violated(f"the window {record['window']} of {export} has no copy of its manifest")

    def _rows_are_the_truth(self, export: str) -> None:
        """Read by another engine, by glob, as a user would: each row of the source once, and no other."""
        mirror = self._folder / "mirror"
        for key, data in self._objects.items():
            if key.startswith(f"{export}/"):
                path = mirror / key
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
        id_column = "id" if EXPORTS[export] == "datadog" else "_ItemId"
        found = duckdb.execute(
            f'SELECT "{id_column}", count(*) FROM read_parquet(?, union_by_name=true) GROUP BY ALL',
            [f"{mirror / export}/**/*.parquet"],
        ).fetchall()
        wanted = {
            row: said
            for hour in hours_of(self._world.whole)
            for row, said in self._truth.of(export, hour).whole.items()
        }
        held = dict(found)
        lost, strange = wanted.keys() - held.keys(), held.keys() - wanted.keys()
        twice = sum(count - 1 for count in held.values())
        figures = self._figures
        figures.add("rows", sum(held.values()))
        figures.add("lost", len(lost))
        figures.add("duplicated", twice)
        if lost or strange or twice:
            self._violated(
                f"{export}: {len(lost)} rows lost, {twice} doubled, {len(strange)} never in the source"
            )
        for key, data in self._objects.items():
            if key.startswith(f"{export}/"):
                self._is_its_slice(key, data)

    def _is_its_slice(self, key: str, data: bytes) -> None:
        try:
            export, hour = slice_of(key)
            if rows_of(key, data) != self._truth.of(export, hour).whole:
                self._violated(f"{key} says other things than the source")
        except ValueError as error:
            self._violated(f"{key}: {error}")


def _fewest_requests(record: Record) -> int:
    """What a publication takes at least: its columns, a count before and one after, and full pages.

    ``record``: a manifest. A slice holding more rows than one answer takes several.
    """
    page = PAGE_ROWS if record["source"]["kind"] == "datadog" else ANSWER_ROWS
    columns = 0 if record["source"]["kind"] == "datadog" else 1
    rows: list[int] = [entry["rows"] for entry in record["slices"]]
    return columns + 2 + sum(-(-held // page) for held in rows)


def _starts(spans: Iterable[Record]) -> list[str]:
    return [span["from"] for span in spans]


def _window(record: Record) -> Window:
    return Window(parse_instant(record["window"]["from"]), parse_instant(record["window"]["to"]))


def _overlap(one: Window, other: Window) -> bool:
    return one.start < other.end and other.start < one.end


def _copy_key(export: str, window: Record) -> str:
    start, end = (window[bound].replace("-", "").replace(":", "") for bound in ("from", "to"))
    return f"_manifests/{export}/{start}-{end}.json"


def _hash(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
