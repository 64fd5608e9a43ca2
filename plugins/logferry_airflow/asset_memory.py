"""What was told of one thing that lasts, and since when, kept with the export's asset in Airflow's database.

For what the lake cannot keep, because it may be what fails.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from logferry.notices.repeats import Sent
from logferry.spec import ExportSpec
from logferry.window import format_instant, instant_or_none
from logferry_airflow.assets import export_asset

log = logging.getLogger(__name__)

_MOST_KEPT = 100
"""Notices: Airflow keeps the value of a key in one field."""


class AssetMemory:
    """A memory (``logferry.notices.memory``) that also knows since when the thing lasts."""

    def __init__(self, values: Any, what: str) -> None:
        self._values = values
        self._since = f"{what}_since"
        self._notices = f"{what}_notices"

    @classmethod
    def of(cls, spec: ExportSpec, context: Mapping[str, Any], what: str) -> AssetMemory | None:
        """None where Airflow gives the task no such store: the asset is neither an inlet nor an outlet of it."""
        stores = context.get("asset_state_store")
        try:
            return None if stores is None else cls(stores[export_asset(spec.name)], what)
        except KeyError:
            return None

    def since(self, now: int) -> int:
        """The tick of the first failure in a row: this one, unless an earlier one is kept."""
        kept = instant_or_none(self._values.get(self._since))
        if kept is None:
            self._values.set(self._since, format_instant(now))
        return now if kept is None else kept

    def forget(self) -> None:
        if self._values.get(self._since) is not None:
            self._values.delete(self._since)
            self._values.delete(self._notices)

    def load(self) -> list[Sent]:
        import msgspec

        try:
            return msgspec.convert(self._values.get(self._notices) or [], list[Sent])
        except (msgspec.ValidationError, RecursionError):
            return []
        except Exception as error:
            log.warning(
                "what was told lately cannot be read from Airflow (%s): %s", type(error).__name__, error
            )
            return []

    def change(self, work: Callable[[list[Sent]], list[Sent]]) -> bool:
        import msgspec

        before = self.load()
        after = work(before)[-_MOST_KEPT:]
        try:
            if after != before:
                self._values.set(self._notices, msgspec.to_builtins(after))
        except Exception as error:
            log.warning("what was told cannot be remembered in Airflow (%s): %s", type(error).__name__, error)
            return False
        return True
