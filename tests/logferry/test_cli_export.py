"""``logferry export``: what it says in the end."""

from __future__ import annotations

import io
from pathlib import Path

import msgspec
import pytest
from rich.console import Console
from tests.logferry.made_archive import MadeArchive, hours

from logferry.cli.export import Carrying
from logferry.cli.published import windows_table
from logferry.records.manifest import Manifest, Status


@pytest.mark.parametrize(("fingerprint", "told"), [("sha256:old", True), (None, False)])
def test_kept_slices_are_shown_with_what_the_source_gives_now_and_what_would_replace_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], fingerprint: str | None, told: bool
) -> None:
    manifest = MadeArchive(tmp_path / "lake").publish(hours(0, 4), files=False).content
    assert isinstance(manifest, Manifest)
    kept = [
        msgspec.structs.replace(one, source_now=0, fingerprint=fingerprint) if 1 <= at <= 2 else one
        for at, one in enumerate(manifest.slices)
    ]
    run = Carrying(as_json=False, allow_shrink=False)
    run.published(msgspec.structs.replace(manifest, slices=kept))
    run.show("web")
    out, err = capsys.readouterr()
    assert out.splitlines()[1].split()[2:5] == ["proven", "6", "12"]
    assert out.splitlines()[1].endswith("2 slices kept")
    assert "2 slices of [2026-11-10T00:00:00Z, 2026-11-10T04:00:00Z) kept as published: 6 proven rows" in err
    command = "logferry export web --from 2026-11-10T01:00:00Z --to 2026-11-10T03:00:00Z --allow-shrink"
    assert (command in err) == told


def carried(*windows: Manifest) -> Carrying:
    run = Carrying(as_json=False, allow_shrink=False)
    for one in windows:
        run.published(one)
    return run


def made(archive: MadeArchive, first: int, count: int, status: Status = "proven") -> Manifest:
    manifest = archive.publish(hours(first, count), files=False, status=status).content
    assert isinstance(manifest, Manifest)
    return manifest


def test_the_end_of_an_export_says_what_all_windows_came_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = MadeArchive(tmp_path / "lake")
    first = msgspec.structs.replace(made(archive, 0, 2), requests={"search": 4, "count": 2, "throttled": 1})
    carried(first, made(archive, 2, 1)).show("web")
    *table, rows, requests = capsys.readouterr().out.splitlines()
    assert len(table) == 3
    assert rows == "proven: 9 rows written, 9 at the source; 3 files, 300 B"
    assert requests == "requests: 4 search, 2 count; 0 retried, 1 throttled; time 0 s"


def test_a_short_export_names_both_numbers_and_the_command_that_comes_next(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = carried(made(MadeArchive(tmp_path / "lake"), 0, 14, "short"))
    run.show("web")
    out, err = capsys.readouterr()
    assert "short: 42 rows written, 56 at the source" in out
    told = err.splitlines()
    assert told[0].endswith("is short: 3 rows written, 4 counted at the source; export it again")
    assert told[10] == "logferry: and 4 more short slices: logferry gaps web"
    assert told[11:] == [
        "logferry: next: logferry export web --from 2026-11-10T00:00:00Z --to 2026-11-10T14:00:00Z"
    ]
    assert run.codes == [3]


@pytest.mark.parametrize("width", [80, 220])
def test_the_table_of_windows_cuts_no_time_whatever_the_width(tmp_path: Path, width: int) -> None:
    archive = MadeArchive(tmp_path / "lake")
    screen = Console(file=io.StringIO(), width=width)
    screen.print(windows_table([made(archive, 0, 2), made(archive, 2, 24, "short")], screen.width))
    assert isinstance(screen.file, io.StringIO)
    shown = screen.file.getvalue()
    assert "…" not in shown
    assert max(len(line) for line in shown.splitlines()) <= width
    second = shown.splitlines()[2].split()
    assert second[:3] == (
        ["2026-11-10T02:00:00Z", "+1d", "short"]
        if width == 80
        else ["2026-11-10T02:00:00Z", "2026-11-11T02:00:00Z", "short"]
    )
