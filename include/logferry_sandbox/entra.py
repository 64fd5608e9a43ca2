"""A stand-in for Microsoft Entra's token endpoint, and for the managed identity endpoint of a virtual
machine.

Client credentials only: a secret, a JWT signed with a registered certificate, or a registered federated
token. https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow
"""

from __future__ import annotations

import json
import secrets
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import parse_qs

import jwt
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from logferry_sandbox.http_server import HttpRequest, HttpResponse

QUERY_AUDIENCE = "https://api.loganalytics.io"
ARM_AUDIENCES = ("https://management.core.windows.net", "https://management.azure.com")
KNOWN_AUDIENCES = frozenset(
    {
        QUERY_AUDIENCE,
        "https://api.loganalytics.us",
        "https://api.loganalytics.azure.cn",
        *ARM_AUDIENCES,
        "https://management.usgovcloudapi.net",
        "https://management.core.usgovcloudapi.net",
        "https://management.chinacloudapi.cn",
        "https://management.core.chinacloudapi.cn",
    }
)
_JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@dataclass(frozen=True, slots=True)
class Token:
    """What a server knows of a token it is shown. `expires_at` is in seconds of the registry's clock."""

    audience: str
    client_id: str
    expires_at: float


class TokenRegistry:
    """Every token handed out; shared by the token endpoint and the servers that check tokens. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.clock = clock
        self._tokens: dict[str, Token] = {}
        self._lock = threading.Lock()

    def issue(self, audience: str, client_id: str, lifetime_s: int) -> str:
        """A new opaque token."""
        text = f"sandbox.{secrets.token_urlsafe(48)}"
        with self._lock:
            self._tokens[text] = Token(audience.rstrip("/"), client_id, self.clock() + lifetime_s)
        return text

    def find(self, text: str) -> Token | None:
        """The token with this text, expired or not; None for one never issued."""
        with self._lock:
            return self._tokens.get(text)

    def expired(self, token: Token) -> bool:
        return token.expires_at <= self.clock()


@dataclass(slots=True)
class Application:
    """An app registration: how it may sign in, and whether it holds a role on the workspace."""

    client_id: str
    secret: str
    certificates: list[x509.Certificate] = field(default_factory=list)
    federated_tokens: set[str] = field(default_factory=set)
    may_read: bool = True


@dataclass(eq=False)
class SignInError(Exception):
    """A refusal in Entra's words: HTTP status, OAuth error, AADSTS number, text."""

    status: int
    error: str
    number: int
    text: str


class Entra:
    """The token endpoint of one tenant. `token_lifetime_s` may be changed while it runs."""

    def __init__(
        self,
        tenant_id: str,
        applications: Mapping[str, Application],
        tokens: TokenRegistry,
        *,
        token_lifetime_s: int = 3599,
    ) -> None:
        self.tenant_id = tenant_id
        self.applications = applications
        self.tokens = tokens
        self.token_lifetime_s = token_lifetime_s

    def app(self, request: HttpRequest) -> HttpResponse:
        """Answer discovery and token requests."""
        parts = request.path.strip("/").split("/")
        try:
            match (request.method, parts):
                case ("GET", [tenant, "v2.0", ".well-known", "openid-configuration"]):
                    self._check_tenant(tenant)
                    return _json(200, self._discovery(request))
                case ("POST", [tenant, "oauth2", "v2.0", "token"]):
                    self._check_tenant(tenant)
                    return self._token(request)
        except SignInError as error:
            return _refusal(request, error)
        return HttpResponse(404, {"Content-Type": "text/html"}, b"<html><body>Not Found</body></html>")

    def _check_tenant(self, tenant: str) -> None:
        if tenant.lower() != self.tenant_id:
            raise SignInError(
                400,
                "invalid_tenant",
                90002,
                f"Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and"
                " are signing"
                " into the correct cloud.",
            )

    def _discovery(self, request: HttpRequest) -> dict[str, object]:
        base = f"https://{request.headers.get('host', '127.0.0.1')}/{self.tenant_id}"
        return {
            "token_endpoint": f"{base}/oauth2/v2.0/token",
            "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"],
            "jwks_uri": f"{base}/discovery/v2.0/keys",
            "response_types_supported": ["code"],
            "issuer": f"{base}/v2.0",
            "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
            "tenant_region_scope": "EU",
        }

    def _token(self, request: HttpRequest) -> HttpResponse:
        form = {name: values[0] for name, values in parse_qs(request.body.decode("utf-8", "replace")).items()}
        if form.get("grant_type") != "client_credentials":
            raise SignInError(
                400,
                "unsupported_grant_type",
                70003,
                f"The app requested an unsupported grant type '{form.get('grant_type', '')}'.",
            )
        client_id = form.get("client_id", "")
        application = self.applications.get(client_id)
        if application is None:
            raise SignInError(
                400,
                "unauthorized_client",
                700016,
                f"Application with identifier '{client_id}' was not found in the directory"
                f" '{self.tenant_id}'.",
            )
        self._sign_in(application, form, request)
        audience = self._audience(form.get("scope", ""))
        return _json(
            200,
            {
                "token_type": "Bearer",
                "expires_in": self.token_lifetime_s,
                "ext_expires_in": self.token_lifetime_s,
                "access_token": self.tokens.issue(audience, client_id, self.token_lifetime_s),
            },
        )

    def _sign_in(self, application: Application, form: dict[str, str], request: HttpRequest) -> None:
        assertion = form.get("client_assertion")
        if assertion is None:
            if "client_secret" not in form:
                raise SignInError(
                    401,
                    "invalid_client",
                    7000218,
                    "The request body must contain the following parameter: 'client_assertion' or"
                    " 'client_secret'.",
                )
            if not secrets.compare_digest(form["client_secret"].encode(), application.secret.encode()):
                raise SignInError(
                    401,
                    "invalid_client",
                    7000215,
                    "Invalid client secret provided. Ensure the secret being sent in the request is the"
                    " client secret"
                    f" value, not the client secret ID, for a secret added to app '{application.client_id}'.",
                )
            return
        if form.get("client_assertion_type") != _JWT_BEARER:
            raise SignInError(401, "invalid_client", 50027, "JWT token is invalid or malformed.")
        if assertion in application.federated_tokens:
            return
        self._check_assertion(application, assertion, request)

    def _check_assertion(self, application: Application, assertion: str, request: HttpRequest) -> None:
        host = request.headers.get("host", "")
        audiences = [f"https://{host}{request.path}", f"https://{host}/{self.tenant_id}/v2.0"]
        for certificate in application.certificates:
            public = certificate.public_key()
            assert isinstance(public, RSAPublicKey)
            try:
                jwt.decode(
                    assertion,
                    public,
                    algorithms=["RS256", "PS256"],
                    audience=audiences,
                    issuer=application.client_id,
                    options={"require": ["exp", "iss", "sub", "jti"]},
                )
            except jwt.InvalidSignatureError:
                continue
            except jwt.InvalidTokenError as error:
                raise SignInError(
                    401,
                    "invalid_client",
                    700024,
                    f"Client assertion is not within its valid time range or is malformed: {error}",
                ) from error
            return
        raise SignInError(
            401,
            "invalid_client",
            700027,
            "The certificate with identifier used to sign the client assertion is not registered on"
            " application.",
        )

    def _audience(self, scope: str) -> str:
        if not scope.endswith("/.default") or " " in scope:
            raise SignInError(
                400,
                "invalid_scope",
                1002012,
                f"The provided value for scope {scope} is not valid. Client credential flows must have"
                " a scope value"
                " with /.default suffixed to the resource identifier (application ID URI).",
            )
        audience = scope.removesuffix("/.default").rstrip("/")
        if audience not in KNOWN_AUDIENCES:
            raise SignInError(
                400,
                "invalid_resource",
                500011,
                f"The resource principal named {audience} was not found in the tenant named sandbox."
                " This can happen if"
                " the application has not been installed by the administrator of the tenant or"
                " consented to by any"
                " user in the tenant.",
            )
        return audience


