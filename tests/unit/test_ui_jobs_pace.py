"""How fast a job sends: fewer requests after a refusal, more after answers, and waits that grow."""

import pytest

from ui.jobs.pace import MAX_RETRY_AFTER, MAX_WAIT_SECONDS, MIN_WAIT_SECONDS, Pace


def pace(most: int = 8, chance: float = 0.0) -> Pace:
    return Pace(most, random=lambda: chance)


def test_it_begins_with_all_requests_in_flight() -> None:
    assert pace(8).allowed == 8


def test_a_refusal_halves_the_requests_in_flight() -> None:
    adapted = pace(8)
    adapted.refused(now=10, sent_at=9, retry_after=1)
    assert adapted.allowed == 4


def test_requests_that_were_in_flight_together_halve_once() -> None:
    adapted = pace(8)
    for now in (10, 10.1, 10.2):
        adapted.refused(now, sent_at=9, retry_after=1)
    assert adapted.allowed == 4


def test_a_refusal_of_a_later_request_halves_again() -> None:
    adapted = pace(8)
    adapted.refused(now=10, sent_at=9, retry_after=1)
    adapted.refused(now=12, sent_at=11, retry_after=1)
    assert adapted.allowed == 2


def test_one_request_is_always_allowed() -> None:
    adapted = pace(2)
    for now in range(10, 20):
        adapted.refused(now, sent_at=now, retry_after=1)
    assert adapted.allowed == 1


def test_as_many_answers_as_are_allowed_in_flight_allow_one_more() -> None:
    adapted = pace(8)
    adapted.refused(now=10, sent_at=9, retry_after=1)
    for _ in range(4):
        adapted.answered()
    assert adapted.allowed == 5


def test_answers_never_allow_more_than_the_setting() -> None:
    adapted = pace(2)
    for _ in range(100):
        adapted.answered()
    assert adapted.allowed == 2


@pytest.mark.parametrize(("chance", "resumed"), [(0.0, 13.0), (1.0, 14.5)])
def test_a_refusal_waits_as_long_as_the_service_asks_and_up_to_a_half_more(
    chance: float, resumed: float
) -> None:
    adapted = pace(chance=chance)
    adapted.refused(now=10, sent_at=9, retry_after=3)
    assert adapted.resume_at == resumed


def test_a_service_cannot_make_a_job_wait_for_hours() -> None:
    adapted = pace()
    adapted.refused(now=10, sent_at=9, retry_after=99_999)
    assert adapted.resume_at == 10 + MAX_RETRY_AFTER


def test_the_waits_for_a_service_that_is_away_double_up_to_a_bound() -> None:
    adapted = pace()
    now = 0.0
    waits = []
    for _ in range(7):
        adapted.lost(now, sent_at=now)
        waits.append(adapted.resume_at - now)
        now = adapted.resume_at
    assert waits == [MIN_WAIT_SECONDS, 1, 2, 4, 8, MAX_WAIT_SECONDS, MAX_WAIT_SECONDS]


def test_an_answer_makes_the_next_wait_short_again() -> None:
    adapted = pace()
    for now in (10, 20, 30):
        adapted.lost(now, sent_at=now)
    adapted.answered()
    adapted.lost(now=40, sent_at=40)
    assert adapted.resume_at == 40 + MIN_WAIT_SECONDS
