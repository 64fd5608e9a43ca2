from __future__ import annotations

import stat
from pathlib import Path

import pytest

from logferry.errors import DefinitionError
from logferry_local.settings import DEFAULT_PORT, kept_secret, load_settings


@pytest.fixture
def env_file(tmp_path: Path, clean_environment: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "my.env"
    clean_environment.setenv("LOGFERRY_ENV_FILE", str(path))
    return path


def test_the_named_env_file_is_read(env_file: Path, tmp_path: Path) -> None:
    env_file.write_text(f"DD_API_KEY=abc\nAIRFLOW_PORT=9123\nLOGFERRY_HOME={tmp_path}/state\n")
    settings = load_settings()
    assert settings.environment["DD_API_KEY"] == "abc"
    assert settings.port == 9123
    assert settings.ui == "http://127.0.0.1:9123"
    assert settings.home == tmp_path / "state"
    assert settings.airflow_home == tmp_path / "state" / "airflow"


def test_the_process_s_own_environment_beats_the_file(
    env_file: Path, clean_environment: pytest.MonkeyPatch
) -> None:
    env_file.write_text("DD_SITE=datadoghq.com\nAIRFLOW_PORT=9123\n")
    clean_environment.setenv("DD_SITE", "datadoghq.eu")
    clean_environment.setenv("AIRFLOW_PORT", "9124")
    settings = load_settings()
    assert settings.environment["DD_SITE"] == "datadoghq.eu"
    assert settings.port == 9124


def test_the_copied_example_with_its_empty_values_sets_nothing(env_file: Path) -> None:
    env_file.write_text("DD_API_KEY=\nAIRFLOW_PORT=\nLOGFERRY_HOME=\n")
    settings = load_settings()
    assert "DD_API_KEY" not in settings.environment
    assert settings.port == DEFAULT_PORT
    assert settings.home == settings.root / ".logferry"


def test_a_missing_env_file_is_no_error(env_file: Path) -> None:
    assert load_settings().port == DEFAULT_PORT


def test_an_empty_port_variable_counts_as_not_set(
    env_file: Path, clean_environment: pytest.MonkeyPatch
) -> None:
    clean_environment.setenv("AIRFLOW_PORT", "")
    assert load_settings().port == DEFAULT_PORT


@pytest.mark.parametrize("written", ["http", "0", "65536", "-1", "80 80", "²"])
def test_a_port_that_is_none_is_refused_with_one_sentence(
    env_file: Path, clean_environment: pytest.MonkeyPatch, written: str
) -> None:
    clean_environment.setenv("AIRFLOW_PORT", written)
    with pytest.raises(
        DefinitionError, match=r"AIRFLOW_PORT=.* is not a port; give a number from 1 to 65535$"
    ):
        load_settings()


def test_a_secret_is_made_once_and_is_the_user_s_alone(tmp_path: Path) -> None:
    first = kept_secret(tmp_path, "key")
    assert len(first) >= 32
    assert kept_secret(tmp_path, "key") == first
    assert kept_secret(tmp_path, "other") != first
    assert stat.S_IMODE((tmp_path / "secrets" / "key").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "secrets").stat().st_mode) == 0o700


def test_a_secret_of_a_given_form_is_kept_as_given(tmp_path: Path) -> None:
    assert kept_secret(tmp_path, "fernet", "form") == "form"
    assert kept_secret(tmp_path, "fernet", "another") == "form"


def test_a_run_killed_while_it_made_a_secret_leaves_no_empty_one(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "key.part").touch(mode=0o600)
    assert len(kept_secret(tmp_path, "key")) >= 32
