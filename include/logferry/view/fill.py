"""What it takes to mend the gaps of a range: the windows, what they will cost, and what to tell Airflow.

Nothing is sent, neither to the source nor to Airflow. The bodies are those of Airflow's REST API v2
(https://airflow.apache.org/docs/apache-airflow/stable/stable-rest-api-ref.html): ``POST /backfills``, whose ``to_date``
is the start of the last window and inclusive, and ``POST /dags/<dag>/dagRuns``, where a run without a logical date
takes its window from ``conf``.
"""

from __future__ import annotations

import json
import shlex
from typing import Any

from logferry.audit.gaps import Gap, Remedy, backfill_command, export_command, remedies
from logferry.dag_ids import dag_id
from logferry.errors import LogferryError
from logferry.plan import SlicePlan, estimate_requests, eta_s
from logferry.records.manifest import Span
from logferry.schedule import Schedule
from logferry.sources.base import LogSource
from logferry.spec import ExportSpec
from logferry.view.archive_state import ArchiveState
from logferry.view.budgets import forecast_for
from logferry.view.expected import Basis, Expected
from logferry.view.plain import MOST_ENTRIES, bounded, span
from logferry.window import Window, format_duration, format_instant
from logferry.wording import counted

RUNS_AT_ONCE = 4
"""Runs of a backfill under way together, as many as the export's DAG itself allows."""
MOST_WINDOWS = 1_000
"""Of one answer: a year of minutes would be half a million runs."""
MOST_SLICES = 30_000
"""Of a range that is reckoned slice by slice; a longer one is filled all the same, without a guess."""

_BASES: dict[Basis, str] = {
    "archive": "what the archive says of the slice itself",
    "weekday": "the same hour of the same weekday",
    "hour": "the same hour of other days",
    "around": "all slices of the weeks around",
}


def fill(state: ArchiveState, window: Window, *, now: int) -> dict[str, Any]:
    """The body of ``…/fill``: for the gaps of the range, or for all of it where it has none.

    ``actions`` are to be started in their order: Airflow takes one backfill of a DAG at a time, so the longest stretch
    of whole windows is one, and every other stretch is a run. Whatever has not settled yet is left out, as is what the
    source no longer holds; ``warnings`` say so. Raises LakeUnread.
    """
    spec, index = state.spec, state.index
    due = index.due_before(spec, now)
    first, end = index.numbers(window)
    gaps = index.gaps(first, end, due)
    wanted = [gap.window for gap in gaps] or [window]
    warnings: list[str] = []
    _warn_of_emptied(state, warnings)
    oldest = _oldest(spec, now)
    held = _oldest_windows(spec, _still_held(spec, wanted, oldest, warnings), warnings)
    found = _from(spec, oldest, remedies(spec, held, now=now))
    _warn_of_unsettled(spec, held, found, warnings)
    _warn_of_interrupted(gaps, warnings)
    _warn_of_more(window, found, warnings)
    longest = _longest(found)
    found.sort(key=lambda remedy: remedy is not longest)
    if len(found) > MOST_ENTRIES:
        warnings.append(
            f"The gaps lie in {len(found):,} stretches, and this is about {MOST_ENTRIES} of them: fill these, then "
            "come back."
        )
        found = found[:MOST_ENTRIES]
    actions = [_action(spec, remedy, backfill=remedy is longest) for remedy in found]
    windows = [window for remedy in found for window in remedy.windows]
    cost = _cost(state, windows, now)
    return {
        "name": spec.name,
        **span(window),
        "now": format_instant(now),
        "gaps": sum(gap.slices for gap in gaps),
        "windows": len(windows),
        **cost,
        "warnings": warnings,
        "actions": actions,
        "commands": [_command(action) for action in actions],
    }


def _longest(found: list[Remedy]) -> Remedy | None:
    """The stretch of whole windows that is worth Airflow's one backfill; the oldest of equals."""
    return max((one for one in found if one.whole), key=lambda one: len(one.windows), default=None)


