"""Airflow's decision for each branch of the engine's error tree."""

from __future__ import annotations

from datetime import timedelta

import pytest
from airflow.sdk import RetryAction

from logferry.errors import (
    CredentialsError,
    DefinitionError,
    FailedAnswer,
    QueryRejected,
    ShortError,
    SourceError,
    StoreError,
    TooMuch,
    Unavailable,
)
from logferry_airflow.retry import FERRY_RETRIES

pytestmark = pytest.mark.airflow


@pytest.mark.parametrize(
    "error",
    [DefinitionError("d"), QueryRejected("q"), CredentialsError("c"), ShortError("s")],
    ids=lambda error: type(error).__name__,
)
def test_what_only_a_person_can_mend_fails_at_once(error: Exception) -> None:
    assert FERRY_RETRIES.evaluate(error, 1, 3).action is RetryAction.FAIL


def test_the_sources_own_wait_is_waited() -> None:
    decision = FERRY_RETRIES.evaluate(Unavailable("busy", wait_s=3600), 1, 3)
    assert decision.action is RetryAction.RETRY
    assert decision.retry_delay == timedelta(hours=1)


@pytest.mark.parametrize(
    "error",
    [
        Unavailable("gone"),
        FailedAnswer("partial"),
        TooMuch("large"),
        SourceError("odd"),
        StoreError("disk full"),
        OSError("unexpected"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_everything_else_has_the_tasks_own_retries(error: Exception) -> None:
    decision = FERRY_RETRIES.evaluate(error, 1, 3)
    assert decision.action is RetryAction.DEFAULT
    assert decision.retry_delay is None


def test_the_reason_repeats_no_message() -> None:
    reason = FERRY_RETRIES.evaluate(CredentialsError("the key abc123 was refused"), 1, 3).reason
    assert reason is not None
    assert "abc123" not in reason
