"""What a bucket makes of conditions: stores of every kind, played in front of moto."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from tests.logferry.stores.behaviour import etag_of, keys_of, raise_counter
from tests.logferry.stores.s3_replies import connection, refusal

from logferry.credentials.aws import s3_client, s3_settings
from logferry.errors import CredentialsError, StoreError
from logferry.stores import AlreadyExists, Changed
from logferry.stores.conditions import PROBE_FOLDER, REMEMBERED_KEY
from logferry.stores.s3 import S3Store

CONDITIONS = ("If-Match", "If-None-Match")
CONDITIONAL = (
    "create_if_absent",
    "replace_if_match",
    "copy_if_match",
    "complete_if_match",
    "delete_if_match",
)
BUCKET = f"lake-{uuid.uuid4().hex[:12]}"

Handler = Callable[..., AWSResponse | None]
NewStore = Callable[..., S3Store]


@pytest.fixture(scope="module")
def client(moto_url: str) -> Any:
    client = s3_client(s3_settings(connection(moto_url)))
    client.create_bucket(Bucket=BUCKET)
    return client


@pytest.fixture
def new_store(moto_url: str, client: Any) -> NewStore:
    """Stores in one folder; ``handlers`` come between them and moto."""
    folder = uuid.uuid4().hex

    def make(**handlers: Handler) -> S3Store:
        store = S3Store(BUCKET, folder, s3_settings(connection(moto_url)))
        for operation, handler in handlers.items():
            event = "before-send.s3" if operation == "every" else f"before-send.s3.{operation}"
            store._bucket.client.meta.events.register(event, handler)
        return store

    return make


def ignoring(*names: str) -> Handler:
    def ignore(request: Any, **_: Any) -> None:
        for name in names:
            if name in request.headers:
                del request.headers[name]

    return ignore


def unknown(request: Any, **_: Any) -> AWSResponse | None:
    known = not any(name in request.headers for name in CONDITIONS)
    return None if known else refusal(501, "NotImplemented")()


@pytest.fixture
def enforced(client: Any) -> Handler:
    """The condition on the target of a copy and of a multipart upload, which moto ignores, as AWS takes it."""

    def check(request: Any, **_: Any) -> AWSResponse | None:
        given = {name: _text(request.headers[name]) for name in CONDITIONS if name in request.headers}
        key = request.url.partition(f"/{BUCKET}/")[2].partition("?")[0]
        found = client.list_objects_v2(Bucket=BUCKET, Prefix=key).get("Contents", [])
        etag = found[0]["ETag"] if found else None
        if "If-None-Match" in given and etag is not None:
            return refusal(412, "PreconditionFailed")()
        if "If-Match" in given and etag != given["If-Match"]:
            return refusal(412 if etag else 404, "PreconditionFailed" if etag else "NoSuchKey")()
        return None

    return check


def of_bare_etags(request: Any, **_: Any) -> AWSResponse | None:
    """Ceph 16.2: compares the text of If-Match with the ETag without its quotes."""
    if '"' in _text(request.headers.get("If-Match", "")):
        return refusal(412, "PreconditionFailed")()
    return None


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def lost_once(store: S3Store, operation: str) -> None:
    """The next request of this kind is carried out, and its answer does not arrive."""
    pending = [True]

    def carry_out(request: Any, **_: Any) -> AWSResponse | None:
        if not pending:
            return None
        pending.clear()
        store._bucket.client._endpoint.http_session.send(request)
        return refusal(500, "InternalError")()

    store._bucket.client.meta.events.register(f"before-send.s3.{operation}", carry_out)


def requests_of(store: S3Store) -> list[str]:
    made: list[str] = []

    def note(event_name: str, **_: Any) -> None:
        made.append(event_name.rpartition(".")[2])

    store._bucket.client.meta.events.register_first("before-send.s3", note)
    return made


def remembered(store: S3Store) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(store.read(REMEMBERED_KEY))
    return content


def exercised_by_one_writer(store: S3Store) -> None:
    """Every condition, true and false, with nobody else writing."""
    store.put_bytes("staged/a", b"first")
    store.put_bytes("staged/b", b"second")
    etag = store.place("staged/a", "final", expected=None, metadata={"row-hash": "1"})
    with pytest.raises(Changed, match="created it"):
        store.place("staged/b", "final", expected=None)
    renewed = store.renew("final", expected=etag)
    assert renewed == etag_of(store, "final") != etag
    for stale in (
        lambda: store.renew("final", expected=etag),
        lambda: store.place("staged/b", "final", expected=etag),
    ):
        with pytest.raises(Changed, match="replaced it"):
            stale()
    renewed = store.renew("final", expected=renewed)
    store.place("staged/b", "final", expected=renewed, metadata={"row-hash": "2"})
    found = store.head("final")
    assert found is not None
    assert dict(found.metadata) == {"row-hash": "2"}
    assert store.read("final") == b"second"
    store.put_bytes("journal/1.json", b"mine", if_absent=True)
    with pytest.raises(AlreadyExists, match=r"journal/1\.json already exists"):
        store.put_bytes("journal/1.json", b"theirs", if_absent=True)
    store.put_bytes("counter", b"000")
    assert raise_counter(store)
    with pytest.raises(Changed, match="replaced it"):
        store.put_bytes("counter", b"999", if_match=etag)
    assert store.read("counter") == b"001"
    assert keys_of(store) == ["counter", "final", "journal/1.json", "staged/a", "staged/b"]


def test_moto_enforces_conditions_of_puts_and_deletes_only(new_store: NewStore, moto_url: str) -> None:
    store = new_store()
    assert not store.enforces_conditions()
    answers = remembered(store)
    assert answers.pop("probed_at").endswith("Z")
    assert answers == {
        "format": 1,
        "endpoint": moto_url,
        "create_if_absent": True,
        "replace_if_match": True,
        "copy_if_match": False,
        "complete_if_match": False,
        "delete_if_match": True,
    }
    exercised_by_one_writer(store)


def test_a_store_that_enforces_everything_copies_within_itself(
    new_store: NewStore, enforced: Handler
) -> None:
    store = new_store(CopyObject=enforced, CompleteMultipartUpload=enforced, DeleteObject=enforced)
    assert store.enforces_conditions()
    for name in ("copy_if_match", "complete_if_match", "delete_if_match"):
        assert remembered(store)[name] is True
    exercised_by_one_writer(store)
    made = requests_of(store)
    store.place("staged/a", "elsewhere", expected=None)
    assert made == ["HeadObject", "CopyObject", "HeadObject"], "no byte passes through this machine"


@pytest.mark.parametrize("treatment", [ignoring(*CONDITIONS), unknown], ids=["ignored", "refused"])
def test_a_store_without_conditions_is_found_out_and_serves_one_writer(
    new_store: NewStore, treatment: Handler
) -> None:
    store = new_store(every=treatment)
    assert not store.enforces_conditions()
    assert not any(remembered(store)[name] for name in CONDITIONAL)
    exercised_by_one_writer(store)


@pytest.mark.parametrize("operation", ["CompleteMultipartUpload", "DeleteObject"])
@pytest.mark.parametrize("treatment", [ignoring(*CONDITIONS), unknown], ids=["ignored", "refused"])
def test_without_conditions_on_completing_an_upload_or_on_a_delete_a_lease_is_needed(
    new_store: NewStore, enforced: Handler, operation: str, treatment: Handler
) -> None:
    every = dict.fromkeys(("CopyObject", "CompleteMultipartUpload", "DeleteObject"), enforced)
    store = new_store(**{**every, operation: treatment})
    assert not store.enforces_conditions()
    assert [name for name in CONDITIONAL if not remembered(store)[name]] == [
        {"CompleteMultipartUpload": "complete_if_match", "DeleteObject": "delete_if_match"}[operation]
    ]
    exercised_by_one_writer(store)
    store.remove("final", expected=etag_of(store, "final"))


def test_a_store_that_need_not_copy_conditionally_needs_no_lease(
    new_store: NewStore, enforced: Handler
) -> None:
    assert new_store(CompleteMultipartUpload=enforced, DeleteObject=enforced).enforces_conditions()


def test_what_was_remembered_before_deletes_were_tried_is_asked_again(
    new_store: NewStore, enforced: Handler, moto_url: str
) -> None:
    older = {name: value for name, value in NOTE.items() if name != "delete_if_match"}
    new_store().put_bytes(REMEMBERED_KEY, json.dumps({**older, "endpoint": moto_url}).encode())
    assert new_store(CompleteMultipartUpload=enforced, DeleteObject=enforced).enforces_conditions()


def test_a_store_that_only_creates_conditionally_is_not_enough(new_store: NewStore) -> None:
    store = new_store(every=ignoring("If-Match"))
    assert not store.enforces_conditions()
    assert remembered(store)["create_if_absent"] is True
    exercised_by_one_writer(store)


def test_a_store_that_compares_bare_etags_is_understood(new_store: NewStore) -> None:
    store = new_store(PutObject=of_bare_etags)
    assert store.enforces_conditions() is False
    assert remembered(store)["replace_if_match"] is True
    exercised_by_one_writer(store)


def test_the_probe_is_remembered_in_the_lake_and_in_the_store(new_store: NewStore) -> None:
    first = new_store()
    made = requests_of(first)
    assert made == [], "opening asks nothing"
    first.put_bytes("k", b"plain")
    assert made == ["PutObject"], "a write without a condition needs no probe"
    first.put_bytes("a", b"", if_absent=True)
    del made[:]
    assert not first.enforces_conditions()
    assert made == []
    second = new_store()
    made = requests_of(second)
    assert not second.enforces_conditions()
    second.put_bytes("b", b"", if_absent=True)
    assert made == ["GetObject", "PutObject"]


def test_the_probe_leaves_nothing_but_its_answers(new_store: NewStore, client: Any) -> None:
    store = new_store()
    store.enforces_conditions()
    assert [info.key for info in store.list("")] == [REMEMBERED_KEY]
    uploads = client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])
    assert [upload for upload in uploads if PROBE_FOLDER in upload["Key"]] == []


NOTE = {
    "format": 1,
    "endpoint": "ENDPOINT",
    "create_if_absent": False,
    "replace_if_match": False,
    "copy_if_match": False,
    "complete_if_match": False,
    "delete_if_match": False,
    "probed_at": "2026-11-20T00:00:00Z",
}


@pytest.mark.parametrize(
    "note",
    [
        "",
        "[]",
        '{"format": 1}',
        json.dumps({**NOTE, "create_if_absent": "no"}),
        json.dumps({**NOTE, "format": 2}),
        json.dumps({**NOTE, "endpoint": "http://copied.from:1"}),
    ],
    ids=["empty", "list", "lacking", "mistyped", "later", "copied"],
)
def test_a_note_that_cannot_be_read_or_is_of_another_endpoint_is_made_anew(
    new_store: NewStore, moto_url: str, note: str
) -> None:
    store = new_store()
    store.put_bytes(REMEMBERED_KEY, note.replace("ENDPOINT", moto_url).encode())
    store.enforces_conditions()
    assert remembered(store)["create_if_absent"] is True
    assert (remembered(store)["format"], remembered(store)["endpoint"]) == (1, moto_url)


def test_what_is_remembered_of_this_endpoint_is_believed(new_store: NewStore, moto_url: str) -> None:
    new_store().put_bytes(REMEMBERED_KEY, json.dumps({**NOTE, "endpoint": moto_url}).encode())
    assert not new_store().enforces_conditions()


def test_a_lost_answer_does_not_pass_for_a_refusal_of_the_probe(new_store: NewStore) -> None:
    store = new_store()
    lost_once(store, "PutObject")
    store.enforces_conditions()
    assert remembered(store)["create_if_absent"] is True
    assert [info.key for info in store.list("")] == [REMEMBERED_KEY]


def test_a_store_that_loses_every_answer_is_not_judged(new_store: NewStore) -> None:
    store = new_store()
    endpoint = store._bucket.client._endpoint

    def lose(request: Any, **_: Any) -> AWSResponse | None:
        if request.headers.get("amz-sdk-request", b"") and "attempt=1" in _text(
            request.headers["amz-sdk-request"]
        ):
            endpoint.http_session.send(request)
            return refusal(500, "InternalError")()
        return None

    store._bucket.client.meta.events.register("before-send.s3.PutObject", lose)
    with pytest.raises(StoreError, match=r"Cannot find out which conditions .* run again later"):
        store.enforces_conditions()
    assert [info.key for info in store.list("")] == []


def test_a_probe_that_is_not_allowed_says_what_to_allow(new_store: NewStore) -> None:
    store = new_store(PutObject=lambda **_: refusal(403, "AccessDenied")())
    with pytest.raises(CredentialsError, match=r"Cannot probe .* allow s3:GetObject, s3:PutObject"):
        store.enforces_conditions()
    assert [info.key for info in store.list("")] == []


@pytest.fixture
def known(new_store: NewStore, enforced: Handler) -> S3Store:
    """A store that enforces everything and is already probed."""
    store = new_store(CopyObject=enforced, CompleteMultipartUpload=enforced, DeleteObject=enforced)
    assert store.enforces_conditions()
    return store


@pytest.fixture
def of_puts(new_store: NewStore) -> S3Store:
    """A store that enforces conditions of PUT only and is already probed."""
    store = new_store()
    assert not store.enforces_conditions()
    assert remembered(store)["replace_if_match"] is True
    return store


def test_a_replacement_whose_answer_was_lost_is_no_defeat(known: S3Store) -> None:
    known.put_bytes("HEAD.json", b"1")
    lost_once(known, "PutObject")
    known.put_bytes("HEAD.json", b"2", if_match=etag_of(known, "HEAD.json"))
    assert known.read("HEAD.json") == b"2"


@pytest.mark.parametrize("creating", [True, False])
@pytest.mark.parametrize(("kind", "operation"), [("known", "CopyObject"), ("of_puts", "PutObject")])
def test_a_placement_whose_answer_was_lost_is_no_defeat(
    request: pytest.FixtureRequest, kind: str, operation: str, creating: bool
) -> None:
    store: S3Store = request.getfixturevalue(kind)
    store.put_bytes("staged", b"rows")
    expected = None
    if not creating:
        store.put_bytes("final", b"old")
        expected = etag_of(store, "final")
    lost_once(store, operation)
    etag = store.place("staged", "final", expected=expected, metadata={"row-hash": "1"})
    assert etag == etag_of(store, "final")
    assert store.read("final") == b"rows"


@pytest.mark.parametrize(
    ("theirs", "row_hash"),
    [(b"ROWS", "1"), (b"rows", "2"), (b"more rows", "1")],
    ids=["bytes", "hash", "size"],
)
@pytest.mark.parametrize(("kind", "operation"), [("known", "CopyObject"), ("of_puts", "PutObject")])
def test_another_writers_object_after_a_failed_attempt_is_a_defeat(
    request: pytest.FixtureRequest, client: Any, kind: str, operation: str, theirs: bytes, row_hash: str
) -> None:
    store: S3Store = request.getfixturevalue(kind)
    store.put_bytes("staged", b"rows")
    pending = [True]

    def overtaken(**_: Any) -> AWSResponse | None:
        if not pending:
            return None
        pending.clear()
        client.put_object(
            Bucket=BUCKET, Key=store._bucket.key("final"), Body=theirs, Metadata={"row-hash": row_hash}
        )
        return refusal(500, "InternalError")()

    store._bucket.client.meta.events.register(f"before-send.s3.{operation}", overtaken)
    with pytest.raises(Changed, match="created it"):
        store.place("staged", "final", expected=None, metadata={"row-hash": "1"})
    assert store.read("final") == theirs


def test_a_renewal_whose_answer_was_lost_is_no_defeat(known: S3Store) -> None:
    known.put_bytes("final", b"rows")
    etag = etag_of(known, "final")
    for operation in ("CompleteMultipartUpload", "PutObject"):
        lost_once(known, operation)
        etag = known.renew("final", expected=etag)
        assert etag == etag_of(known, "final")
    assert known.read("final") == b"rows"


def test_a_renewal_that_another_writer_overtakes_leaves_theirs_and_no_upload(
    known: S3Store, client: Any
) -> None:
    known.put_bytes("final", b"rows")

    def overtaken(**_: Any) -> None:
        client.put_object(Bucket=BUCKET, Key=known._bucket.key("final"), Body=b"theirs")

    known._bucket.client.meta.events.register_first("before-send.s3.CompleteMultipartUpload", overtaken)
    with pytest.raises(Changed, match="replaced it"):
        known.renew("final", expected=etag_of(known, "final"))
    assert known.read("final") == b"theirs"
    uploads = client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])
    assert [upload["Key"] for upload in uploads if upload["Key"] == known._bucket.key("final")] == []


def test_a_conflict_of_two_replacements_is_tried_again(known: S3Store) -> None:
    known.put_bytes("HEAD.json", b"1")
    pending = [True]

    def conflict(**_: Any) -> AWSResponse | None:
        return refusal(409, "ConditionalRequestConflict")() if pending and pending.pop() else None

    known._bucket.client.meta.events.register("before-send.s3.PutObject", conflict)
    known.put_bytes("HEAD.json", b"2", if_match=etag_of(known, "HEAD.json"))
    assert known.read("HEAD.json") == b"2"


def test_the_endpoint_is_remembered_without_a_password_in_it(moto_url: str, client: Any) -> None:
    with_password = moto_url.replace("://", "://user:hidden@")
    store = S3Store(BUCKET, uuid.uuid4().hex, s3_settings(connection(with_password)))
    store.enforces_conditions()
    assert remembered(store)["endpoint"] == moto_url
