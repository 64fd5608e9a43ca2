"""``logferry verify``: whether an archive still is what was published; needs no keys and asks the source nothing.

``--json``: ``{"export", "window": {"from", "to"} | null, "deep", "status": "intact" | "damaged", "seq", "hash",
"records", "objects", "findings": [{"kind", "level", "window": {"from", "to"} | null, "key", "detail", "remedy"}]}``.
"""

from __future__ import annotations

from typing import Annotated

import typer

from logferry.audit.archive import open_archive
from logferry.audit.verify import Verification, Witness
from logferry.audit.verify import verify as verify_archive
from logferry.cli.archive_json import finding_json, window_json
from logferry.cli.grouped import grouped, sentence
from logferry.cli.options import AsJson, Export, Since, Until, archive_range
from logferry.cli.output import print_json, say
from logferry.clock import SystemClock
from logferry.connection import connection_for
from logferry.errors import DefinitionError, ShortError
from logferry.spec import load_exports
from logferry.wording import counted


def verify(
    export: Export,
    start: Since = None,
    end: Until = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="Decode every row too: hash, order, times, unique ids.")
    ] = False,
    witness: Annotated[
        list[str] | None,
        typer.Option(
            "--witness",
            help="Sequence number and hash of an asset event, which the journal must hold; may be repeated.",
            metavar="SEQ:HASH",
        ),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Compare every object and the journal with what was published; without a range, all of it."""
    spec = load_exports().get(export)
    now = SystemClock().now()
    window = archive_range(spec, start, end, now=now)
    try:
        witnesses = [Witness.parse(text) for text in witness or ()]
    except ValueError as error:
        raise DefinitionError(f"--witness: {error}") from None
    archive = open_archive(spec, connection_for)
    found = verify_archive(archive.store, spec.name, now=now, window=window, deep=deep, witnesses=witnesses)
    if as_json:
        print_json(
            {
                "export": found.export,
                "window": None if window is None else window_json(window),
                "deep": deep,
                "status": "damaged" if found.failed else "intact",
                "seq": found.seq,
                "hash": found.hash,
                "records": found.records,
                "objects": found.objects,
                "findings": [finding_json(one) for one in found.findings],
            }
        )
    else:
        _show(found)
    return ShortError.exit_code if found.failed else 0


def _show(found: Verification) -> None:
    for group in grouped(found.findings):
        text = sentence(group, found.export)
        say(f"note: {text}" if group[0].level == "note" else text)
    wrong = sum(one.level == "finding" for one in found.findings)
    looked = f"{counted(found.objects, 'object')} and {counted(found.records, 'record')} of {found.export}"
    how = "with every row decoded" if found.deep else "byte by byte"
    if wrong:
        say(f"{looked}, {how}: {counted(wrong, 'finding')}")
        damaged = [one.window for one in found.findings if one.damages and one.window is not None]
        if len(damaged) > 1:
            start, end = min(one.start for one in damaged), max(one.end for one in damaged)
            say(
                "to mend all objects that are damaged (and what else is a gap there): "
                f"logferry gaps {found.export} --from {start} --to {end} --fill"
            )
    elif found.hash is None:
        say(f"the export {found.export!r} has published nothing yet")
    else:
        say(f"{looked}, {how}: all as published; witness {found.seq}:{found.hash}")
