"""``logferry coverage``: readable without colour, without a wide terminal, without keys."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.logferry.made_archive import SOURCE, MadeArchive, hours

from logferry.audit.verify import verify
from logferry.cli import main
from logferry.cli.calendar import LOOKS, LOOKS_OF
from logferry.clock import SystemClock
from logferry.errors import StoreError
from logferry.layout import head_key
from logferry.records.journal import Record
from logferry.records.manifest import Manifest, Span
from logferry.spec import fingerprint, load_export
from logferry.stores.local import LocalStore
from logferry.view.letters import WORDS, Letter
from logferry.window import Window, parse_instant

NOW = parse_instant("2026-11-13T06:10:00Z")
PAGE_STYLE = Path(__file__).parents[2] / "plugins/logferry_airflow/page/static/style.css"
EXPORT = """\
name: web
source: {{kind: datadog, connection: dd_test}}
schedule: "{schedule}"
start: 2026-11-10T00:00:00Z
slice: {slice}
destination: {{url: "{url}"}}
"""


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MadeArchive:
    """An archive of the present definition, an export to match, no credentials anywhere."""
    made = MadeArchive(tmp_path / "lake")
    define(made, tmp_path)
    monkeypatch.setenv("LOGFERRY_EXPORTS_DIR", str(tmp_path / "exports"))
    for name in ("AIRFLOW_CONN_DD_TEST", "DD_API_KEY", "DD_APP_KEY", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(SystemClock, "now", lambda self: NOW)
    return made


def define(made: MadeArchive, folder: Path, *, schedule: str = "@daily", slice_: str = "1h") -> None:
    path = folder / "exports" / "web.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(EXPORT.format(schedule=schedule, slice=slice_, url=made.root.as_uri()))
    made.fingerprint = fingerprint(SOURCE, load_export(path))


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["coverage", "web", *arguments]) == 0
    return capsys.readouterr().out


def as_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(shown(capsys, *arguments, "--json"))
    return found


def row(text: str, label: str) -> str:
    """The cells of one line of the map."""
    (line,) = [line for line in text.splitlines() if line.startswith(f"{label}  ")]
    return line.removeprefix(f"{label}  ")


def test_days_go_down_and_hours_across_with_a_symbol_for_each_state(
    archive: MadeArchive, capsys: pytest.CaptureFixture[str]
) -> None:
    archive.publish(hours(0, 24), files=False)
    archive.publish(hours(24, 2), files=False, status="unproven")
    archive.publish(hours(26, 2), files=False, status="short")
    text = shown(capsys)
    assert row(text, "2026-11-10") == "██" * 24
    assert row(text, "2026-11-11") == "▒▒▒▒!!!!" + "××" * 20
    assert row(text, "2026-11-12") == "××" * 24
    assert "2026-11-13" in text
    assert "slices: 24 proven, 2 unproven, 2 short, 44 missing, 7 not due" in text
    assert "final up to 2026-11-11T00:00:00Z" in text
    assert "--from-date 2026-11-11T00:00:00+00:00" in text


def test_every_line_fits_into_80_columns_of_a_terminal_and_is_whole_and_plain_in_a_pipe(
    archive: MadeArchive, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.publish(hours(0, 24), files=False)
    archive.begin(hours(3, 2))
    archive.publish(hours(30, 5), files=False, status="short")
    archive.fingerprint = "sha256:other"
    archive.publish(hours(50, 5))
    archive.object(hours(51)).unlink()
    verify(archive.store, "web", now=NOW, window=hours(48, 24))
    text = shown(capsys)
    assert "· not due" in text
    assert "\x1b" not in text
    assert re.search(
        r"^  2026-11-11T\S+ to \S+ short: \d+ rows written, \d+ at the source$", text, re.MULTILINE
    )
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    text = re.sub("\x1b\\[[0-9;]*m", "", shown(capsys))
    # Keys are longer than a line and stay whole, so that they can be copied.
    assert max(len(line) for line in text.splitlines() if ".parquet" not in line) <= 80


def test_an_output_without_block_characters_gets_ascii(
    archive: MadeArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.publish(hours(0, 24), files=False)
    archive.publish(hours(24, 1), files=False, status="unproven")
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    assert main(["coverage", "web"]) == 0
    sys.stdout.flush()
    text = raw.getvalue().decode("ascii")
    assert "##" * 24 in text
    assert "==" + "xx" * 23 in text
    assert "\\u" not in text


def test_a_slice_whose_time_has_not_come_has_a_sign_of_its_own(
    archive: MadeArchive, capsys: pytest.CaptureFixture[str]
) -> None:
    archive.publish(hours(0, 24), files=False)
    text = shown(capsys)
    assert row(text, "2026-11-13") == "··" * 7
    assert "· not due" in text


def test_the_signs_are_those_of_the_page() -> None:
    style = PAGE_STYLE.read_text()
    signs = dict(re.findall(r'\.s-([A-Z])::before { content: "(.)";', style))
    with_sign: list[Letter] = ["D", "M", "S", "I", "N"]
    assert [signs[letter] for letter in with_sign] == [LOOKS_OF[WORDS[letter]].symbol for letter in with_sign]


def test_symbols_and_colours_are_all_different() -> None:
    for values in ([one.symbol for one in LOOKS], [one.plain for one in LOOKS], [one.style for one in LOOKS]):
        assert len(set(values)) == len(values)


def test_slices_of_minutes_are_shown_by_the_worst_of_the_hour(
    archive: MadeArchive, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    define(archive, tmp_path, slice_="15m")
    archive.slice //= 4
    archive.publish(hours(0, 24), files=False)
    archive.publish(next(iter(hours(5).slices(archive.slice))), files=False, status="short")
    assert row(shown(capsys), "2026-11-10") == "██" * 5 + "!!" + "██" * 18


def test_slices_of_hours_are_longer_bars(
    archive: MadeArchive, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    define(archive, tmp_path, slice_="6h")
    archive.slice *= 6
    archive.publish(hours(6, 12), files=False)
    assert row(shown(capsys), "2026-11-10") == "×" * 12 + "█" * 24 + "×" * 12


def test_a_long_range_has_a_cell_for_each_day(
    archive: MadeArchive, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    archive.publish(hours(0, 48), files=False)
    monkeypatch.setattr(SystemClock, "now", lambda self: parse_instant("2027-11-10T00:00:00Z"))
    text = shown(capsys)
    assert row(text, "2026-11") == " " * 18 + "██" * 2 + "××" * 19
    assert row(text, "2027-02") == "××" * 28
    assert len(text.splitlines()) < 40


def test_damage_that_verify_found_is_shown_until_the_slice_is_published_again(
    archive: MadeArchive, capsys: pytest.CaptureFixture[str]
) -> None:
    archive.publish(hours(0, 24))
    archive.object(hours(1)).unlink()
    verify(archive.store, "web", now=NOW)
    text = shown(capsys)
    assert row(text, "2026-11-10").startswith("██≠≠██")
    assert "≠ damaged" in text
    assert "damaged: there is no object" in text
    assert as_json(capsys)["slices"][1]["damage"] == ["there is no object"]
    archive.publish(hours(0, 24))
    assert as_json(capsys)["slices"][1]["damage"] == []


def test_a_broken_journal_is_told_and_no_error(
    archive: MadeArchive, capsys: pytest.CaptureFixture[str]
) -> None:
    archive.publish(hours(0, 24), files=False)
    archive.publish(hours(24, 24), files=False)
    archive.record(4).write_bytes(b"{")
    text = shown(capsys)
    assert "damage:" in text
    assert "journal/000000000004.json: it is no record" in text
    assert [one["seq"] for one in as_json(capsys)["damage"]] == [4]
    archive.path(head_key("web")).write_bytes(b"\xff")
    assert "HEAD.json" in shown(capsys)


def test_rows_of_another_definition_are_marked_with_what_was_asked_and_the_remedy(
    archive: MadeArchive, capsys: pytest.CaptureFixture[str]
) -> None:
    present = archive.fingerprint
    archive.fingerprint = "sha256:" + "0" * 64
    archive.publish(hours(0, 24), files=False, source={**SOURCE, "query": "service:old"})
    archive.fingerprint = present
    archive.publish(hours(24, 24), files=False)
    text = shown(capsys)
    assert row(text, "2026-11-10") == "oo" * 24
    assert "000000000000, another one: 24 slices" in text
    assert "query service:old" in text
    assert "--from-date 2026-11-10T00:00:00+00:00" in text
    found = as_json(capsys)
    assert [(one["present"], one["slices"]) for one in found["definitions"]] == [(False, 24), (True, 24)]
    assert found["fingerprint"] == present
    assert found["slices"][0]["other_definition"]


def test_what_a_changed_query_left_in_place_is_told_with_the_option_that_replaces_it(
    archive: MadeArchive, capsys: pytest.CaptureFixture[str]
) -> None:
    present = archive.fingerprint
    archive.fingerprint = "sha256:" + "0" * 64
    archive.publish(hours(0, 24), files=False, source={**SOURCE, "query": "service:old"})
    archive.fingerprint = present
    keep(archive, hours(2, 3))
    text = shown(capsys)
    command = "logferry export web --from 2026-11-10T02:00:00Z --to 2026-11-10T05:00:00Z --allow-shrink"
    assert command in " ".join(text.replace("\\\n", " ").split())
    assert "--allow-shrink (in Airflow the param allow_shrink)" in text
    assert "query was service:old, now *" in text
    (old,) = [one for one in as_json(capsys)["definitions"] if not one["present"]]
    assert old["kept"] == [{"from": "2026-11-10T02:00:00Z", "to": "2026-11-10T05:00:00Z"}]
    assert old["differs"] == ["query was service:old, now *"]
    assert [one["command"].endswith("--allow-shrink") for one in old["remedies"]] == [False, True]


def keep(archive: MadeArchive, window: Window) -> None:
    """A run of another definition that found no rows and left those that are proven."""
    intent = archive.begin(window)
    before = [archive.ledger.slices[slice_] for slice_ in window.slices(archive.slice)]
    manifest = Record.of(archive.record(intent.seq - 1).read_bytes()).content
    assert isinstance(manifest, Manifest)
    archive.append(
        msgspec.structs.replace(
            manifest,
            seq=intent.seq + 1,
            previous=intent.hash,
            fingerprint=archive.fingerprint,
            source=SOURCE,
            window=Span.of(window),
            slices=[
                msgspec.structs.replace(one.entry, source_now=0, fingerprint=one.fingerprint)
                for one in before
            ],
            intent=intent.seq,
        )
    )


def test_what_holds_back_the_final_part_is_said_with_its_reason(
    archive: MadeArchive, capsys: pytest.CaptureFixture[str]
) -> None:
    archive.publish(hours(0, 3), files=False)
    archive.publish(hours(3), files=False, counted_at=hours(5).start)
    text = shown(capsys)
    assert "held there by 2026-11-10T03:00:00Z to 2026-11-10T04:00:00Z: it was counted at" in text
    held = as_json(capsys)["held_by"]
    assert (held["from"], held["to"]) == ("2026-11-10T03:00:00Z", "2026-11-10T04:00:00Z")
    assert "rows may come late until 2026-11-11T04:00:00Z" in held["reason"]


def test_unproven_slices_come_with_the_command_that_may_prove_them(
    archive: MadeArchive, capsys: pytest.CaptureFixture[str]
) -> None:
    archive.publish(hours(0, 72), files=False)
    archive.publish(hours(24, 2), files=False, status="unproven")
    text = shown(capsys)
    assert "unproven, and the source should still hold them:" in text
    (remedy,) = as_json(capsys)["to_prove"]
    assert "--from-date 2026-11-11T00:00:00+00:00 --to-date 2026-11-11T00:00:00+00:00" in remedy["command"]


def test_rows_of_a_longer_slice_are_not_given_to_each_hour_of_it(
    archive: MadeArchive, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive.slice *= 24
    archive.publish(hours(0, 24), files=False)
    found = as_json(capsys)
    assert {(one["state"], one["rows"], one["source_rows"]) for one in found["slices"][:24]} == {
        ("proven", None, None)
    }
    assert found["totals"]["rows"] == 3


def test_the_legend_names_what_is_on_the_map_only(
    archive: MadeArchive, capsys: pytest.CaptureFixture[str]
) -> None:
    archive.publish(hours(0, 24), files=False)
    text = shown(capsys, "--from", "2026-11-10T00:00:00Z", "--to", "2026-11-11T00:00:00Z")
    assert "█ proven\n" in text
    assert "short" not in text


def test_a_reader_that_goes_away_is_no_error() -> None:
    command = "import sys; from logferry.cli import main; sys.exit(main())"
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-c", command, "--help"], stdout=writing, stderr=subprocess.PIPE, check=False
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize("command", ["coverage", "gaps", "verify"])
def test_a_command_that_asks_no_source_loads_none_of_the_others(command: str) -> None:
    code = (
        "import sys; from logferry.cli.app import command_line; "
        f"command_line(['--debug', '{command}']); "
        "print([one for one in ('requests', 'msal', 'boto3', 'logferry.ferry') if one in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_an_interrupted_run_is_named(archive: MadeArchive, capsys: pytest.CaptureFixture[str]) -> None:
    archive.publish(hours(0, 24), files=False)
    archive.begin(hours(0, 3))
    assert "the run run-3 began at" in shown(capsys)
    (one,) = as_json(capsys)["interrupted"]
    assert (one["seq"], one["run"], one["slices"]) == (3, "run-3", 3)


def test_the_json_tells_every_slice_and_the_totals(
    archive: MadeArchive, capsys: pytest.CaptureFixture[str]
) -> None:
    archive.publish(hours(0, 24), files=False)
    found = as_json(capsys, "--from", "2026-11-10T00:00:00Z", "--to", "2026-11-11T02:00:00Z")
    assert set(found) == {
        "export", "window", "now", "slice", "fingerprint", "final_up_to", "held_by", "totals", "slices", "gaps",
        "remedies", "to_prove", "definitions", "interrupted", "damage", "findings", "notes",
    }  # fmt: skip
    assert found["totals"] == {
        "slices": {"proven": 24, "unproven": 0, "short": 0, "missing": 2, "not_due": 0},
        "rows": 72,
        "bytes": 2400,
        "gaps": 2,
    }
    assert len(found["slices"]) == 26
    assert found["slices"][0] == {
        "from": "2026-11-10T00:00:00Z", "to": "2026-11-10T01:00:00Z", "state": "proven", "rows": 3,
        "source_rows": 3, "counted_at": "2026-11-13T01:00:00Z", "seq": 2, "other_definition": False,
        "interrupted": False, "damage": [],
    }  # fmt: skip
    assert found["slices"][-1]["rows"] is None


def test_without_a_connection_the_definition_is_compared_at_the_recorded_endpoint(
    archive: MadeArchive, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.publish(hours(0), files=False)
    found = as_json(capsys)
    assert found["fingerprint"] == archive.fingerprint
    assert "as if its connection still led to https://api.datadoghq.eu" in found["notes"][0]
    conn = {"conn_type": "datadog_logs", "extra": {"api_key": "a", "app_key": "b", "site": "datadoghq.com"}}
    monkeypatch.setenv("AIRFLOW_CONN_DD_TEST", json.dumps(conn))
    found = as_json(capsys)
    assert found["fingerprint"] != archive.fingerprint
    assert (found["notes"], found["slices"][0]["other_definition"]) == ([], True)


def test_nothing_published_is_all_missing_and_the_definition_cannot_be_compared(
    archive: MadeArchive, capsys: pytest.CaptureFixture[str]
) -> None:
    found = as_json(capsys)
    assert found["fingerprint"] is None
    assert "cannot be compared" in found["notes"][0]
    assert found["totals"]["slices"]["missing"] == 72
    assert found["final_up_to"] is None


@pytest.mark.parametrize("command", ["coverage", "gaps", "verify"])
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--from", "2026-11-10T00:20:00Z"], "is not on the slice grid"),
        (["--from", "yesterday"], "is not an absolute time"),
        (["--from", "2026-11-09T00:00:00Z"], "lies before the start"),
        (["--to", "2026-12-01T00:00:00Z"], "lies in the future; give 2026-11-13T07:00:00Z or earlier"),
        (["--from", "2027-01-01T00:00:00Z"], "--from 2027-01-01T00:00:00Z lies in the future"),
        (["--from", "2026-11-11T00:00:00Z", "--to", "2026-11-10T00:00:00Z"], "is reversed"),
        (["--to", "2026-11-10T00:00:00Z"], "is empty"),
    ],
)
def test_a_wrong_range_is_one_sentence_and_exit_code_2(
    archive: MadeArchive, command: str, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "web", *arguments]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("command", ["coverage", "gaps", "verify"])
def test_a_lake_that_cannot_be_read_is_exit_code_6(
    archive: MadeArchive, command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*_: object) -> bytes:
        raise StoreError("permission denied")

    monkeypatch.setattr(LocalStore, "read", refused)
    assert main([command, "web"]) == 6
    assert capsys.readouterr().err == "logferry: permission denied\n"


@pytest.mark.parametrize("command", ["coverage", "gaps", "verify"])
def test_a_destination_that_cannot_be_opened_is_exit_code_4(
    archive: MadeArchive, tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "exports" / "web.yaml"
    file.write_text(
        file.read_text().replace(
            f'destination: {{url: "{archive.root.as_uri()}"}}',
            "destination: {url: s3://lake/logs, connection: aws_x}",
        )
    )
    assert main([command, "web"]) == 4
    assert "aws_x" in capsys.readouterr().err


def test_a_range_of_up_to_two_days_is_shown_slice_by_slice_too(
    archive: MadeArchive, capsys: pytest.CaptureFixture[str]
) -> None:
    archive.publish(hours(0, 3), files=False)
    archive.publish(hours(1), files=False, status="short")
    archive.begin(hours(2))
    text = shown(capsys, "--from", "2026-11-10T00:00:00Z", "--to", "2026-11-10T04:00:00Z")
    head, *lines = text[text.index("from   ") :].splitlines()[:5]
    assert head.split() == ["from", "state", "written", "at", "source", "size", "record", "file"]
    assert [line.split()[:4] for line in lines] == [
        ["2026-11-10T00:00:00Z", "proven", "3", "3"],
        ["2026-11-10T01:00:00Z", "short", "3", "4"],
        ["2026-11-10T02:00:00Z", "interrupted", "3", "3"],
        ["2026-11-10T03:00:00Z", "missing", "-", "-"],
    ]
    assert "dt=2026-11-10/hr=01" in lines[1]
    assert "from   " not in shown(capsys, "--from", "2026-11-10T00:00:00Z", "--to", "2026-11-12T01:00:00Z")
    assert "from   " not in shown(capsys)