def _action(spec: ExportSpec, remedy: Remedy, *, backfill: bool) -> dict[str, Any]:
    dag = dag_id(spec.name)
    whole = remedy.window
    about = {"windows": len(remedy.windows), **span(whole), "dag_id": dag}
    if backfill:
        body: dict[str, Any] = {
            "dag_id": dag,
            "from_date": format_instant(whole.start),
            "to_date": format_instant(remedy.windows[-1].start),
            "run_backwards": False,
            "dag_run_conf": {},
            "max_active_runs": RUNS_AT_ONCE,
            "reprocess_behavior": "completed",
        }
        return {"kind": "backfill", **about, "body": body}
    conf = span(whole)
    note = f"Fills {conf['from']} to {conf['to']}, asked for on the coverage page."
    return {"kind": "run", **about, "body": {"logical_date": None, "conf": conf, "note": note}}


def _command(action: dict[str, Any]) -> str:
    body = action["body"]
    if action["kind"] == "run":
        return f"airflow dags trigger {action['dag_id']} --conf {shlex.quote(json.dumps(body['conf']))}"
    return (
        f"airflow backfill create --dag-id {action['dag_id']} --from-date {_offset(body['from_date'])} "
        f"--to-date {_offset(body['to_date'])} --reprocess-behavior completed --max-active-runs {RUNS_AT_ONCE}"
    )


def _offset(text: str) -> str:
    """An instant as Airflow's options take it, with its offset."""
    return f"{text.removesuffix('Z')}+00:00"


