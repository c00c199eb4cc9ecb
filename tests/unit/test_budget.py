"""The byte budget: a bound on the bytes that the service holds for all connections together."""

import pytest

from serving.request.budget import ByteBudget


class Holder:
    def __init__(self, budget: ByteBudget, held: int) -> None:
        self.budget = budget
        self.held = held
        self.is_refused = False
        budget.held += held

    def free_bytes(self) -> None:
        self.is_refused = True
        self.budget.held -= self.held


@pytest.mark.parametrize(("held", "is_refused"), [(0, False), (99, False), (100, True), (101, True)])
def test_no_request_is_admitted_after_the_budget_is_used_up(held: int, is_refused: bool) -> None:
    budget = ByteBudget(100)
    budget.held = held
    assert (budget.refusal() is not None) == is_refused


def test_a_refusal_states_the_held_bytes_and_the_limit() -> None:
    budget = ByteBudget(100)
    budget.held = 120
    error = budget.refusal()
    assert str(error) == "the service holds 120 bytes of requests and answers; the limit is 100 bytes"
    assert error is not None
    assert error.retry_after == 1


def test_the_requests_that_have_been_incomplete_longest_make_room_and_no_more_than_needed() -> None:
    budget = ByteBudget(100)
    holders = [Holder(budget, 40) for _ in range(4)]
    for holder in holders:
        budget.add_unfinished(holder)
    budget.add_unfinished(holders[0])  # a further part of its body does not change its place
    budget.make_room()
    assert [holder.is_refused for holder in holders] == [True, True, False, False]
    assert budget.held == 80


def test_a_new_request_makes_incomplete_ones_give_up_their_room() -> None:
    budget = ByteBudget(100)
    waiting = Holder(budget, 100)
    budget.add_unfinished(waiting)
    assert budget.refusal() is None
    assert waiting.is_refused


def test_a_complete_request_is_not_refused_to_make_room() -> None:
    budget = ByteBudget(100)
    holders = [Holder(budget, 70), Holder(budget, 70)]
    budget.add_unfinished(holders[0])
    budget.remove_unfinished(holders[0])
    budget.make_room()
    assert not any(holder.is_refused for holder in holders)
    assert budget.is_overspent


def test_a_holder_that_did_not_wait_can_stop_waiting() -> None:
    budget = ByteBudget(100)
    budget.remove_unfinished(Holder(budget, 1))
