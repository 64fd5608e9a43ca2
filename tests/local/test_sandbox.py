"""The sandbox of the local run stays where it was, so that an archive of an earlier start is still its own."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from tests.free_port import free_port

from logferry.cli import main
from logferry.errors import LogferryError
from logferry.spec import load_exports
from logferry_local.accounts import sandbox_connections
from logferry_local.processes import Children
from logferry_local.sandbox import SERVERS, Ports, choose_ports, keep_ports, start_sandbox
from logferry_local.settings import Settings

MakeSettings = Callable[..., Settings]
HOUR = ["--from", "2026-06-10T10:00:00Z", "--to", "2026-06-10T11:00:00Z"]


@pytest.fixture
def settings(make_settings: MakeSettings) -> Settings:
    settings = make_settings(environment={})
    settings.home.mkdir()
    return settings


@contextmanager
def listening(port: int) -> Iterator[None]:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", port))
        other.listen()
        yield


def some_ports() -> dict[str, int]:
    found: dict[str, int] = {}
    for server in SERVERS:
        while (port := free_port()) in found.values():
            pass
        found[server] = port
    return found


def test_the_first_start_chooses_a_port_for_every_server(settings: Settings) -> None:
    ports = choose_ports(settings.home)
    assert tuple(ports.numbers) == SERVERS
    assert len(set(ports.numbers.values())) == len(SERVERS)
    assert ports.sentence is None


def test_the_next_start_has_the_ports_of_the_one_before(settings: Settings) -> None:
    ports = choose_ports(settings.home)
    keep_ports(settings.home, ports)
    assert choose_ports(settings.home) == ports


def test_a_port_that_somebody_else_has_taken_is_one_sentence_and_the_others_stay(settings: Settings) -> None:
    kept = some_ports()
    keep_ports(settings.home, Ports(kept, {}))
    with listening(kept["arm"]):
        ports = choose_ports(settings.home)
    moved = ports.numbers["arm"]
    assert moved not in kept.values()
    assert ports.numbers == {**kept, "arm": moved}
    assert ports.sentence == (
        f"ports of the sandbox are taken by another program, so these servers moved: arm from {kept['arm']} to "
        f"{moved}; what earlier starts exported from there shows as of another definition"
    )


@pytest.mark.parametrize(
    "text",
    ["", "[1, 2]", "{}", '{"datadog": "no number"}', json.dumps(dict.fromkeys(SERVERS, 99_999)), "\x00"],
)
def test_a_damaged_note_of_the_ports_begins_anew(settings: Settings, text: str) -> None:
    (settings.home / "sandbox-ports.json").write_text(text)
    ports = choose_ports(settings.home)
    assert tuple(ports.numbers) == SERVERS
    assert ports.sentence is None


def test_a_note_without_one_of_the_servers_keeps_the_ports_of_the_others(settings: Settings) -> None:
    kept = some_ports()
    keep_ports(settings.home, Ports({server: kept[server] for server in SERVERS if server != "arm"}, {}))
    ports = choose_ports(settings.home)
    assert {**ports.numbers, "arm": kept["arm"]} == kept
    assert ports.sentence is None


def test_a_note_that_gives_one_port_to_all_is_not_followed(settings: Settings) -> None:
    keep_ports(settings.home, Ports(dict.fromkeys(SERVERS, free_port()), {}))
    assert len(set(choose_ports(settings.home).numbers.values())) == len(SERVERS)


class Runs:
    """Starts of the sandbox one after the other, over one home, with one definition and one lake."""

    def __init__(self, settings: Settings, folder: Path, environment: pytest.MonkeyPatch) -> None:
        exports = folder / "exports"
        exports.mkdir()
        (exports / "shop.yaml").write_text(
            'name: shop\nsource: {kind: datadog, connection: here}\nschedule: "@daily"\n'
            f"start: 2026-06-10T00:00:00Z\ndestination: {{url: {(folder / 'lake').as_uri()}}}\n"
        )
        environment.setenv("LOGFERRY_EXPORTS_DIR", str(exports))
        self._settings = settings
        self._environment = environment

    @contextmanager
    def started(self) -> Iterator[Ports]:
        home = self._settings.home
        children = Children(home / "processes.json", home / "logs")
        with ExitStack() as cleanup:
            cleanup.callback(children.stop)
            ports = choose_ports(home)
            state = start_sandbox(self._settings, children, ports)
            for name, value in sandbox_connections(load_exports().exports.values(), state).items():
                self._environment.setenv(name, value)
            yield ports


@pytest.fixture
def runs(
    settings: Settings, tmp_path: Path, clean_environment: pytest.MonkeyPatch, budget_folder: Path
) -> Runs:
    clean_environment.setenv("LOGFERRY_BUDGET_DIR", str(budget_folder))
    return Runs(settings, tmp_path, clean_environment)


def differs(capsys: pytest.CaptureFixture[str]) -> list[bool]:
    """Of each slice of the hour, whether what the lake holds is of another definition."""
    capsys.readouterr()
    assert main(["coverage", "shop", *HOUR, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [one["state"] for one in told["slices"]] == ["proven"]
    return [one["other_definition"] for one in told["slices"]]


@pytest.mark.integration
def test_what_one_start_exported_is_of_the_same_definition_at_the_next(
    runs: Runs, capsys: pytest.CaptureFixture[str]
) -> None:
    with runs.started() as first:
        assert main(["export", "shop", *HOUR, "--json"]) == 0
        assert differs(capsys) == [False]
    with runs.started() as second:
        assert differs(capsys) == [False]
    assert second == first


@pytest.mark.integration
def test_a_start_beside_somebody_on_its_port_works_on_another_and_says_what_that_means(
    runs: Runs, capsys: pytest.CaptureFixture[str]
) -> None:
    with runs.started() as first:
        assert main(["export", "shop", *HOUR, "--json"]) == 0
    with listening(first.numbers["datadog"]), runs.started() as second:
        assert differs(capsys) == [True]
        assert list(second.moved) == ["datadog"]
    with runs.started() as third:
        assert third == Ports(second.numbers, {})


@pytest.mark.integration
def test_a_sandbox_that_cannot_start_is_one_sentence_and_its_ports_are_not_kept(settings: Settings) -> None:
    children = Children(settings.home / "processes.json", settings.home / "logs")
    ports = Ports(some_ports(), {})
    with (
        listening(ports.numbers["entra"]),
        pytest.raises(LogferryError, match=r"^the sandbox did not start; see .*sandbox\.log$"),
    ):
        start_sandbox(settings, children, ports)
    children.stop()
    assert not (settings.home / "sandbox-ports.json").exists()
