"""Bodies that are read into the memory of the one before."""

from __future__ import annotations

import gzip
import io
import threading

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from urllib3.exceptions import ProtocolError
from urllib3.response import HTTPResponse

from logferry import body as module
from logferry.body import NotWhole, TooLong, forget_body, read_body

MOST = 1 << 20


@pytest.fixture(autouse=True, scope="module")
def _small_pieces() -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_LARGE_BYTES", 64)
        patch.setattr(module, "_READ_BYTES", 50)
        yield


def answer(body: bytes, *, named: bool = True, zipped: bool = False, cut: int = 0) -> HTTPResponse:
    """``named``: its length is; ``cut``: bytes that it lacks at its end."""
    sent = gzip.compress(body) if zipped else body
    headers = {"content-encoding": "gzip"} if zipped else {}
    if named:
        headers["content-length"] = str(len(sent))
    return HTTPResponse(
        io.BytesIO(sent[: len(sent) - cut]),
        headers=headers,
        status=200,
        preload_content=False,
        request_method="POST",
    )


def recycled(body: bytes, **options: bool) -> bytes:
    return read_body(answer(body, **options), MOST, recycled=True)


BODIES = st.lists(
    st.tuples(
        st.integers(0, 400), st.booleans(), st.booleans(), st.sampled_from(["held", "viewed", "let go"])
    ),
    min_size=2,
    max_size=8,
)


@given(BODIES)
def test_whoever_has_a_body_keeps_it_as_it_came(bodies: list[tuple[int, bool, bool, str]]) -> None:
    kept: list[tuple[bytes, object]] = []
    for number, (size, named, zipped, then) in enumerate(bodies):
        sent = bytes([65 + number]) * size
        body = recycled(sent, named=named, zipped=zipped)
        assert body == sent
        if then != "let go":
            kept.append((sent, memoryview(body) if then == "viewed" else body))
        del body
    assert [sent for sent, _ in kept] == [bytes(body) for _, body in kept]  # type: ignore[call-overload]


def test_the_memory_of_a_body_that_nobody_has_serves_the_next() -> None:
    places = set()
    for size in (1000, 999, 1000, 600, 1000):
        body = recycled(b"x" * size)
        assert len(body) == size
        places.add(id(body))
        del body
    assert len(places) == 1


def test_what_was_decoded_of_a_body_stays_although_the_body_is_let_go() -> None:
    rows = msgspec.json.decode(
        recycled(b"[" + b",".join([b'"first row"'] * 20) + b"]"), type=list[msgspec.Raw]
    )
    assert recycled(b"second" * 50) == b"second" * 50
    assert {bytes(row) for row in rows} == {b'"first row"'}


def test_threads_do_not_share_a_body() -> None:
    here = recycled(b"here" * 100)
    place = id(here)
    del here
    found = []

    def read() -> None:
        body = recycled(b"there" * 100)
        found.append((id(body), bytes(body)))

    thread = threading.Thread(target=read)
    thread.start()
    thread.join()
    assert found[0][1] == b"there" * 100
    assert found[0][0] != place


@pytest.mark.parametrize("zipped", [False, True])
def test_a_body_that_fails_leaves_the_next_one_whole(zipped: bool) -> None:
    recycled(b"before" * 100)
    with pytest.raises(TooLong):
        read_body(answer(b"x" * 500, named=False, zipped=zipped), 400, recycled=True)
    with pytest.raises(NotWhole if zipped else ProtocolError):
        read_body(answer(b"0123456789" * 30, named=not zipped, zipped=zipped, cut=9), MOST, recycled=True)
    assert recycled(b"after" * 20) == b"after" * 20


def test_a_body_larger_than_usual_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_KEPT_BYTES", 500)
    for size, kept in ((500, 500), (501, 0), (300, 300)):
        recycled(b"x" * size)
        assert len(module._kept.take()) == kept


@pytest.mark.parametrize("zipped", [False, True])
def test_a_larger_one_that_fails_is_given_back_too(monkeypatch: pytest.MonkeyPatch, zipped: bool) -> None:
    monkeypatch.setattr(module, "_MOST_KEPT_BYTES", 500)
    with pytest.raises(TooLong):
        read_body(answer(b"x" * 700, named=False, zipped=zipped), 650, recycled=True)
    assert len(module._kept.take()) == 0


def test_what_is_kept_can_be_given_back() -> None:
    recycled(b"x" * 100)
    forget_body()
    assert len(module._kept.take()) == 0


def test_a_small_body_of_known_length_is_not_written_over_anything() -> None:
    assert isinstance(recycled(b"x" * 63), bytes)
    assert isinstance(recycled(b"x" * 64), bytearray)
    assert isinstance(read_body(answer(b"x" * 64), MOST), bytes)
