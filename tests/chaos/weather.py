"""The weather over the sandbox: every second or so other faults, at random, of every kind it knows.

One kind stays out: ``azure:late_rows`` hides rows that were there already; late rows come by ``arrivals`` instead.
Faults that only cost time are kept short.
"""

from __future__ import annotations

import json
import random
import ssl
import threading
import urllib.request
from collections import Counter
from typing import Any

Rule = dict[str, Any]

_COUNT_PATH = {"path_contains": "aggregate"}
_GENERIC: list[Rule] = [
    {"fault": "http_error", "params": {"status": 500}},
    {"fault": "http_error", "params": {"status": 502, "body": "<html>Bad Gateway</html>"}},
    {"fault": "http_error", "params": {"status": 503, "headers": {"Retry-After": "0"}}},
    {"fault": "http_error", "params": {"status": 504}},
    {"fault": "http_error", "params": {"status": 408}},
    {"fault": "http_error", "params": {"status": 429, "headers": {"Retry-After": "1"}}},
    {"fault": "cut_body", "params": {"fraction": 0.1}},
    {"fault": "cut_body", "params": {"fraction": 0.9}},
    {"fault": "cut_body", "params": {"fraction": 0.5, "whole_length": False}},
    {"fault": "slow", "params": {"delay_s": 0.3}},
    {"fault": "slow_body", "params": {"stall_s": 0.2}},
    {"fault": "reset"},
    {"fault": "reset", "params": {"fraction": 0.5}},
    {"fault": "headers", "params": {"headers": {"Retry-After": "0"}}},
    {"fault": "empty_200"},
    {"fault": "non_json"},
]
_DATADOG: list[Rule] = [
    *_GENERIC,
    # Stubborn: nothing can be counted, so nothing can be proven; pages that lack a row however often they are asked.
    {"fault": "http_error", "params": {"status": 403}, "match": _COUNT_PATH, "probability": 1.0, "times": 20},
    {"fault": "datadog:drop_row", "probability": 1.0, "times": 60},
    {"fault": "http_error", "params": {"status": 401}},
    {"fault": "datadog:status_timeout"},
    {"fault": "datadog:warnings"},
    {"fault": "datadog:repeat_cursor"},
    {"fault": "datadog:duplicate_rows"},
    {"fault": "datadog:out_of_order"},
    {"fault": "datadog:expired_cursor"},
    {"fault": "datadog:malformed_cursor"},
    {"fault": "datadog:drop_row"},
    {"fault": "datadog:swap_row"},
    {"fault": "datadog:truncated_series"},
    {"fault": "datadog:empty_page_with_cursor"},
]
_AZURE: list[Rule] = [
    *_GENERIC,
    *({"fault": "azure:partial_error", "params": {"variant": variant}} for variant in range(1, 7)),
    {"fault": "azure:partial_error", "params": {"rows": False}},
    {"fault": "azure:warning"},
    {"fault": "azure:expired_token"},
    {"fault": "azure:no_content"},
    {"fault": "azure:stale_cache"},
    {"fault": "azure:drop_row"},
    {"fault": "azure:swap_row"},
    {"fault": "azure:throttled", "params": {"retry_after": 1}},
    {"fault": "azure:gateway_timeout"},
    {"fault": "azure:network_denied"},
]
_ENTRA: list[Rule] = [
    {"fault": "http_error", "params": {"status": 503}},
    {"fault": "slow", "params": {"delay_s": 0.2}},
    {"fault": "reset"},
    {"fault": "non_json"},
]
_COLUMN: Rule = {"fault": "azure:column_added", "params": {"table": "AppRequests"}, "times": 1}
_CALM = 0.1
_CALM_AT_ENTRA = 0.7
"""A worker needs a token before all else: with more faults here it would meet no others."""


class Weather:
    """Changes the faults of the sandbox from ``start`` to ``stop``; afterwards there are none."""

    def __init__(self, described: dict[str, Any], choose: random.Random) -> None:
        self._choose = choose
        trusted = ssl.create_default_context(cafile=described["azure"]["ca_bundle"])
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trusted)
        )
        entra = described["azure"]["authority"].rpartition("/")[0]
        self._skies = {
            described["datadog"]["base_url"]: _DATADOG,
            described["azure"]["query_endpoint"]: _AZURE,
            entra: _ENTRA,
        }
        self._azure = described["azure"]["query_endpoint"]
        self._columns_due = 1
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._blow, name="weather", daemon=True)

    def start(self) -> None:
        self._set_all(fair=False)
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()
        self._set_all(fair=True)

    def faults(self) -> Counter[str]:
        """How often each kind happened so far."""
        found: Counter[str] = Counter()
        for url in self._skies:
            found.update(self._ask(f"{url}/_sandbox/stats")["faults"])
        return found

    def requests(self) -> int:
        """How many requests for rows, counts and columns the sandbox answered so far (tokens left out)."""
        answered = 0
        for url in list(self._skies)[:2]:
            for statuses in self._ask(f"{url}/_sandbox/stats")["requests"].values():
                answered += sum(statuses.values())
        return answered

    def _blow(self) -> None:
        while not self._stopped.wait(self._choose.uniform(0.3, 1.2)):
            self._set_all(fair=False)

    def _set_all(self, *, fair: bool) -> None:
        for url, menu in self._skies.items():
            calm = _CALM_AT_ENTRA if menu is _ENTRA else _CALM
            rules = [] if fair or self._choose.random() < calm else self._some_of(menu)
            if not fair and url == self._azure and self._columns_due and self._choose.random() < 0.1:
                self._columns_due -= 1
                rules.append(_COLUMN)
            self._ask(f"{url}/_sandbox/faults", rules)

    def _some_of(self, menu: list[Rule]) -> list[Rule]:
        choose = self._choose
        return [
            {
                "probability": choose.choice([0.1, 0.3, 0.6]),
                "times": choose.choice([1, 3, 9]),
                "seed": choose.randrange(1 << 30),
                **rule,
            }
            for rule in choose.sample(menu, choose.choice([1, 2, 3]))
        ]

    def _ask(self, url: str, rules: list[Rule] | None = None) -> Any:
        body = None if rules is None else json.dumps(rules).encode()
        with self._opener.open(urllib.request.Request(url, data=body), timeout=30) as answer:
            return json.loads(answer.read())
