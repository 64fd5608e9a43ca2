"""What a query reply carries beside its rows when the `Prefer` header asks for it.

https://learn.microsoft.com/azure/azure-monitor/logs/api/prefer-options
"""

from __future__ import annotations

import json
import re
from typing import Any

from logferry_sandbox.http_server import HttpRequest


def preferences(request: HttpRequest) -> list[str]:
    """The preferences the API knows, of those asked for."""
    known = re.compile(r"wait=\d+|(?:include-(?:statistics|render|datasources|permissions))=true")
    asked = [part.strip() for part in request.headers.get("prefer", "").split(",")]
    return [part for part in asked if known.fullmatch(part.lower())]


def extra_members(request: HttpRequest, rows: int, error: dict[str, Any] | None) -> bytes:
    """The members that follow `tables`."""
    asked = {part.lower() for part in preferences(request)}
    extras: dict[str, Any] = {}
    if "include-statistics=true" in asked:
        extras["statistics"] = {
            "query": {
                "executionTime": 0.0156222,
                "resourceUsage": {
                    "cache": {"memory": {"hits": 0, "misses": 0, "total": 0}},
                    "cpu": {"user": "00:00:00", "kernel": "00:00:00", "total cpu": "00:00:00"},
                    "memory": {"peakPerNode": 1_048_576},
                },
                "inputDatasetStatistics": {
                    "extents": {"total": 1, "scanned": 1},
                    "rows": {"total": rows, "scanned": rows},
                },
                "datasetStatistics": [{"tableRowCount": rows, "tableSize": rows * 64}],
            }
        }
    if "include-render=true" in asked:
        extras["render"] = {}
    if error is not None:
        extras["error"] = error
    return b"".join(
        b",%s:%s" % (json.dumps(name).encode(), json.dumps(value).encode()) for name, value in extras.items()
    )
