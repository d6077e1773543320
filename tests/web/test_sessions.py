"""Links sign in once, sessions end, failures are counted: all within bounds."""

import pytest

from atp.adapters.memory import FrozenClock
from atp.errors import RateLimitedError, UnauthorizedError
from atp.limits import LOGIN_ADDRESSES_MAX, LOGIN_FAILURES_MAX, SESSIONS_MAX, TICKETS_MAX
from atp.web.sessions import IDLE_SECONDS_MAX, TICKET_SECONDS_MAX, Failures, Sessions


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock()


@pytest.fixture
def sessions(clock: FrozenClock) -> Sessions:
    return Sessions(clock)


def test_a_link_signs_in_once(sessions: Sessions) -> None:
    ticket = sessions.issue_ticket("k1")
    assert sessions.redeem(ticket) == "k1"
    with pytest.raises(UnauthorizedError):
        sessions.redeem(ticket)


def test_a_link_is_good_for_fifteen_minutes(sessions: Sessions, clock: FrozenClock) -> None:
    early, late = sessions.issue_ticket("k1"), sessions.issue_ticket("k1")
    clock.advance(TICKET_SECONDS_MAX - 1)
    assert sessions.redeem(early) == "k1"
    clock.advance(1)
    with pytest.raises(UnauthorizedError):
        sessions.redeem(late)


def test_a_guessed_link_is_refused(sessions: Sessions) -> None:
    sessions.issue_ticket("k1")
    with pytest.raises(UnauthorizedError):
        sessions.redeem("0" * 64)


def test_a_session_ends_when_nobody_used_it_for_twelve_hours(sessions: Sessions, clock: FrozenClock) -> None:
    used, unused = sessions.open("k1"), sessions.open("k1")
    clock.advance(IDLE_SECONDS_MAX - 1)
    assert sessions.find(used, is_activity=True)
    clock.advance(1)
    assert sessions.find(used, is_activity=True)
    assert sessions.find(unused, is_activity=True) is None


def test_a_page_that_refreshes_itself_does_not_keep_a_session_open(sessions: Sessions, clock: FrozenClock) -> None:
    session = sessions.open("k1")
    clock.advance(IDLE_SECONDS_MAX - 1)
    assert sessions.find(session, is_activity=False)
    clock.advance(1)
    assert sessions.find(session, is_activity=False) is None


def test_a_closed_session_is_gone(sessions: Sessions) -> None:
    session = sessions.open("k1")
    sessions.close(session)
    assert sessions.find(session, is_activity=True) is None


def test_every_session_has_a_token_of_its_own(sessions: Sessions) -> None:
    tokens = {session.csrf for _ in range(10) if (session := sessions.find(sessions.open("k1"), is_activity=True))}
    assert len(tokens) == 10


def test_too_many_sessions_and_links_push_out_the_oldest(sessions: Sessions) -> None:
    first, ticket = sessions.open("k1"), sessions.issue_ticket("k1")
    kept = sessions.open("k1")
    for _ in range(SESSIONS_MAX - 1):
        sessions.open("k2")
    for _ in range(TICKETS_MAX):
        sessions.issue_ticket("k2")
    assert sessions.find(first, is_activity=True) is None
    assert sessions.find(kept, is_activity=True)
    with pytest.raises(UnauthorizedError):
        sessions.redeem(ticket)


def test_an_address_that_fails_too_often_waits_for_the_next_minute(clock: FrozenClock) -> None:
    failures = Failures(clock)
    for _ in range(LOGIN_FAILURES_MAX):
        failures.check("192.0.2.1")
        failures.count("192.0.2.1")
    with pytest.raises(RateLimitedError):
        failures.check("192.0.2.1")
    failures.check("192.0.2.2")
    clock.advance(60)
    failures.check("192.0.2.1")


def test_a_flood_of_addresses_shares_one_count(clock: FrozenClock) -> None:
    failures = Failures(clock)
    for number in range(LOGIN_ADDRESSES_MAX + LOGIN_FAILURES_MAX):
        failures.count(f"address {number}")
    with pytest.raises(RateLimitedError):
        failures.check("yet another")
    failures.check("address 0")
