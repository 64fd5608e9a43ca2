"""The task of ``archive_verify``: verify a range of one export's archive, as ``logferry verify`` does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator, RetryPolicy
from airflow.sdk.exceptions import AirflowFailException

from logferry.clock import SystemClock
from logferry.errors import DefinitionError, LogferryError
from logferry.spec import ExportSpec, load_exports
from logferry.window import Window
from logferry.wording import counted
from logferry_airflow.findings import fail_if_found
from logferry_airflow.links import CoverageLink, Shown
from logferry_airflow.progress import Heartbeat, since_now
from logferry_airflow.retry import FERRY_RETRIES
from logferry_airflow.windows import run_switch, run_window

if TYPE_CHECKING:
    from airflow.sdk import Context


class VerifyOperator(BaseOperator):
    """Compare the objects of a range, and the whole journal, with what was published.

    The run's params say what: ``export``, ``from`` and ``to`` (neither: all of it), ``deep`` (decode every row too).
    The source is not asked and nothing is mended. What is found is remembered in the lake (``findings.json``), which
    coverage shows, and fails the task with one sentence per finding. Wrong params fail it with one sentence; a lake
    that does not answer is asked again by the retry policy.
    """

    ui_color = "#e2e8f0"
    operator_extra_links = (CoverageLink(),)
    shown: Shown | None = None

    def __init__(self, *, retry_policy: RetryPolicy | None = FERRY_RETRIES, **kwargs: Any) -> None:
        super().__init__(retry_policy=retry_policy, **kwargs)

    def execute(self, context: Context) -> None:
        from logferry.audit.archive import open_archive
        from logferry.audit.verify import verify
        from logferry_airflow.hooks.connections import connect
        from logferry_airflow.notify import notify_findings, notify_unverified

        params: Mapping[str, Any] = context.get("params") or {}
        spec = _asked_export(params)
        window = _asked_range(params, spec)
        self.shown = Shown(spec.name, window)
        deep = run_switch(context, "deep", None)
        how = "with every row decoded" if deep else "byte by byte"
        self.log.info("verifying %s of %s, %s", window or "the whole archive", spec.name, how)
        try:
            store = open_archive(spec, connect).store
            with Heartbeat(self.log, f"verifying {spec.name}", since_now()):
                found = verify(store, spec.name, now=SystemClock().now(), window=window, deep=deep)
        except LogferryError as error:
            notify_unverified(spec, error, context, window=window)
            raise
        self.log.info(
            "looked at %s and %s of the journal in %s",
            counted(found.objects, "object"),
            counted(found.records, "record"),
            store.url,
        )
        notify_findings(spec, found.findings, context, store=store)
        fail_if_found(spec.name, found.findings, self.log)
        if found.hash is None:
            self.log.info("%s has published nothing yet", spec.name)
        else:
            self.log.info("all is as published; witness %s:%s", found.seq, found.hash)


def _asked_export(params: Mapping[str, Any]) -> ExportSpec:
    name = params.get("export")
    if not isinstance(name, str) or not name.strip():
        raise AirflowFailException(
            'this run names no export; trigger it with the param export, such as {"export": "web_errors"}'
        )
    try:
        return load_exports(only=name).get(name)
    except DefinitionError:
        pass
    try:
        # Once more with all of them, to say which there are.
        return load_exports().get(name)
    except DefinitionError as error:
        raise AirflowFailException(f"export: {error}") from None


def _asked_range(params: Mapping[str, Any], spec: ExportSpec) -> Window | None:
    """None: all of it. The run's data interval says nothing here: the DAG has no schedule."""
    given = {"from": params.get("from"), "to": params.get("to")}
    if all(value is None or str(value).strip() == "" for value in given.values()):
        return None
    return run_window({"params": given}, start=None, end=None, grid=spec.slice)