def _oldest(spec: ExportSpec, now: int) -> int:
    """Where the first slice begins that the source holds as a whole still."""
    retention = spec.source.retention
    return (
        spec.start if retention is None else max(spec.start, -(-(now - retention) // spec.slice) * spec.slice)
    )


def _still_held(spec: ExportSpec, wanted: list[Window], oldest: int, warnings: list[str]) -> list[Window]:
    """The parts of the windows that the source still holds, in whole slices."""
    held = [Window(max(one.start, oldest), one.end) for one in wanted if one.end > oldest]
    lost = sum((min(one.end, oldest) - one.start) // spec.slice for one in wanted if one.start < oldest)
    if lost and spec.source.retention is not None:
        warnings.append(
            f"{counted(lost, 'slice')} before {format_instant(oldest)} cannot be filled: the source keeps rows for "
            f"{format_duration(spec.source.retention)}."
        )
    return held


def _oldest_windows(spec: ExportSpec, wanted: list[Window], warnings: list[str]) -> list[Window]:
    """As much of it as lies in MOST_WINDOWS windows of the schedule: the oldest, which the source drops first."""
    schedule = Schedule(spec.schedule)
    found: list[Window] = []
    at, windows = spec.start, 0
    for one in wanted:
        if at <= one.start:
            at = schedule.previous_at_or_before(one.start)
        while at < one.end and windows < MOST_WINDOWS:
            at = schedule.next_after(at)
            windows += 1
        if at < one.end:
            if one.start < at:
                found.append(Window(one.start, at))
            warnings.append(
                f"This is about the {MOST_WINDOWS:,} oldest windows, up to {format_instant(found[-1].end)}: fill "
                "these first, then come back."
            )
            break
        found.append(one)
    return found


def _from(spec: ExportSpec, oldest: int, found: list[Remedy]) -> list[Remedy]:
    """The remedies without what lies before ``oldest``.

    Of a window that begins earlier only the rest is run: its lost slices would be published without rows.
    """
    cut: list[Remedy] = []
    for remedy in found:
        for one in remedy.windows:
            if one.start < oldest < one.end:
                rest = (Window(oldest, one.end),)
                cut.append(Remedy(rest, export_command(spec, rest)))
        later = tuple(one for one in remedy.windows if one.start >= oldest)
        if later:
            command = backfill_command(spec, later) if remedy.whole else export_command(spec, later)
            cut.append(Remedy(later, command, remedy.whole))
    return cut


def _warn_of_emptied(state: ArchiveState, warnings: list[str]) -> None:
    """What is filled on a bare mount point hides the disk's archive, or is hidden by it."""
    found = state.have()
    if found.emptied is not None:
        warnings.append(
            f"The lake held {counted(found.emptied.records, 'record')} and holds {found.seq or 'none'} since "
            f"{format_instant(found.emptied.since)}, so its gaps may be no gaps: see whether its disk is mounted "
            "before anything is filled."
        )


def _warn_of_unsettled(
    spec: ExportSpec, wanted: list[Window], found: list[Remedy], warnings: list[str]
) -> None:
    end = max((remedy.window.end for remedy in found), default=spec.start)
    late = [one for one in wanted if one.end > end]
    if late:
        since = max(end, late[0].start)
        warnings.append(
            f"What lies after {format_instant(since)} is left out: it has not settled, which takes "
            f"{format_duration(spec.settle)} after the end of a slice."
        )


def _warn_of_interrupted(gaps: list[Gap], warnings: list[str]) -> None:
    begun = sum(gap.slices for gap in gaps if "a run began" in gap.reason)
    if begun:
        warnings.append(
            f"A run began to publish {counted(begun, 'slice')} of this and has not ended: see whether it is at work; "
            "of two runs of one window only the later one publishes."
        )


def _warn_of_more(asked: Window, found: list[Remedy], warnings: list[str]) -> None:
    """Somebody who selected an hour must not be surprised by a day."""
    wider = [one for remedy in found for one in remedy.windows if not asked.covers(one)]
    if wider:
        spans = " and ".join(f"{format_instant(one.start)} to {format_instant(one.end)}" for one in wider)
        warnings.append(
            f"A window of the schedule is always run whole, so more than the selection is exported: {spans}. Files "
            "whose rows did not change are not written anew."
        )


def _cost(state: ArchiveState, windows: list[Window], now: int) -> dict[str, Any]:
    index = state.index
    spans = [index.numbers(window) for window in windows]
    slices = sum(end - first for first, end in spans)
    if not slices:
        return {"rows_expected": 0, "requests": 0, "eta_s": 0.0, "basis": "There is nothing to run."}
    if slices > MOST_SLICES:
        basis = f"Not reckoned: {slices:,} slices are too many to guess one by one."
        return {"rows_expected": None, "requests": None, "eta_s": None, "basis": basis}
    expected = Expected(index)
    rows = [expected.rows(number) for first, end in spans for number in range(first, end)]
    known = [one for one in rows if one is not None]
    total = sum(known) if len(known) == len(rows) else None
    requests, wait_s, pace = _requests(state, spans, rows, now)
    if total is None and not known:
        how = "No rows are guessed: the archive holds nothing within 28 days around."
    else:
        ways = ", ".join(
            f"{_BASES[basis]} ({counted(count, 'slice')})" for basis, count in expected.used.items()
        )
        how = f"Rows by {ways}, the median within 28 days around."
        if total is None:
            how += f" {counted(len(rows) - len(known), 'slice')} could not be guessed."
    return {
        "rows_expected": None if total is None else bounded(total),
        "requests": None if total is None else requests,
        "eta_s": None if total is None else wait_s,
        "basis": f"{how} {pace}",
    }


def _requests(
    state: ArchiveState, spans: list[tuple[int, int]], rows: list[int | None], now: int
) -> tuple[int | None, float | None, str]:
    """Search requests of a healthy run, the seconds they take by the learned allowance, and how that was reckoned."""
    source = _source(state)
    if source is None:
        return None, None, "Requests are not guessed: this machine has no connection to the source."
    guesses = iter(rows)
    plans = []
    for first, end in spans:
        for number in range(first, end):
            slice_ = Span.of(state.index.window(number))
            plans.append(SlicePlan(start=slice_.start, end=slice_.end, rows=next(guesses)))
    requests = estimate_requests(source, plans)
    forecast = forecast_for(state, now=now)
    wait_s = eta_s(forecast, requests, at_once=source.most_in_flight)
    if wait_s is None:
        return (
            requests,
            None,
            "Requests for full answers; the time is not guessed before a run on this machine.",
        )
    return requests, wait_s, "Requests for full answers, time by the learned allowance; counts come on top."


def _source(state: ArchiveState) -> LogSource | None:
    found = state.have()
    try:
        return found.archive.source(found.newest)
    except LogferryError:
        return None
