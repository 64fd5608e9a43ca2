"""Definition files are read with and without libyaml."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

WITHOUT_LIBYAML = """
import json, sys
from pathlib import Path
sys.modules["yaml._yaml"] = None  # as in a PyYAML that was built without it
import yaml
assert not yaml.__with_libyaml__
from logferry.definition_file import read_definition
print(json.dumps(read_definition(Path(sys.argv[1]))))
"""


def test_without_libyaml_a_definition_reads_the_same(tmp_path: Path) -> None:
    path = tmp_path / "web.yaml"
    path.write_text("name: web\nstart: 2026-01-01T00:00:00Z\n")
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_LIBYAML, str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == '{"name": "web", "start": "2026-01-01T00:00:00Z"}\n'
