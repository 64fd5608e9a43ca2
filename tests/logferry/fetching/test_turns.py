"""Short turns: for as long as anybody needs them, and no longer."""

from __future__ import annotations

import sys

import pytest

from logferry.fetching.turns import short_turns


def test_the_last_to_leave_puts_the_interval_back_whoever_came_first() -> None:
    before = sys.getswitchinterval()
    one, two = short_turns(), short_turns()
    one.__enter__()
    short = sys.getswitchinterval()
    assert short < before
    two.__enter__()
    one.__exit__(None, None, None)
    assert sys.getswitchinterval() == short
    two.__exit__(None, None, None)
    assert sys.getswitchinterval() == before


def test_an_error_puts_it_back() -> None:
    before = sys.getswitchinterval()
    with pytest.raises(KeyboardInterrupt), short_turns():
        raise KeyboardInterrupt
    assert sys.getswitchinterval() == before


def test_what_is_shorter_already_is_kept() -> None:
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.0001)
    shorter = sys.getswitchinterval()
    try:
        with short_turns():
            assert sys.getswitchinterval() <= shorter
    finally:
        sys.setswitchinterval(before)
