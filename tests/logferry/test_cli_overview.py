"""``logferry coverage`` without an export: every archive in one line, the worst first."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterable
from concurrent.futures import Future, wait
from pathlib import Path
from typing import Any

import pytest
from tests.logferry.made_archive import MadeArchive, hours
from tests.logferry.test_cli_coverage import EXPORT
from tests.logferry.test_cli_coverage import archive as archive

from logferry.cli import main
from logferry.cli.overview import sparkline
from logferry.layout import journal_key

DAY = 24


@pytest.fixture
def exports(archive: MadeArchive, tmp_path: Path) -> Path:
    """Beside the archive ``web`` the exports ``calm`` (nothing published) and ``lost`` (its lake has no
    connection)."""
    folder = tmp_path / "exports"
    for name, lake in (("calm", (tmp_path / "empty").as_uri()), ("lost", "s3://acme/logs")):
        text = EXPORT.format(schedule="@daily", slice="1h", url=lake).replace("web", name)
        text = text.replace('logs"}', 'logs", connection: no_such}')
        (folder / f"{name}.yaml").write_text(text)
    return folder


def lines(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    assert main(["coverage", *arguments]) == 0
    return capsys.readouterr().out.splitlines()


def test_every_export_is_one_line_and_the_worst_comes_first(
    archive: MadeArchive, exports: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for day in range(3):
        archive.publish(hours(day * DAY, DAY), files=False)
    archive.publish(hours(5, 2), files=False, status="short")
    shown = lines(capsys)
    assert shown[0].split()[:2] == ["state", "export"]
    assert [line.split()[:2] for line in shown[1:4]] == [
        ["unreachable", "lost"],
        ["missing", "calm"],
        ["short", "web"],
    ]
    assert shown[3].split()[2:6] == ["2026-11-13T00:00:00Z", "2026-11-10T05:00:00Z", "2", "2"]
    assert any("calm: 72 slices in 1 gap, 3 windows behind schedule" in line for line in shown)
    assert any(line.startswith("lost: the lake ") and "cannot be read since" in line for line in shown)


def test_it_is_plain_text_and_fits_into_80_columns(
    archive: MadeArchive, exports: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for day in range(2):
        archive.publish(hours(day * DAY, DAY), files=False)
    (exports / "calm.yaml").rename(exports / "away")
    longer = "checkout_errors_of_the_shop"
    text = (exports / "away").read_text().replace("calm", longer)
    (exports / "longer.yaml").write_text(text)
    monkeypatch.setattr("logferry.cli.output._WIDE", 80)
    table = lines(capsys)[:4]
    assert max(len(line.rstrip()) for line in table) <= 80
    assert table[0].split() == ["state", "export", "proven", "to", "final", "up", "to", "gaps", "short"]
    assert [line.split()[1] for line in table[1:]] == ["lost", "checkout_errors…", "web"]
    assert "\x1b" not in "".join(table)


def test_numbers_are_never_cut_however_long_a_name_is(
    archive: MadeArchive, exports: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.publish(hours(0, 24), files=False)
    archive.publish(hours(24, 7), files=False, status="short")
    long = "a_name_of_sixty_characters_" + "x" * 33
    text = (exports / "calm.yaml").read_text().replace("calm", long)
    (exports / "calm.yaml").write_text(text)
    for width in (80, 120, 140):
        monkeypatch.setattr("logferry.cli.output._WIDE", width)
        table = lines(capsys)[:4]
        assert max(len(line.rstrip()) for line in table) <= width
        assert [line.split()[0] for line in table[1:]] == ["unreachable", "missing", "missing"]
        cut, web = (next(one.split() for one in table[1:] if name in one) for name in ("a_name", "web"))
        assert cut[4:6] == ["72", "0"]
        assert web[4:6] == ["48", "7"]


def test_an_export_with_a_damaged_journal_is_damaged(
    archive: MadeArchive, capsys: pytest.CaptureFixture[str]
) -> None:
    archive.publish(hours(0, 48), files=False)
    archive.publish(hours(48, 24), files=False)
    archive.path(journal_key("web", 2)).write_bytes(b"not a record")
    shown = lines(capsys)
    assert shown[1].split()[:2] == ["damaged", "web"]
    assert any("web: the journal is damaged: logferry verify web" in line for line in shown)


def test_of_a_lake_that_was_never_read_nothing_is_counted(
    exports: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = lines(capsys)
    (lost,) = [line.split() for line in shown[1:4] if " lost " in line]
    assert lost == ["unreachable", "lost", "-", "-", "-", "-"]
    assert any(line.startswith("lost: the lake cannot be read since ") for line in shown)


def test_a_broken_definition_stands_beside_the_others(
    archive: MadeArchive, exports: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (exports / "calm.yaml").write_text("name: calm\n")
    shown = lines(capsys)
    assert [line.split()[1] for line in shown[1:3]] == ["lost", "web"]
    assert any("calm.yaml" in line for line in shown)


def test_json_has_the_same_rows_in_the_same_order(
    archive: MadeArchive, exports: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive.publish(hours(0, 3 * DAY), files=False)
    found: dict[str, Any] = json.loads("\n".join(lines(capsys, "--json")))
    assert set(found) == {"now", "exports", "broken"}
    assert [(one["state"], one["name"]) for one in found["exports"]] == [
        ("unreachable", "lost"),
        ("missing", "calm"),
        ("proven", "web"),
    ]
    web = found["exports"][2]
    assert (web["cells"]["P"], web["cells"]["M"], web["rows"]) == (72, 0, 216)
    assert web["lake"]["reachable"] is True


def test_a_range_without_an_export_is_refused(exports: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["coverage", "--from", "2026-11-10T00:00:00Z"]) == 2
    assert "name it, or leave them out" in capsys.readouterr().err


def test_no_definition_at_all_is_said(exports: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in exports.iterdir():
        path.unlink()
    assert lines(capsys) == [f"there is no export definition in {exports}"]


def test_where_no_definition_can_be_read_each_is_named_with_its_reason(
    exports: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in exports.iterdir():
        path.unlink()
    (exports / "web.yaml").write_text("name: web\nnmae: web\n")
    first, *rest = lines(capsys)
    assert first == f"there is no export that can be read in {exports}"
    assert any("did you mean name?" in line for line in rest)


def test_a_lake_that_takes_its_time_is_waited_for(
    archive: MadeArchive, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command begins with nothing, so what it would show after some seconds is that no lake can be read."""
    archive.publish(hours(0, 24), files=False)
    waited: list[float | None] = []

    def waiting(futures: Iterable[Future[None]], timeout: float | None = None) -> None:
        waited.append(timeout)
        wait(futures)

    monkeypatch.setattr("logferry.view.archives.wait", waiting)
    assert lines(capsys)[1].split()[:2] == ["missing", "web"]
    assert main(["record", "web"]) == 0
    assert len(waited) == 2
    assert all(timeout is not None and timeout > 50 for timeout in waited)


def test_a_sparkline_tells_none_from_few_and_is_ascii_where_it_must_be() -> None:
    assert sparkline([0, 1, 50, 100]) == " ▁▄█"
    assert sparkline([0, 1, 50, 100], plain=True) == " _=@"
    assert sparkline([0, 0]) == "  "
    assert sparkline([]) == ""


def test_an_output_without_block_characters_gets_ascii(
    archive: MadeArchive, exports: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.publish(hours(0, 3 * DAY), files=False)
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="cp1252"))
    assert main(["coverage"]) == 0
    sys.stdout.flush()
    text = raw.getvalue().decode("cp1252")
    assert "@@@" in text
    assert "\\u" not in text
