"""What an answer teaches of an allowance: its limit, which of its periods it belongs to, what others spent. Pure.

Learned from headers, never guessed twice:

- **Silence.** Three successful answers in a row that name no allowance come from an API that has none, or from behind
  something that takes the headers off: what was learned before is unknown again, so that the allowance of a server that
  was replaced holds up three requests and no more. A failure says nothing either way: an error page of a proxy forgets
  no allowance.
- **Refusals after silence.** A 429 proves that there still is an allowance: the one that was forgotten holds again, for
  as long as answers do not name one, and no silence forgets it any more.
- **Borders.** An answer tells of the period in which its request was counted, which near a border is seen by its Reset.
"""

from __future__ import annotations

from logferry.budget.allowance import ALMOST_ONE, UNKNOWN_PERIOD_MS, Allowance
from logferry.budget.border import Border
from logferry.budget.headers import RateAnswer
from logferry.budget.others import Others
from logferry.budget.period import Period
from logferry.budget.recent import Recent

SILENT_ANSWERS = 3
"""So many successful answers in a row that name no allowance make what was learned unknown."""
_REFUSED = 0.05
"""What a refusal takes off the risk that the next requests may run: five of them have to make up for it."""
_NEWEST_ANSWER = 0.2


def learn(state: Allowance, sent_ms: int | None, now_ms: int, answer: RateAnswer) -> None:
    """Correct what is known by an answer that came now to a request sent at ``sent_ms`` (None: not known)."""
    sent_ms = now_ms if sent_ms is None else min(sent_ms, now_ms)
    known = state.limit is not None and state.recent is None
    if answer.limit is not None and answer.period_ms is not None:
        state.silent, state.forgotten = 0, None
        _learn_limit(state, answer.limit, answer.period_ms, now_ms)
    elif known and answer.status < 400:
        state.silent += 1
    if answer.status < 400:
        took_ms = now_ms - sent_ms
        state.answer_ms += (took_ms - state.answer_ms) * (_NEWEST_ANSWER if state.answer_ms else 1.0)
    if state.limit is not None and state.recent is None and answer.limit is not None:
        _learn_period(state, sent_ms, now_ms, answer, known=known)
    elif state.silent >= SILENT_ANSWERS:
        _forget(state)  # The next request goes alone: it may be that only these answers lost their headers.
    else:
        state.period.answered = True
    if answer.status == 429:
        _learn_refusal(state, sent_ms, now_ms, answer)


def _learn_limit(state: Allowance, limit: int, period_ms: int, now_ms: int) -> None:
    if state.recent is None and (limit, period_ms) == (state.limit, state.period_ms):
        return
    if state.limit is None or state.recent is not None:
        state.period.spent = 0  # Counted over another time than the period that is now.
    same = state.limit is not None and period_ms == state.period_ms and state.recent is None
    state.limit, state.period_ms, state.recent = limit, period_ms, None
    state.carried = ALMOST_ONE
    state.theirs.mean = min(state.theirs.mean, float(limit))
    state.renew_grant(1)
    if not same:
        state.period.border = Border()
        state.period.ends_ms = state.period.border.after(now_ms, period_ms)


def _forget(state: Allowance) -> None:
    """Nothing is known again, as at first contact; who is at work, and until when a 429 lets nobody send, is."""
    if state.limit is not None:
        state.forgotten = state.limit, state.period_ms
    state.period_ms = UNKNOWN_PERIOD_MS
    state.limit, state.silent, state.grant, state.carried = None, 0, 0, 0.0
    state.kept_out, state.risk = False, 0.0
    state.period, state.theirs = Period(), Others()


def _restore(state: Allowance, limit: int, period_ms: int) -> None:
    """What was forgotten holds again; where its periods end no answer tells, so it is counted over a sliding one."""
    state.limit, state.period_ms, state.recent = limit, period_ms, Recent()
    state.carried, state.period, state.theirs = ALMOST_ONE, Period(), Others()


def _learn_period(state: Allowance, sent_ms: int, now_ms: int, answer: RateAnswer, *, known: bool) -> None:
    """Which period the answer belongs to, where its border lies, and what others spent in it."""
    state.roll(now_ms, 1)
    period = state.period
    before = sent_ms < period.ends_ms - state.period_ms
    if answer.reset_ms is not None:
        seen = period.border.see(sent_ms, now_ms, answer.reset_ms, state.period_ms)
        if seen is not None:
            earliest, latest = seen
            middle = (earliest + latest) // 2
            before = middle < period.ends_ms - state.period_ms // 2
            if earliest >= period.ends_ms:
                # The API has begun its next period already.
                state.begin(period.border.nearest(middle, state.period_ms), 1)
                period.spent = max(period.spent, 1)
            elif known:
                nearest = period.border.nearest(period.ends_ms, state.period_ms)
                period.ends_ms = min(nearest, period.border.after(now_ms, state.period_ms))
            else:
                period.ends_ms = period.border.after(now_ms, state.period_ms)
    period.settle(sent_ms, state.period_ms, before=before, refused=answer.status == 429)
    if before or answer.remaining is None or state.limit is None:
        return
    period.told_ms = max(period.told_ms, sent_ms, period.ends_ms - state.period_ms)
    used = state.limit - answer.remaining
    if known:
        state.theirs.spent = max(state.theirs.spent, used - period.spent)
    else:
        period.spent = max(period.spent, used)  # Whose it was cannot be known at first sight.


def _learn_refusal(state: Allowance, sent_ms: int, now_ms: int, answer: RateAnswer) -> None:
    """How long nothing is sent, and what that says of an allowance that no answer names."""
    # Sent before the 429 that brought the allowance back was heard: it was not sent by that allowance.
    is_late = state.forgotten is not None and state.limit is not None and sent_ms <= state.pause.from_ms
    unnamed_ms = UNKNOWN_PERIOD_MS if is_late else state.period_ms
    wait_ms = unnamed_ms if answer.wait_ms is None else max(answer.wait_ms, 1000)
    if answer.reset_ms is not None and state.limit is not None and state.recent is None:
        wait_ms = min(wait_ms, max(state.period_ms, 1000))  # No period ends later than that.
    state.pause.asked_for(now_ms, wait_ms)
    state.kept_out = True
    state.risk = -_REFUSED
    if state.limit is None and state.forgotten is not None:
        _restore(state, *state.forgotten)
    elif state.recent is not None and state.limit is not None and not is_late:
        state.theirs.mean = max(state.theirs.mean, float(state.limit - len(state.recent.taken_ms)))
