"""The export definition: what to export, when, and where to; loaded from YAML, refused when it is not right.

Durations and times are integer ticks (100 ns) once loaded; in a file they are written ``30m`` and
``2026-01-01T00:00:00Z``. Every refusal is one line: file, key, reason, remedy; a file's errors come together.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    Field,
    PrivateAttr,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)

from logferry import spec_fields as fields
from logferry.definition_file import is_plainly_another, read_definition
from logferry.errors import DefinitionError
from logferry.layout import LAYOUT_VERSION
from logferry.project import exports_folder, project_root
from logferry.schedule import Schedule, largest_slice, smallest_slice
from logferry.spec_errors import Refusals, sentences
from logferry.spec_parts import (
    AzureLogSearchSourceSpec,
    AzureMonitorSourceSpec,
    ColumnSpec,
    DatadogSourceSpec,
    Definition,
    DestinationSpec,
    NotifySpec,
    SmtpNotifySpec,
    SourceSpec,
    WebhookNotifySpec,
)
from logferry.window import TICK_PER_HOUR, TICK_PER_MINUTE, Window, format_duration, format_instant

__all__ = [
    "DATADOG_COLUMNS",
    "AzureLogSearchSourceSpec",
    "AzureMonitorSourceSpec",
    "ColumnSpec",
    "DatadogSourceSpec",
    "DestinationSpec",
    "ExportSpec",
    "LoadedExports",
    "NotifySpec",
    "SmtpNotifySpec",
    "SourceSpec",
    "WebhookNotifySpec",
    "export_from",
    "fingerprint",
    "is_definition",
    "lake_url",
    "load_export",
    "load_exports",
    "source_from",
]

DATADOG_COLUMNS = ("id", "timestamp", "status", "service", "host", "message", "tags", "attributes", "extra")
"""The fixed columns of a Datadog export, in order; promoted columns follow."""
PARTITION_COLUMNS = ("dt", "hr")


class ExportSpec(Definition):
    """One export. ``start``: first instant it covers, a tick; ``slice``, ``settle``, ``horizon``: ticks."""

    name: fields.ExportName
    source: SourceSpec
    schedule: fields.ScheduleText
    start: fields.Instant
    slice: fields.SliceLength = TICK_PER_HOUR
    settle: fields.Delay = 30 * TICK_PER_MINUTE
    horizon: fields.Delay
    pool: fields.Text = "default_pool"
    destination: DestinationSpec = DestinationSpec()
    columns: dict[str, ColumnSpec] = Field(default_factory=dict)
    notify: Annotated[tuple[NotifySpec, ...], fields.Listed] = ()

    _file: Path | None = PrivateAttr(default=None)

    @property
    def file(self) -> Path | None:
        """The file it was loaded from; None for one made in code."""
        return self._file

    @model_validator(mode="before")
    @classmethod
    def _horizon_of_the_kind(cls, data: Any) -> Any:
        """Rows arrive up to 18 hours late at Datadog and up to 2 days late at Azure Monitor."""
        if isinstance(data, dict) and "horizon" not in data:
            source = data.get("source")
            kind = source.get("kind") if isinstance(source, dict) else getattr(source, "kind", None)
            return {**data, "horizon": "24h" if kind == "datadog" else "49h"}
        return data

    @field_validator("columns")
    @classmethod
    def _column_names(cls, columns: dict[str, ColumnSpec]) -> dict[str, ColumnSpec]:
        findings = []
        seen = {name: f"the fixed column {name!r}" for name in DATADOG_COLUMNS}
        seen |= {name: f"the partition column {name!r}" for name in PARTITION_COLUMNS}
        for name in columns:
            reason = fields.column_name(name)
            if reason is None and name.lower() in seen:
                reason = f"the name clashes with {seen[name.lower()]} (case aside); rename it"
            if reason:
                findings.append((name, reason))
            seen.setdefault(name.lower(), f"the promoted column {name!r}")
        if findings:
            raise Refusals(findings)
        return columns

    @model_validator(mode="after")
    def _fits_together(self) -> ExportSpec:
        findings = [
            *self._columns_have_a_use(),
            *(self._slices_fit_the_schedule() or self._slices_are_cheap_to_count()),
        ]
        if findings:
            raise Refusals(findings)
        return self

    def _columns_have_a_use(self) -> list[tuple[str, str]]:
        if not self.columns or self.source.kind == "datadog":
            return []
        remedy = (
            "the source names the columns itself; add or rename columns with extend and project-rename in "
            "source.pipeline"
            if self.source.kind == "azure_monitor"
            else "every row stays whole as JSON in the column 'row'"
        )
        return [
            (
                "columns",
                f"promoted columns are for datadog only, for {self.source.kind} {remedy}; remove them",
            )
        ]

    def _slices_fit_the_schedule(self) -> list[tuple[str, str]]:
        asked = format_duration(self.slice)
        grid = Schedule(self.schedule).grid(self.start)
        if grid % self.slice:
            fits = format_duration(largest_slice(grid, self.slice))
            reason = (
                f"the windows of the schedule {self.schedule!r} do not begin and end on the grid of {asked}; "
                f"the slice that fits is {fits}"
            )
            return [("slice", reason)]
        if self.start % self.slice:
            before = self.start - self.start % self.slice
            reason = (
                f"{format_instant(self.start)} is not on the slice grid of {asked}; "
                f"write {format_instant(before)} or {format_instant(before + self.slice)}"
            )
            return [("start", reason)]
        return []

    def _slices_are_cheap_to_count(self) -> list[tuple[str, str]]:
        """Datadog counts by buckets that divide both an hour and the slice: 432s by buckets of two seconds."""
        if self.source.kind != "datadog" or self.slice % TICK_PER_MINUTE == 0:
            return []
        grid = Schedule(self.schedule).grid(self.start)
        fits = dict.fromkeys((largest_slice(grid, self.slice), smallest_slice(grid, self.slice)))
        reason = (
            f"{format_duration(self.slice)} is no whole number of minutes, so Datadog could count it by seconds only, "
            f"at up to hundreds of requests a day; write {' or '.join(map(format_duration, fits))}"
        )
        return [("slice", reason)]

    def schedule_windows(self, window: Window) -> list[Window]:
        """The window in adjoining pieces cut at the schedule's boundaries; each is one publication."""
        return Schedule(self.schedule).cut(window)


