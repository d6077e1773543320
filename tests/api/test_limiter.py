"""How often a key may knock."""

from pathlib import Path

import pytest

from atp.adapters.memory import FrozenClock
from atp.api.limiter import Limiter
from atp.errors import RateLimitedError
from tests.api.calling import caller, problem
from tests.web.serving import serving


def test_a_bucket_holds_two_seconds_and_fills_again() -> None:
    clock = FrozenClock()
    limiter = Limiter(3.0, clock=clock)
    for _ in range(6):
        limiter.take("a")
    with pytest.raises(RateLimitedError) as refusal:
        limiter.take("a")
    assert refusal.value.retry_after_seconds == 1
    limiter.take("b")
    clock.advance(1)
    for _ in range(3):
        limiter.take("a")
    with pytest.raises(RateLimitedError):
        limiter.take("a")
    clock.advance(3_600)
    for _ in range(6):
        limiter.take("a")
    with pytest.raises(RateLimitedError):
        limiter.take("a")


def test_a_slow_rate_says_how_long_to_wait() -> None:
    clock = FrozenClock()
    limiter = Limiter(0.5, clock=clock)
    limiter.take("a")
    with pytest.raises(RateLimitedError) as refusal:
        limiter.take("a")
    clock.advance(refusal.value.retry_after_seconds)
    limiter.take("a")


def test_a_key_that_knocks_too_often_is_told_to_wait_and_others_are_not(tmp_path: Path) -> None:
    with serving(tmp_path / "data", rate_per_second=2.0) as served, caller(served) as root:
        answers = [root.get("/v1/status") for _ in range(6)]
        assert answers[0].status_code == 200
        problem(answers[-1], 429, "rate_limited")
        assert int(answers[-1].headers["retry-after"]) >= 1
        assert root.get("/health").status_code == 200
        _, other = served.issue_key()
        with caller(served, other) as client:
            assert client.get("/v1/status").status_code == 200
