"""The task that puts the runs of all surveys into one list."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, cast

from airflow.sdk import BaseOperator, conf

from logferry.spec import load_exports

if TYPE_CHECKING:
    from airflow.sdk import Context, XComArg


class GatherRunsOperator(BaseOperator):
    """Put the runs of all surveys into one list for ``expand_kwargs``, and name the definitions that are broken.

    :param found: the results of all ``SurveyOperator`` tasks that succeeded. (templated)
    """

    template_fields: Sequence[str] = ("found",)
    ui_color = "#e2e8f0"

    def __init__(self, *, found: Sequence[list[dict[str, Any]]] | XComArg, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.found = found

    def execute(self, context: Context) -> list[dict[str, Any]]:
        loaded = load_exports()
        for _, reason in sorted(loaded.broken.items()):
            self.log.warning("left out, its definition is broken: %s", reason)
        if not loaded.exports:
            self.log.info("there is no export in %s: nothing to keep up", loaded.folder)
        surveys = cast("Sequence[list[dict[str, Any]] | None]", self.found or [])[:]
        # In turns, so that a long list of one export does not push the others' beyond Airflow's limit.
        runs = [
            run for turn in zip_longest(*(one or [] for one in surveys)) for run in turn if run is not None
        ]
        most = conf.getint("core", "max_map_length")
        if len(runs) > most:
            self.log.warning(
                "%d of %d runs wait for the next pass ([core] max_map_length)", len(runs) - most, len(runs)
            )
        return runs[:most]
