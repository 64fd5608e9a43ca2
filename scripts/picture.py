"""Draw docs/images/run.svg, the README's picture of what ``make run`` shows, from what lies in ``lake-sandbox``.

Run ``make run`` first, then ``.venv/bin/python scripts/picture.py``: the same functions print the same files.
"""

from __future__ import annotations

import io
import re
import sys

from rich.console import Console

from logferry.clock import SystemClock
from logferry.project import project_root
from logferry.spec import lake_url, load_exports
from logferry.stores.opening import open_store
from logferry_local.report import Exported, print_samples, print_windows, read_manifest, sample_rows
from logferry_local.watch import last_settled_day

_WIDTH = 116


def main() -> int:
    root = project_root()
    console = Console(width=_WIDTH, record=True, file=io.StringIO(), force_terminal=True)
    now = SystemClock().now()
    found = []
    for spec in load_exports(root / "include" / "exports").exports.values():
        store, window = open_store(lake_url(spec, sandbox=True), None), last_settled_day(spec, now)
        manifest = read_manifest(store, spec.name, window)
        if manifest is None:
            print(
                f"picture: {spec.name} has no window {window} in {store.url}; run make run first",
                file=sys.stderr,
            )
            return 1
        found.append((Exported(spec, window, store, manifest), sample_rows(store, manifest)))
    print_windows(console, [export for export, _ in found])
    for export, rows in found:
        print_samples(console, export.spec, rows)
    picture = root / "docs" / "images" / "run.svg"
    picture.parent.mkdir(parents=True, exist_ok=True)
    drawn = console.export_svg(title="make run")
    # The reader's own monospace font will do; nothing is fetched to look at a picture.
    picture.write_text(re.sub(r"@font-face \{.*?\}", "", drawn, flags=re.DOTALL), encoding="utf-8")
    print(picture)
    return 0


if __name__ == "__main__":
    sys.exit(main())
