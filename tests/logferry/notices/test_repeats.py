"""A broken archive is told of, and does not nag."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.logferry.memory_store import MemoryStore
from tests.logferry.notices.made import notice

from logferry.audit.verify import verify
from logferry.errors import StoreError
from logferry.layout import notices_key
from logferry.notices.delivery import channel_name, deliver
from logferry.notices.memory import LakeMemory
from logferry.notices.notice import Notice
from logferry.notices.repeats import AGAIN_AFTER, MOST_AN_HOUR, Sent, added, news, sent_now, without
from logferry.spec import NotifySpec, SmtpNotifySpec, WebhookNotifySpec
from logferry.window import TICK_PER_DAY, TICK_PER_HOUR, TICK_PER_MINUTE, parse_instant

NOW = parse_instant("2026-11-22T12:00:00Z")
SLACK = WebhookNotifySpec(connection="slack")
MAIL = SmtpNotifySpec(connection="smtp_default", to=("oncall@example.org",), on=("behind",))


class Post:
    """What went out, by channel; a broken channel takes nothing."""

    def __init__(self, *broken: str) -> None:
        self.broken = set(broken)
        self.sent: list[tuple[str, str]] = []

    def __call__(self, channel: NotifySpec, told: Notice) -> None:
        if channel.connection in self.broken:
            raise OSError("nobody listens")
        self.sent.append((channel.connection, told.subject))


def say(told: Notice, post: Post, store: MemoryStore, now: int, *channels: NotifySpec) -> None:
    deliver(told, channels or (SLACK,), LakeMemory(store, "web_errors"), post, now, page=None)


def test_the_same_is_told_once_and_again_after_a_day_while_it_lasts() -> None:
    store, post = MemoryStore(), Post()
    for hour in range(50):
        say(notice("a"), post, store, NOW + hour * TICK_PER_HOUR)
    assert post.sent == [("slack", "subject a")] * 3


def test_a_retry_tells_nothing_new_and_other_numbers_do() -> None:
    store, post = MemoryStore(), Post()
    for told in (notice("a"), notice("a"), notice("b")):
        say(told, post, store, NOW)
    assert [subject for _, subject in post.sent] == ["subject a", "subject b"]


def test_known_findings_beside_a_new_one_are_told_and_without_one_are_not() -> None:
    store, post = MemoryStore(), Post()
    for keys in (("a", "b"), ("b",), ("b", "c"), ("a", "c")):
        say(notice(*keys), post, store, NOW)
    assert [subject for _, subject in post.sent] == ["subject a", "subject b"]


def test_what_cannot_change_any_more_is_told_once() -> None:
    store, post = MemoryStore(), Post()
    for day in range(60):
        say(notice("lost", once=True), post, store, NOW + day * TICK_PER_DAY)
    assert len(post.sent) == 1


def test_a_backfill_of_short_windows_is_five_notices_and_one_that_there_are_more() -> None:
    store, post = MemoryStore(), Post()
    for window in range(100):
        say(notice(f"{window:03}"), post, store, NOW + window * TICK_PER_MINUTE // 2)
    assert [subject for _, subject in post.sent] == [
        *(f"subject {window:03}" for window in range(MOST_AN_HOUR)),
        "web_errors: more of the kind 'short'",
    ]


def test_the_next_hour_tells_again() -> None:
    store, post = MemoryStore(), Post()
    for window in range(30):
        say(notice(f"{window:03}"), post, store, NOW)
    say(notice("later"), post, store, NOW + TICK_PER_HOUR)
    assert post.sent[-1] == ("slack", "subject later")


def test_each_channel_is_told_what_it_asked_for() -> None:
    store, post = MemoryStore(), Post()
    say(notice("a"), post, store, NOW, SLACK, MAIL)
    assert post.sent == [("slack", "subject a")]


def test_a_channel_that_fails_holds_up_no_other_and_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    store = MemoryStore()
    other = WebhookNotifySpec(connection="other")
    post = Post("slack")
    say(notice("a"), post, store, NOW, SLACK, other)
    assert post.sent == [("other", "subject a")]
    assert "the notice could not be sent through slack (webhook): nobody listens" in caplog.messages
    post.broken.clear()
    say(notice("a"), post, store, NOW, SLACK, other)
    assert post.sent == [("other", "subject a"), ("slack", "subject a")]


def test_without_a_channel_nothing_is_read_or_written() -> None:
    store = MemoryStore()
    say(notice("a"), Post(), store, NOW, MAIL)
    assert not store.counted


def test_a_memory_that_cannot_be_read_or_kept_stops_no_notice(caplog: pytest.LogCaptureFixture) -> None:
    def refuse(operation: str, key: str) -> None:
        raise StoreError(f"{key} cannot be reached")

    store, post = MemoryStore(before=refuse), Post()
    say(notice("a"), post, store, NOW)
    assert len(post.sent) == 1
    assert sum(record.levelno == logging.WARNING for record in caplog.records) == 2


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b'{"format":1,"export":"x","sent":[],"more":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"format": 1}',
        b"\xff",
        b'{"format":1,"export":"x","sent":[{}]}',
    ],
)
def test_an_unreadable_memory_is_as_good_as_none(content: bytes) -> None:
    store, post = MemoryStore(), Post()
    store.put_bytes(notices_key("web_errors"), content)
    say(notice("a"), post, store, NOW)
    say(notice("a"), post, store, NOW)
    assert len(post.sent) == 1


def test_what_was_told_in_a_future_that_never_came_is_not_known() -> None:
    ahead = {hours: [sent_now(notice("a"), "c", NOW + hours * TICK_PER_HOUR)] for hours in (1, 2, 10_000)}
    told = {hours: news(notice("a"), "c", sent, NOW, page=None) for hours, sent in ahead.items()}
    assert told[1] is None, "clocks differ"
    assert told[2] == told[10_000] == notice("a")
    assert added(ahead[2], [], NOW) == []


class Waits:
    def __init__(self) -> None:
        self.slept: list[float] = []

    def now(self) -> int:
        return NOW

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


def test_sixteen_tasks_that_remember_at_once_are_all_remembered() -> None:
    """Each time the last one writes, another one was faster."""
    others = iter(range(15))

    def faster(operation: str, key: str) -> None:
        if operation == "put_bytes" and (number := next(others, None)) is not None:
            store.before = lambda operation, key: None
            with_it = LakeMemory(store, "web_errors")
            assert with_it.change(lambda old: added(old, [sent_now(notice(str(number)), "c", NOW)], NOW))
            store.before = faster

    store, clock = MemoryStore(), Waits()
    store.before = faster
    memory = LakeMemory(store, "web_errors", clock)
    assert memory.change(lambda old: added(old, [sent_now(notice("last"), "c", NOW)], NOW))
    assert len(memory.load()) == 16
    assert len(clock.slept) == 15
    assert len(set(clock.slept)) > 10, "no two tasks wait the same"


def test_the_last_notice_of_an_hour_says_that_it_does_not_know_how_many_follow_and_where_to_look() -> None:
    sent = [sent_now(notice(str(number)), "c", NOW) for number in range(MOST_AN_HOUR)]
    told = news(notice("more"), "c", sent, NOW, page="http://airflow/page")
    assert told is not None
    assert "How many follow is not known" in told.text
    assert (
        "Next: look through the page below, or logferry gaps web_errors\nSee: http://airflow/page"
        in told.text
    )


class Measured(MemoryStore):
    """How many bytes were asked for."""

    asked = 0

    def read_range(self, key: str, start: int, length: int) -> bytes:
        Measured.asked = max(Measured.asked, length)
        return super().read_range(key, start, length)


def test_a_memory_of_any_length_is_read_no_further_than_one_can_be() -> None:
    store, post = Measured(), Post()
    store.put_bytes(notices_key("web_errors"), b'{"format":1,"export":"x","sent":[]}' + b" " * 2**24)
    say(notice("a"), post, store, NOW)
    assert len(post.sent) == 1
    assert 0 < Measured.asked <= 2**24 + 1
    assert not store.counted["read"]


def test_two_tasks_that_remember_at_once_lose_neither() -> None:
    store = MemoryStore()
    memory = LakeMemory(store, "web_errors")
    first, second = (sent_now(notice(key), "c", NOW) for key in "ab")
    interrupted: list[bool] = []

    def work(before: list[Sent]) -> list[Sent]:
        if not interrupted:
            interrupted.append(True)
            LakeMemory(store, "web_errors").change(lambda old: added(old, [second], NOW))
        return added(before, [first], NOW)

    memory.change(work)
    assert {key for one in memory.load() for key in one.keys} == {"a", "b"}


def test_what_is_over_is_news_when_it_comes_again() -> None:
    sent = [sent_now(notice("behind"), "c", NOW)]
    assert news(notice("behind"), "c", sent, NOW, page=None) is None
    assert news(notice("behind"), "c", without(sent, "behind"), NOW, page=None) == notice("behind")


def test_the_memory_is_no_stray_to_verify_and_names_no_address() -> None:
    store, post = MemoryStore(), Post()
    everything = MAIL.model_copy(update={"on": ("short",)})
    say(notice("a"), post, store, NOW, everything)
    assert post.sent
    assert b"oncall" not in store.read(notices_key("web_errors"))
    assert not verify(store, "web_errors", now=NOW).findings


def test_mail_to_others_is_another_channel() -> None:
    assert channel_name(MAIL) != channel_name(MAIL.model_copy(update={"to": ("boss@example.org",)}))


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3 * 24 * 60)), max_size=60))
def test_nothing_is_told_twice_within_a_day_and_nothing_is_kept_for_ever(told: list[tuple[int, int]]) -> None:
    sent: list[Sent] = []
    last: dict[int, int] = {}
    for key, minute in sorted(told, key=lambda one: one[1]):
        now = NOW + minute * TICK_PER_MINUTE
        chosen = news(notice(str(key)), "c", sent, now, page=None)
        if key in last and now - last[key] < AGAIN_AFTER:
            assert chosen is None or chosen.keys != (str(key),)
        if chosen is not None:
            sent = added(sent, [sent_now(chosen, "c", now)], now)
            if chosen.keys == (str(key),):
                last[key] = now
    assert added(sent, [], NOW + 10 * TICK_PER_DAY) == []
