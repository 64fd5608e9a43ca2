"""A task about one export of the project: named after it on the grid, with a link to its coverage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow.sdk import BaseOperator, RetryPolicy

from logferry_airflow.links import CoverageLink, Shown
from logferry_airflow.retry import FERRY_RETRIES


class AboutExportOperator(BaseOperator):
    """An operator about one export of the project.

    :param export: the export's name. (templated)
    """

    template_fields: Sequence[str] = ("export",)
    ui_color = "#e2e8f0"
    operator_extra_links = (CoverageLink(),)
    shown: Shown | None = None

    def __init__(
        self,
        *,
        export: str,
        map_index_template: str | None = "{{ task.export }}",
        retry_policy: RetryPolicy | None = FERRY_RETRIES,
        **kwargs: Any,
    ) -> None:
        super().__init__(map_index_template=map_index_template, retry_policy=retry_policy, **kwargs)
        self.export = export
