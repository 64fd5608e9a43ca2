"""Checkpoints: the folded ledger as one object, so that reading a year of journal takes a handful of requests.

``_manifests/<name>/checkpoints/<seq>.json.gz`` holds what folding the records up to ``seq`` gives, the hash of that
record, and which records were damaged then and left out. One that is missing or damaged is done without; so is one that
left out a record which is there again. It still knows what records said that are damaged since.
"""

from __future__ import annotations

import gzip
import logging
import zlib
from typing import Any

import msgspec

from logferry.errors import StoreError
from logferry.layout import checkpoint_key, checkpoint_prefix, journal_key, journal_prefix, number_of
from logferry.records.fold import Ledger, OpenIntent, Published, PublishedWindow, Requests
from logferry.records.journal import Damage, Head
from logferry.records.manifest import SliceEntry, Span, Status, content_hash, refusing_depth
from logferry.stores.base import AlreadyExists, NotFound, Store

log = logging.getLogger(__name__)

RECORDS_BETWEEN = 16
"""A publication leaves a checkpoint when at least as many records follow the last one."""
_ASKED_ONE_BY_ONE = 16
_LEVEL = 1


class _Slice(msgspec.Struct, frozen=True):
    """``proof`` is left out where it is the entry itself (``proven``). Older checkpoints have no ``first_rows``."""

    entry: SliceEntry
    fingerprint: str
    seq: int
    proven: bool
    proof: SliceEntry | None = None
    first_rows: int | None = None


class _Open(Span, frozen=True, kw_only=True):
    intents: list[OpenIntent]


class _Held(Span, frozen=True, kw_only=True):
    etags: list[str]


class _Created(Span, frozen=True, kw_only=True):
    row_hashes: list[str]


class _Damaged(msgspec.Struct, frozen=True):
    """``found``: the hash of what lay there, None for nothing."""

    seq: int
    found: str | None


class _Window(Span, frozen=True, kw_only=True):
    """Older checkpoints end with ``intent``."""

    seq: int
    hash: str
    status: Status
    run: str
    intent: int | None
    rows: int | None = None
    attempt: int | None = None
    started_at: str | None = None
    finished_at: str | None = None
    requests: Requests | None = None


class _Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    format: int = 1
    export: str
    seq: int
    hash: str
    first_published_at: int | None
    source: dict[str, Any] | None
    slices: list[_Slice]
    windows: list[_Window]
    open: list[_Open]
    held: list[_Held]
    created: list[_Created] = []
    mended: list[_Damaged] = []
    without: list[_Damaged] = []


_decode = msgspec.json.Decoder(_Checkpoint).decode


def encode_checkpoint(export: str, ledger: Ledger) -> bytes:
    """The ledger after its last record, which there must be; equal ledgers give equal bytes."""
    if ledger.head.hash is None:
        raise ValueError("a ledger without records needs no checkpoint")
    plain = _Checkpoint(
        export=export,
        seq=ledger.head.seq,
        hash=ledger.head.hash,
        first_published_at=ledger.first_published_at,
        source=ledger.source,
        slices=[
            _Slice(
                one.entry,
                one.fingerprint,
                one.seq,
                one.proof == one.entry,
                None if one.proof == one.entry else one.proof,
                one.first_rows,
            )
            for _, one in sorted(ledger.slices.items())
        ],
        windows=[
            _Window(
                **_span(window),
                seq=one.seq,
                hash=one.hash,
                status=one.status,
                run=one.run,
                intent=one.intent,
                rows=one.rows,
                attempt=one.attempt,
                started_at=one.started_at,
                finished_at=one.finished_at,
                requests=one.requests,
            )
            for window, one in sorted(ledger.windows.items())
        ],
        open=[_Open(**_span(slice_), intents=found) for slice_, found in sorted(ledger.open_intents.items())],
        held=[_Held(**_span(slice_), etags=etags) for slice_, etags in sorted(ledger.held.items())],
        created=[
            _Created(**_span(slice_), row_hashes=found) for slice_, found in sorted(ledger.created.items())
        ],
        mended=[_Damaged(*one) for one in sorted(ledger.mended, key=lambda one: (one[0], one[1] or ""))],
        without=[_Damaged(*one) for one in sorted(ledger.without.items())],
    )
    return gzip.compress(msgspec.json.encode(plain), _LEVEL, mtime=0)


