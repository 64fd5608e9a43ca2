"""Delivering a notice: to every channel that wants its kind and does not know it yet."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from logferry.notices.memory import Memory
from logferry.notices.notice import Notice, key_of
from logferry.notices.repeats import added, news, sent_now
from logferry.spec import NotifySpec, SmtpNotifySpec

log = logging.getLogger(__name__)


def deliver(
    notice: Notice,
    channels: Sequence[NotifySpec],
    memory: Memory,
    send: Callable[[NotifySpec, Notice], None],
    now: int,
    *,
    page: str | None,
) -> None:
    """Send what is news to each channel, and remember what went out (after it did: rather told twice than never).

    A channel that fails is logged with its cause and holds up no other; the next occasion tries it again.
    """
    wanting = [channel for channel in channels if notice.kind in channel.on]
    if not wanting:
        return
    told = memory.load()
    new = []
    for channel in wanting:
        name = channel_name(channel)
        if (chosen := news(notice, name, told, now, page=page)) is None:
            log.info("%s was told already through %s: %s", notice.export, channel.connection, notice.subject)
            continue
        try:
            send(channel, chosen)
        except Exception as error:
            log.warning(
                "the notice could not be sent through %s (%s): %s", channel.connection, channel.kind, error
            )
            continue
        log.info("told through %s: %s", channel.connection, chosen.subject)
        new.append(sent_now(chosen, name, now))
    if new:
        memory.change(lambda before: added(before, new, now))


def channel_name(channel: NotifySpec) -> str:
    """What tells channels apart in the memory; addresses are not written into the lake."""
    to = channel.to if isinstance(channel, SmtpNotifySpec) else ()
    return (
        f"{channel.kind} {channel.connection} {key_of(*to)}" if to else f"{channel.kind} {channel.connection}"
    )
