"""Events of a Datadog answer, from JSON to typed values: nearly all of them by one decoder that refuses anything
unusual, and only what it refuses by the careful way (``datadog_odd``).

The decoder tells of a refused list no more than that it is refused. So each event that was decoded before is noted as
it comes, which says where the odd one lies, and no other event pays for it.
Event shape: https://docs.datadoghq.com/api/latest/logs/#search-logs-post.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from itertools import accumulate
from types import GenericAlias
from typing import Any, Literal

import msgspec

from logferry.convert.repair import MarkedDocument
from logferry.errors import FailedAnswer

NULL = msgspec.Raw(b"null")
"""A member that is null or not there: no column tells the two apart."""
ABSENT = msgspec.Raw(b"")
MOST_EVENTS = 10_000
"""Events in one answer: ten times the most that is ever asked for. Two bytes can be one (``0,``), and each takes some
hundred bytes while it is read."""
_SMALL_BYTES = 8 * 1024 * 1024
"""An answer that cannot hold so many events that they fill the memory: the shortest take 32 bytes, and seven times that
when they are decoded."""


class PlainInner(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """The documented members of an event's ``attributes``; tags and free-form attributes as received."""

    timestamp: str
    status: str | None = None
    service: str | None = None
    host: str | None = None
    message: str | None = None
    tags: msgspec.Raw = NULL
    attributes: msgspec.Raw = NULL


