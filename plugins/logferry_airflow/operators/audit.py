"""The task that verifies a sample of an archive."""

from __future__ import annotations

from typing import TYPE_CHECKING

from logferry.audit.sampling import audit_from, audit_sample
from logferry.clock import SystemClock
from logferry.errors import LogferryError
from logferry.spec import load_exports
from logferry.window import TICK_PER_HOUR
from logferry.wording import counted
from logferry_airflow.assets import export_asset
from logferry_airflow.findings import fail_if_found
from logferry_airflow.links import Shown
from logferry_airflow.operators.about_export import AboutExportOperator
from logferry_airflow.progress import Heartbeat, since_now

if TYPE_CHECKING:
    from airflow.sdk import Context

    from logferry.audit.verify import Verification
    from logferry.spec import ExportSpec
    from logferry.stores.base import Store

WITNESSES = 24
"""Newest events of an export's asset whose hashes are compared with its journal."""


class AuditOperator(AboutExportOperator):
    """Verify a sample of an export's published slices, and its journal against what Airflow was told of it.

    Every object of the sample is read and hashed; each pass takes another sample, see ``sampling.audit_sample``. The
    sequence numbers and hashes in the newest events of the export's asset are witnesses: whoever rewrites the journal
    cannot rewrite them. A pass reads the journal from the oldest of them on, a few dozen objects however long the
    journal is; about once a day it reads all of it, see ``sampling.audit_from``. Fails with one sentence per finding.
    The source is not asked, and nothing is mended: ``verify`` leaves a note of what it finds in the lake
    (``findings.json``), which coverage shows.
    """

    def execute(self, context: Context) -> None:
        from logferry.audit.archive import open_archive
        from logferry_airflow.hooks.connections import connect
        from logferry_airflow.notify import UNVERIFIED, forget, notify_findings, notify_unverified_for_long

        spec = load_exports().get(self.export)
        self.shown = Shown(spec.name)
        try:
            store = open_archive(spec, connect).store
            found = self._verify(spec, store, context)
        except LogferryError as error:
            notify_unverified_for_long(spec, error, context)
            raise
        forget(spec, context, UNVERIFIED)
        if found is not None:
            notify_findings(spec, found.findings, context, store=store)
            fail_if_found(spec.name, found.findings, self.log)

    def _verify(self, spec: ExportSpec, store: Store, context: Context) -> Verification | None:
        """None where there is nothing to look at."""
        from logferry.audit.verify import Witness, verify
        from logferry.records.ledger import read_ledger

        witnesses = [Witness(seq, hash_) for seq, hash_ in self._told(context, store.url)]
        now = SystemClock().now()
        turn = now // TICK_PER_HOUR
        ledger = read_ledger(store, spec.name)
        sample = audit_sample(ledger.slices.values(), turn)
        if sample is None and not witnesses:
            self.log.info("%s has published nothing yet: there is nothing to audit", spec.name)
            return None
        since = audit_from(spec.name, ledger.head.seq, [one.seq for one in witnesses], turn)
        if since is not None:
            witnesses = [one for one in witnesses if one.seq >= since]
        self.shown = Shown(spec.name, sample)
        with Heartbeat(self.log, f"verifying {spec.name}", since_now()):
            found = verify(store, spec.name, now=now, window=sample, witnesses=witnesses, since=since)
        self.log.info(
            "%s: %s of the journal%s, %s and %s of the asset looked over, %s",
            spec.name,
            counted(found.records, "record"),
            "" if since is None else f" from {since} on",
            counted(found.objects, "object") + (f" of {sample}" if sample else ""),
            counted(len(witnesses), "event"),
            counted(sum(one.level == "finding" for one in found.findings), "finding"),
        )
        return found

    def _told(self, context: Context, lake: str) -> list[tuple[int, str]]:
        """Sequence number and hash of the newest publications in this lake that Airflow was told of.

        One whose window a newer one covers is no witness any more: where the end of a journal was lost and the
        windows were exported again, under the same numbers, the newer events tell how it goes on.
        """
        events = context["inlet_events"][export_asset(self.export)].ascending(False).limit(WITNESSES)
        covered: list[tuple[str, str]] = []
        told = set()
        for extra in (event.extra or {} for event in events):
            seq, hash_, window = extra.get("seq"), extra.get("hash"), extra.get("window")
            if extra.get("lake") != lake or not isinstance(seq, int) or not isinstance(hash_, str):
                continue
            start, end = (window.get("from"), window.get("to")) if isinstance(window, dict) else (None, None)
            if isinstance(start, str) and isinstance(end, str):
                # Texts of one form, in UTC: they sort as the instants do.
                if any(first <= start and end <= last for first, last in covered):
                    continue
                covered.append((start, end))
            told.add((seq, hash_))
        return sorted(told)
