"""What every operator does that published a window: tell Airflow, the metrics, the people, and then judge."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperatorLink

from logferry_airflow.links import CoverageLink, PartitionLink
from logferry_airflow.operators.window import WindowOperator
from logferry_airflow.publication import WAY_ON, Publication, announce, fail_if_short
from logferry_airflow.tables import publication_table

if TYPE_CHECKING:
    from logferry.records.manifest import Manifest
    from logferry.spec import ExportSpec
    from logferry.stores.base import Store
    from logferry.window import Window


class PublishingOperator(WindowOperator):
    """An operator that publishes the run's window."""

    operator_extra_links: Collection[BaseOperatorLink] = (CoverageLink(), PartitionLink())
    published: Publication | None = None

    def conclude(
        self,
        spec: ExportSpec,
        manifest: Manifest,
        windows: Sequence[Window],
        *,
        store: Store,
        context: Mapping[str, Any],
    ) -> dict[str, Any]:
        """The publication's summary, once everybody knows of it; AirflowFailException when it is short.

        ``windows``: see ``announce``.
        """
        # Here, because a DAG file is parsed every few seconds and these bring pyarrow.
        from logferry_airflow.metrics import count_publication
        from logferry_airflow.notify import notify_short

        self.log.info("%s", publication_table(manifest))
        summary = announce(manifest, windows, lake=store.url, outlets=self.outlets, context=context)
        endpoint = getattr(store, "endpoint", None)
        self.published = Publication(spec, manifest, store.url, endpoint, summary)
        count_publication(spec, manifest)
        notify_short(spec, manifest, context, store=store, on_page=self.shown is not None, way_on=WAY_ON)
        fail_if_short(manifest)
        return summary

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """Called by the OpenLineage provider, where there is one; also for a short window, which is published."""
        if self.published is None:
            return None
        from logferry_airflow.lineage import facets_of

        return facets_of(self.published)
