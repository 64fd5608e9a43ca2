"""The HTTP session MSAL talks through."""

from __future__ import annotations

from typing import Any

import requests
import urllib3

from logferry.body import NotWhole, StrangeEncoding, TooLong, read_body
from logferry.wire import BodyTooLong, Guard, GuardedAdapter, HeadTooLong, OutOfTime, guarding

_TIMEOUT_S = (10, 30)
_ANSWER_S = 60.0
_MOST_BYTES = 1024 * 1024
"""A token has some kilobytes, and so has what is known of a tenant."""


class EndlessAnswer(requests.exceptions.RequestException):
    """The answer went beyond what a token endpoint's may take."""


class _Adapter(GuardedAdapter):
    """Reads each answer whole, within bounds, before anything else looks at it."""

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        guard = Guard(idle_s=_TIMEOUT_S[1], answer_s=_ANSWER_S, most_bytes=2 * _MOST_BYTES)
        guarding(guard)
        try:
            answer = super().send(request, **{**options, "stream": True})
            guard.in_head = False
            with answer:
                answer._content = read_body(answer.raw, _MOST_BYTES)
        except (OutOfTime, HeadTooLong) as error:
            raise EndlessAnswer(str(error)) from error
        except (TooLong, BodyTooLong) as error:
            raise EndlessAnswer(f"it sent more than {_MOST_BYTES:,} bytes") from error
        except urllib3.exceptions.HTTPError as error:
            raise requests.exceptions.ConnectionError("the answer broke off") from error
        except (NotWhole, StrangeEncoding, ValueError) as error:
            raise requests.exceptions.InvalidJSONError("the answer is not readable") from error
        answer._content_consumed = True
        return answer


class EntraSession(requests.Session):
    """A session that always has a timeout, and always trusts the configured authority's certificate.

    The bundle is given with each call: requests lets REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE beat
    ``Session.verify`` (https://requests.readthedocs.io/en/latest/user/advanced/#ssl-cert-verification).
    ``last_status`` and ``last_retry_after`` (seconds) tell of the last answer, which MSAL's errors often do
    not; MSAL repeats a failed answer from memory for some seconds, so they stay true for a repeated one.
    No redirect is followed: a token request carries the secret.
    """

    def __init__(self, ca_bundle: str | None) -> None:
        super().__init__()
        self.mount("https://", _Adapter())
        self.mount("http://", _Adapter())
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

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        return None


def _is_json(answer: requests.Response) -> bool:
    try:
        answer.json()
    except (ValueError, RecursionError):
        return False
    return True
