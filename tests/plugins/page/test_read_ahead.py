"""Reading ahead: every archive once, one at a time, and never a reason for a server not to start."""

from __future__ import annotations

from pathlib import Path

import pytest

from logferry.errors import DefinitionError
from logferry.spec import LoadedExports, load_exports
from logferry.view.archives import Archives
from logferry_airflow.page.read_ahead import SERVER_START_S, read_ahead

DEFINITION = """\
name: {name}
source: {{kind: datadog, connection: datadog_default, query: "*"}}
schedule: "@daily"
start: 2026-01-01T00:00:00Z
"""


class Seen(Archives):
    """Remembers which archives it was asked for."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def state(self, spec):  # type: ignore[no-untyped-def]
        self.names.append(spec.name)


def folder(tmp_path: Path) -> LoadedExports:
    for name in ("shop", "till"):
        (tmp_path / f"{name}.yaml").write_text(DEFINITION.format(name=name))
    (tmp_path / "broken.yaml").write_text("name: [")
    return load_exports(tmp_path)


def test_every_readable_export_is_looked_at_once_after_the_server_had_time_to_start(tmp_path: Path) -> None:
    seen, pauses = Seen(), []
    read_ahead(seen, load=lambda: folder(tmp_path), pause=pauses.append).join(30)
    assert seen.names == ["shop", "till"]
    assert pauses[0] == SERVER_START_S
    assert len(pauses) == 3


def test_a_folder_that_is_not_there_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def load() -> LoadedExports:
        raise DefinitionError("the exports folder /nowhere cannot be read")

    seen = Seen()
    with caplog.at_level("INFO", logger="logferry_airflow.page.read_ahead"):
        thread = read_ahead(seen, load=load, pause=lambda seconds: None)
        thread.join(30)
    assert not thread.is_alive()
    assert seen.names == []
    assert "no archive is read ahead: the exports folder /nowhere cannot be read" in caplog.text
