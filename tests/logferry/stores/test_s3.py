"""S3 as a store: the common behaviour against moto, and S3's own ways to fail."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ClientError
from moto.backends import get_backend
from moto.core.models import DEFAULT_ACCOUNT_ID
from tests.logferry.stores.behaviour import Fill, StoreBehaviour, etag_of, file_of, keys_of
from tests.logferry.stores.s3_replies import SECRET, Reply, connection, refusal, reply

from logferry.credentials.aws import S3Settings, s3_client, s3_settings
from logferry.errors import CredentialsError, StoreError
from logferry.stores import AlreadyExists, Changed, NotFound, open_store
from logferry.stores.s3 import S3Store


@pytest.fixture(scope="module")
def client(moto_url: str) -> Any:
    return s3_client(s3_settings(connection(moto_url)))


@pytest.fixture(scope="module")
def bucket(client: Any) -> str:
    name = f"lake-{uuid.uuid4().hex[:12]}"
    client.create_bucket(Bucket=name)
    return name


@pytest.fixture(scope="module")
def shared_store(moto_url: str, bucket: str) -> S3Store:
    """One for all tests: making a boto3 client takes longer than most of them."""
    store = S3Store(bucket, "acme/logs", s3_settings(connection(moto_url)))
    store.enforces_conditions()  # so that no later request is the probe's
    return store


@pytest.fixture
def store(shared_store: S3Store) -> Iterator[S3Store]:
    yield shared_store
    shared_store.delete([info.key for info in shared_store.list("")])


@pytest.fixture
def fill(bucket: str) -> Fill:
    backend = get_backend("s3")[DEFAULT_ACCOUNT_ID]["aws"]

    def put(keys: Iterable[str]) -> None:
        for key in keys:
            backend.put_object(bucket, f"acme/logs/{key}", value=b"")

    return put


Answering = Callable[..., list[str]]


@pytest.fixture
def answering(store: S3Store) -> Iterator[Answering]:
    """Replaces the first answers to an operation, None lets one through; gives the list of requests made."""
    events = store._bucket.client.meta.events
    registered: list[tuple[str, Callable[..., AWSResponse | None]]] = []

    def answer(operation: str, *replies: Reply | None) -> list[str]:
        pending = list(replies)
        made: list[str] = []

        def before_send(request: Any, **_: Any) -> AWSResponse | None:
            made.append(request.method)
            reply = pending.pop(0) if pending else None
            return reply() if reply else None

        registered.append((f"before-send.s3.{operation}", before_send))
        events.register(*registered[-1])
        return made

    yield answer
    for event, handler in registered:
        events.unregister(event, handler)


class TestS3Store(StoreBehaviour):
    def test_metadata_goes_with_its_object_and_a_new_object_begins_without(
        self, store: S3Store, tmp_path: Path
    ) -> None:
        store.put_file("a", file_of(tmp_path, b"rows"), metadata={"row-hash": "sha256:1 2"})
        assert metadata_of(store, "a") == {"row-hash": "sha256:1 2"}
        store.place("a", "b", expected=None)
        assert metadata_of(store, "b") == {"row-hash": "sha256:1 2"}
        etag = store.place("b", "c", expected=None, metadata={"row-hash": "2"})
        assert metadata_of(store, "c") == {"row-hash": "2"}
        for _ in range(2):
            etag = store.renew("c", expected=etag)
            assert metadata_of(store, "c") == {"row-hash": "2"}
        store.put_file("c", file_of(tmp_path, b"other rows"))
        assert metadata_of(store, "c") == {}

    def test_metadata_stays_with_a_file_that_travels_in_parts(self, store: S3Store, tmp_path: Path) -> None:
        content = bytes(20 << 20)
        store.put_file("big.parquet", file_of(tmp_path, content), metadata={"row-hash": "big"})
        store.place("big.parquet", "placed.parquet", expected=None)
        assert metadata_of(store, "placed.parquet") == {"row-hash": "big"}


def metadata_of(store: S3Store, key: str) -> dict[str, str]:
    info = store.head(key)
    assert info is not None
    return dict(info.metadata)


def test_keys_lie_below_the_prefix_and_other_objects_are_not_seen(
    store: S3Store, bucket: str, client: Any
) -> None:
    client.put_object(Bucket=bucket, Key="acme/logs-of-others/x", Body=b"")
    store.put_bytes("a/b.json", b"{}")
    assert client.get_object(Bucket=bucket, Key="acme/logs/a/b.json")["ContentType"] == "application/json"
    assert keys_of(store) == ["a/b.json"]
    assert store.url == f"s3://{bucket}/acme/logs"


@pytest.mark.parametrize(("path", "key"), [("", "x"), ("/", "x"), ("/p/q/", "p/q/x")])
def test_a_url_names_the_bucket_and_the_folder_in_it(
    moto_url: str, bucket: str, client: Any, path: str, key: str
) -> None:
    open_store(f"s3://{bucket}{path}", connection(moto_url)).put_bytes("x", b"here")
    assert client.get_object(Bucket=bucket, Key=key)["Body"].read() == b"here"
    client.delete_object(Bucket=bucket, Key=key)


def test_parquet_files_have_their_own_content_type(
    store: S3Store, bucket: str, client: Any, tmp_path: Path
) -> None:
    store.put_file("staged", file_of(tmp_path, b"PAR1"))
    etag = store.place("staged", "x.parquet", expected=None)
    for _ in range(3):
        found = client.head_object(Bucket=bucket, Key="acme/logs/x.parquet")
        assert found["ContentType"] == "application/vnd.apache.parquet"
        etag = store.renew("x.parquet", expected=etag)


def test_a_failed_part_leaves_neither_an_object_nor_an_open_upload(
    store: S3Store, answering: Answering, bucket: str, client: Any, tmp_path: Path
) -> None:
    answering("UploadPart", None, refusal(403, "AccessDenied"))
    with pytest.raises(CredentialsError, match="allow s3:GetObject, s3:PutObject"):
        store.put_file("big", file_of(tmp_path, b"x" * (20 << 20)))
    assert keys_of(store) == []
    assert client.list_multipart_uploads(Bucket=bucket).get("Uploads", []) == []


def test_a_store_that_kept_less_than_it_was_sent_is_found_out(
    store: S3Store, answering: Answering, tmp_path: Path
) -> None:
    answering(
        "HeadObject",
        reply(200, content_length="3", etag='"e"', last_modified="Fri, 20 Nov 2026 00:00:00 GMT"),
    )
    with pytest.raises(StoreError, match="should hold 4 bytes and holds 3 bytes"):
        store.put_file("k", file_of(tmp_path, b"rows"))


def test_deletes_go_in_batches_of_a_thousand(store: S3Store, answering: Answering) -> None:
    made = answering("DeleteObjects")
    store.delete(f"k/{number}" for number in range(2001))
    assert len(made) == 3


@pytest.mark.parametrize(("status", "code"), [(400, "MissingContentMD5"), (501, "NotImplemented")])
def test_a_store_without_batch_deletes_gets_single_ones(
    store: S3Store, answering: Answering, monkeypatch: pytest.MonkeyPatch, status: int, code: str
) -> None:
    monkeypatch.setattr(store, "_deletes_in_batches", True)
    for key in ("a", "b", "c"):
        store.put_bytes(key, b"")
    batches = answering("DeleteObjects", *[refusal(status, code)] * 5)
    singles = answering("DeleteObject")
    store.delete(["a", "b"])
    store.delete(["c"])
    assert keys_of(store) == []
    assert len(singles) == 3
    assert len(batches) == 1, "one refusal is remembered"


def test_a_key_that_a_batch_could_not_delete_is_an_error(store: S3Store, answering: Answering) -> None:
    xml = (
        b"<?xml version='1.0'?><DeleteResult><Error><Key>k</Key><Code>AccessDenied</Code>"
        b"<Message>no</Message></Error></DeleteResult>"
    )
    answering("DeleteObjects", reply(200, xml))
    with pytest.raises(CredentialsError, match="Cannot delete"):
        store.delete(["k"])


def test_a_conflict_of_two_creators_is_tried_again(store: S3Store, answering: Answering) -> None:
    made = answering("PutObject", refusal(409, "ConditionalRequestConflict"))
    store.put_bytes("journal/1.json", b"mine", if_absent=True)
    assert store.read("journal/1.json") == b"mine"
    assert len(made) == 2


@pytest.mark.parametrize(("status", "code"), [(409, "ConditionalRequestConflict"), (500, "InternalError")])
def test_a_lost_reply_to_our_own_creation_is_no_defeat(
    store: S3Store, answering: Answering, bucket: str, client: Any, status: int, code: str
) -> None:
    def stored_but_unanswered() -> AWSResponse:
        client.put_object(Bucket=bucket, Key="acme/logs/journal/1.json", Body=b"mine")
        return refusal(status, code)()

    answering("PutObject", stored_but_unanswered)
    store.put_bytes("journal/1.json", b"mine", if_absent=True)


def test_another_writer_between_two_attempts_is_a_defeat(
    store: S3Store, answering: Answering, bucket: str, client: Any
) -> None:
    def overtaken() -> AWSResponse:
        client.put_object(Bucket=bucket, Key="acme/logs/journal/1.json", Body=b"theirs")
        return refusal(409, "ConditionalRequestConflict")()

    answering("PutObject", overtaken)
    with pytest.raises(AlreadyExists):
        store.put_bytes("journal/1.json", b"mine", if_absent=True)


def test_a_body_that_breaks_off_is_read_again(store: S3Store, answering: Answering) -> None:
    store.put_bytes("k", b"0123456789")
    made = answering("GetObject", reply(200, b"0123", content_length="10"))
    assert store.read("k") == b"0123456789"
    assert len(made) == 2


@pytest.mark.parametrize(
    ("status", "code", "error", "remedy"),
    [
        (403, "AccessDenied", CredentialsError, "access is denied: allow s3:GetObject"),
        (403, "InvalidAccessKeyId", CredentialsError, "the access key id is unknown"),
        (403, "SignatureDoesNotMatch", CredentialsError, "the secret access key is wrong"),
        (400, "ExpiredToken", CredentialsError, "the session token has expired"),
        (403, "RequestTimeTooSkewed", CredentialsError, "this machine's clock is wrong"),
        (404, "NoSuchBucket", StoreError, "the bucket does not exist: create it or correct destination.url"),
        (301, "PermanentRedirect", StoreError, "another region: correct region_name"),
        (418, "Teapot", StoreError, r"the store answered Teapot \(told you so\)"),
    ],
)
def test_a_refusal_is_one_sentence_with_bucket_and_remedy(
    store: S3Store,
    answering: Answering,
    bucket: str,
    status: int,
    code: str,
    error: type[Exception],
    remedy: str,
) -> None:
    answering("GetObject", *[refusal(status, code)] * 9)
    with pytest.raises(error, match=rf"Cannot read s3://{bucket}/acme/logs/k .*{bucket}.*{remedy}") as raised:
        store.read("k")
    assert not isinstance(raised.value, NotFound)
    assert SECRET not in str(raised.value)
    assert str(raised.value).count("\n") == 0


def test_a_bucket_that_does_not_exist_is_named(moto_url: str) -> None:
    store = S3Store("no-such-bucket", "", s3_settings(connection(moto_url)))
    for ask in (lambda: store.read("k"), lambda: store.put_bytes("k", b""), lambda: list(store.list(""))):
        with pytest.raises(StoreError, match="'no-such-bucket': the bucket does not exist"):
            ask()


def test_a_head_that_is_forbidden_is_no_missing_object(store: S3Store, answering: Answering) -> None:
    answering("HeadObject", *[reply(403)] * 9)
    with pytest.raises(CredentialsError, match="access is denied"):
        store.head("k")


def test_an_endpoint_nobody_listens_on_is_named() -> None:
    config = {"retries": {"total_max_attempts": 1}}
    store = S3Store("b", "", s3_settings(connection("http://127.0.0.1:1", config_kwargs=config)))
    with pytest.raises(StoreError, match=r"http://127\.0\.0\.1:1 cannot be reached: check endpoint_url"):
        store.read("k")


def test_a_chain_without_credentials_says_what_to_fill_in(moto_url: str) -> None:
    store = S3Store("b", "", S3Settings(endpoint_url=moto_url))
    with pytest.raises(CredentialsError, match="the AWS credential chain has no credentials: fill in login"):
        store.read("k")


def test_a_role_is_assumed_and_used(moto_url: str, bucket: str) -> None:
    role = "arn:aws:iam::123456789012:role/lake-writer"
    conn = connection(moto_url, role_arn=role, service_config={"sts": {"endpoint_url": moto_url}})
    store = S3Store(bucket, "", s3_settings(conn))
    store.put_bytes("k", b"by role")
    assert store.read("k") == b"by role"
    used = store._bucket.client._get_credentials()
    assert used.access_key != "AKIDEXAMPLE"
    assert used.token


def test_a_role_that_may_not_be_assumed_is_named(moto_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    role = "arn:aws:iam::123456789012:role/lake-writer"
    conn = connection(moto_url, role_arn=role, service_config={"sts": {"endpoint_url": moto_url}})
    store = S3Store("b", "", s3_settings(conn))

    def refuse(self: Any) -> None:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "AssumeRole")

    monkeypatch.setattr("botocore.credentials.AssumeRoleCredentialFetcher._get_credentials", refuse)
    with pytest.raises(CredentialsError, match=rf"connection 'lake' may not assume {role} \(AccessDenied\)"):
        store.read("k")


def test_a_bucket_name_that_is_none_is_refused_in_one_line(moto_url: str) -> None:
    with pytest.raises(StoreError, match="Invalid bucket name") as raised:
        S3Store("Not A Bucket", "", s3_settings(connection(moto_url))).read("k")
    assert "\n" not in str(raised.value)


def test_a_failure_while_renewing_leaves_neither_a_change_nor_an_open_upload(
    store: S3Store, answering: Answering, bucket: str, client: Any
) -> None:
    store.put_bytes("k", b"rows")
    seen = etag_of(store, "k")
    answering("UploadPartCopy", refusal(403, "AccessDenied"))
    answering("CompleteMultipartUpload", refusal(400, "InvalidPart"))
    with pytest.raises(CredentialsError, match=r"Cannot renew .* access is denied"):
        store.renew("k", expected=seen)
    with pytest.raises(StoreError, match="InvalidPart"):
        store.renew("k", expected=seen)
    assert etag_of(store, "k") == seen
    assert client.list_multipart_uploads(Bucket=bucket).get("Uploads", []) == []


def test_an_etag_that_cannot_be_changed_is_said(store: S3Store, answering: Answering) -> None:
    store.put_bytes("k", b"rows")
    seen = etag_of(store, "k")
    kept = f"<CompleteMultipartUploadResult><ETag>{seen}</ETag></CompleteMultipartUploadResult>"
    answering("CompleteMultipartUpload", reply(200, kept.encode()))
    with pytest.raises(StoreError, match=r"keeps its ETag .* end that run, delete the object and run again"):
        store.renew("k", expected=seen)
    store.sweep("k", older_than_s=-3600)  # The upload that the made-up answer left open.


def test_an_object_larger_than_one_copy_is_refused_in_words(
    store: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put_bytes("staged", b"rows")
    monkeypatch.setattr("logferry.stores.s3_conditional._AT_ONCE_BYTES", 3)
    with pytest.raises(StoreError, match=r"holds 4 bytes, more than the 5 GiB .* choose shorter slices"):
        store.place("staged", "final", expected=None)
    with pytest.raises(StoreError, match="choose shorter slices"):
        store.renew("staged", expected=etag_of(store, "staged"))
    assert keys_of(store) == ["staged"]


def test_a_placement_that_keeps_less_than_was_staged_is_found_out(
    store: S3Store, answering: Answering
) -> None:
    store.put_bytes("staged", b"rows")
    short = reply(200, content_length="3", etag='"e"', last_modified="Fri, 20 Nov 2026 00:00:00 GMT")
    answering("HeadObject", None, short)
    answering("PutObject", reply(200, etag='"e"'))
    with pytest.raises(StoreError, match="should hold 4 bytes and holds 3 bytes"):
        store.place("staged", "final", expected=None)


def test_a_staged_object_that_breaks_off_is_read_again(store: S3Store, answering: Answering) -> None:
    store.put_bytes("staged", b"0123456789")
    made = answering("GetObject", reply(200, b"0123", content_length="10", etag=etag_of(store, "staged")))
    store.place("staged", "final", expected=None)
    assert store.read("final") == b"0123456789"
    assert len(made) == 3


def test_a_staged_object_that_another_run_replaces_meanwhile_is_not_placed(
    store: S3Store, answering: Answering
) -> None:
    store.put_bytes("staged", b"rows")
    answering("GetObject", reply(200, b"ROWS", content_length="4", etag='"other"'))
    with pytest.raises(Changed, match="staged is not the object that was seen"):
        store.place("staged", "final", expected=None)
    assert keys_of(store) == ["staged"]


def test_a_sweep_aborts_the_unfinished_uploads_below_its_prefix(
    store: S3Store, bucket: str, client: Any
) -> None:
    for key in ("_staging/a", "_staging/b", "elsewhere"):
        client.create_multipart_upload(Bucket=bucket, Key=f"acme/logs/{key}")
    assert store.sweep("_staging/", older_than_s=-3600) == 2
    uploads = client.list_multipart_uploads(Bucket=bucket)["Uploads"]
    assert [upload["Key"] for upload in uploads] == ["acme/logs/elsewhere"]
    store.sweep("", older_than_s=-3600)
    assert client.list_multipart_uploads(Bucket=bucket).get("Uploads", []) == []


@pytest.mark.parametrize(("status", "code"), [(405, "MethodNotAllowed"), (501, "NotImplemented")])
def test_a_store_that_lists_no_uploads_is_swept_of_objects(
    store: S3Store, answering: Answering, status: int, code: str
) -> None:
    store.put_bytes("_staging/a", b"")
    answering("ListMultipartUploads", refusal(status, code))
    assert store.sweep("_staging/", older_than_s=-3600) == 1
    assert keys_of(store) == []


def test_a_sweep_that_is_not_allowed_says_so(store: S3Store, answering: Answering) -> None:
    answering("ListMultipartUploads", refusal(403, "AccessDenied"))
    with pytest.raises(CredentialsError, match=r"Cannot sweep .* s3:ListBucketMultipartUploads"):
        store.sweep("_staging/", older_than_s=3600)
