"""Where the local run keeps its state, and what ``.env`` and the environment say about it."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from dotenv import dotenv_values

from logferry.errors import DefinitionError
from logferry.project import project_root

DEFAULT_PORT = 8080


@dataclass(frozen=True, slots=True)
class Settings:
    """``home``: the folder of all local state; ``environment``: what every process of the run gets."""

    root: Path
    home: Path
    port: int
    environment: dict[str, str]

    @property
    def airflow_home(self) -> Path:
        return self.home / "airflow"

    @property
    def logs(self) -> Path:
        return self.home / "logs"

    @property
    def ui(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def load_settings() -> Settings:
    """``.env`` (or the file LOGFERRY_ENV_FILE names) under the process's own environment, which wins.

    Raises DefinitionError.
    """
    root = project_root()
    file = Path(os.environ.get("LOGFERRY_ENV_FILE") or root / ".env").expanduser()
    written = {name: value for name, value in dotenv_values(file).items() if value}
    environment = {**written, **os.environ}
    port = environment.get("AIRFLOW_PORT") or str(DEFAULT_PORT)
    if not port.isdecimal() or not 1 <= int(port) <= 65_535:
        raise DefinitionError(f"AIRFLOW_PORT={port!r} is not a port; give a number from 1 to 65535")
    home = Path(environment.get("LOGFERRY_HOME") or root / ".logferry").expanduser().absolute()
    return Settings(root=root, home=home, port=int(port), environment=environment)


def kept_secret(home: Path, name: str, make: str | None = None) -> str:
    """A random secret of this installation, made once and readable by this user alone."""
    path = home / "secrets" / name
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        # Whole or not at all: a run that is killed here must not leave an empty secret for ever.
        unfinished = path.with_name(f"{name}.part")
        unfinished.touch(mode=0o600)
        unfinished.write_text(make or secrets.token_urlsafe(24))
        unfinished.replace(path)
    return path.read_text().strip()
