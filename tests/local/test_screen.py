from __future__ import annotations

import io

import pytest
from rich.console import Console
from tests.local.conftest import MakeSpec
from tests.local.lake import DAY

from logferry_local.screen import progress, step
from logferry_local.watch import Step, Watched


def text_of(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.fixture
def plain() -> Console:
    return Console(file=io.StringIO(), width=200)


@pytest.fixture
def terminal() -> Console:
    return Console(file=io.StringIO(), width=120, force_terminal=True, color_system=None)


def test_a_step_is_one_line_in_a_log_file(plain: Console) -> None:
    with step(plain, "PostgreSQL") as tell:
        tell("waiting for [something]")
    assert text_of(plain) == "PostgreSQL ...\n"


def test_a_finished_step_stays_on_the_terminal(terminal: Console) -> None:
    with step(terminal, "PostgreSQL") as tell:
        tell("waiting")
    assert text_of(terminal).endswith("✓ PostgreSQL (0 s)\n")


def test_a_step_that_failed_is_not_ticked_off(terminal: Console) -> None:
    with pytest.raises(RuntimeError), step(terminal, "PostgreSQL"):
        raise RuntimeError
    assert "✓" not in text_of(terminal)


def test_progress_is_a_line_for_each_change_in_a_log_file(plain: Console, make_spec: MakeSpec) -> None:
    run = Watched(make_spec("shop"), DAY, "r1")
    with progress(plain) as show:
        show([run])
        show([run])
        run.steps = (Step("plan", "success"), Step("export", "running", 1, 3), Step("publish", "waiting"))
        run.planned, run.exported = 1_500, 500
        show([run])
    assert text_of(plain).splitlines() == [
        "shop: plan waiting · export waiting · publish waiting",
        "shop: plan success · export 1/3 running · publish waiting (500 of 1,500 rows)",
    ]


def test_why_an_attempt_is_repeated_is_told_once_on_a_terminal_too(
    terminal: Console, make_spec: MakeSpec
) -> None:
    run = Watched(make_spec("shop"), DAY, "r1")
    run.steps = (Step("plan", "up_for_retry"), Step("export", "deferred"), Step("publish", "failed"))
    run.retries["plan[-1] attempt 1"] = "task plan: [503] (attempt 1, will be repeated)"
    with progress(terminal) as show:
        show([run])
        show([run])
    text = text_of(terminal)
    assert text.count("shop: task plan: [503] (attempt 1, will be repeated)") == 1
    for shown in ("↻ plan up for retry", "export deferred", "✗ publish failed"):
        assert shown in text
