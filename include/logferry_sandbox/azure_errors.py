"""Error answers of the Log Analytics query API, in the shapes recorded from the service.

https://learn.microsoft.com/azure/azure-monitor/logs/api/errors
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from logferry_sandbox.http_server import HttpResponse
from logferry_sandbox.kql_errors import KqlError, KqlSemanticError, KqlSyntaxError

JSON_HEADERS = {"Content-Type": "application/json; charset=utf-8"}

PARTIAL_MESSAGES = {
    1: "Query result set has exceeded the internal data size limit {max_bytes}"
    " (E_QUERY_RESULT_SET_TOO_LARGE; see"
    " https://aka.ms/kustoquerylimits)",
    2: "The results of this query exceed the set limit of {max_bytes} bytes, so not all records were returned"
    " (E_QUERY_RESULT_SET_TOO_LARGE, 0x80DA0003, see https://aka.ms/kustoquerylimits for more information and"
    " possible solutions.).",
    3: "The results of this query exceed the set limit of {max_rows} records, so not all records were"
    " returned"
    " (E_QUERY_RESULT_SET_TOO_LARGE, 0x80DA0003, see https://aka.ms/kustoquerylimits for more information and"
    " possible solutions.).",
    4: "Query result set has exceeded the internal record count limit {max_rows}"
    " (E_QUERY_RESULT_SET_TOO_LARGE; see"
    " https://aka.ms/kustoquerylimits)",
    5: "Maximum response size of 100000000 bytes exceeded",
    6: "Query execution has exceeded the allowed limits (E_OVERFLOW): an arithmetic overflow occurred.",
}
"""What a partial answer says: 1, 2 and 5 for its size, 3 and 4 for its rows, 6 for another reason."""
_TOO_LARGE, _OVERFLOW = "-2133196797", "-2133196788"


@dataclass(frozen=True, slots=True)
class Limits:
    """What a partial answer names as exceeded."""

    max_rows: int
    max_bytes: int


def error_response(
    status: int,
    code: str,
    message: str,
    inner: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> HttpResponse:
    """`{"error": {"message", "code", "correlationId", "innererror"?}}`."""
    error: dict[str, Any] = {"message": message, "code": code, "correlationId": str(uuid.uuid4())}
    if inner is not None:
        error["innererror"] = inner
    return HttpResponse(status, JSON_HEADERS | dict(headers or {}), json.dumps({"error": error}).encode())


def bad_argument(inner: Mapping[str, Any]) -> HttpResponse:
    """400 BadArgumentError around the given inner error."""
    return error_response(400, "BadArgumentError", "The request had some invalid properties", inner)


def query_error(error: KqlError) -> HttpResponse:
    """400 for a query that does not parse (SYN0002) or does not mean anything (SEM…)."""
    match error:
        case KqlSyntaxError():
            detail: dict[str, Any] = {
                "code": "SYN0002",
                "message": "A recognition error occurred in the query.",
                "line": error.line,
                "pos": error.pos,
                "token": error.token,
            }
            return bad_argument(
                {"code": "SyntaxError", "message": "A syntax error occurred.", "innererror": detail}
            )
        case KqlSemanticError():
            detail = {"code": error.code, "message": error.message}
            return bad_argument(
                {"code": "SemanticError", "message": "A semantic error occurred.", "innererror": detail}
            )
    raise AssertionError(error)


def partial_error(variant: int, limits: Limits, *, severity: str = "Error") -> dict[str, Any]:
    """The `error` member that stands beside `tables` in a 200 whose rows are not all there."""
    return {
        "code": "PartialError",
        "message": "There were some errors when processing your query.",
        "details": [
            {
                "code": "EngineError",
                "message": "Something went wrong processing your query on the server.",
                "innererror": {
                    "code": _OVERFLOW if variant == 6 else _TOO_LARGE,
                    "message": PARTIAL_MESSAGES[variant].format(
                        max_rows=limits.max_rows, max_bytes=limits.max_bytes
                    ),
                    "severity": 2 if severity == "Error" else 3,
                    "severityName": severity,
                },
            }
        ],
    }


def throttled(limit: int, window_s: int, retry_after: int | None) -> HttpResponse:
    """429 ThrottledError, with or without Retry-After (seconds)."""
    message = f"Rate limit of {limit} per {window_s} seconds is exceeded."
    inner = {
        "code": "ThrottledError",
        "message": message,
        "limitValue": limit,
        "moreInfo": "https://aka.ms/api-limits",
    }
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return error_response(429, "ThrottledError", message, inner, headers)


def gateway_timeout() -> HttpResponse:
    """504, as recorded when the engine took longer than the client's `wait`."""
    inner = {"code": "GatewayTimeout", "message": "ADX query timed out"}
    return error_response(504, "GatewayTimeout", "Gateway timeout", inner)


def insufficient_access(workspace: str, *, network: bool = False) -> HttpResponse:
    """403 for a token without a role on the workspace, or from a network the workspace does not admit."""
    if network:
        inner = {
            "code": "NspValidationFailedError",
            "message": f"Access to workspace '{workspace}' from '127.0.0.1' is denied. To allow access"
            " from public"
            " networks, change the workspace Networking settings.",
        }
    else:
        inner = {
            "code": "AuthorizationFailedError",
            "message": "User does not have access to read from this resource."
            " (Microsoft.OperationalInsights/workspaces/query/read)",
        }
    return error_response(
        403,
        "InsufficientAccessError",
        "The provided credentials have insufficient access to perform the requested operation",
        inner,
    )
