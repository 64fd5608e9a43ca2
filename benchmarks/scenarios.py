"""What is measured: for each scenario a server's contents, the contestants and how often each of them runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

PEERS = "peers"
REQUESTS = "requests"
GROWTH = "growth"
MEMORY = "memory"
PROFILE = "profile"
SERVER = "server"
PARTS = (PEERS, REQUESTS, GROWTH, MEMORY, PROFILE, SERVER)

APIS = ("datadog", "azure")
DAY = ("2026-03-02T00:00:00Z", "2026-03-03T00:00:00Z")
HOUR = ("2026-03-02T09:00:00Z", "2026-03-02T10:00:00Z")
EVENT_BYTES = 1000
_SMALL_ANSWERS = (40, 140)
"""Answers that Azure's rows are cut into where requests wait: so few that processors have more to do than requests to
wait for, and so many that it is the other way round; in all fewer than the 200 requests in 30 s that Log Analytics
allows (https://learn.microsoft.com/azure/azure-monitor/service-limits) and that Logferry keeps to unasked."""
LONG_EVENT_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class Contestant:
    """``module``: its file in ``contestants``. ``in_flight``: of Logferry, requests at once; None: its own choice."""

    name: str
    module: str
    in_flight: int | None = None

    @property
    def is_product(self) -> bool:
        return self.module == "logferry"


LOGFERRY = Contestant("Logferry", "logferry")
ONE_BY_ONE = Contestant("Logferry, one request at a time", "logferry", in_flight=1)
CAREFUL = "careful loop"
CONTESTANTS = {
    "datadog": (
        LOGFERRY,
        Contestant(CAREFUL, "datadog_careful"),
        Contestant("dlt", "datadog_dlt"),
        Contestant("datadog-api-client + pandas", "datadog_client_pandas"),
    ),
    "azure": (
        LOGFERRY,
        Contestant(CAREFUL, "azure_careful"),
        Contestant("dlt", "azure_dlt"),
        Contestant("azure-monitor-query + pandas", "azure_client_pandas"),
    ),
}


@dataclass(frozen=True, slots=True)
class Scenario:
    """One row of contestants against one server.

    ``rows`` lie evenly in ``held`` (the server's), and all of DAY is exported. ``limits``: settings of the sandbox
    that differ from its own.
    """

    part: str
    api: str
    rows: int
    contestants: tuple[Contestant, ...]
    rounds: int
    latency_ms: int = 0
    event_bytes: int = EVENT_BYTES
    held: tuple[str, str] = DAY
    title: str = ""
    limits: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Names the scenario in the results."""
        parts = [self.part, self.api, f"{self.rows} rows", f"{self.latency_ms} ms", self.title]
        return " / ".join(part for part in parts if part)


@dataclass(frozen=True, slots=True)
class Choice:
    """What of everything is to be measured; see the command line."""

    parts: tuple[str, ...] = PARTS
    apis: tuple[str, ...] = APIS
    rows: tuple[int, ...] = (200_000, 1_000_000)
    latencies_ms: tuple[int, ...] = (0, 100)
    rounds: int = 3
    contestants: tuple[str, ...] = ()
    growth: tuple[int, ...] = (10_000, 100_000, 1_000_000)
    hour_rows: tuple[int, ...] = (100_000, 1_000_000)
    long_rows: tuple[int, ...] = (200, 2_000)


def scenarios(choice: Choice) -> Iterator[Scenario]:
    """Everything chosen, the small before the large: how long a round takes is learned on the way."""
    for part, of_part in (
        (PEERS, _peers),
        (REQUESTS, _requests),
        (GROWTH, _growth),
        (MEMORY, _memory),
    ):
        if part in choice.parts:
            for api in choice.apis:
                yield from of_part(api, choice)


def _peers(api: str, choice: Choice) -> Iterator[Scenario]:
    """At no latency every size; where requests wait, the smallest size is enough."""
    chosen = tuple(one for one in CONTESTANTS[api] if _wanted(one, choice.contestants))
    for latency_ms in choice.latencies_ms:
        for rows in sorted(choice.rows) if latency_ms == 0 else [min(choice.rows)]:
            contestants = chosen
            if latency_ms and LOGFERRY in chosen:
                contestants = (LOGFERRY, ONE_BY_ONE, *(one for one in chosen if one != LOGFERRY))
            yield Scenario(PEERS, api, rows, contestants, choice.rounds, latency_ms=latency_ms)
            if latency_ms and api == "azure":
                for answers in _SMALL_ANSWERS:
                    yield _small_answers(rows, contestants, choice.rounds, latency_ms, answers)


def _small_answers(
    rows: int, contestants: tuple[Contestant, ...], rounds: int, latency_ms: int, answers: int
) -> Scenario:
    """Azure's answers are so large that hardly any request waits: with small ones, requests matter. All rows make at
    least so many ``answers``."""
    most = max(1, rows // answers)
    return Scenario(
        PEERS,
        "azure",
        rows,
        tuple(one for one in contestants if one.is_product or one.name == CAREFUL),
        rounds,
        latency_ms=latency_ms,
        title=f"at most {most:,} rows an answer",
        limits={"max_rows": most},
    )


def _wanted(contestant: Contestant, names: tuple[str, ...]) -> bool:
    return not names or any(name in (contestant.module, contestant.name.lower()) for name in names)


def _requests(api: str, choice: Choice) -> Iterator[Scenario]:
    """A dense day, one with a few rows in each slice, and one that is all in one slice."""
    dense = min(choice.rows)
    rounds = choice.rounds
    yield Scenario(REQUESTS, api, dense, (LOGFERRY,), rounds, title="dense day")
    yield Scenario(REQUESTS, api, 5_000, (LOGFERRY,), rounds, title="sparse day")
    yield Scenario(REQUESTS, api, dense, (LOGFERRY,), rounds, held=HOUR, title="all in one hour")


def _growth(api: str, choice: Choice) -> Iterator[Scenario]:
    for rows in choice.growth:
        yield Scenario(GROWTH, api, rows, (LOGFERRY,), choice.rounds)


def _memory(api: str, choice: Choice) -> Iterator[Scenario]:
    """One slice that holds everything (Azure: in answers of up to 64 MB), rows as large as they get, and both."""
    for rows in sorted(choice.hour_rows):
        yield Scenario(MEMORY, api, rows, (LOGFERRY,), choice.rounds, held=HOUR, title="all in one hour")
    for rows in sorted(choice.long_rows):
        yield _long(api, rows, choice.rounds, DAY, "messages of 1 MB")
    yield _long(api, max(choice.long_rows), choice.rounds, HOUR, "messages of 1 MB, all in one hour")


def _long(api: str, rows: int, rounds: int, held: tuple[str, str], title: str) -> Scenario:
    return Scenario(
        MEMORY, api, rows, (LOGFERRY,), rounds, event_bytes=LONG_EVENT_BYTES, held=held, title=title
    )
