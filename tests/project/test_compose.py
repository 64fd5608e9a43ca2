"""docker-compose.yml: no secret in it, nothing published beyond this computer, services that agree."""

from __future__ import annotations

import re
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(TEXT)["services"]
AIRFLOW = ["init", "api-server", "scheduler", "dag-processor", "triggerer", "worker"]
COMPOSE = shutil.which("docker-compose")


def example_variables() -> dict[str, str]:
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def test_the_services_are_airflow_its_database_broker_and_store() -> None:
    assert set(SERVICES) == {*AIRFLOW, "postgres", "redis", "object-store"}


def test_every_published_port_is_on_this_computer_only() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports
    assert [port for port in ports if not str(port).startswith("127.0.0.1:")] == []


def test_every_secret_comes_from_the_environment() -> None:
    # A value whose key or URL speaks of a credential must be a required variable, never text.
    for name, service in SERVICES.items():
        for key, value in service.get("environment", {}).items():
            named_secret = re.search(r"PASSWORD$|SECRET|FERNET|ACCESS_KEY", key)
            url_password = re.search(r"://[^/@]*:[^@/]*@", str(value))
            kept_out = value == ""
            if (named_secret or url_password) and not kept_out:
                assert re.search(r"\$\{[A-Z_]+:\?[^}]+\}", str(value)), f"{name}: {key}"
                rest = re.sub(r"\$\{[^}]*\}", "", str(value))
                assert not named_secret or rest == "", f"{name}: {key}"
                assert not re.search(r"://\w*:\w+@", rest), f"{name}: {key}"


def test_the_example_environment_explains_every_variable_of_the_file() -> None:
    used = set(re.findall(r"(?<!\$)\$\{([A-Z_]+)", TEXT))
    required = set(re.findall(r"(?<!\$)\$\{([A-Z_]+):\?", TEXT))
    example = example_variables()
    assert used <= set(example)
    assert {name for name in required if example[name]} == set(), "the example must not carry a secret"
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    unexplained = [
        line
        for before, line in pairwise(lines)
        if re.match(r"#?[A-Z_]+=", line) and not before.startswith("# ")
    ]
    assert unexplained == []


def test_every_image_is_pinned_by_a_tag() -> None:
    images = {service["image"] for service in SERVICES.values()}
    assert {image for image in images if not re.fullmatch(r"[\w./-]+:v?\d+\.\d+[\w.-]*", image)} == set()
    assert re.search(r"^FROM python:3\.12-slim-bookworm$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)


def test_all_airflow_services_share_one_image_and_one_configuration() -> None:
    common = SERVICES["scheduler"]["environment"]
    for name in AIRFLOW:
        service = SERVICES[name]
        assert service["image"] == SERVICES["scheduler"]["image"]
        assert service["env_file"] == ".env"
        own = {key for key, value in common.items() if value == ""} if name == "init" else set()
        shared = {key: value for key, value in common.items() if key not in own}
        assert shared.items() <= service["environment"].items(), name


def test_no_running_service_gets_the_passwords_that_only_init_needs() -> None:
    for name in set(AIRFLOW) - {"init"}:
        environment = SERVICES[name]["environment"]
        assert environment["AIRFLOW_ADMIN_PASSWORD"] == ""
        assert environment["OBJECT_STORE_SECRET_KEY"] == ""


def test_definitions_come_from_the_checkout_whatever_the_env_file_says() -> None:
    for name in AIRFLOW:
        assert SERVICES[name]["environment"]["LOGFERRY_EXPORTS_DIR"] == "/opt/logferry/include/exports"
        assert "./include/exports:/opt/logferry/include/exports:ro" in SERVICES[name]["volumes"], name


def test_every_long_running_service_reports_its_health_and_waits_for_what_it_needs() -> None:
    for name in set(SERVICES) - {"init"}:
        assert SERVICES[name]["healthcheck"]["test"], name
    for name in set(AIRFLOW) - {"init"}:
        init = SERVICES[name]["depends_on"]["init"]
        assert init["condition"] == "service_completed_successfully", name
    assert SERVICES["worker"]["depends_on"]["api-server"]["condition"] == "service_healthy"
    assert SERVICES["init"]["depends_on"]["postgres"]["condition"] == "service_healthy"


def test_every_folder_the_image_copies_exists_and_reaches_the_build() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    let_through = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"}
    copied: set[str] = set()
    for line in re.findall(r"^COPY (.+)$", dockerfile, re.MULTILINE):
        copied.update(Path(part).name for part in line.split()[:-1] if not part.startswith("--"))
    assert copied == let_through
    assert [name for name in copied if not (ROOT / name).exists()] == []
    assert "--require-hashes" in dockerfile
    assert "--no-deps --no-build-isolation" in dockerfile
    assert re.search(r"^USER airflow$", dockerfile, re.MULTILINE)


@pytest.fixture
def deployment(tmp_path: Path) -> Path:
    """The compose file beside a filled-in .env."""
    shutil.copy(ROOT / "docker-compose.yml", tmp_path)
    filled = {name: value or "filled1n" for name, value in example_variables().items()}
    (tmp_path / ".env").write_text("".join(f"{name}={value}\n" for name, value in filled.items()))
    return tmp_path


def config(folder: Path) -> subprocess.CompletedProcess[str]:
    assert COMPOSE
    return subprocess.run([COMPOSE, "config", "-q"], cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.integration
@pytest.mark.skipif(COMPOSE is None, reason="docker-compose is not installed")
def test_docker_compose_accepts_the_file(deployment: Path) -> None:
    done = config(deployment)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.integration
@pytest.mark.skipif(COMPOSE is None, reason="docker-compose is not installed")
def test_docker_compose_refuses_to_start_without_a_secret(deployment: Path) -> None:
    env = deployment / ".env"
    env.write_text(re.sub(r"AIRFLOW_JWT_SECRET=.*", "AIRFLOW_JWT_SECRET=", env.read_text()))
    done = config(deployment)
    assert done.returncode != 0
    assert "AIRFLOW_JWT_SECRET" in done.stderr
