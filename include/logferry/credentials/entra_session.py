"""The HTTP session MSAL talks through."""

from __future__ import annotations

from typing import Any

import requests

_TIMEOUT_S = (10, 30)


class EntraSession(requests.Session):
    """A session that always has a timeout, and always trusts the configured authority's certificate.

    The bundle is given with each call: requests lets REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE beat
    ``Session.verify`` (https://requests.readthedocs.io/en/latest/user/advanced/#ssl-cert-verification).
    ``last_status`` and ``last_retry_after`` (seconds) tell of the last answer, which MSAL's errors often do
    not; MSAL repeats a failed answer from memory for some seconds, so they stay true for a repeated one.
    """

    def __init__(self, ca_bundle: str | None) -> None:
        super().__init__()
        self._ca_bundle = ca_bundle
        self.last_status: int | None = None
        self.last_retry_after: float | None = None

    def request(self, method: str, url: str | bytes, *args: Any, **kwargs: Any) -> requests.Response:
        self.last_status = self.last_retry_after = None
        kwargs["timeout"] = _TIMEOUT_S
        if self._ca_bundle is not None:
            kwargs["verify"] = self._ca_bundle
        answer = super().request(method, url, *args, **kwargs)
        self.last_status = answer.status_code
        retry_after = answer.headers.get("Retry-After", "")
        self.last_retry_after = float(retry_after) if retry_after.isdecimal() else None
        if answer.status_code == 200 and not _is_json(answer):
            # Said here, before MSAL logs the whole text of what may be half a token.
            raise requests.exceptions.InvalidJSONError("the answer is not JSON")
        return answer


def _is_json(answer: requests.Response) -> bool:
    try:
        answer.json()
    except ValueError:
        return False
    return True
