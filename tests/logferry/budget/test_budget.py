"""The budget: never more than the allowance, a reserve for the people, one state for all processes."""

from __future__ import annotations

import errno
import fcntl
import os
import tempfile
import threading
from collections import Counter
from email.utils import formatdate
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from logferry.budget import Budget, retry_after_s
from logferry.budget.allowance import Allowance
from logferry.budget.board import Work
from logferry.budget.budget import record_name
from logferry.budget.in_flight import LeasedSlots
from logferry.budget.learning import SILENT_ANSWERS
from logferry.budget.recent import Recent
from logferry.budget.shares import Share, Shares
from logferry.errors import DefinitionError, StoreError, Unavailable
from logferry.window import TICK_PER_MS, TICK_PER_SECOND, parse_instant

T = TypeVar("T")


class ManualClock:
    def __init__(self, offset_ms: int = 0) -> None:
        self.tick = parse_instant("2026-11-22T12:00:00Z") + offset_ms * TICK_PER_MS

    def now(self) -> int:
        return self.tick

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.tick += round(seconds * TICK_PER_SECOND)


class Api:
    """Counts requests per period aligned to its clock and answers with the rate headers.

    ``skew_ms``: how far its clock is ahead. ``rounded_up``: Reset in whole seconds up or down.
    """

    def __init__(
        self, clock: ManualClock, limit: int, period_s: int, *, skew_ms: int = 0, rounded_up: bool = True
    ) -> None:
        self.clock, self.limit, self.period_s = clock, limit, period_s
        self.skew_ms, self.rounded_up = skew_ms, rounded_up
        self.answered: Counter[int] = Counter()
        self.refused = 0

    def ask(self, others: int = 0) -> tuple[int, dict[str, str]]:
        now_ms = self.clock.now() // TICK_PER_MS + self.skew_ms
        period, into = divmod(now_ms, self.period_s * 1000)
        left_ms = self.period_s * 1000 - into
        reset = -(-left_ms // 1000) if self.rounded_up else left_ms // 1000
        self.answered[period] += others
        admitted = self.answered[period] < self.limit
        if admitted:
            self.answered[period] += 1
        else:
            self.refused += 1
        return 200 if admitted else 429, {
            "x-ratelimit-limit": str(self.limit),
            "x-ratelimit-period": str(self.period_s),
            "x-ratelimit-remaining": str(max(0, self.limit - self.answered[period])),
            "x-ratelimit-reset": str(reset),
        }


def send(budget: Budget, api: Api, *, others: int = 0) -> None:
    budget.acquire("search")
    status, headers = api.ask(others)
    budget.learn("search", status, headers)


@given(
    limit=st.integers(1, 40),
    period_s=st.sampled_from([1, 10, 60]),
    offset_ms=st.integers(0, 60_000),
    pauses=st.lists(st.integers(0, 20_000), min_size=1, max_size=60),
    rounded_up=st.booleans(),
    processes=st.integers(1, 3),
)
def test_no_period_ever_sees_more_than_its_allowance(
    tmp_path_factory: pytest.TempPathFactory,
    limit: int,
    period_s: int,
    offset_ms: int,
    pauses: list[int],
    rounded_up: bool,
    processes: int,
) -> None:
    clock = ManualClock(offset_ms)
    folder = tmp_path_factory.mktemp("budget")
    budgets = [Budget("key", clock=clock, folder=folder) for _ in range(processes)]
    api = Api(clock, limit, period_s, rounded_up=rounded_up)
    for number, pause in enumerate(pauses):
        send(budgets[number % processes], api)
        clock.tick += (pause if pause % 3 == 0 else 0) * TICK_PER_MS
    assert api.refused == 0
    assert max(api.answered.values()) <= limit


@given(st.integers(2, 20), st.sampled_from([-5, -3, -2, 2, 4]), st.integers(0, 10_000))
def test_a_server_whose_clock_differs_by_seconds_is_followed(
    tmp_path_factory: pytest.TempPathFactory, limit: int, skew_s: int, offset_ms: int
) -> None:
    clock = ManualClock(offset_ms)
    budget = Budget("key", clock=clock, folder=tmp_path_factory.mktemp("budget"))
    api = Api(clock, limit, 10, skew_ms=skew_s * 1000)
    for _ in range(limit * 5):
        send(budget, api)
    assert api.refused == 0


@given(st.integers(2, 20), st.integers(-999, 999), st.integers(0, 10_000))
def test_a_clock_that_differs_by_less_than_a_second_costs_at_most_one_refusal_a_period(
    tmp_path_factory: pytest.TempPathFactory, limit: int, skew_ms: int, offset_ms: int
) -> None:
    """Reset comes in whole seconds, so a smaller difference cannot be seen."""
    clock = ManualClock(offset_ms)
    budget = Budget("key", clock=clock, folder=tmp_path_factory.mktemp("budget"))
    api = Api(clock, limit, 10, skew_ms=skew_ms)
    for _ in range(limit * 5):
        send(budget, api)
    assert api.refused <= len(api.answered)
    assert max(api.answered.values()) <= limit


@pytest.mark.parametrize(("limit", "expected"), [(3, 27), (10, 90), (300, 2700), (25, 225)])
def test_a_tenth_is_left_to_the_people_on_the_average_of_ten_periods(
    tmp_path: Path, limit: int, expected: int
) -> None:
    clock = ManualClock()
    budget, api = Budget("key", clock=clock, folder=tmp_path), Api(clock, limit, 10)
    first = clock.now() // (10 * TICK_PER_SECOND)
    while clock.now() // (10 * TICK_PER_SECOND) < first + 21:
        send(budget, api)
    ten = [api.answered[first + at] for at in range(5, 15)]
    assert expected - 1 <= sum(ten) <= expected
    assert max(ten) - min(ten) <= 1


def test_what_others_spend_is_learned_from_the_answers(tmp_path: Path) -> None:
    clock = ManualClock()
    budget, api = Budget("key", clock=clock, folder=tmp_path), Api(clock, 10, 10)
    send(budget, api)
    send(budget, api, others=8)
    send(budget, api)  # waits for the next period: the other eight left nothing
    assert api.refused == 0
    assert len(api.answered) == 2


def test_a_lowered_limit_is_obeyed_at_once(tmp_path: Path) -> None:
    clock = ManualClock()
    budget, api = Budget("key", clock=clock, folder=tmp_path), Api(clock, 300, 10)
    send(budget, api)
    api.limit = 3
    for _ in range(6):
        send(budget, api)
    assert api.refused == 0


def test_processes_share_what_one_of_them_learned(tmp_path: Path) -> None:
    clock = ManualClock()
    one, two = (Budget("key", clock=clock, folder=tmp_path) for _ in range(2))
    api = Api(clock, 10, 10)
    for _ in range(9):
        send(one, api)
    before = clock.now()
    two.acquire("search")
    assert clock.now() > before
    assert two.requests_per_second("search") == pytest.approx(8)


def test_what_is_left_of_a_period_may_go_in_a_second(tmp_path: Path) -> None:
    clock = ManualClock()
    budget, api = Budget("key", clock=clock, folder=tmp_path), Api(clock, 100, 30)
    assert budget.requests_per_second("search") is None
    send(budget, api)
    assert budget.requests_per_second("search") == pytest.approx(89)


def test_another_key_and_another_bucket_have_their_own_budget(tmp_path: Path) -> None:
    clock = ManualClock()
    budget = Budget("key", clock=clock, folder=tmp_path)
    budget.learn("search", 429, {"retry-after": "60"})
    Budget("other", clock=clock, folder=tmp_path).acquire("search")
    budget.acquire("aggregate")
    assert budget.waited_s == 0


@pytest.mark.parametrize(
    "headers",
    [
        {
            "x-ratelimit-reset": "30",
            "x-ratelimit-limit": "3",
            "x-ratelimit-period": "60",
            "x-ratelimit-remaining": "0",
        },
        {"x-ratelimit-reset": "30"},
        {"retry-after": "30"},
    ],
)
def test_a_429_stops_the_bucket_until_its_reset(tmp_path: Path, headers: dict[str, str]) -> None:
    clock = ManualClock()
    budget = Budget("key", clock=clock, folder=tmp_path)
    budget.learn("search", 429, headers)
    budget.acquire("search")
    assert 30 <= budget.waited_s < 32


def test_a_429_that_names_no_allowance_leaves_none_behind(tmp_path: Path) -> None:
    clock = ManualClock()
    budget = Budget("key", clock=clock, folder=tmp_path)
    budget.learn("search", 429, {})
    budget.acquire("search")
    waited = budget.waited_s
    for _ in range(50):
        budget.acquire("search")
    assert budget.waited_s == waited > 0


def test_a_reset_that_is_a_point_in_time_is_understood(tmp_path: Path) -> None:
    clock = ManualClock()
    budget = Budget("key", clock=clock, folder=tmp_path)
    budget.learn("search", 429, {"x-ratelimit-reset": str(clock.now() // TICK_PER_SECOND + 30)})
    budget.acquire("search")
    assert 29 <= budget.waited_s < 32


def test_azures_documented_allowance_needs_no_headers(tmp_path: Path) -> None:
    clock = ManualClock()
    budget = Budget("key", clock=clock, folder=tmp_path)
    for _ in range(180):
        budget.acquire("azure_query")
    assert budget.waited_s == 0
    budget.acquire("azure_query")
    assert budget.waited_s > 0


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'{"limit":"x"}',
        b'{"limit":5,"period_ms":0}',
        b"\xff\xfe",
        b'{"spent":NaN}',
    ],
)
def test_a_spoiled_state_file_is_forgotten(tmp_path: Path, content: bytes) -> None:
    clock = ManualClock()
    budget = Budget("key", clock=clock, folder=tmp_path)
    budget.acquire("search")
    (state,) = tmp_path.iterdir()
    state.write_bytes(content)
    budget.acquire("search")
    send(budget, Api(clock, 10, 10))
    assert budget.waited_s < 11


class OneRecord:
    """A board in memory."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.records: dict[str, bytes] = {}

    def change(self, name: str, work: Work[T]) -> T:
        changed, result = work(self.records.get(name, b""), self.clock.now() // TICK_PER_MS, 1)
        if changed is not None:
            self.records[name] = changed
        return result


def test_a_record_of_another_layout_is_neither_read_nor_written() -> None:
    """Half of it understood, a documented allowance would be counted wrongly and a pause be lost unseen."""
    clock = ManualClock()
    board = OneRecord(clock)
    older = record_name("key", "azure_query").removesuffix("-3")
    assert older != record_name("key", "azure_query")
    record = msgspec.msgpack.encode({"limit": 200, "period_ms": 30_000, "sliding": True, "taken": [1] * 170})
    board.records[older] = record
    budget = Budget("key", clock=clock, board=board, slots=LeasedSlots(board))
    for _ in range(180):
        budget.acquire("azure_query")
    assert budget.waited_s == 0
    budget.acquire("azure_query")
    assert budget.waited_s > 0
    assert board.records[older] == record


def test_the_layout_of_a_record_is_the_one_that_its_name_says() -> None:
    """Where this fails, give the layout the next number, and write down here what it is now."""
    named = msgspec.to_builtins(Allowance(shares=Shares([Share("here", 1.0, 2)]), recent=Recent([3])))
    assert record_name("key", "search").endswith("-search-3")
    assert named == {
        "limit": None,
        "period_ms": 10_000,
        "grant": 0,
        "carried": 0.0,
        "kept_out": False,
        "risk": 0.0,
        "silent": 0,
        "forgotten": None,
        "answer_ms": 0.0,
        "period": [0, 0, 0, False, 0, 0, 0, 0, [None, None]],
        "theirs": [0, 0.0, 1.0, 0],
        "pause": [0, 0],
        "recent": [[3]],
        "shares": [[["here", 1.0, 2, False]]],
    }


def test_a_documented_allowance_that_answers_stopped_naming_keeps_the_pause_and_who_is_at_work(
    tmp_path: Path,
) -> None:
    clock = ManualClock()
    budget = Budget("key", clock=clock, folder=tmp_path, share="here")
    other = Budget("key", clock=clock, folder=tmp_path, share="other")
    api = Api(clock, 100, 10)
    for one in (budget, other):
        one.acquire("azure_query")
        one.learn("azure_query", *api.ask())
    budget.learn("azure_query", 429, {"retry-after": "60"})
    for _ in range(SILENT_ANSWERS):
        budget.learn("azure_query", 200, {})
    found = budget.forecast("azure_query")
    assert found is not None
    assert (found.limit, found.sharing) == (200, 2)
    assert budget.wait_s("azure_query") == 60


@pytest.mark.parametrize("value", ["", "x", "-5", "0", "nan", "inf", "1e400", "9" * 50, "\xb2"])
def test_odd_headers_never_break_nor_block_for_good(tmp_path: Path, value: str) -> None:
    clock = ManualClock()
    budget = Budget("key", clock=clock, folder=tmp_path)
    names = (
        "x-ratelimit-limit",
        "x-ratelimit-period",
        "x-ratelimit-remaining",
        "x-ratelimit-reset",
        "retry-after",
    )
    for status in (200, 429):
        for name in names:
            budget.learn("search", status, {**dict.fromkeys(names, "1"), name: value})
        budget.learn("search", status, dict.fromkeys(names, value))
    asked: list[float | None] = []
    try:
        budget.acquire("search")
    except Unavailable as error:
        asked.append(error.wait_s)
    assert all(wait is not None and wait <= 24 * 3600 for wait in asked)
    assert budget.waited_s < 25 * 3600


def test_a_pause_too_long_to_sleep_is_handed_up(tmp_path: Path) -> None:
    clock = ManualClock()
    budget = Budget("key", clock=clock, folder=tmp_path)
    budget.learn("search", 429, {"retry-after": "7200"})
    with pytest.raises(Unavailable) as caught:
        budget.acquire("search")
    assert caught.value.wait_s == 7200
    assert budget.waited_s == 0


def test_a_clock_that_was_set_back_makes_nobody_wait_for_years(tmp_path: Path) -> None:
    headers = {"x-ratelimit-limit": "1", "x-ratelimit-period": "10", "x-ratelimit-remaining": "0"}
    ahead = Budget("key", clock=ManualClock(offset_ms=10 * 365 * 86_400_000), folder=tmp_path)
    ahead.learn("search", 200, {**headers, "x-ratelimit-reset": "5"})
    now = Budget("key", clock=ManualClock(), folder=tmp_path)
    now.acquire("search")
    assert now.waited_s < 11


def test_a_folder_that_others_can_write_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(DefinitionError, match="can be written by other users"):
        Budget("key", clock=ManualClock(), folder=tmp_path)


def test_a_folder_tidied_away_under_a_long_run_is_made_again(tmp_path: Path) -> None:
    folder = tmp_path / "meeting"
    budget = Budget("key", clock=ManualClock(), folder=folder)
    budget.acquire("search")
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    budget.acquire("search")
    assert budget.waited_s == 0


def test_an_absurd_retry_after_is_a_day_at_most() -> None:
    assert retry_after_s({"retry-after": "9" * 400}) == 24 * 3600


def test_a_date_without_a_zone_is_utc() -> None:
    clock = ManualClock()
    assert retry_after_s({"retry-after": "Sun, 22 Nov 2026 12:01:00"}, clock) == 60


def test_the_state_never_holds_the_credential(tmp_path: Path) -> None:
    budget = Budget("secret-key", clock=ManualClock(), folder=tmp_path)
    budget.acquire("search")
    (state,) = tmp_path.iterdir()
    assert "secret-key" not in state.name
    assert b"secret-key" not in state.read_bytes()


def test_retry_after_is_read_in_both_forms() -> None:
    assert retry_after_s({"retry-after": "7"}) == 7
    assert retry_after_s({"retry-after": formatdate(0, usegmt=True)}) == 0
    assert (retry_after_s({"retry-after": formatdate(4_000_000_000, usegmt=True)}) or 0) > 3600
    for text in ("", "soon", "-1", "1.5", "\xb2"):
        assert retry_after_s({"retry-after": text}) is None
    assert retry_after_s({}) is None


def test_a_caller_can_ask_how_long_it_would_wait(tmp_path: Path) -> None:
    clock = ManualClock()
    budget, api = Budget("key", clock=clock, folder=tmp_path), Api(clock, 10, 3600)
    assert budget.wait_s("search") == 0
    for _ in range(9):
        send(budget, api)
    assert 3599 <= budget.wait_s("search") <= 3600
    assert budget.waited_s == 0, "asking takes nothing and waits for nothing"
    budget.learn("aggregate", 429, {"retry-after": "600"})
    assert budget.wait_s("aggregate") == 600


def test_an_answer_is_judged_by_when_its_own_thread_asked(tmp_path: Path) -> None:
    clock = ManualClock(9_900)
    budget, api = Budget("key", clock=clock, folder=tmp_path), Api(clock, 10, 10)
    send(budget, api)

    def slow() -> None:
        budget.acquire("search")
        status, headers = api.ask()
        asked.wait()
        budget.learn("search", status, headers)

    asked = threading.Event()
    thread = threading.Thread(target=slow)
    thread.start()
    while api.answered.total() < 2:
        pass
    clock.tick += 500 * TICK_PER_MS
    send(budget, api)
    asked.set()
    thread.join()
    for _ in range(8):
        send(budget, api)
    assert budget.waited_s == 0, "the late answer told of the period before"


def test_a_record_that_was_not_written_whole_is_forgotten(tmp_path: Path) -> None:
    clock = ManualClock()
    budget = Budget("key", clock=clock, folder=tmp_path)
    budget.learn("search", 429, {"retry-after": "60"})
    (record,) = tmp_path.iterdir()
    torn = bytearray(record.read_bytes())
    torn[-5] ^= 1
    record.write_bytes(bytes(torn))
    budget.acquire("search")
    assert budget.waited_s == 0


@pytest.mark.parametrize("call", ["pread", "pwrite", "flock"])
def test_a_disk_that_fails_is_said_with_what_to_do_and_no_answer_is_lost_by_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, call: str
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    budget = Budget("key", clock=ManualClock(), folder=tmp_path)
    monkeypatch.setattr(fcntl if call == "flock" else os, call, full)
    with pytest.raises(
        StoreError, match=r"cannot keep the request budget in .*No space.*set LOGFERRY_BUDGET_DIR"
    ):
        budget.acquire("search")
    for _ in range(2):
        budget.learn("search", 200, {"x-ratelimit-limit": "3", "x-ratelimit-period": "10"})
    assert len(caplog.records) == 1


def test_a_write_that_was_cut_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "pwrite", lambda descriptor, data, at: len(data) - 1)
    with pytest.raises(StoreError, match="No space left"):
        Budget("key", clock=ManualClock(), folder=tmp_path).acquire("search")


def test_a_folder_that_cannot_be_made_is_said_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="set LOGFERRY_BUDGET_DIR"):
        Budget("key", clock=ManualClock(), folder=tmp_path / "file" / "budget")


def test_the_folder_is_the_one_the_environment_names_else_one_in_the_temporary_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGFERRY_BUDGET_DIR", str(tmp_path / "shared"))
    Budget("key", clock=ManualClock()).acquire("search")
    assert [one.name for one in (tmp_path / "shared").iterdir()] == [f"{record_name('key', 'search')}.budget"]
    monkeypatch.delenv("LOGFERRY_BUDGET_DIR")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    Budget("key", clock=ManualClock()).acquire("search")
    assert len(list((tmp_path / f"logferry-{os.getuid()}").iterdir())) == 1
