"""Airflow takes the provider record, and every form field is one the engine reads."""

from __future__ import annotations

import json
import tomllib
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

import airflow
import jsonschema
import pytest
from airflow.providers_manager import ProvidersManager
from airflow.sdk import BaseNotifier

from logferry_airflow.provider import get_provider_info

pytestmark = pytest.mark.airflow

PROJECT = Path(__file__).resolve().parents[2]
TYPES = get_provider_info()["connection-types"]

CONTRACT = {
    "datadog_logs": {"api_key", "app_key", "bearer_token", "site", "in_flight", "budget_connection"},
    "azure_log_analytics": {
        "auth",
        "tenantId",
        "cloud_environment",
        "certificate_path",
        "certificate_data",
        "federated_token_file",
        "managed_identity_client_id",
        "authority",
        "query_endpoint",
        "arm_endpoint",
        "scope",
        "workspace",
        "in_flight",
        "budget_connection",
        "ca_bundle",
    },
}


def test_the_record_fits_airflows_schema() -> None:
    schema = Path(airflow.__path__[0]) / "provider_info.schema.json"
    jsonschema.validate(get_provider_info(), json.loads(schema.read_text()))


def test_the_notifier_is_one_of_airflows() -> None:
    (name,) = get_provider_info()["notifications"]
    module, _, notifier = name.rpartition(".")
    assert issubclass(getattr(import_module(module), notifier), BaseNotifier)


def test_the_record_names_the_distribution_that_carries_it() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    assert get_provider_info()["package-name"] == project["name"]
    entry = project["entry-points"]["apache_airflow_provider"]["provider_info"]
    module, _, function = entry.partition(":")
    assert getattr(import_module(module), function) is get_provider_info


@pytest.mark.parametrize("connection_type", TYPES, ids=lambda one: one["connection-type"])
def test_the_form_has_every_documented_field(connection_type: dict[str, Any]) -> None:
    assert CONTRACT[connection_type["connection-type"]] <= set(connection_type["conn-fields"])


@pytest.mark.parametrize("connection_type", TYPES, ids=lambda one: one["connection-type"])
def test_the_hook_of_each_type_is_importable_and_of_that_type(connection_type: dict[str, Any]) -> None:
    module, _, name = connection_type["hook-class-name"].rpartition(".")
    hook = getattr(import_module(module), name)
    assert hook.conn_type == connection_type["connection-type"]
    assert hook.hook_name == connection_type["hook-name"]


def test_the_form_takes_as_many_requests_in_flight_as_the_api_can() -> None:
    most = {one["connection-type"]: one["conn-fields"]["in_flight"]["schema"] for one in TYPES}
    assert most == {
        "datadog_logs": {"type": ["integer", "null"], "minimum": 1, "maximum": 16},
        "azure_log_analytics": {"type": ["integer", "null"], "minimum": 1, "maximum": 5},
    }


def test_credentials_are_password_fields_and_nothing_else_is() -> None:
    hidden = {
        name
        for one in TYPES
        for name, field in one["conn-fields"].items()
        if field["schema"].get("format") == "password"
    }
    assert hidden == {"api_key", "app_key", "bearer_token", "certificate_data", "certificate_password"}


@pytest.mark.skipif(
    not list(
        metadata.entry_points(
            group="apache_airflow_provider", name="provider_info", module="logferry_airflow.provider"
        )
    ),
    reason="the project is not installed; make test installs it",
)
def test_airflow_builds_both_forms_from_the_installed_project() -> None:
    manager = ProvidersManager()  # type: ignore[no-untyped-call]
    forms = {meta.connection_type: meta for meta in manager.iter_connection_type_hook_ui_metadata()}
    assert forms["datadog_logs"].hook_name == "Datadog Logs"
    assert forms["azure_log_analytics"].hook_name == "Azure Log Analytics"
    for connection_type, fields in CONTRACT.items():
        hook = forms[connection_type].hook_class_name
        shown = {
            widget.field_name
            for widget in manager.connection_form_widgets.values()
            if widget.hook_class_name == hook
        }
        assert fields <= shown
