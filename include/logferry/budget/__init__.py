"""The request budget of one credential, shared by every thread, process and machine that uses it.

Each API bucket has an allowance, learned from the answers (``headers``, ``learning``), and its arithmetic
(``allowance``, ``period``, ``border``, ``others``, ``shares``) is pure. What is known lies on a ``board``: a locked
file on one machine, Redis or PostgreSQL for several. It holds counters only, never a credential.
"""

from logferry.budget.allowance import RESERVE
from logferry.budget.budget import IN_FLIGHT, KNOWN_ALLOWANCES, LONGEST_WAIT_S, Budget
from logferry.budget.forecast import Forecast
from logferry.budget.headers import retry_after_s

__all__ = [
    "IN_FLIGHT",
    "KNOWN_ALLOWANCES",
    "LONGEST_WAIT_S",
    "RESERVE",
    "Budget",
    "Forecast",
    "retry_after_s",
]
