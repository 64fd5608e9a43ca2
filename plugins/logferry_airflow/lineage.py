"""The facets of a publication for OpenLineage. Imported only when that provider asks for them.

Names: https://openlineage.io/docs/spec/naming; facets: https://openlineage.io/docs/spec/facets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import attrs
from airflow.providers.openlineage.extractors import OperatorLineage
from openlineage.client.event_v2 import InputDataset, OutputDataset
from openlineage.client.facet_v2 import (
    RunFacet,
    data_quality_assertions_dataset,
    output_statistics_output_dataset,
    schema_dataset,
)

if TYPE_CHECKING:
    from logferry.records.manifest import Manifest
    from logferry.spec import ExportSpec
    from logferry_airflow.publication import Publication


@attrs.define(kw_only=True)
class PublicationRunFacet(RunFacet):
    """What the run published, and where the proof of it lies."""

    window: dict[str, str]
    status: str
    rows: int
    sourceRows: int | None
    manifest: str
    seq: int
    hash: str


def facets_of(publication: Publication) -> OperatorLineage[Any, Any]:
    """The source as input, the table in the lake as output, and the publication as a facet of the run."""
    manifest, summary = publication.manifest, publication.summary
    return OperatorLineage(
        inputs=[_input(publication.spec, manifest)],
        outputs=[_output(publication)],
        run_facets={
            "logferry_publication": PublicationRunFacet(
                window=summary["window"],
                status=manifest.status,
                rows=manifest.rows,
                sourceRows=manifest.source_rows,
                manifest=summary["manifest"],
                seq=manifest.seq,
                hash=summary["hash"],
            )
        },
    )


def _input(spec: ExportSpec, manifest: Manifest) -> InputDataset:
    endpoint = urlsplit(str(manifest.source.get("endpoint", "")))
    # A scheme takes no underscore (RFC 3986).
    scheme = spec.source.kind.replace("_", "-")
    return InputDataset(
        namespace=f"{scheme}://{endpoint.netloc.rpartition('@')[2]}",
        name=_name(spec),
        inputFacets={} if manifest.status == "unproven" else {"dataQualityAssertions": _assertions(manifest)},
    )


def _assertions(
    manifest: Manifest,
) -> data_quality_assertions_dataset.DataQualityAssertionsDatasetFacet:
    """The proof: what was read is what the source counts."""
    assertion = data_quality_assertions_dataset.Assertion(
        assertion="rows_read_equal_rows_counted", success=manifest.status == "proven"
    )
    return data_quality_assertions_dataset.DataQualityAssertionsDatasetFacet(assertions=[assertion])


def _name(spec: ExportSpec) -> str:
    from logferry.spec import AzureLogSearchSourceSpec, AzureMonitorSourceSpec

    match spec.source:
        case AzureMonitorSourceSpec() as monitor:
            return f"{monitor.workspace}/{monitor.table}"
        case AzureLogSearchSourceSpec() as legacy:
            return f"{legacy.workspace}/{legacy.query}"
        case datadog:
            return datadog.query


def _output(publication: Publication) -> OutputDataset:
    manifest = publication.manifest
    namespace, name = _place(publication.lake, manifest.export)
    facets: dict[str, Any] = {
        "schema": schema_dataset.SchemaDatasetFacet(
            fields=[
                schema_dataset.SchemaDatasetFacetFields(name=column["name"], type=column.get("type"))
                for column in manifest.columns
            ]
        )
    }
    statistics = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(
        rowCount=manifest.rows,
        size=sum(file.bytes for file in manifest.files),
        fileCount=len(manifest.files),
    )
    return OutputDataset(
        namespace=namespace, name=name, facets=facets, outputFacets={"outputStatistics": statistics}
    )


def _place(lake: str, table: str) -> tuple[str, str]:
    """Namespace and name of the table: bucket and prefix, or ``file`` and the folder."""
    parts = urlsplit(lake)
    if parts.scheme == "s3":
        return f"s3://{parts.netloc}", "/".join(piece for piece in (parts.path.strip("/"), table) if piece)
    return "file", f"{unquote(parts.path).rstrip('/')}/{table}"
