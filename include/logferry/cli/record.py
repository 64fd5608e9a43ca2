"""``logferry record``: one publication of an archive's journal, as the window view of the coverage page shows it.

``--json``: the page's own object, see docs/commands.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from logferry.cli.calendar import LOOKS_OF, styled
from logferry.cli.narrow import labelled
from logferry.cli.options import LAKE_PATIENCE_S, AsJson, Export
from logferry.cli.output import console, lasting, number, print_json, printable, size
from logferry.clock import SystemClock
from logferry.connection import connection_for
from logferry.errors import DefinitionError, StoreError
from logferry.spec import load_exports
from logferry.view.archive_state import ArchiveState
from logferry.view.archives import Archives
from logferry.view.record import record_view, records
from logferry.wording import counted

_LATEST = "latest"
_LABEL = 9
_PURPOSES = ("search", "count", "schema")


def record(
    export: Export,
    seq: Annotated[
        str, typer.Argument(help="Number of a record of the journal, or latest.", metavar="SEQ|latest")
    ] = _LATEST,
    as_json: AsJson = False,
) -> int:
    """Show one publication: its window, slices, files, requests, run and place in the chain."""
    clock = SystemClock()
    archives = Archives(connection_for, clock, patience_s=LAKE_PATIENCE_S)
    state = archives.state(load_exports().get(export))
    if not state.reachable:
        raise StoreError(f"the lake of {export} cannot be read: {state.reason}")
    view = record_view(state, _seq(state, export, seq))
    if as_json:
        print_json(view)
    else:
        _show(export, view)
    return 0


def _seq(state: ArchiveState, export: str, text: str) -> int:
    if text != _LATEST:
        if not (text.isascii() and text.isdecimal()):
            raise DefinitionError(f"{text!r} is not the number of a record; give one like 42, or {_LATEST}")
        return int(text)
    newest = records(state, limit=1)["records"]
    if not newest:
        raise DefinitionError(f"the export {export!r} has published nothing yet")
    seq: int = newest[0]["seq"]
    return seq


def _show(export: str, view: dict[str, Any]) -> None:
    out = console()
    for label, text in _facts(export, view):
        for line in labelled(out, label, printable(text), _LABEL):
            out.print(Text(line), soft_wrap=True)
    if any(one.get("status") for one in view.get("slices") or ()):
        out.print()
        out.print(_slices(view["slices"]))
        if view["slices_more"]:
            out.print(f"and {counted(view['slices_more'], 'slice')} more, in {view['journal_key']}")


def _facts(export: str, view: dict[str, Any]) -> Iterator[tuple[str, str]]:
    status = f", {view['status']}" if view.get("status") else ""
    yield "record", f"{view['seq']} of {export}: {view['record']}{status}"
    if view.get("broken"):
        yield "broken", f"{view['broken']}; logferry verify {export} tells what else it touches"
    window = view.get("window")
    slices = view.get("slices") or []
    if view["record"] == "intent":
        yield "slices", f"{number(len(slices) + view['slices_more'])} about to be written"
    if window:
        yield "window", f"{window['from']} to {window['to']}"
    if view.get("rows") is not None:
        files = [one["file"] for one in view["slices"] if one.get("file")]
        counted_rows = view.get("source_rows")
        at_source = (
            "not countable at the source" if counted_rows is None else f"{number(counted_rows)} at the source"
        )
        yield "rows", f"{number(view['rows'])} written, {at_source}"
        yield "files", f"{number(len(files) + view['slices_more'])}, {size(view['bytes'] or 0)}"
    if view.get("source"):
        yield (
            "source",
            ", ".join(f"{name} {value}" for name, value in view["source"].items() if value is not None),
        )
    requests = view.get("requests") or {}
    if requests:
        sent = ", ".join(f"{number(requests[one])} {one}" for one in _PURPOSES if requests.get(one))
        again = ", ".join(f"{number(requests.get(one, 0))} {one}" for one in ("retried", "throttled"))
        yield "requests", f"{sent or 'none'}; {again}"
    run = view.get("run")
    if run:
        took = "" if run.get("seconds") is None else f", {lasting(run['seconds'])}"
        yield "run", f"{run['id']}, attempt {run['attempt']}, {run['started_at']}{took}, {run['engine']}"
    yield from _chain(view)
    for name in ("manifest_key", "journal_key"):
        if view.get(name):
            yield name.removesuffix("_key"), view[name]


def _chain(view: dict[str, Any]) -> Iterator[tuple[str, str]]:
    chain = view.get("chain") or {}
    previous, following = chain.get("previous"), chain.get("next")
    if chain.get("hash"):
        yield "hash", chain["hash"]
    if previous and previous.get("seq"):
        yield (
            "before",
            f"record {previous['seq']} {_agreeing(previous['agrees'])} the hash that this one names",
        )
    if following:
        yield "after", f"record {following['seq']} {_agreeing(following['agrees'])} the hash of this one"
    superseded = view.get("superseded") or {}
    if superseded.get("slices"):
        by = ", ".join(str(seq) for seq in superseded["by"])
        yield "replaced", f"{counted(superseded['slices'], 'slice')}, by {by}"


def _agreeing(agrees: bool | None) -> str:
    return "was not read against" if agrees is None else "agrees with" if agrees else "DIFFERS from"


def _slices(slices: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("from", no_wrap=True)
    table.add_column("status", no_wrap=True)
    for title in ("written", "at source", "size"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("")
    for one in slices:
        status = one.get("status") or ""
        file = one.get("file") or {}
        table.add_row(
            printable(one["from"]),
            styled(status) if status in LOOKS_OF else Text(printable(status)),
            number(one.get("rows")),
            number(one.get("source_rows")),
            "-" if file.get("bytes") is None else size(file["bytes"]),
            "" if one.get("current", True) else "superseded",
        )
    return table
