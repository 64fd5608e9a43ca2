"""What S3's refusals mean, and what to do about each.

Codes: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    CredentialRetrievalError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    PartialCredentialsError,
    SSLError,
    SSOError,
)

from logferry.credentials.aws import S3Settings
from logferry.errors import CredentialsError, LogferryError, StoreError
from logferry.stores.base import NotFound

_SHOWN = 200
_PERMISSIONS = (
    "s3:GetObject, s3:PutObject, s3:DeleteObject, s3:AbortMultipartUpload, s3:ListBucketMultipartUploads and "
    "s3:ListBucket"
)

_CREDENTIALS = {
    "InvalidAccessKeyId": "the access key id is unknown: correct the credentials",
    "SignatureDoesNotMatch": "the secret access key is wrong: correct the credentials",
    "ExpiredToken": "the session token has expired: renew the credentials",
    "InvalidToken": "the session token is not valid: renew the credentials",
    "RequestTimeTooSkewed": "this machine's clock is wrong: correct it",
    "AccessDenied": f"access is denied: allow {_PERMISSIONS}",
    # A HEAD has no body, so its code is the status.
    "403": f"access is denied: correct the credentials or allow {_PERMISSIONS}",
    "401": "the credentials are refused: correct them",
}
_STORE = {
    "NoSuchBucket": "the bucket does not exist: create it or correct destination.url",
    "InvalidBucketName": "the bucket's name is not valid: correct destination.url",
    "PermanentRedirect": "the bucket is in another region: correct region_name",
    "301": "the bucket is in another region: correct region_name",
    "AuthorizationHeaderMalformed": "the bucket is in another region: correct region_name",
    "SlowDown": "the store asks for fewer requests: run again later",
    "QuotaExceeded": "the quota is used up: free some space",
    "XMinioStorageFull": "the store's disk is full: free some space",
}


def error_code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def status_of(error: ClientError) -> int | None:
    """The HTTP status, None for an error that was listed inside a successful answer."""
    return error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")


def was_repeated(error: ClientError) -> bool:
    """Whether boto3 had sent the request before: then that one may have been carried out, its reply lost."""
    return bool(error.response.get("ResponseMetadata", {}).get("RetryAttempts", 0))


@contextmanager
def explained(settings: S3Settings, bucket: str, doing: str, url: str) -> Iterator[None]:
    """Turns boto3's errors into one sentence that names the object, the bucket and the remedy."""
    try:
        yield
    except ClientError as error:
        raise _refused(error, settings, bucket, f"Cannot {doing} {url}") from error
    except BotoCoreError as error:
        raise _unsent(error, settings, f"Cannot {doing} {url}") from error


def _refused(error: ClientError, settings: S3Settings, bucket: str, failure: str) -> LogferryError:
    code = error_code(error)
    if code in ("NoSuchKey", "404"):
        return NotFound(f"{failure}: there is no such object.")
    if error.operation_name == "AssumeRole":
        return CredentialsError(
            f"{failure}: {settings.source} may not assume {settings.role_arn} ({code}): "
            "correct the credentials or the role's trust policy."
        )
    if code in _CREDENTIALS:
        return CredentialsError(
            f"{failure} in bucket {bucket!r} with {settings.source}: {_CREDENTIALS[code]}."
        )
    if code in _STORE:
        return StoreError(f"{failure} in bucket {bucket!r}: {_STORE[code]}.")
    message = str(error.response.get("Error", {}).get("Message", ""))[:_SHOWN].strip(" .")
    status = status_of(error)
    return StoreError(
        f"{failure} in bucket {bucket!r}: the store answered {code or status}"
        f"{f' ({message})' if message else ''}; run again later or check the store."
    )


def _unsent(error: BotoCoreError, settings: S3Settings, failure: str) -> LogferryError:
    place = settings.endpoint_url or "AWS"
    if isinstance(error, NoCredentialsError):
        return CredentialsError(
            f"{failure}: {settings.source} has no credentials: fill in login and password of an aws "
            "connection, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
        )
    if isinstance(error, PartialCredentialsError | CredentialRetrievalError | SSOError):
        return CredentialsError(f"{failure}: {settings.source} gives no credentials: {_one_line(error)}")
    if isinstance(error, SSLError):
        return StoreError(
            f"{failure}: the certificate of {place} is not trusted: name its CA file in verify."
        )
    if isinstance(error, ConnectionError | HTTPClientError | IncompleteReadError):
        return StoreError(
            f"{failure}: {place} cannot be reached: check endpoint_url, region_name and the network."
        )
    return StoreError(f"{failure}: {_one_line(error)}")


def _one_line(error: BotoCoreError) -> str:
    return " ".join(str(error).split())[:_SHOWN]