@dataclass(frozen=True)
class LoadedExports:
    """A folder's definitions by name, and for each file that gave none the reason (one or more lines).

    ``names``: what a broken file gives as its name, where that much can be read.
    """

    folder: Path
    exports: dict[str, ExportSpec]
    broken: dict[Path, str]
    names: dict[Path, str] = field(default_factory=dict)

    def get(self, name: str) -> ExportSpec:
        """The export of that name.

        Else DefinitionError: why its file failed, or the names there are and every file that failed.
        """
        if name in self.exports:
            return self.exports[name]
        own = [reason for path, reason in self.broken.items() if name in (path.stem, self.names.get(path))]
        if own:
            raise DefinitionError("\n".join(own))
        known = ", ".join(sorted(self.exports)) or "none"
        reasons = "".join(f"\n{reason}" for reason in self.broken.values())
        note = "; these files could not be loaded:" if reasons else ""
        raise DefinitionError(
            f"there is no export {name!r} in {self.folder} (there are: {known}){note}{reasons}"
        )


def export_from(data: Mapping[str, Any], *, where: str, written: bool = False) -> ExportSpec:
    """The export a mapping describes, as a file would write it (``slice: 1h``) or already in ticks.

    ``written``: a person wrote the values, so a bare number is refused and not taken for ticks.
    Raises DefinitionError with one line per finding, each beginning with ``where``.
    """
    try:
        return ExportSpec.model_validate(dict(data), context=fields.FROM_FILE if written else None)
    except ValidationError as error:
        raise DefinitionError("\n".join(sentences(error, where, _ALLOWED))) from None


def source_from(data: Mapping[str, Any], *, where: str) -> SourceSpec:
    """The source a mapping describes. Raises DefinitionError like ``export_from``."""
    try:
        return _source_adapter().validate_python(dict(data))
    except ValidationError as error:
        raise DefinitionError("\n".join(sentences(error, where, _ALLOWED))) from None


