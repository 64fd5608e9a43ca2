"""``logferry export``: what it says of slices that stayed as they were."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from tests.logferry.made_archive import MadeArchive, hours

from logferry.cli.export import Carrying
from logferry.records.manifest import Manifest


@pytest.mark.parametrize(("fingerprint", "told"), [("sha256:old", True), (None, False)])
def test_kept_slices_are_shown_with_what_the_source_gives_now_and_what_would_replace_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], fingerprint: str | None, told: bool
) -> None:
    manifest = MadeArchive(tmp_path / "lake").publish(hours(0, 4), files=False).content
    assert isinstance(manifest, Manifest)
    kept = [
        msgspec.structs.replace(one, source_now=0, fingerprint=fingerprint) if 1 <= at <= 2 else one
        for at, one in enumerate(manifest.slices)
    ]
    run = Carrying(as_json=False, allow_shrink=False)
    run.published(msgspec.structs.replace(manifest, slices=kept))
    run.show("web")
    out, err = capsys.readouterr()
    assert out.splitlines()[1].split()[2:5] == ["proven", "6", "12"]
    assert out.splitlines()[1].endswith("2 slices kept")
    assert "2 slices of [2026-11-10T00:00:00Z, 2026-11-10T04:00:00Z) kept as published: 6 proven rows" in err
    command = "logferry export web --from 2026-11-10T01:00:00Z --to 2026-11-10T03:00:00Z --allow-shrink"
    assert (command in err) == told
