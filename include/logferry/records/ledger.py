"""The ledger of an export, read from its store: HEAD, the newest checkpoint, and the few records after it."""

from __future__ import annotations

from logferry.records.checkpoint import load_checkpoint
from logferry.records.fold import Ledger, OpenIntent, Published, PublishedWindow, Requests, fold
from logferry.records.journal import OF_A_RECORD, Damage, Head, Journal
from logferry.stores.base import Store

__all__ = [
    "Damage",
    "Ledger",
    "OpenIntent",
    "Published",
    "PublishedWindow",
    "Requests",
    "fold",
    "read_ledger",
]


def read_ledger(store: Store, export: str) -> Ledger:
    """What is published, as far as the journal tells.

    A journal that is damaged is no error: ``Ledger.damage`` lists what was found from the newest checkpoint on (for
    all of it: ``Journal.records``), and what a damaged record said is left out. Raises StoreError and
    CredentialsError when the store does not answer.
    """
    journal = Journal(store, export)
    named = journal.named()
    ledger, untrusted = load_checkpoint(store, export, named.head)
    walk = journal.walk(ledger.head, named)
    for one in walk.damage:
        if one.kind in OF_A_RECORD and one.seq > ledger.head.seq:
            ledger.without[one.seq] = one.found
    for record in walk.records:
        ledger.apply(record)
    ledger.head = Head(walk.end.seq, walk.end.hash, ledger.head.checkpoint, ledger.head.checkpoint_hash)
    ledger.named = named.head
    ledger.damage = walk.damage if untrusted is None else [untrusted, *walk.damage]
    return ledger
