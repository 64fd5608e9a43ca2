"""pandas is not imported where it is installed: it takes seconds and nothing here uses it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import logferry

_CONVERT = """
import sys
from logferry.convert.without_pandas import keep_pandas_out
keep_pandas_out()
from logferry.convert.datadog import read_events
from logferry.spec import ColumnSpec
page = b'[{"id":"a","type":"log","attributes":{"timestamp":"2026-11-20T03:00:00.123Z","attributes":{"n":1}}}]'
read_events(page, {"n": ColumnSpec(path="n", type="int64")})
import pyarrow as pa
pa.array([1])
assert "pandas" not in sys.modules, "pandas was imported"
import pandas
assert pandas.marker == "the real one", pandas
"""


def test_a_page_is_read_without_pandas_and_pandas_can_be_imported_later(tmp_path: Path) -> None:
    (tmp_path / "pandas.py").write_text('marker = "the real one"\n')
    engine = Path(logferry.__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(engine)])}
    done = subprocess.run(
        [sys.executable, "-c", _CONVERT], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
