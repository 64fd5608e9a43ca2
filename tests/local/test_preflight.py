from __future__ import annotations

import shutil
import socket
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from tests.free_port import free_port

from logferry.errors import DefinitionError
from logferry_local import preflight
from logferry_local.settings import Settings

MakeSettings = Callable[..., Settings]


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def test_a_busy_port_is_one_sentence_that_names_another(make_settings: MakeSettings) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(DefinitionError) as refused:
            preflight.check(make_settings(port))
    assert str(refused.value) == (
        f"port {port} is in use on 127.0.0.1; stop what listens there, or choose another with "
        f"AIRFLOW_PORT={port + 1} make run"
    )


def test_a_free_port_and_a_new_home_are_fine(make_settings: MakeSettings) -> None:
    settings = make_settings(free_port())
    preflight.check(settings)
    assert settings.home.is_dir()


def test_a_full_disk_is_one_sentence_with_both_numbers(
    make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nearly_full(path: Any) -> Usage:
        return Usage(10**9, 10**9 - 12 * 2**20, 12 * 2**20)

    monkeypatch.setattr(shutil, "disk_usage", nearly_full)
    settings = make_settings()
    with pytest.raises(DefinitionError) as refused:
        preflight.check(settings)
    assert str(refused.value) == f"only 12 MB are free in {settings.home}; the local Airflow needs 500 MB"


def test_a_second_run_on_the_same_home_is_refused(make_settings: MakeSettings) -> None:
    settings = make_settings()
    with (
        preflight.only_run(settings),
        pytest.raises(DefinitionError, match=r"another make run is using .*; end it, or set LOGFERRY_HOME"),
        preflight.only_run(settings),
    ):
        pass
    with preflight.only_run(settings):
        pass
