from logferry_sandbox.rate_limit import RateLimiter

PERIOD_START_MS = 1_795_176_000_000


def test_the_allowance_is_counted_down_and_refilled_on_the_calendar() -> None:
    now = [PERIOD_START_MS + 3_200]
    limiter = RateLimiter(lambda: now[0])
    first, second, refused = (limiter.take("search", 2, 10) for _ in range(3))
    assert (first.admitted, second.admitted, refused.admitted) == (True, True, False)
    assert (first.remaining, second.remaining, refused.remaining) == (1, 0, 0)
    assert refused.reset == 7  # 6.8 s to go, in whole seconds
    now[0] = PERIOD_START_MS + 10_000
    assert limiter.take("search", 2, 10).admitted


def test_buckets_do_not_share() -> None:
    limiter = RateLimiter(lambda: PERIOD_START_MS)
    assert limiter.take("search", 1, 10).admitted
    assert limiter.take("aggregate", 1, 10).admitted
    assert not limiter.take("search", 1, 10).admitted


def test_the_headers_are_those_of_the_api() -> None:
    limiter = RateLimiter(lambda: PERIOD_START_MS + 9_999)
    assert limiter.take("logs_public_search_api", 3, 10).headers() == {
        "X-RateLimit-Limit": "3",
        "X-RateLimit-Period": "10",
        "X-RateLimit-Remaining": "2",
        "X-RateLimit-Reset": "1",
        "X-RateLimit-Name": "logs_public_search_api",
    }
