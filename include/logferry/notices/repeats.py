"""Whether a notice is news: a broken archive is told of, and does not nag."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from logferry.notices.notice import Notice, compose, key_of
from logferry.spec_fields import Event
from logferry.window import TICK_PER_DAY, TICK_PER_HOUR

AGAIN_AFTER = TICK_PER_DAY
"""Ticks after which what lasts is told again."""
MOST_AN_HOUR = 5
"""Notices of one kind about one export, to one channel; then one says that there are more. Tasks that tell at the same
moment do not know of each other, and go beyond it."""
_ONCE_FOR = 400 * TICK_PER_DAY
_SKEW = TICK_PER_HOUR
_MOST = 2_000
_COMMANDS: dict[Event, str] = {"short": "gaps", "verification": "verify", "behind": "coverage"}
"""What shows all there is of a kind."""
_MORE = key_of("and more")


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """A notice that went out at tick ``at`` to a ``channel``."""

    kind: str
    channel: str
    keys: list[str]
    at: int
    once: bool = False


def news(notice: Notice, channel: str, sent: Iterable[Sent], now: int, *, page: str | None) -> Notice | None:
    """What to send to the channel at tick ``now``: the notice; or, beyond MOST_AN_HOUR, one that there are more of its
    kind; or nothing, where all of it was told already."""
    known = [one for one in still_known(sent, now) if (one.kind, one.channel) == (notice.kind, channel)]
    if set(notice.keys) <= {key for one in known for key in one.keys}:
        return None
    lately = [one for one in known if now - one.at < TICK_PER_HOUR]
    if len(lately) < MOST_AN_HOUR:
        return notice
    if any(_MORE in one.keys for one in lately):
        return None
    return Notice(
        kind=notice.kind,
        export=notice.export,
        window=None,
        subject=f"{notice.export}: more of the kind {notice.kind!r}",
        text=compose(
            f"{notice.export}: there is more of the kind {notice.kind!r} than the {MOST_AN_HOUR} notices of the last "
            "hour. How many follow is not known; the rest of the hour is silent.",
            next_step=f"{'look through the page below, or ' if page else ''}"
            f"logferry {_COMMANDS[notice.kind]} {notice.export}",
            page=page,
        ),
        keys=(_MORE,),
    )


def sent_now(notice: Notice, channel: str, now: int) -> Sent:
    return Sent(kind=notice.kind, channel=channel, keys=list(notice.keys), at=now, once=notice.once)


def still_known(sent: Iterable[Sent], now: int) -> list[Sent]:
    """What is not old enough to be told again; what went out later than now, by more than clocks differ, did not."""
    return [one for one in sent if -_SKEW <= now - one.at < (_ONCE_FOR if one.once else AGAIN_AFTER)]


def added(sent: Sequence[Sent], new: Sequence[Sent], now: int) -> list[Sent]:
    """The memory after ``new`` went out, the newest kept."""
    return sorted(still_known([*sent, *new], now), key=lambda one: one.at)[-_MOST:]


def without(sent: Sequence[Sent], key: str) -> list[Sent]:
    """The memory once what the key stands for is over: should it come again, it is news."""
    return [one for one in sent if key not in one.keys]
