"""Airflow's decision for each of the engine's errors: the only place that maps them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import RetryDecision, RetryPolicy

from logferry.errors import CredentialsError, DefinitionError, ShortError, Unavailable

if TYPE_CHECKING:
    from airflow.sdk import Context


_HOPELESS = (DefinitionError, CredentialsError, ShortError)


class FerryRetryPolicy(RetryPolicy):
    """Fail at once where asking again cannot help; wait as long as the source asked; else the task's own delay.

    A retry still counts against the task's ``retries``. ``AirflowFailException`` never comes here.
    """

    def evaluate(
        self,
        exception: BaseException,
        try_number: int,
        max_tries: int,
        context: Context | None = None,
    ) -> RetryDecision:
        """Definition, credentials and short windows fail; ``Unavailable`` with a wait is asked again after it."""
        if isinstance(exception, _HOPELESS):
            return RetryDecision.fail(reason=f"{type(exception).__name__}: trying again cannot help")
        if isinstance(exception, Unavailable) and exception.wait_s is not None:
            wait = timedelta(seconds=exception.wait_s)
            return RetryDecision.retry(
                delay=wait, reason=f"the source asked to wait {exception.wait_s:.0f} s"
            )
        return RetryDecision.default()


FERRY_RETRIES = FerryRetryPolicy()
"""The policy every operator of this package has unless told otherwise."""


def is_last_try(error: BaseException, context: Mapping[str, Any]) -> bool:
    """Whether a task with this policy, that fails with the error now, is not tried again."""
    ti = context.get("ti")
    return isinstance(error, _HOPELESS) or ti is None or ti.try_number > ti.max_tries