def decode_checkpoint(export: str, data: bytes) -> Ledger:
    """Raises ValueError for anything but a checkpoint of this export."""
    try:
        with refusing_depth():
            plain = _decode(gzip.decompress(data))
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"it is not compressed as it should be ({error})") from error
    if plain.export != export or plain.format != 1:
        raise ValueError(f"it is of {plain.export} in format {plain.format}")
    ledger = Ledger(
        first_published_at=plain.first_published_at, source=plain.source, head=Head(plain.seq, plain.hash)
    )
    for one in plain.slices:
        slice_ = one.entry.window()
        proof = one.entry if one.proven else one.proof
        ledger.slices[slice_] = Published(slice_, one.entry, one.fingerprint, one.seq, proof, one.first_rows)
    for whole in plain.windows:
        window = whole.window()
        ledger.windows[window] = PublishedWindow(
            window,
            whole.seq,
            whole.hash,
            whole.status,
            whole.run,
            whole.intent,
            whole.rows,
            whole.attempt,
            whole.started_at,
            whole.finished_at,
            whole.requests,
        )
    ledger.open_intents = {one.window(): list(one.intents) for one in plain.open}
    ledger.held = {one.window(): list(one.etags) for one in plain.held}
    ledger.created = {one.window(): list(one.row_hashes) for one in plain.created}
    ledger.mended = {(one.seq, one.found) for one in plain.mended}
    ledger.without = {one.seq: one.found for one in plain.without}
    ledger.through = plain.seq
    return ledger


def load_checkpoint(store: Store, export: str, named: Head | None) -> tuple[Ledger, Damage | None]:
    """The ledger of the newest checkpoint that can be trusted, an empty one when there is none.

    The one that HEAD names has the hash that HEAD says; without HEAD any is compared with the record it ends at. None
    is trusted that left out a record which is not as it was then: what it says now is not in it.
    """
    damage = None
    if named is not None:
        if named.checkpoint is None:
            return Ledger(), None
        key = checkpoint_key(export, named.checkpoint)
        ledger = _read(store, export, named.checkpoint, named.checkpoint_hash)
        if isinstance(ledger, Ledger):
            ledger.head = Head(ledger.head.seq, ledger.head.hash, named.checkpoint, named.checkpoint_hash)
            return ledger, None
        damage = Damage(named.checkpoint, key, "checkpoint", ledger)
        log.warning("%s in %s is left out and the journal is read instead: %s", key, store.url, ledger)
    for seq in sorted(_numbers(store, export), reverse=True):
        if named is not None and seq == named.checkpoint:
            continue
        ledger = _read(store, export, seq, None)
        if isinstance(ledger, Ledger) and _is_of(store, export, ledger.head):
            return ledger, damage
    return Ledger(), damage


def write_checkpoint(store: Store, export: str, ledger: Ledger) -> Head:
    """Store the ledger as it is; returns its head with the checkpoint named."""
    data = encode_checkpoint(export, ledger)
    seq = ledger.head.seq
    try:
        store.put_bytes(checkpoint_key(export, seq), data, if_absent=True)
    except AlreadyExists:
        # Left by a publication under the same number that was cut off by hand.
        store.put_bytes(checkpoint_key(export, seq), data)
    return Head(seq, ledger.head.hash, seq, content_hash(data))


def drop_old_checkpoints(store: Store, export: str, named: int) -> None:
    """Keep the one that HEAD names and the one before, at which a reader may be.

    A later one stays too where its record is there: its run has not come to HEAD yet.
    """
    numbers = sorted(_numbers(store, export))
    old = [seq for seq in numbers if seq < named][:-1]
    ahead = [seq for seq in numbers if seq > named and store.head(journal_key(export, seq)) is None]
    store.delete([checkpoint_key(export, seq) for seq in [*old, *ahead]])


def _numbers(store: Store, export: str) -> list[int]:
    found = (number_of(info.key) for info in store.list(checkpoint_prefix(export)))
    return [number for number in found if number is not None]


def _read(store: Store, export: str, seq: int, expected: str | None) -> Ledger | str:
    """The ledger, or what is wrong with the checkpoint."""
    try:
        data = store.read(checkpoint_key(export, seq))
        if expected is not None and content_hash(data) != expected:
            return "its bytes are not those that HEAD names"
        ledger = decode_checkpoint(export, data)
    except NotFound:
        return "there is no such object"
    except ValueError as error:
        return str(error)
    if ledger.head.seq != seq:
        return f"it ends at record {ledger.head.seq}"
    back = _back(store, export, ledger.without)
    return ledger if back is None else f"record {back}, which was damaged when it was made, is another now"


def _back(store: Store, export: str, without: dict[int, str | None]) -> int | None:
    """The first of the records that were left out which is not as it was then."""
    missing = [seq for seq, found in without.items() if found is None]
    if len(missing) > _ASKED_ONE_BY_ONE:
        there = {number_of(info.key) for info in store.list(journal_prefix(export))}
        back = [seq for seq in missing if seq in there]
    else:
        back = [seq for seq in missing if store.head(journal_key(export, seq)) is not None]
    for seq, found in without.items():
        if found is not None and _hash(store, journal_key(export, seq)) not in (found, None):
            back.append(seq)
    return min(back, default=None)


def _hash(store: Store, key: str) -> str | None:
    try:
        return content_hash(store.read(key))
    except NotFound:
        return None


def _is_of(store: Store, export: str, head: Head) -> bool:
    try:
        return content_hash(store.read(journal_key(export, head.seq))) == head.hash
    except StoreError:
        return False


def _span(window: Any) -> dict[str, str]:
    span = Span.of(window)
    return {"start": span.start, "end": span.end}
