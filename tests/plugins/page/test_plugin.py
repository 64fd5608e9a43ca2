"""The plugin file: registered without an error, and free of charge for the tasks that load it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.airflow

PROJECT = Path(__file__).resolve().parents[3]


def in_a_process(program: str, **environment: str) -> str:
    paths = os.pathsep.join([str(PROJECT / "include"), str(PROJECT / "plugins")])
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": paths, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def test_loading_the_plugin_as_a_task_does_imports_no_web_framework_and_no_engine() -> None:
    in_a_process(
        "import sys\n"
        "from airflow import plugins_manager\n"
        "import airflow.sdk\n"
        "before = set(sys.modules)\n"
        "plugins_manager.integrate_macros_plugins()\n"
        "plugins, errors = plugins_manager._get_plugins()\n"
        "assert not errors, errors\n"
        "(plugin,) = (one for one in plugins if one.name == 'logferry')\n"
        "assert plugin.external_views\n"
        "new = set(sys.modules) - before\n"
        "heavy = {name for name in new if name.split('.')[0] in\n"
        "    ('fastapi', 'starlette', 'pyarrow', 'numpy', 'boto3', 'requests', 'logferry', 'logferry_airflow')}\n"
        "assert not heavy, heavy\n"
    )


def test_airflow_shows_the_view_and_mounts_the_app() -> None:
    in_a_process(
        "from airflow import plugins_manager\n"
        "views, _ = plugins_manager._get_ui_plugins()\n"
        "(view,) = (one for one in views if one['url_route'] == 'logferry')\n"
        "assert view['href'] == '/logferry/', view\n"
        "apps, middlewares = plugins_manager.get_fastapi_plugins()\n"
        "(app,) = (one for one in apps if one['url_prefix'] == '/logferry')\n"
        "(again,) = (one for one in plugins_manager.get_plugin_info() if one['name'] == 'logferry')\n"
        "assert not middlewares\n"
    )


@pytest.mark.parametrize("base_url", ["https://example.com/air/flow", "https://example.com/air/flow/"])
def test_the_view_lies_under_the_path_of_airflows_base_url(base_url: str) -> None:
    in_a_process(
        "from airflow import plugins_manager\n"
        "(view,) = (one for one in plugins_manager._get_ui_plugins()[0] if one['url_route'] == 'logferry')\n"
        "assert view['href'] == '/air/flow/logferry/', view\n",
        AIRFLOW__API__BASE_URL=base_url,
    )