class PlainEvent(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """An event that holds nothing but documented members of the documented types."""

    attributes: PlainInner
    id: str | None = None
    type: Literal["log"] = "log"


_STAND_IN = PlainEvent(PlainInner(""))
_OPENING = ord("[")


@dataclass(slots=True)
class Events:
    """The events of an answer in its order; ``odd`` are the places of those that ``plain`` has no more than a stand-in
    of. ``marked``: how to get an event's JSON as it was received, where halves of surrogate pairs had to be marked."""

    plain: list[PlainEvent]
    split: Callable[[], Sequence[msgspec.Raw]]
    """Gives the JSON of all events."""
    odd: list[int] = field(default_factory=list)
    marked: MarkedDocument | None = None


def _too_many() -> FailedAnswer:
    return FailedAnswer(
        f"a page of the log search holds more than {MOST_EVENTS:,} events, and at most a thousand are asked for; "
        "check what answers at the connection's site or host"
    )


def _listed(few: Any) -> list[msgspec.Raw]:
    values = msgspec.structs.astuple(few)
    return list(values[: values.index(ABSENT)] if values[-1] == ABSENT else values)


@dataclass(frozen=True, slots=True)
class _Splitters:
    """Decoders that split and do not look into an event: of a whole answer, and of the list of its events."""

    answer: Callable[[bytes | str], Any]
    events: Callable[[bytes | str], Any]


_making = threading.Lock()


def _splitters() -> _Splitters:
    """Made when the first odd event comes: 50 ms, which most exports do without; once, though threads ask at once."""
    with _making:
        return _made_splitters()


@cache
def _made_splitters() -> _Splitters:
    # A JSON array of at most MOST_EVENTS values: unlike a list's, its length is checked before a value is kept.
    few: Any = msgspec.defstruct(
        "FewEvents",
        [(f"e{number}", msgspec.Raw, ABSENT) for number in range(MOST_EVENTS)],
        array_like=True,
        forbid_unknown_fields=True,
        gc=False,
    )
    answer: Any = msgspec.defstruct(
        "SplitAnswer", [("data", few), ("meta", msgspec.Raw, ABSENT), ("errors", msgspec.Raw, ABSENT)]
    )
    return _Splitters(msgspec.json.Decoder(answer).decode, msgspec.json.Decoder(few).decode)


def _seen_by(note: Callable[[PlainEvent], None]) -> Any:
    """The type of an event that is handed to ``note`` as soon as it is decoded whole."""
    return msgspec.defstruct(
        "SeenEvent",
        [],
        bases=(PlainEvent,),
        namespace={"__post_init__": note},
        forbid_unknown_fields=True,
        gc=False,
    )


def _answer_decoder(event: Any) -> Callable[[bytes], Any]:
    answer: Any = msgspec.defstruct(
        "WholeAnswer",
        [
            ("data", GenericAlias(list, (event,))),
            ("meta", msgspec.Raw, ABSENT),
            ("errors", msgspec.Raw, ABSENT),
        ],
    )
    return msgspec.json.Decoder(answer).decode


class _Decoders(threading.local):
    """One thread's typed decoders, and the events that they have decoded since ``seen`` was cleared."""

    def __init__(self) -> None:
        self.seen: list[PlainEvent] = []
        # A method of a list: a function of our own for each event would take a tenth of the decoding.
        event: Any = _seen_by(self.seen.append)
        self.events: Callable[[memoryview], list[PlainEvent]] = msgspec.json.Decoder(list[event]).decode
        self._small_answer = _answer_decoder(event)

    @cached_property
    def _large_answer(self) -> Callable[[bytes], Any]:
        def note(event: PlainEvent) -> None:
            self.seen.append(event)
            if len(self.seen) > MOST_EVENTS:
                raise _too_many()

        return _answer_decoder(_seen_by(note))

    def answer(self, body: bytes) -> Any:
        """Raises FailedAnswer when it holds more than MOST_EVENTS: of a large one before they fill the memory."""
        if len(body) > _SMALL_BYTES:
            return self._large_answer(body)
        whole = self._small_answer(body)
        if len(self.seen) > MOST_EVENTS:
            raise _too_many()
        return whole


_decoders = _Decoders()
_REFUSALS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


@dataclass(frozen=True, slots=True)
class Answer:
    """A search answer of the usual shape: its events, and ``meta`` and ``errors`` as received (ABSENT: not there)."""

    events: Events
    meta: msgspec.Raw
    errors: msgspec.Raw


def read_answer(body: bytes, *, expect_odd: bool) -> Answer | None:
    """The parts of a search answer; None when it is of another shape, or not whole.

    ``expect_odd``: do not try to decode all of it at once, which is in vain when an event is odd. Raises FailedAnswer
    when it holds more than MOST_EVENTS events of the usual shape.
    """
    if not expect_odd:
        try:
            whole = _decoders.answer(body)
            return Answer(
                Events(whole.data, lambda: _listed(_splitters().answer(body).data)), whole.meta, whole.errors
            )
        except _REFUSALS:
            pass
        finally:
            _decoders.seen.clear()
    marked = None
    try:
        try:
            split = _splitters().answer(body)
        except msgspec.ValidationError:
            return None
        except msgspec.DecodeError:
            # Half of a surrogate pair in a text is legal JSON, but msgspec refuses the whole document for it.
            marked = MarkedDocument(body)
            split = _splitters().answer(marked.document)
    except _REFUSALS:
        return None
    if marked is not None and (marked.touched(bytes(split.meta)) or marked.touched(bytes(split.errors))):
        return None
    return Answer(_by_runs(_listed(split.data), marked), split.meta, split.errors)


def read_list(data: bytes) -> Events:
    """The events of a JSON array. Raises DecodeError or RecursionError when it is none, FailedAnswer when it holds
    more than MOST_EVENTS."""
    marked = None
    try:
        try:
            events = _splitters().events(data)
        except msgspec.ValidationError:
            raise
        except msgspec.DecodeError:
            marked = MarkedDocument(data)
            events = _splitters().events(marked.document)
    except msgspec.ValidationError as error:
        if not data.lstrip().startswith(b"["):
            raise
        raise _too_many() from error
    return _by_runs(_listed(events), marked)


def _by_runs(events: Sequence[msgspec.Raw], marked: MarkedDocument | None) -> Events:
    """Joined once: after each odd event decoding goes on in the same bytes, at the next one."""
    found = Events([], lambda: events, marked=marked)
    plain, seen = found.plain, _decoders.seen
    joined = bytearray(b"[" + b",".join(events) + b"]")
    starts = list(accumulate((len(event) + 1 for event in events), initial=0))
    while len(plain) < len(events):
        begin = starts[len(plain)]
        joined[begin] = _OPENING
        try:
            plain += _decoders.events(memoryview(joined)[begin:])
        except _REFUSALS:
            plain += seen
            found.odd.append(len(plain))
            plain.append(_STAND_IN)
        finally:
            seen.clear()
    if marked is not None:
        found.odd = sorted(
            {*found.odd, *(at for at, event in enumerate(events) if marked.touched(bytes(event)))}
        )
    return found
