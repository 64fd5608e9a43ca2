"""The documentation against the code: links, definitions, connections, fields and options are those there are."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest
import trustme
import typer.main
import yaml
from pydantic import BaseModel

from logferry.cli.app import COMMANDS, command_line
from logferry.connection import parse_connection
from logferry.credentials.aws import s3_settings
from logferry.credentials.azure import azure_access
from logferry.credentials.datadog import datadog_access
from logferry.errors import DefinitionError
from logferry.kql_pipeline import OPERATORS
from logferry.records.manifest import FileEntry, Manifest, RunEntry, SliceEntry, decode_manifest
from logferry.spec import (
    AzureLogSearchSourceSpec,
    AzureMonitorSourceSpec,
    ColumnSpec,
    DatadogSourceSpec,
    DestinationSpec,
    ExportSpec,
    load_export,
)
from logferry_airflow.provider import get_provider_info

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_PICTURE = re.compile(r"<(?:img|source)\b[^>]*?\b(?:src|srcset)=\"([^\"]+)\"")
_HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(rf"\blogferry ({'|'.join(COMMANDS)})\b(.*)")
_WRITTEN = re.compile(r"(?<![\w./-])(?:\.venv/bin/)?logferry (?!…)([a-z]+)")
_TARGET = re.compile(r"^(?:\$ )?(?:[A-Z_]+=\S+ )*make ([a-z]+)", re.MULTILINE)
_PROJECT_FILE = re.compile(r"`((?:include|plugins|dags|tests|scripts|benchmarks|docs)/[\w./<>-]+)`")
_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")


def name_of(page: Path) -> str:
    return page.name


def prose(page: Path) -> str:
    return _FENCE.sub("", page.read_text())


def blocks(page: Path, language: str) -> Iterator[str]:
    return (body for found, body in _FENCE.findall(page.read_text()) if found == language)


def anchors(page: Path) -> set[str]:
    """The fragments GitHub gives the headings of a page."""
    titles = _HEADING.findall(prose(page))
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_relative_link_leads_to_a_file_and_its_heading(page: Path) -> None:
    lost = []
    for target in _LINK.findall(prose(page)):
        if "://" in target or target.startswith("mailto:"):
            continue
        path, _, fragment = unquote(target).partition("#")
        file = page.parent / path if path else page
        if not file.exists() or (fragment and fragment not in anchors(file)):
            lost.append(target)
    assert lost == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_picture_of_a_page_is_there_in_both_themes(page: Path) -> None:
    pictures = _PICTURE.findall(page.read_text())
    assert [name for name in pictures if not (page.parent / name).is_file()] == []
    light, dark = ({name for name in pictures if f"-{theme}." in name} for theme in ("light", "dark"))
    assert {name.replace("-light.", "-dark.") for name in light} == dark


def test_the_readme_leads_to_every_page() -> None:
    """Directly, or through a page that it names."""
    found: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in found or page.suffix != ".md":
            continue
        found.add(page)
        for target in _LINK.findall(prose(page)):
            path = unquote(target).partition("#")[0]
            if path and "://" not in path:
                waiting.append((page.parent / path).resolve())
    assert [page.name for page in PAGES if page not in found] == []
    linked = set(_LINK.findall((ROOT / "README.md").read_text()))
    pages = {
        "definition",
        "connections",
        "commands",
        "tour",
        "operations",
        "datadog",
        "azure",
        "coverage-page",
    }
    assert {f"docs/{name}.md" for name in pages} <= linked


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_and_make_target_named_in_code_exists(page: Path) -> None:
    text = page.read_text()
    code = "\n".join([*(body for _, body in _FENCE.findall(text)), *re.findall(r"`([^`\n]+)`", prose(page))])
    assert {name for name in _WRITTEN.findall(code) if name not in COMMANDS} == set()
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {name for name in _TARGET.findall(code) if name not in targets} == set()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_file_of_the_project_named_exists(page: Path) -> None:
    named = [name for name in _PROJECT_FILE.findall(prose(page)) if "<" not in name]
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_sizing_table_is_what_its_formula_says() -> None:
    """requests = hours x full answers of an hour; time = requests / (allowance x 0.9)."""
    text = (DOCS / "operations.md").read_text()
    head, *rows = re.findall(r"^\| (?:searches allowed|[0-9]+ (?:an|in|a) ).*$", text, re.MULTILINE)
    days = [int(number.replace(",", "")) for number in re.findall(r"(?<= of )[\d,]+", head)]
    assert days == [24_000, 1_000_000, 10_000_000]
    assert len(rows) == 4
    for row in rows:
        allowed, requests, in_an_hour, *times = [cell.strip() for cell in row.strip("|").split("|")]
        limit, period = re.fullmatch(r"(\d+) (an hour|a minute|in 10 s)", allowed).groups()  # type: ignore[union-attr]
        rate = int(limit) * 3600 / {"an hour": 3600, "a minute": 60, "in 10 s": 10}[period] * 0.9
        assert (requests, in_an_hour) == (f"{rate:,.0f}", f"{rate * 1000:,.0f}")
        hours = [365 * 24 * -(-rows_a_day // 24_000) / rate for rows_a_day in days]
        assert times == [f"{one:,.0f} h" if one < 72 else f"{one / 24:,.0f} days" for one in hours]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_definition_shown_loads(page: Path, tmp_path: Path) -> None:
    file = tmp_path / "shown.yaml"
    for body in blocks(page, "yaml"):
        if {"name", "source"} <= yaml.safe_load(body).keys():
            file.write_text(body)
            load_export(file)


def test_the_page_of_definitions_shows_one_of_every_kind() -> None:
    shown = [yaml.safe_load(body)["source"]["kind"] for body in blocks(DOCS / "definition.md", "yaml")]
    assert shown == ["datadog", "azure_monitor", "azure_log_search"]


@pytest.mark.parametrize(
    "model",
    [
        ExportSpec,
        DatadogSourceSpec,
        AzureMonitorSourceSpec,
        AzureLogSearchSourceSpec,
        DestinationSpec,
        ColumnSpec,
    ],
)
def test_every_field_of_a_definition_has_a_row_in_a_table(model: type[BaseModel]) -> None:
    text = (DOCS / "definition.md").read_text()
    fields = list(model.model_fields)
    assert [name for name in fields if f"\n| `{name}` |" not in text] == []


def test_a_refusal_shown_is_the_one_that_is_given(tmp_path: Path) -> None:
    text = (DOCS / "definition.md").read_text()
    rows = re.findall(r"^\| `([a-z]+: [^`]+)` \| `([^`]+)` \|$", text, re.MULTILINE)
    assert len(rows) > 10
    lines = {
        "name": "name: shown",
        "source": "source: {kind: datadog, connection: datadog_default}",
        "schedule": 'schedule: "@daily"',
        "start": "start: 2026-01-01T00:00:00Z",
    }
    file = tmp_path / "shown.yaml"
    untrue = []
    for written, answer in rows:
        file.write_text("\n".join({**lines, written.partition(":")[0]: written}.values()))
        try:
            load_export(file)
        except DefinitionError as error:
            if answer not in str(error):
                untrue.append((written, str(error)))
        else:
            untrue.append((written, "it loads"))
    assert untrue == []


def test_every_operator_of_a_pipeline_is_named() -> None:
    text = (DOCS / "definition.md").read_text()
    assert [name for name in OPERATORS if f"`{name}`" not in text] == []


def test_every_connection_shown_is_understood(tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(bundle))
    seen = set()
    for body in blocks(DOCS / "connections.md", "json"):
        shown = json.loads(body)
        if "conn_type" not in shown:
            continue
        extra = shown.get("extra", {})
        if "ca_bundle" in extra:
            extra["ca_bundle"] = str(bundle)
        # Placeholders stand for values that are plain text.
        text = re.sub(r"<[^>]*>|…", "x", json.dumps(shown, ensure_ascii=False))
        connection = parse_connection("shown", text, where="connections.md")
        seen.add(connection.conn_type)
        if connection.conn_type == "aws":
            s3_settings(connection, {})
        elif connection.conn_type.startswith("azure"):
            azure_access(connection, {})
        else:
            datadog_access(connection)
    assert seen == {"datadog_logs", "datadog", "azure_log_analytics", "aws"}


def test_every_field_of_the_connection_forms_is_explained() -> None:
    text = (DOCS / "connections.md").read_text()
    fields = {name for form in get_provider_info()["connection-types"] for name in form["conn-fields"]}
    assert sorted(name for name in fields if f"`{name}`" not in text) == []


def test_the_manifest_shown_is_a_manifest_and_every_field_is_explained() -> None:
    page = DOCS / "manifest.md"
    (shown,) = blocks(page, "json")
    decode_manifest(shown.encode())
    fields = {
        *(
            "from" if name == "start" else "to" if name == "end" else name
            for name in SliceEntry.__struct_fields__
        ),
        *FileEntry.__struct_fields__,
        *Manifest.__struct_fields__,
    }
    text = page.read_text()
    assert sorted(name for name in fields if name not in text) == []
    assert set(json.loads(shown)["run"]) == set(RunEntry.__struct_fields__)


def options_of(command: str) -> set[str]:
    group = typer.main.get_command(command_line([command]))
    found = group.commands[command] if command else group  # type: ignore[attr-defined]
    return {name for parameter in found.params for name in (*parameter.opts, *parameter.secondary_opts)} | {
        "--help"
    }


def commands_shown(page: Path) -> Iterator[tuple[str, list[str]]]:
    """Each command line of the engine in a code block, continued lines joined: its name and its options."""
    for _, body in _FENCE.findall(page.read_text()):
        for line in body.replace("\\\n", " ").splitlines():
            if match := _COMMAND.search(line):
                yield match[1], _OPTION.findall(match[2].split("    #")[0])


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_option_of_a_command_shown_exists(page: Path) -> None:
    unknown = [
        f"{command} {option}"
        for command, options in commands_shown(page)
        for option in options
        if option not in options_of(command)
    ]
    assert unknown == []


@pytest.mark.parametrize("command", COMMANDS)
def test_the_section_of_a_command_names_its_options_and_no_others(command: str) -> None:
    text = (DOCS / "commands.md").read_text()
    section = text.partition(f"\n## {command}\n")[2].partition("\n## ")[0]
    assert set(_OPTION.findall(section)) == {
        name for name in options_of(command) if name.startswith("--") and name != "--help"
    }


def test_no_command_is_missing_from_the_page() -> None:
    headings = set(_HEADING.findall(prose(DOCS / "commands.md")))
    assert set(COMMANDS) <= headings
