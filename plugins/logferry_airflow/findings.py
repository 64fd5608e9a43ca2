"""What a verification found, as a task tells it: the log has every finding, the failure the first of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from airflow.sdk.exceptions import AirflowFailException

from logferry.wording import counted

if TYPE_CHECKING:
    from airflow.sdk.types import Logger

    from logferry.audit.findings import Finding

_MOST_NAMED = 20


def fail_if_found(name: str, findings: Iterable[Finding], log: Logger) -> None:
    """Log the notes, and raise AirflowFailException with one sentence per finding where there is one.

    ``name``: the export's. Trying again would find the same, so the task is not retried.
    """
    sentences = []
    for one in findings:
        if one.level == "finding":
            sentences.append(one.sentence())
        else:
            log.info("%s", one.sentence())
    if not sentences:
        return
    for sentence in sentences:
        log.error("%s", sentence)
    more = (
        f"\nand {len(sentences) - _MOST_NAMED} more, all in this log" if len(sentences) > _MOST_NAMED else ""
    )
    raise AirflowFailException(
        f"the archive of {name} is not what was published, {counted(len(sentences), 'finding')}:\n"
        + "\n".join(sentences[:_MOST_NAMED])
        + more
    )
