"""What the tests of coverage share: a definition, and the coverage of a range at one time."""

from __future__ import annotations

from logferry.audit.coverage import Coverage, cover
from logferry.audit.findings import Finding, Remembered
from logferry.records.fold import Ledger
from logferry.records.manifest import Span
from logferry.spec import ExportSpec, export_from
from logferry.window import Window, parse_instant

NOW = parse_instant("2026-11-13T06:00:00Z")


def spec(**changes: object) -> ExportSpec:
    data = {
        "name": "web",
        "source": {"kind": "datadog", "connection": "dd"},
        "schedule": "@daily",
        "start": "2026-11-10T00:00:00Z",
        **changes,
    }
    return export_from(data, where="test", written=True)


def covered(
    ledger: Ledger,
    window: Window,
    *,
    now: int = NOW,
    fingerprint: str | None = "sha256:one",
    damage: dict[Window, list[Remembered]] | None = None,
    **changes: object,
) -> Coverage:
    return cover(spec(**changes), ledger, window, now=now, fingerprint=fingerprint, damage=damage or {})


def found_in(slice_: Window, seq: int = 99) -> Remembered:
    finding = Finding(
        kind="object_sha256", window=Span.of(slice_), key="k", detail="its content is other", remedy="r"
    )
    return Remembered(finding=finding, seq=seq, found_at="2026-11-13T00:00:00Z")