class ManagedIdentity:
    """The identity endpoint of a virtual machine (IMDS), for one identity; plain HTTP, header `Metadata:
    true`.

    https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token
    """

    def __init__(self, client_id: str, tokens: TokenRegistry, *, token_lifetime_s: int = 86_399) -> None:
        self.client_id = client_id
        self.tokens = tokens
        self.token_lifetime_s = token_lifetime_s

    def app(self, request: HttpRequest) -> HttpResponse:
        """Answer a token request."""
        if request.path != "/metadata/identity/oauth2/token":
            return _json(404, {"error": "not_found", "error_description": "no such path"})
        if request.headers.get("metadata", "").lower() != "true":
            return self._invalid("Required metadata header not specified")
        resource = request.query.get("resource", [""])[0].rstrip("/")
        if "api-version" not in request.query or not resource:
            return self._invalid("Required query variable 'resource' or 'api-version' is missing")
        if request.query.get("client_id", [self.client_id])[0] != self.client_id:
            return self._invalid("Identity not found")
        if resource not in KNOWN_AUDIENCES:
            text = f"AADSTS500011: The resource principal named {resource} was not found in the tenant."
            return _json(400, {"error": "invalid_resource", "error_description": text})
        now = int(self.tokens.clock())
        body = {
            "access_token": self.tokens.issue(resource, self.client_id, self.token_lifetime_s),
            "client_id": self.client_id,
            "expires_in": str(self.token_lifetime_s),
            "expires_on": str(now + self.token_lifetime_s),
            "ext_expires_in": str(self.token_lifetime_s),
            "not_before": str(now),
            "resource": resource,
            "token_type": "Bearer",
        }
        return _json(200, body)

    @staticmethod
    def _invalid(text: str) -> HttpResponse:
        return _json(400, {"error": "invalid_request", "error_description": text})


def _json(status: int, body: Mapping[str, object]) -> HttpResponse:
    headers = {"Content-Type": "application/json; charset=utf-8", "Cache-Control": "no-store, no-cache"}
    return HttpResponse(status, headers, json.dumps(body).encode())


def _refusal(request: HttpRequest, error: SignInError) -> HttpResponse:
    trace, now = str(uuid.uuid4()), datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    correlation = request.headers.get("client-request-id") or str(uuid.uuid4())
    description = (
        f"AADSTS{error.number}: {error.text} Trace ID: {trace} Correlation ID: {correlation} Timestamp: {now}"
    )
    return _json(
        error.status,
        {
            "error": error.error,
            "error_description": description,
            "error_codes": [error.number],
            "timestamp": now,
            "trace_id": trace,
            "correlation_id": correlation,
            "error_uri": f"https://login.microsoftonline.com/error?code={error.number}",
        },
    )
