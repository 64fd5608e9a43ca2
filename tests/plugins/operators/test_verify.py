"""``archive_verify``'s task, driven by hand: a local Datadog, a lake in a folder, and the params of a run."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from airflow.sdk.exceptions import AirflowFailException

from logferry.connection import connection_for
from logferry.errors import CredentialsError, StoreError
from logferry.opening import open_ferry
from logferry.spec import ExportSpec, load_export
from logferry.window import Window, parse_instant
from logferry_airflow.operators.verify import VerifyOperator
from logferry_airflow.webhook import WebhookNotifier
from logferry_sandbox.datadog_sandbox import DatadogSandbox

pytestmark = [pytest.mark.airflow, pytest.mark.integration]

DAY = Window(parse_instant("2026-03-02T00:00:00Z"), parse_instant("2026-03-03T00:00:00Z"))
FIRST = {"from": "2026-03-02T00:00:00Z", "to": "2026-03-02T06:00:00Z"}
SECOND = {"from": "2026-03-02T06:00:00Z", "to": "2026-03-02T12:00:00Z"}


@pytest.fixture
def shop(tmp_path: Path, lake: Path, datadog: DatadogSandbox, monkeypatch: pytest.MonkeyPatch) -> ExportSpec:
    """An export with slices of six hours, one day of which is published."""
    folder = tmp_path / "exports"
    folder.mkdir()
    definition = {
        "name": "shop",
        "source": {"kind": "datadog", "connection": "dd_test", "query": "*"},
        "schedule": "@daily",
        "start": "2026-03-01T00:00:00Z",
        "slice": "6h",
        "settle": "0m",
        "destination": {"url": lake.as_uri()},
    }
    (folder / "shop.yaml").write_text(yaml.safe_dump(definition))
    (folder / "broken.yaml").write_text("name: broken\n")
    monkeypatch.setenv("LOGFERRY_EXPORTS_DIR", str(folder))
    spec = load_export(folder / "shop.yaml")
    with open_ferry(spec, connection_for, run_id="test") as ferry:
        ferry.carry(DAY)
    return spec


def verify(**params: Any) -> None:
    given = {"from": None, "to": None, "deep": False, **params}
    VerifyOperator(task_id="verify").execute({"params": given})  # type: ignore[typeddict-item]


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> Iterator[Any]:
    with caplog.at_level(logging.INFO):
        yield lambda: capsys.readouterr().out + caplog.text


def first_file(lake: Path) -> Path:
    return min((lake / "shop").rglob("*.parquet"))


def test_an_archive_as_it_was_published_passes_and_the_log_has_the_witness(
    shop: ExportSpec, told: Any
) -> None:
    verify(export="shop")
    text = told()
    assert "verifying the whole archive of shop, byte by byte" in text
    assert "looked at 4 objects and 2 records of the journal in file://" in text
    assert "all is as published; witness 2:sha256:" in text


def test_a_damaged_object_fails_the_task_is_named_and_is_remembered(shop: ExportSpec, lake: Path) -> None:
    file = first_file(lake)
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    with pytest.raises(
        AirflowFailException, match="the archive of shop is not what was published, 1 finding"
    ):
        verify(export="shop")
    (found,) = json.loads((lake / "_manifests/shop/findings.json").read_text())["found"]
    assert found["finding"]["key"] == file.relative_to(lake).as_posix()


def test_a_range_looks_at_its_own_objects_only(shop: ExportSpec, lake: Path, told: Any) -> None:
    first_file(lake).unlink()
    verify(export="shop", **SECOND)
    assert "verifying [2026-03-02T06:00:00Z, 2026-03-02T12:00:00Z) of shop" in told()
    with pytest.raises(AirflowFailException, match="is not what was published"):
        verify(export="shop", **FIRST)


def test_deep_decodes_the_rows(shop: ExportSpec, told: Any) -> None:
    verify(export="shop", deep=True)
    assert "with every row decoded" in told()


def test_an_export_that_has_published_nothing_passes_and_says_so(
    shop: ExportSpec, lake: Path, told: Any
) -> None:
    for path in lake.rglob("*"):
        if path.is_file():
            path.unlink()
    verify(export="shop")
    assert "shop has published nothing yet" in told()


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ({}, "this run names no export"),
        ({"export": " "}, "this run names no export"),
        ({"export": 7}, "this run names no export"),
        ({"export": "nobody"}, r"export: there is no export 'nobody' in .* \(there are: shop\)"),
        ({"export": "../shop"}, r"export: there is no export '\.\./shop'"),
        ({"export": "broken"}, r"export: .*broken\.yaml: source"),
        ({"export": "shop", "from": "2026-03-02T00:00:00Z"}, "give both ends of the window, or neither"),
        ({"export": "shop", **FIRST, "to": "2026-03-02T06:30:00Z"}, "does not lie on the slice grid of 6h"),
        ({"export": "shop", **FIRST, "from": "yesterday"}, "is not an absolute time"),
        ({"export": "shop", "from": FIRST["to"], "to": FIRST["from"]}, "is reversed"),
        ({"export": "shop", "deep": "false"}, "write true or false"),
    ],
)
def test_wrong_params_fail_with_one_sentence(shop: ExportSpec, params: dict[str, Any], sentence: str) -> None:
    with pytest.raises(AirflowFailException, match=sentence):
        verify(**params)


def test_a_lake_that_does_not_answer_is_for_the_retry_policy(
    shop: ExportSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*given: Any, **more: Any) -> None:
        raise StoreError("the lake is away")

    monkeypatch.setattr("logferry.audit.verify.verify", refuse)
    with pytest.raises(StoreError, match="the lake is away"):
        verify(export="shop")


def test_a_lake_that_could_not_be_verified_is_told_with_the_range_that_was_asked_for(
    shop: ExportSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*given: Any, **more: Any) -> None:
        raise CredentialsError("the lake refuses the key")

    assert shop.file is not None
    with shop.file.open("a") as file:
        file.write("notify:\n- {kind: webhook, connection: hook, on: [verification]}\n")
    texts: list[str] = []
    monkeypatch.setattr(WebhookNotifier, "notify", lambda self, context: texts.append(self.text))
    monkeypatch.setattr("logferry.audit.archive.open_archive", refuse)
    with pytest.raises(CredentialsError):
        verify(export="shop", **FIRST)
    (text,) = texts
    assert text.startswith(
        "shop could not be verified, 2026-03-02T00:00:00Z to 2026-03-02T06:00:00Z: the lake refuses the key"
    )
