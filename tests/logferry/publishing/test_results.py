"""Results that are not exactly a window's slices are refused."""

from __future__ import annotations

import msgspec
import pytest
from tests.logferry.harbour import WINDOW, Harbour, results_of
from tests.logferry.memory_store import MemoryStore
from tests.logferry.publishing_runs import EXPORT, A, B, Publisher, Rows

from logferry.errors import StoreError
from logferry.layout import head_key
from logferry.window import TICK_PER_HOUR, Window


@pytest.mark.parametrize("change", ["missing", "doubled", "first", "none"])
def test_results_that_are_not_exactly_the_window_are_refused(harbour: Harbour, change: str) -> None:
    results = results_of(harbour)
    wrong = {
        "missing": results[:-1],
        "doubled": [*results, results[0]],
        "first": results[1:],
        "none": [],
    }[change]
    with pytest.raises(StoreError, match="do not cover"):
        harbour.ferry().publish(WINDOW, wrong)
    assert harbour.keys("web/") == harbour.keys("_manifests/") == []


def test_results_of_another_window_are_refused(harbour: Harbour) -> None:
    with pytest.raises(StoreError, match="do not cover"):
        harbour.ferry().publish(Window(WINDOW.start, WINDOW.end + TICK_PER_HOUR), results_of(harbour))


def test_a_slice_that_is_called_proven_with_other_rows_than_were_counted_is_refused(
    store: MemoryStore,
) -> None:
    publisher = Publisher("a", [Rows("x", 7)], counted=8)
    publisher.stage(store)
    with pytest.raises(StoreError, match="called proven with 7 rows, and the source counted 8"):
        publisher.publish(store)
    assert not list(store.list("_logferry/"))


def test_results_that_are_not_the_window_are_refused(store: MemoryStore) -> None:
    publisher = Publisher("one", [A, B])
    publisher.stage(store)
    short = msgspec.structs.replace(publisher.result(), slices=publisher.result().slices[1:])
    publisher.result = lambda: short  # type: ignore[method-assign]
    with pytest.raises(StoreError, match="do not cover"):
        publisher.publish(store)
    assert head_key(EXPORT) not in store.objects
