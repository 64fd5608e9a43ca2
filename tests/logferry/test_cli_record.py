"""``logferry record``: one publication with its slices, its run and its place in the chain."""

from __future__ import annotations

import json

import pytest
from tests.logferry.made_archive import MadeArchive, hours
from tests.logferry.test_cli_coverage import archive as archive

from logferry.cli import main


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, str]:
    """The labelled lines, by label; the slices under ``""``."""
    assert main(["record", "web", *arguments]) == 0
    found = {"": ""}
    for line in capsys.readouterr().out.splitlines():
        label, _, text = line.partition(" ")
        known = bool(label) and not label.startswith("20") and label != "from"
        found[label if known else ""] = text.strip() if known else f"{found['']}{line}\n"
    return found


def test_the_latest_publication_is_shown_by_default(
    archive: MadeArchive, capsys: pytest.CaptureFixture[str]
) -> None:
    archive.publish(hours(0, 3), files=False)
    archive.publish(hours(3, 2), files=False, status="short")
    found = shown(capsys)
    assert found == shown(capsys, "latest") == shown(capsys, "4")
    assert found["record"] == "4 of web: publication, short"
    assert found["window"] == "2026-11-10T03:00:00Z to 2026-11-10T05:00:00Z"
    assert found["rows"] == "6 written, 8 at the source"
    assert found["before"] == "record 3 agrees with the hash that this one names"
    assert found["journal"].endswith("journal/000000000004.json")
    assert found[""].count("short") == 2


def test_a_publication_says_which_of_its_slices_a_later_one_replaced(
    archive: MadeArchive, capsys: pytest.CaptureFixture[str]
) -> None:
    archive.publish(hours(0, 3), files=False)
    archive.publish(hours(1), files=False, rows=9)
    found = shown(capsys, "2")
    assert found["replaced"] == "1 slice, by 4"
    assert found["after"] == "record 3 agrees with the hash of this one"
    assert [line.endswith("superseded") for line in found[""].strip().splitlines()[1:]] == [
        False,
        True,
        False,
    ]


def test_a_chain_that_is_broken_is_plain_to_see(
    archive: MadeArchive, capsys: pytest.CaptureFixture[str]
) -> None:
    archive.publish(hours(0), files=False)
    archive.publish(hours(1), files=False)
    path = archive.record(3)
    path.write_bytes(path.read_bytes().replace(b"logferry test", b"logferry evil"))
    assert shown(capsys, "4")["before"] == "record 3 DIFFERS from the hash that this one names"
    archive.record(3).write_text("no JSON \x1b[2J")
    found = shown(capsys, "3")
    assert found["record"] == "3 of web: broken"
    assert "logferry verify web" in found["broken"]
    assert "\x1b" not in "".join(found.values())


def test_an_intent_is_told_from_a_publication(
    archive: MadeArchive, capsys: pytest.CaptureFixture[str]
) -> None:
    archive.publish(hours(0, 3), files=False)
    found = shown(capsys, "1")
    assert (found["record"], found["slices"]) == ("1 of web: intent", "3 about to be written")


def test_json_is_what_the_page_gets(archive: MadeArchive, capsys: pytest.CaptureFixture[str]) -> None:
    archive.publish(hours(0, 3), files=False)
    assert main(["record", "web", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["seq"], found["record"], found["status"]) == (2, "publication", "proven")
    assert {"chain", "slices", "requests", "run", "superseded", "manifest_key", "raw"} <= found.keys()


@pytest.mark.parametrize(
    ("seq", "words"),
    [("99", "no record 99"), ("first", "is not the number of a record"), ("0", "no record 0")],
)
def test_a_record_that_does_not_exist_is_one_sentence(
    archive: MadeArchive, capsys: pytest.CaptureFixture[str], seq: str, words: str
) -> None:
    archive.publish(hours(0), files=False)
    assert main(["record", "web", seq]) == 2
    assert words in capsys.readouterr().err


def test_an_archive_without_a_publication_says_so(
    archive: MadeArchive, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["record", "web"]) == 2
    assert "has published nothing yet" in capsys.readouterr().err
