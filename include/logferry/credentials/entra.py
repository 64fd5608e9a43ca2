"""Access tokens of Microsoft Entra ID, by way of MSAL.

MSAL keeps the tokens (https://learn.microsoft.com/entra/msal/python/): it is asked before every request,
serves from its cache while a token has at least 300 s left, and goes to Entra otherwise. There is no second
cache here.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import msal
import requests

from logferry.credentials.azure_identity import Identity
from logferry.credentials.entra_errors import (
    refused_authority,
    refused_machine,
    refused_token,
    unanswered,
)
from logferry.credentials.entra_session import EntraSession

_TokenRequest = Callable[[], Any]
_TOKENS_REMEMBERED = 4


class EntraTokens:
    """The ``Authenticator`` of one identity for one audience.

    ``authority`` is ``https://host[:port]/tenant`` and not used by a managed identity; ``scope`` ends with
    ``/.default``. The first ``headers()`` contacts Entra; threads that ask at once share one token request.
    """

    def __init__(self, identity: Identity, *, authority: str, scope: str, ca_bundle: str | None) -> None:
        self.key = identity.key
        self._identity = identity
        self._authority = authority
        self._scope = scope
        self._ca_bundle = ca_bundle
        self._lock = threading.Lock()
        self._session = EntraSession(ca_bundle)
        self._request: _TokenRequest | None = None
        self._tokens: deque[str] = deque(maxlen=_TOKENS_REMEMBERED)

    def headers(self) -> Mapping[str, str]:
        with self._lock:
            token = self._token()
            if token not in self._tokens:
                self._tokens.append(token)
        return {"Authorization": f"Bearer {token}"}

    def refresh(self) -> bool:
        """Starts MSAL anew, with an empty cache: it has no other way to drop a token that looks valid.

        The certificate is read again too, so one renewed on the disk comes into use.
        """
        with self._lock:
            self._request = None
        return True

    def secrets(self) -> tuple[str, ...]:
        """The identity's secrets and the last few tokens: an old one may still turn up in a late answer."""
        with self._lock:
            return (*self._identity.secrets(), *self._tokens)

    def _token(self) -> str:
        building = self._request is None
        try:
            if self._request is None:
                self._request = self._start()
                building = False
            answer = self._request()
        except (requests.RequestException, msal.exceptions.MsalServiceError) as error:
            raise unanswered(self._identity, self._where, self._session, error) from error
        except msal.ManagedIdentityError as error:
            raise refused_machine(self._identity, error) from error
        except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
            # MSAL's word for an authority it cannot use, the JSON module's for an answer that is none, and what
            # comes of members that are of other types than a token's.
            busy = self._session.last_status == 429 or (self._session.last_status or 0) >= 500
            if building and not busy:
                raise refused_authority(self._identity, self._authority) from error
            raise unanswered(self._identity, self._where, self._session, error) from error
        if not isinstance(answer, dict) or not isinstance(answer.get("access_token"), str):
            reply = answer if isinstance(answer, dict) else {}
            raise refused_token(self._identity, self._where, self._scope, self._session, reply)
        return str(answer["access_token"])

    def _start(self) -> _TokenRequest:
        """A new MSAL application. Discovery of the authority happens here, on the network."""
        identity = self._identity
        self._session.last_status = None
        if identity.auth == "managed_identity":
            # A machine's own endpoint is never behind a proxy, whatever the environment says of others
            # (https://learn.microsoft.com/azure/virtual-machines/instance-metadata-service#proxies).
            self._session.trust_env = False
            managed = msal.ManagedIdentityClient(
                msal.UserAssignedManagedIdentity(client_id=identity.client_id)
                if identity.client_id
                else msal.SystemAssignedManagedIdentity(),
                http_client=self._session,
            )
            resource = self._scope.removesuffix("/.default")
            return lambda: managed.acquire_token_for_client(resource=resource)
        application = msal.ConfidentialClientApplication(
            identity.client_id,
            client_credential=identity.client_credential(),
            authority=self._authority,
            # The authority is the cloud's own or the user's wish: asking the public cloud about it would fail
            # for a private one and would leave a national cloud.
            instance_discovery=False,
            http_client=self._session,
        )
        return lambda: application.acquire_token_for_client([self._scope])

    @property
    def _where(self) -> str:
        return (
            "the managed identity endpoint" if self._identity.auth == "managed_identity" else self._authority
        )