def load_export(path: Path) -> ExportSpec:
    """The export a file defines; DefinitionError with one line per finding."""
    spec = export_from(read_definition(path), where=str(path), written=True)
    spec._file = path
    return spec


def load_exports(folder: Path | None = None, *, only: str | None = None) -> LoadedExports:
    """Every ``*.yaml`` and ``*.yml`` of the folder; a bad file never hides the others.

    The default folder is ``exports_folder()``. Two files that give the same name are both broken.
    ``only``: give the export of this name alone; files that plainly are of another one are passed over unread.
    DefinitionError when there is no such folder.
    """
    folder = exports_folder() if folder is None else folder
    if not folder.is_dir():
        raise DefinitionError(
            f"the exports folder {folder} does not exist; create it or point LOGFERRY_EXPORTS_DIR at the "
            "right one"
        )
    broken: dict[Path, str] = {}
    names: dict[Path, str] = {}
    found: dict[str, list[ExportSpec]] = {}
    for path in sorted(folder.iterdir()):
        if not is_definition(path):
            continue
        if only is not None and is_plainly_another(path, only):
            continue
        try:
            spec = load_export(path)
        except DefinitionError as error:
            broken[path] = str(error)
            if name := _name_in(path):
                names[path] = name
        else:
            found.setdefault(spec.name, []).append(spec)
    for name, specs in found.items():
        if len(specs) > 1:
            files = " and ".join(str(spec.file) for spec in specs)
            for spec in specs:
                if spec.file is not None:
                    broken[spec.file] = f"{spec.file}: name: {name!r} is given in {files}; rename all but one"
                    names[spec.file] = name
    exports = {name: specs[0] for name, specs in found.items() if len(specs) == 1 and only in (None, name)}
    return LoadedExports(folder, exports, broken, names)


def is_definition(path: Path) -> bool:
    """Whether a file of the exports folder is one: by its name alone. Hidden files are an editor's."""
    return path.suffix in (".yaml", ".yml") and not path.name.startswith(".")


def _name_in(path: Path) -> str | None:
    """The name in a definition that is refused for another reason."""
    try:
        name = read_definition(path).get("name")
    except DefinitionError:
        return None
    return name if isinstance(name, str) else None


def lake_url(spec: ExportSpec, *, sandbox: bool) -> str:
    """Where the files go: the export's url, else ``<project>/lake``, or ``lake-sandbox`` for sandbox data.

    A relative folder is taken from the project's root; the answer is always ``s3://…`` or ``file:///…``.
    """
    url = spec.destination.url
    if url is None:
        url = "./lake-sandbox" if sandbox else "./lake"
    return (project_root() / url).resolve().as_uri() if url.startswith("./") else url


def fingerprint(identity: Mapping[str, Any], spec: ExportSpec) -> str:
    """``sha256:…`` of what decides which rows exist and how they look; ``identity`` is the source's.

    Not in it: connection, schedule, settle, horizon, pool, destination, notify.
    """
    content = {
        "source": dict(identity),
        "columns": {name: column.model_dump() for name, column in spec.columns.items()},
        "slice": spec.slice,
        "layout": LAYOUT_VERSION,
    }
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


@cache
def _source_adapter() -> TypeAdapter[SourceSpec]:
    """Only an ad-hoc search needs it."""
    return TypeAdapter(SourceSpec)


_ALLOWED = {
    "": tuple(ExportSpec.model_fields),
    "source.datadog": tuple(DatadogSourceSpec.model_fields),
    "source.azure_monitor": tuple(AzureMonitorSourceSpec.model_fields),
    "source.azure_log_search": tuple(AzureLogSearchSourceSpec.model_fields),
    "destination": tuple(DestinationSpec.model_fields),
    "columns": tuple(ColumnSpec.model_fields),
    "notify.smtp": tuple(SmtpNotifySpec.model_fields),
    "notify.webhook": tuple(WebhookNotifySpec.model_fields),
}
