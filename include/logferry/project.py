"""Where the project lives on disk: its root and the folder of export definitions."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

EXPORTS_VARIABLE = "LOGFERRY_EXPORTS_DIR"


def project_root() -> Path:
    """The checkout this package is installed from (editable), else the current folder."""
    checkout = Path(__file__).resolve().parents[2]
    return checkout if (checkout / "pyproject.toml").is_file() else Path.cwd()


def exports_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """The folder of definitions: ``LOGFERRY_EXPORTS_DIR``, default ``<project>/include/exports``."""
    named = environ.get(EXPORTS_VARIABLE, "").strip()
    return Path(named).expanduser().absolute() if named else project_root() / "include" / "exports"
