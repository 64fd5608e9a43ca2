"""S3 clients from an ``aws`` connection, with the fields of the Amazon provider.

Fields: https://airflow.apache.org/docs/apache-airflow-providers-amazon/stable/connections/aws.html. Of the
ways to assume a role only ``assume_role`` is here; boto3's own chain covers web identities.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import boto3
import botocore.session
from botocore import UNSIGNED
from botocore.config import Config
from botocore.credentials import AssumeRoleCredentialFetcher, DeferredRefreshableCredentials
from botocore.exceptions import BotoCoreError

from logferry.connection import Connection
from logferry.credentials.endpoint import wrong_type
from logferry.errors import CredentialsError, DefinitionError

_CONNECT_TIMEOUT_S = 10
_READ_TIMEOUT_S = 60
_ATTEMPTS = 5
_CONNECTIONS = 16
_CUSTOM_ENDPOINT_REGION = "us-east-1"


@dataclass(frozen=True, slots=True)
class S3Settings:
    """What a client needs; None leaves the choice to boto3. ``endpoint_url`` is set for look-alikes of S3
    only.
    """

    conn_id: str | None = None
    endpoint_url: str | None = None
    sts_endpoint_url: str | None = None
    region_name: str | None = None
    profile_name: str | None = None
    role_arn: str | None = None
    verify: bool | str | None = None
    access_key_id: str | None = field(default=None, repr=False)
    secret_access_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)
    assume_role_kwargs: Mapping[str, Any] = field(default_factory=dict, repr=False)
    config_kwargs: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def source(self) -> str:
        """Where the credentials come from, for messages."""
        return f"connection {self.conn_id!r}" if self.conn_id else "the AWS credential chain"

    def secrets(self) -> tuple[str, ...]:
        return tuple(text for text in (self.secret_access_key, self.session_token) if text)


def s3_settings(conn: Connection | None, environ: Mapping[str, str] = os.environ) -> S3Settings:
    """The settings in an ``aws`` connection; None stands for an empty one. Nothing is sent.

    An endpoint in the environment (AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL) counts as one in the connection: it
    names a look-alike of S3 just the same. Raises DefinitionError or CredentialsError naming the field.
    """
    if conn is None:
        return S3Settings(endpoint_url=_endpoint_in(environ))
    if conn.conn_type != "aws":
        raise wrong_type(conn, "aws")
    method = conn.text("assume_role_method")
    if method not in (None, "assume_role"):
        raise DefinitionError(
            f"Connection {conn.conn_id!r}: assume_role_method {method!r} is not supported: use "
            "assume_role, or leave out role_arn and let the AWS credential chain assume the role."
        )
    access_key_id = (conn.login or "").strip() or conn.text("aws_access_key_id")
    secret = (conn.password or "").strip() or conn.text("aws_secret_access_key")
    if bool(access_key_id) != bool(secret):
        missing = "password (the secret access key)" if access_key_id else "login (the access key id)"
        raise CredentialsError(
            f"Connection {conn.conn_id!r} lacks {missing}: fill in both, or neither for the AWS credential "
            "chain."
        )
    services = conn.mapping("service_config")
    return S3Settings(
        conn_id=conn.conn_id,
        endpoint_url=_service_endpoint(conn, services, "s3")
        or conn.text("endpoint_url")
        or _endpoint_in(environ),
        sts_endpoint_url=_service_endpoint(conn, services, "sts"),
        region_name=conn.text("region_name"),
        profile_name=conn.text("profile_name"),
        role_arn=conn.text("role_arn"),
        verify=_verify(conn),
        access_key_id=access_key_id,
        secret_access_key=secret,
        session_token=conn.text("aws_session_token"),
        assume_role_kwargs=conn.mapping("assume_role_kwargs"),
        config_kwargs=conn.mapping("config_kwargs"),
    )


def s3_client(settings: S3Settings) -> Any:
    """A boto3 S3 client (its class is made at run time, hence untyped); safe to share between threads.

    Raises CredentialsError for a profile that does not exist, DefinitionError for settings boto3 refuses.
    """
    try:
        session = boto3.Session(
            aws_access_key_id=settings.access_key_id,
            aws_secret_access_key=settings.secret_access_key,
            aws_session_token=settings.session_token,
            region_name=settings.region_name,
            profile_name=settings.profile_name,
        )
        if settings.role_arn:
            session = _with_role(session, settings, settings.role_arn)
        region = session.region_name
        if settings.endpoint_url and not region:
            region = _CUSTOM_ENDPOINT_REGION
        return session.client(
            "s3",
            endpoint_url=settings.endpoint_url,
            region_name=region,
            verify=settings.verify,
            config=_config(settings),
        )
    except botocore.exceptions.ProfileNotFound as error:
        raise CredentialsError(
            f"The AWS profile {settings.profile_name!r} of {settings.source} does not exist: "
            "add it to ~/.aws/config or correct profile_name."
        ) from error
    except (BotoCoreError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise DefinitionError(f"boto3 refuses the settings of {settings.source}: {reason}") from error


def _config(settings: S3Settings) -> Config:
    """Timeouts and retries; for look-alikes also path-style addresses and checksums only where required.

    Over https boto3 sends its default checksum as a trailer of a chunked body, which several look-alikes
    refuse (https://docs.aws.amazon.com/sdkref/latest/guide/feature-dataintegrity.html). ``config_kwargs``
    beats it all.
    """
    options: dict[str, Any] = {
        "connect_timeout": _CONNECT_TIMEOUT_S,
        "read_timeout": _READ_TIMEOUT_S,
        "retries": {"mode": "standard", "total_max_attempts": _ATTEMPTS},
        "max_pool_connections": _CONNECTIONS,
    }
    if settings.endpoint_url:
        options["s3"] = {"addressing_style": "path"}
        options["request_checksum_calculation"] = "when_required"
        options["response_checksum_validation"] = "when_required"
    wanted = dict(settings.config_kwargs)
    if "s3" in wanted:
        wanted["s3"] = {**options.get("s3", {}), **wanted["s3"]}
    if wanted.get("signature_version") == "unsigned":
        wanted["signature_version"] = UNSIGNED
    return Config(**{**options, **wanted})


def _with_role(session: boto3.Session, settings: S3Settings, role_arn: str) -> boto3.Session:
    """A session whose credentials come from STS and renew themselves: an export may outlive a role's hour."""
    inner = botocore.session.get_session()
    source = session.get_credentials()
    if source is None:
        raise CredentialsError(
            f"Assuming {role_arn} needs credentials, and {settings.source} has none: fill in login and "
            "password."
        )

    def sts_client(service_name: str, **arguments: Any) -> Any:
        return session.client(
            "sts",
            region_name=session.region_name or _CUSTOM_ENDPOINT_REGION,
            endpoint_url=settings.sts_endpoint_url,
            verify=settings.verify,
            aws_access_key_id=arguments["aws_access_key_id"],
            aws_secret_access_key=arguments["aws_secret_access_key"],
            aws_session_token=arguments["aws_session_token"],
        )

    fetcher = AssumeRoleCredentialFetcher(
        client_creator=sts_client,
        source_credentials=source,
        role_arn=role_arn,
        extra_args={"RoleSessionName": "logferry", **settings.assume_role_kwargs},
    )
    inner.register_component("credential_provider", _RoleProvider(fetcher))
    return boto3.Session(botocore_session=inner, region_name=session.region_name)


class _RoleProvider:
    """What botocore's sessions ask for credentials."""

    def __init__(self, fetcher: AssumeRoleCredentialFetcher) -> None:
        self._fetcher = fetcher

    def load_credentials(self) -> DeferredRefreshableCredentials:
        return DeferredRefreshableCredentials(self._fetcher.fetch_credentials, "assume-role")


def _service_endpoint(conn: Connection, services: Mapping[str, Any], service: str) -> str | None:
    of_service = services.get(service) or {}
    endpoint = of_service.get("endpoint_url") if isinstance(of_service, Mapping) else of_service
    if endpoint is None:
        return None
    if not isinstance(endpoint, str):
        raise DefinitionError(
            f"Connection {conn.conn_id!r}: service_config must be shaped like "
            '{"s3": {"endpoint_url": "https://host:port"}}.'
        )
    return endpoint.strip() or None


def _endpoint_in(environ: Mapping[str, str]) -> str | None:
    if environ.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "").lower() == "true":
        return None
    return environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL") or None


def _verify(conn: Connection) -> bool | str | None:
    """The provider's ``verify``: a truth value, or the path of a CA bundle."""
    value = conn.option("verify")
    if value is None or isinstance(value, bool):
        return value
    text = str(value).strip()
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    return text
