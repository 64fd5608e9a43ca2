"""What the truth says of a prepared history is what the server sends of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from benchmarks.truth import azure_places, datadog_places, members, number_of

from logferry_sandbox.azure_prepared import PreparedTable
from logferry_sandbox.azure_sandbox import WORKSPACE
from logferry_sandbox.azure_tables import app_requests
from logferry_sandbox.datadog_prepared import PreparedEvents

START_S = int(datetime(2026, 3, 2, tzinfo=UTC).timestamp())
ROWS, BLOCK = 130, 60


@pytest.mark.parametrize(
    "text",
    ['{"a":1,"b":{"c":[1, 2.50,"}"]},"é":"\\ud83d"}', '{ "a" : 1e400 ,\n"b" : null }', "{}"],
)
def test_members_are_told_as_they_are_written(text: str) -> None:
    found = members(text)
    assert {name: json.loads(raw) for name, raw in found.items()} == json.loads(text)
    assert all(raw in text for raw in found.values())


def test_no_datadog_event_differs_from_the_one_at_its_place_but_in_id_and_time() -> None:
    events = PreparedEvents(ROWS, start_s=START_S, seconds=3600, odd_every=3, block_rows=BLOCK)
    places = datadog_places(events).to_pylist()
    assert len(places) == BLOCK
    for row, body in enumerate(events.bodies(0, ROWS)):
        inner = json.loads(body)["attributes"]
        expected = places[row % BLOCK]
        if "message" not in inner:
            assert expected["message"] is None
        else:
            assert expected["message"] == number_of(inner["message"].replace("\ud83d", "\ufffd"))
        raw = members(body.decode())["attributes"]
        assert expected["attributes"] == (
            number_of(members(raw)["attributes"]) if "attributes" in inner else None
        )
        assert expected["host"] == (number_of(inner["host"]) if "host" in inner else None)


def test_no_azure_row_differs_from_the_one_at_its_place_but_in_id_and_time() -> None:
    definition = app_requests(WORKSPACE.guid, WORKSPACE.component_id)
    table = PreparedTable(definition, ROWS, start_s=START_S, seconds=3600, odd_every=3, block_rows=BLOCK)
    places = azure_places(table).to_pylist()
    names = [name for name in places[0] if name != "place"]
    rows = json.loads(b"[" + table.written(names).text(0, ROWS)[:-1] + b"]")
    assert len(places) == BLOCK
    for row, cells in enumerate(rows):
        expected = places[row % BLOCK]
        for name, cell in zip(names, cells, strict=True):
            if name == "DurationMs":
                assert str(expected[name]) == str(float(cell))
            elif isinstance(cell, str):
                assert expected[name] == number_of(cell)
            else:
                assert expected[name] == cell
