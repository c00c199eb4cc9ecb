"""The laws of batching, checked on an event loop with a simulated clock."""

import asyncio
import contextlib
import gc
import heapq
import itertools
import math
import re
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from classifier.batching.admission import Admission, Stage
from classifier.batching.batcher import SWEEP_SECONDS, Batcher
from classifier.batching.cost import MAX_GROWTH, CostModel
from classifier.batching.queue import MAX_TURN_TEXTS
from classifier.batching.queue import Call as QueuedCall
from classifier.errors import DeadlinePassed, Draining, QueueFull, WrongResultCount
from classifier.settings import BatchingSettings

ROUNDING = 1e-6
"""Largest rounding error, in seconds, of a sum of seconds."""

END_OF_SIMULATION = 1e5
"""A time, in seconds, after which nothing happens."""

TEXT_BYTES = 100
"""Units of cost that a text has in addition to its characters."""

ERRORS = {
    "raises": ValueError,
    "nan": FloatingPointError,
    "short": WrongResultCount,
    "long": WrongResultCount,
}
"""The error of a text, by its fault."""


class SimulatedLoop(asyncio.SelectorEventLoop):
    """An event loop that skips to the next timer, and whose only worker thread takes simulated time."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.turns = 0
        self.faults: list[dict[str, Any]] = []
        self.after_turn: Callable[[], None] = lambda: None
        self.before_wait: Callable[[], None] = lambda: None
        self.is_thread_busy = False
        self._thread_seconds: float | None = None
        self.set_exception_handler(lambda _, context: self.faults.append(context))

    def time(self) -> float:
        return self.now

    def spend(self, seconds: float) -> None:
        """Let the work that is running take this time."""
        if self._thread_seconds is None:
            self.now += seconds
        else:
            self._thread_seconds += seconds

    def moment(self) -> float:
        """The current time of the work that is running."""
        return self.now + (self._thread_seconds or 0)

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        assert isinstance(executor, ThreadPoolExecutor)
        if executor._shutdown:
            raise RuntimeError("cannot schedule new futures after shutdown")
        assert not self.is_thread_busy, "the thread is already busy"
        self.is_thread_busy, self._thread_seconds = True, 0.0
        result = func(*args)
        seconds, self._thread_seconds = self._thread_seconds, None
        future = self.create_future()

        def finish() -> None:
            self.is_thread_busy = False
            future.set_result(result)

        self.call_later(seconds, finish)
        return future

    def _run_once(self) -> None:
        if not self._ready:
            while (
                self._scheduled and self._scheduled[0].cancelled()
            ):  # the list is a heap; asyncio drops cancelled timers the same way
                heapq.heappop(self._scheduled)._scheduled = False
                self._timer_cancelled_count -= 1
            assert self._scheduled, "something waits for an event that will never happen"
            self.before_wait()
            self.now = max(self.now, self._scheduled[0].when())
        self.turns += 1
        super()._run_once()
        self.after_turn()


def make_text(owner: int, place: int, length: int = 1, fault: str = "") -> str:
    """A unique text of `length` characters or a few more."""
    return f"{owner}/{place}/{fault}".ljust(length, ".")


USUAL = tuple(make_text(-1, place, 750) for place in range(32))
"""Texts for calibration."""


def size_of(text: str) -> int:
    """A text's size in units of cost."""
    return TEXT_BYTES + len(text)


def open_batcher(
    run: Any,
    settings: BatchingSettings,
    releases_gil: bool = False,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[Batcher[Any], Admission]:
    """Make a batcher with an open admission."""
    admission = Admission(settings, Stage.OPEN)
    return Batcher(run, size_of, releases_gil, settings, admission, clock), admission


def fault_of(text: str) -> str:
    return text.split("/")[2].rstrip(".")


def cost_factor(text: str) -> float:
    """The cost of this text relative to other texts of its size."""
    found = re.search("/costs ([0-9.]+[0-9])", text[:40])
    return float(found[1]) if found else 1.0


def answer(text: str) -> str:
    return f"the answer to {text}"


@dataclass(frozen=True)
class Batch:
    """A batch, including its repetitions in parts; `begin` and `end` are in seconds."""

    texts: tuple[str, ...]
    begin: float
    end: float
    in_thread: bool
    runs: int
    turn: int
    """The turn of the event loop in which it began."""

    @property
    def seconds(self) -> float:
        return self.end - self.begin

    @property
    def size(self) -> int:
        return sum(map(size_of, self.texts))


@dataclass
class Model:
    """A model that takes `base` seconds per run plus `per_character`; each answer names its text."""

    loop: SimulatedLoop
    base: float
    per_character: float
    batches: list[Batch] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    is_calibrating: bool = False

    def seconds(self, texts: Sequence[str]) -> float:
        return self.base + self.per_character * sum(
            cost_factor(text) * (TEXT_BYTES + len(text)) for text in texts
        )

    def __call__(self, texts: Sequence[str]) -> list[str]:
        if self.is_calibrating:
            self.loop.spend(self.seconds(texts))
            return self.results(texts)
        in_thread = self.loop._thread_seconds is not None
        assert in_thread or not self.loop.is_thread_busy, "two runs overlap"
        begin = self.loop.moment()
        self.loop.spend(self.seconds(texts))
        end = self.loop.moment()
        if self.seen.isdisjoint(texts):
            self.batches.append(Batch(tuple(texts), begin, end, in_thread, 1, self.loop.turns))
        else:
            batch = self.batches[-1]
            assert set(texts) < set(batch.texts), "a text runs again in another batch"
            self.batches[-1] = replace(batch, end=end, runs=batch.runs + 1)
        self.seen.update(texts)
        return self.results(texts)

    @staticmethod
    def results(texts: Sequence[str]) -> list[str]:
        for text in texts:
            if fault_of(text) in {"raises", "nan"}:
                raise ERRORS[fault_of(text)](text)
        faults = {fault_of(text) for text in texts}
        results = [answer(text) for text in texts]
        if "long" in faults:
            return [*results, "one too many"]
        return results[1:] if "short" in faults else results


@dataclass(frozen=True)
class Client:
    """A client that submits `texts` at `at` and may disconnect `disconnects_after` seconds later."""

    texts: tuple[str, ...]
    at: float = 0.0
    timeout: float | None = None
    disconnects_after: float | None = None


@dataclass
class Call:
    """A client's call and its outcome; `batches_before` counts the batches that began before the answer."""

    client: Client
    submitted: float = -1.0
    answered: float = math.inf
    outcomes: list[str | Exception] | None = None
    refusal: Exception | None = None
    is_cancelled: bool = False
    came_during_drain: bool = False
    waiting: tuple[int, int] = (0, 0)
    batches_at_submit: int = 0
    batches_before: int = 0


@dataclass(frozen=True)
class Drain:
    """The begin of draining and the longest time it may take, in seconds."""

    at: float
    seconds: float


@dataclass(frozen=True)
class Schedule:
    """Everything that happens in a simulation."""

    clients: tuple[Client, ...]
    settings: BatchingSettings
    releases_gil: bool = True
    base: float = 1e-3
    per_character: float = 1e-5
    drain: Drain | None = None
    calibration: tuple[str, ...] = ()


class Simulation:
    """Runs a schedule and records what happens."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self.settings = schedule.settings
        self.calls = [Call(client) for client in schedule.clients]
        self.left: int | None = None
        self.left_waiting = 0
        self.drained = math.inf
        self.highest = (0, 0)
        self.lowest = (0, 0)
        self.idle_waits: list[float] = []
        self._is_draining = False
        with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
            self.loop = runner.get_loop()
            self.model = Model(self.loop, schedule.base, schedule.per_character)
            self.batcher, self.admission = open_batcher(
                self.model, self.settings, schedule.releases_gil, self.loop.moment
            )
            if schedule.calibration:
                self.model.is_calibrating = True
                self.batcher.calibrate([schedule.calibration])
                self.model.is_calibrating = False
                self.loop.now = 0.0
            self.loop.after_turn = self._note_waiting
            self.loop.before_wait = self._note_idleness
            runner.run(self._main())
            self.loop.before_wait = self.loop.after_turn = lambda: None

    @property
    def batches(self) -> list[Batch]:
        return self.model.batches

    @property
    def waiting(self) -> tuple[int, int]:
        """The numbers of waiting texts and characters."""
        return self.admission.load.texts, self.admission.load.characters

    def deadline(self, call: Call) -> float:
        timeout = math.inf if call.client.timeout is None else call.client.timeout
        return call.submitted + min(timeout, self.settings.deadline_seconds)

    def batch_of(self, text: str) -> Batch | None:
        return next((batch for batch in self.batches if text in batch.texts), None)

    @property
    def answered(self) -> list[Call]:
        return [call for call in self.calls if call.outcomes is not None]

    def outcomes(self) -> Iterator[tuple[str, str | Exception]]:
        for call in self.answered:
            yield from zip(call.client.texts, call.outcomes, strict=True)

    async def _main(self) -> None:
        async with asyncio.TaskGroup() as group:
            for call in self.calls:
                task = group.create_task(self._call(call))
                if call.client.disconnects_after is not None:
                    self.loop.call_at(call.client.at + call.client.disconnects_after, task.cancel)
            if self.schedule.drain is not None:
                group.create_task(self._drain(self.schedule.drain))
        await asyncio.sleep(END_OF_SIMULATION)

    async def _call(self, call: Call) -> None:
        try:
            await asyncio.sleep(call.client.at)
            call.submitted = self.loop.now
            call.came_during_drain = self._is_draining
            call.waiting = self.waiting
            call.batches_at_submit = len(self.batches)
            self.admission.check()
            call.outcomes = await self.batcher.submit(call.client.texts, call.client.timeout)
        except (QueueFull, Draining) as refusal:
            call.refusal = refusal
        except asyncio.CancelledError:
            call.is_cancelled = True
        finally:
            call.answered = self.loop.now
            call.batches_before = len(self.batches)

    async def _drain(self, drain: Drain) -> None:
        await asyncio.sleep(drain.at)
        self._is_draining = True
        self.left = await self.batcher.drain(drain.seconds)
        self.left_waiting = self.admission.load.texts
        self.drained = self.loop.now

    def _note_waiting(self) -> None:
        texts, characters = self.waiting
        self.highest = max(self.highest[0], texts), max(self.highest[1], characters)
        self.lowest = min(self.lowest[0], texts), min(self.lowest[1], characters)

    def _note_idleness(self) -> None:
        if self.admission.load.texts and not self.loop.is_thread_busy:
            self.idle_waits.append(self.loop.now)


def some_settings(**changed: float) -> BatchingSettings:
    """The default settings with changes, which may be outside the bounds of a real service's settings.

    No request is refused because of its expected wait, unless `max_waiting_seconds` is changed.
    """
    defaults = BatchingSettings().model_dump() | {"max_waiting_seconds": math.inf}
    return BatchingSettings.model_construct(**defaults | changed)


def milliseconds(lowest: int, highest: int) -> st.SearchStrategy[float]:
    return st.integers(lowest, highest).map(lambda number: number / 1000)


@st.composite
def some_texts(draw: st.DrawFn, owner: int, faults: bool) -> tuple[str, ...]:
    """Draw 1 to 100 texts of one client with a few lengths; some of them have a fault."""
    count = draw(st.one_of(st.integers(1, 4), st.integers(1, 100)))
    lengths = draw(st.lists(st.integers(1, 1500), min_size=1, max_size=3))
    places = st.integers(0, count - 1)
    at_fault = draw(st.dictionaries(places, st.sampled_from(sorted(ERRORS)), max_size=3)) if faults else {}
    return tuple(make_text(owner, i, lengths[i % len(lengths)], at_fault.get(i, "")) for i in range(count))


@st.composite
def schedules(
    draw: st.DrawFn,
    faults: bool = True,
    disconnects: bool = True,
    unlimited: bool = False,
    without_deadline: bool = False,
    drains: bool = False,
) -> Schedule:
    """Draw a schedule. `unlimited` means no refusals, `without_deadline` no deadlines and no timeouts."""
    clients = []
    for owner in range(draw(st.integers(1, 6))):
        texts = draw(some_texts(owner, faults))
        at = draw(st.one_of(st.just(0.0), milliseconds(0, 200)))
        timeout = None if without_deadline else draw(st.sampled_from([None] * 3 + [0.001, 0.03, 0.3]))
        disconnects_after = (
            draw(st.sampled_from([None] * 5 + [0.0, 0.001, 0.01, 0.1])) if disconnects else None
        )
        clients.append(Client(texts, at, timeout, disconnects_after))
    settings = some_settings(
        max_batch_seconds=draw(st.sampled_from([1e-6, 1e-3, 5e-3, 5e-2])),
        max_inline_seconds=draw(st.sampled_from([1e-6, 1e-3, 5e-3])),
        max_waiting_texts=10**6 if unlimited else draw(st.sampled_from([2, 20, 100, 150, 300])),
        max_waiting_characters=10**9 if unlimited else draw(st.sampled_from([100, 10_000, 100_000, 10**6])),
        deadline_seconds=1e4 if without_deadline else draw(milliseconds(1, 500)),
    )
    return Schedule(
        tuple(clients),
        settings,
        releases_gil=draw(st.booleans()),
        base=draw(st.sampled_from([0.0, 1e-5, 1e-4, 1e-3, 1e-2])),
        per_character=draw(st.sampled_from([1e-8, 1e-7, 1e-6, 1e-5])),
        drain=Drain(draw(milliseconds(0, 300)), draw(milliseconds(0, 300))) if drains else None,
    )


def flood(*sizes: int, **changed: Any) -> Schedule:
    """Clients that submit at the same time; each size is a client's number of texts."""
    clients = tuple(
        Client(tuple(make_text(owner, place, 20) for place in range(size)))
        for owner, size in enumerate(sizes)
    )
    return replace(Schedule(clients, some_settings(deadline_seconds=1e4)), **changed)


def turns(batches: Sequence[Batch]) -> list[list[Batch]]:
    """Group the batches on the event loop by the turn in which they ran."""
    inline = (batch for batch in batches if not batch.in_thread)
    return [list(group) for _, group in itertools.groupby(inline, lambda batch: batch.turn)]


both = pytest.mark.parametrize("releases_gil", [True, False])


@given(schedules())
def test_every_text_gets_exactly_one_outcome_which_is_its_own(schedule: Schedule) -> None:
    simulation = Simulation(schedule)
    for call in simulation.calls:
        assert (call.outcomes is not None) + (call.refusal is not None) + call.is_cancelled == 1
    for text, outcome in simulation.outcomes():
        if not isinstance(outcome, Exception):
            assert outcome == answer(text)


@given(schedules(faults=False, disconnects=False, unlimited=True, without_deadline=True))
def test_batching_does_not_change_any_answer(schedule: Schedule) -> None:
    for call in Simulation(schedule).calls:
        assert call.outcomes == [answer(text) for text in call.client.texts]


@given(schedules(disconnects=False, unlimited=True, without_deadline=True))
def test_only_the_text_at_fault_fails(schedule: Schedule) -> None:
    for text, outcome in Simulation(schedule).outcomes():
        if fault := fault_of(text):
            assert type(outcome) is ERRORS[fault]
        else:
            assert outcome == answer(text)


@given(schedules(disconnects=False, unlimited=True, without_deadline=True))
def test_a_text_at_fault_gets_the_error_that_it_caused(schedule: Schedule) -> None:
    for text, outcome in Simulation(schedule).outcomes():
        if fault_of(text) in {"raises", "nan"}:
            assert isinstance(outcome, Exception)
            assert outcome.args == (text,)


@both
def test_a_fault_costs_a_few_more_runs_instead_of_one_per_text(releases_gil: bool) -> None:
    texts = tuple(make_text(0, place, 1, "raises" if place == 37 else "") for place in range(64))
    settings = some_settings(max_batch_seconds=1e3, max_inline_seconds=1e3)
    schedule = Schedule((Client(texts),), settings, releases_gil, calibration=USUAL)
    (batch,) = Simulation(schedule).batches
    assert batch.runs == 1 + 2 * math.log2(64)


@given(schedules())
def test_no_text_is_in_two_batches(schedule: Schedule) -> None:
    texts = [text for batch in Simulation(schedule).batches for text in batch.texts]
    assert len(texts) == len(set(texts))


@given(
    st.lists(st.tuples(milliseconds(20_000, 60_000), st.integers(1, 3000)), min_size=1, max_size=20),
    st.booleans(),
    milliseconds(0, 100),
)
def test_a_single_text_on_an_idle_batcher_runs_immediately(
    gaps: list[tuple[float, int]], releases_gil: bool, base: float
) -> None:
    at, clients = 0.0, []
    for owner, (gap, length) in enumerate(gaps):
        at += gap
        clients.append(Client((make_text(owner, 0, length),), at))
    simulation = Simulation(Schedule(tuple(clients), some_settings(), releases_gil, base))
    assert [batch.begin for batch in simulation.batches] == [call.submitted for call in simulation.calls]


@given(schedules())
def test_no_text_waits_while_the_model_is_idle(schedule: Schedule) -> None:
    assert Simulation(schedule).idle_waits == []


@given(schedules())
def test_the_queue_never_exceeds_its_bounds(schedule: Schedule) -> None:
    simulation = Simulation(schedule)
    assert simulation.highest[0] <= schedule.settings.max_waiting_texts
    assert simulation.highest[1] <= schedule.settings.max_waiting_characters
    assert simulation.lowest == (0, 0)


@given(schedules())
def test_a_client_is_refused_if_and_only_if_its_texts_would_exceed_a_bound(schedule: Schedule) -> None:
    simulation = Simulation(schedule)
    for call in simulation.calls:
        if call.submitted >= 0:
            texts = call.waiting[0] + len(call.client.texts)
            characters = call.waiting[1] + sum(map(len, call.client.texts))
            fits = (
                texts <= schedule.settings.max_waiting_texts
                and characters <= schedule.settings.max_waiting_characters
            )
            assert isinstance(call.refusal, QueueFull) == (not fits)


@given(schedules())
def test_a_refusal_is_immediate_and_its_texts_do_not_run(schedule: Schedule) -> None:
    simulation = Simulation(schedule)
    for call in simulation.calls:
        if call.refusal is not None:
            assert call.answered == call.submitted
            assert simulation.model.seen.isdisjoint(call.client.texts)


@given(schedules())
def test_a_refused_client_is_asked_to_retry_after_at_least_a_second(schedule: Schedule) -> None:
    for call in Simulation(schedule).calls:
        if isinstance(call.refusal, QueueFull):
            assert call.refusal.retry_after >= 1


@pytest.mark.parametrize(("waiting", "retry_after"), [(0.9, 1), (1.0, 1), (1.2, 2), (1.9, 2), (2.1, 3)])
def test_retry_after_is_the_expected_time_of_the_queue_rounded_up_to_whole_seconds(
    waiting: float, retry_after: int
) -> None:
    async def main(loop: SimulatedLoop) -> None:
        settings = some_settings(max_waiting_seconds=0.1)
        batcher, admission = open_batcher(Model(loop, 0, 1e-3), settings, False, loop.moment)
        for place in range(300):
            await batcher.submit([make_text(0, place, 900)])
        task = asyncio.create_task(batcher.submit([make_text(1, 0, round(waiting * 1000) - TEXT_BYTES)]))
        await asyncio.sleep(0)
        with pytest.raises(QueueFull, match=f"the queue takes {waiting:.2f} s; the limit is 0.1 s") as error:
            admission.check()
        assert error.value.retry_after == retry_after
        await task

    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        runner.run(main(runner.get_loop()))


@both
def test_a_full_queue_admits_texts_again_after_it_has_emptied(releases_gil: bool) -> None:
    settings = some_settings(max_waiting_texts=100, deadline_seconds=1e4)
    schedule = flood(90, 20, settings=settings, releases_gil=releases_gil)
    late = Client(tuple(make_text(2, place) for place in range(100)), at=100)
    first, second, third = Simulation(replace(schedule, clients=(*schedule.clients, late))).calls
    assert first.outcomes is not None
    assert isinstance(second.refusal, QueueFull)
    assert third.outcomes == [answer(text) for text in late.texts]


@both
def test_a_full_queue_refuses_a_request_before_it_is_read_until_it_has_emptied(
    releases_gil: bool,
) -> None:
    async def main(loop: SimulatedLoop) -> None:
        settings = some_settings(max_waiting_texts=10)
        batcher, admission = open_batcher(Model(loop, 1e-3, 1e-5), settings, releases_gil, loop.moment)
        admission.check()
        full = asyncio.create_task(batcher.submit([make_text(0, place) for place in range(10)]))
        await asyncio.sleep(0)
        with pytest.raises(QueueFull, match="10 texts wait, and 1 more would pass the limit of 10"):
            admission.check()
        await full
        admission.check()

    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        runner.run(main(runner.get_loop()))


def test_admitted_requests_count_as_waiting_until_their_texts_arrive() -> None:
    async def main(loop: SimulatedLoop) -> None:
        settings = some_settings(max_waiting_seconds=0.1)
        batcher, admission = open_batcher(Model(loop, 0, 1e-5), settings, False, loop.moment)
        await batcher.submit([make_text(0, 0, 900)])
        assert admission.refusal() is None

        def admit_until_refused() -> int:
            admitted = 0
            while admission.refusal() is None:
                admission.admit()
                admitted += 1
            return admitted

        # A text is expected to take 1.04 ms: the average of earlier texts, in which the only one counts 1/64.
        assert admit_until_refused() == 87
        admission.check()
        for _ in range(2):
            await asyncio.sleep(0)
            assert admission.refusal() is None
            admission.admit()
            await asyncio.sleep(0)
            assert admit_until_refused() == 87

    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        runner.run(main(runner.get_loop()))


def test_a_refusal_leaves_no_garbage() -> None:
    """Each refusal would leave ten objects, a million times under overload."""

    async def main() -> None:
        batcher, admission = open_batcher(lambda texts: texts, some_settings(max_waiting_texts=0))
        gc.collect()
        for _ in range(100):
            with contextlib.suppress(QueueFull):
                admission.check()
            with contextlib.suppress(QueueFull):
                await batcher.submit(["a"])
        assert gc.collect() < 100

    asyncio.run(main())


def stream(rate: float, seconds: float) -> tuple[Client, ...]:
    """Clients with one text each, at equal intervals."""
    return tuple(Client((make_text(i, 0, 100),), i / rate) for i in range(int(rate * seconds)))


@both
@pytest.mark.parametrize("times", [2, 5])
def test_under_overload_admitted_requests_wait_about_as_long_as_the_limit(
    releases_gil: bool, times: int
) -> None:
    limit, cost, seconds = 0.5, 1e-3, 2.0
    settings = some_settings(max_waiting_seconds=limit, deadline_seconds=1e4)
    clients = stream(times / cost, seconds)
    simulation = Simulation(Schedule(clients, settings, releases_gil, 0, cost / (TEXT_BYTES + 100)))
    waits = [call.answered - call.submitted for call in simulation.answered]
    assert max(waits) < 1.1 * limit
    assert len(waits) > 0.95 * seconds / cost
    for call in simulation.calls:
        assert call.outcomes is not None or isinstance(call.refusal, QueueFull)


@both
def test_below_capacity_no_request_is_refused_for_its_expected_wait(releases_gil: bool) -> None:
    cost = 1e-3
    settings = some_settings(max_waiting_seconds=0.05)
    clients = stream(0.9 / cost, 2)
    simulation = Simulation(Schedule(clients, settings, releases_gil, 0, cost / (TEXT_BYTES + 100)))
    assert len(simulation.answered) == len(clients)


@both
def test_a_client_with_many_texts_is_admitted_to_an_empty_queue_however_long_they_take(
    releases_gil: bool,
) -> None:
    settings = some_settings(max_waiting_seconds=1e-6, deadline_seconds=1e4)
    (call,) = Simulation(flood(100, settings=settings, releases_gil=releases_gil, base=1.0)).calls
    assert call.outcomes == [answer(text) for text in call.client.texts]


@both
def test_time_with_an_empty_queue_does_not_count_as_slowness(releases_gil: bool) -> None:
    early, after_a_pause = Client((make_text(0, 0),)), Client((make_text(1, 0),), at=100.0)
    together = [Client((make_text(owner, 0),), at=100.1) for owner in range(2, 7)]
    schedule = Schedule(
        (early, after_a_pause, *together), some_settings(max_waiting_seconds=0.5), releases_gil
    )
    assert [call.refusal for call in Simulation(schedule).calls] == [None] * 7


@both
def test_time_after_waiting_clients_disconnect_does_not_count_as_slowness(releases_gil: bool) -> None:
    disconnected = Client(tuple(make_text(1, place) for place in range(50)), disconnects_after=0.5)
    late = [
        Client(tuple(make_text(owner, place) for place in range(10)), at=1000.0 + 0.25 * (owner > 2))
        for owner in (2, 3, 4)
    ]
    settings = some_settings(max_waiting_seconds=5.0, max_batch_seconds=1e-6, max_inline_seconds=1e-6)
    simulation = Simulation(Schedule((disconnected, *late), settings, releases_gil, base=0.1))
    assert [call.is_cancelled for call in simulation.calls] == [True, False, False, False]
    assert all(call.outcomes is not None for call in simulation.calls[1:])


@given(schedules())
def test_a_text_that_has_waited_until_its_deadline_does_not_run(schedule: Schedule) -> None:
    simulation = Simulation(schedule)
    for call in simulation.calls:
        for text in call.client.texts:
            batch = simulation.batch_of(text)
            assert batch is None or batch.begin < simulation.deadline(call)


@both
def test_a_text_whose_deadline_passed_since_the_last_sweep_does_not_run(releases_gil: bool) -> None:
    settings = some_settings(max_batch_seconds=1e-6, max_inline_seconds=1e-6)
    schedule = flood(1, 1, 1, settings=settings, base=0.005, releases_gil=releases_gil)
    last = replace(schedule.clients[2], timeout=0.008)
    simulation = Simulation(replace(schedule, clients=(*schedule.clients[:2], last)))
    assert last.texts[0] not in simulation.model.seen


@given(schedules())
def test_a_text_gets_deadline_passed_if_and_only_if_it_did_not_run(schedule: Schedule) -> None:
    simulation = Simulation(schedule)
    for text, outcome in simulation.outcomes():
        assert isinstance(outcome, DeadlinePassed) == (text not in simulation.model.seen)


@given(schedules(faults=False))
def test_a_client_learns_soon_that_its_deadline_passed(schedule: Schedule) -> None:
    # With a thread, the answer comes within a sweep. Batches on the event loop delay it: one that runs when
    # the sweep is due, and the next one, which starts before the client is woken.
    simulation = Simulation(schedule)
    inline = sorted(batch.seconds for batch in simulation.batches if not batch.in_thread)
    for call in simulation.answered:
        own = [batch.end for text in call.client.texts if (batch := simulation.batch_of(text))]
        latest = max([simulation.deadline(call) + SWEEP_SECONDS, *own])
        assert call.answered <= latest + sum(inline[-2:]) + ROUNDING


@both
def test_the_last_of_many_clients_also_learns_soon_that_its_deadline_passed(releases_gil: bool) -> None:
    settings = some_settings(max_batch_seconds=1e-6, max_inline_seconds=1e-6, deadline_seconds=1e4)
    schedule = flood(*[1] * 200, settings=settings, base=0.002, per_character=0.0, releases_gil=releases_gil)
    last = replace(schedule.clients[-1], timeout=0.05)
    call = Simulation(replace(schedule, clients=(*schedule.clients[:-1], last))).calls[-1]
    assert call.outcomes is not None
    assert isinstance(call.outcomes[0], DeadlinePassed)
    assert call.answered <= 0.05 + SWEEP_SECONDS + 2 * 0.002 + ROUNDING


@given(milliseconds(1, 900), milliseconds(1, 900), st.booleans())
def test_the_shorter_of_timeout_and_deadline_applies(
    timeout: float, deadline: float, releases_gil: bool
) -> None:
    # One text takes a second and runs first; the other waits.
    schedule = flood(1, 1, base=1.0, releases_gil=releases_gil)
    first = replace(schedule.clients[0], texts=(make_text(0, 0, 5000),))
    second = replace(schedule.clients[1], texts=(make_text(1, 0, 5000),), at=0.0, timeout=timeout)
    settings = some_settings(deadline_seconds=deadline, max_batch_seconds=1e-6, max_inline_seconds=1e-6)
    call = Simulation(replace(schedule, clients=(first, second), settings=settings)).calls[1]
    assert call.outcomes is not None
    assert isinstance(call.outcomes[0], DeadlinePassed)
    shorter = min(timeout, deadline)
    if releases_gil:
        assert shorter <= call.answered <= shorter + SWEEP_SECONDS + ROUNDING


def test_a_timeout_longer_than_the_wait_changes_nothing() -> None:
    schedule = flood(100, 1)
    with_timeout = replace(schedule.clients[1], timeout=1e3)
    call = Simulation(replace(schedule, clients=(schedule.clients[0], with_timeout))).calls[1]
    assert call.outcomes == [answer(text) for text in with_timeout.texts]


@given(schedules(unlimited=True, without_deadline=True))
def test_at_most_a_turn_of_another_clients_texts_runs_before_a_clients_first_text(schedule: Schedule) -> None:
    simulation = Simulation(schedule)
    for call in simulation.calls:
        first = simulation.batch_of(call.client.texts[0])
        if first is None:
            continue
        since = [text for batch in simulation.batches[call.batches_at_submit :] for text in batch.texts]
        ahead = since[: since.index(call.client.texts[0])]
        for other in simulation.calls:
            if other is not call:
                assert len(set(ahead) & set(other.client.texts)) <= MAX_TURN_TEXTS


@both
@pytest.mark.parametrize("per_character", [1e-9, 1e-6, 1e-5, 1e-4, 1e-3])
def test_a_single_text_waits_for_at_most_a_turn_of_another_clients_hundred_texts(
    releases_gil: bool, per_character: float
) -> None:
    schedule = flood(100, releases_gil=releases_gil, per_character=per_character)
    late = Client((make_text(1, 0),), at=0.05)
    simulation = Simulation(replace(schedule, clients=(*schedule.clients, late)))
    later = simulation.batches[simulation.calls[1].batches_at_submit :]
    texts = [text for batch in later for text in batch.texts]
    assert texts.index(late.texts[0]) <= MAX_TURN_TEXTS


@given(schedules())
def test_a_text_of_a_disconnected_client_does_not_run(schedule: Schedule) -> None:
    simulation = Simulation(schedule)
    for call in simulation.calls:
        if call.is_cancelled:
            for batch in simulation.batches[call.batches_before :]:
                assert set(batch.texts).isdisjoint(call.client.texts)


@given(schedules(unlimited=True, without_deadline=True))
def test_a_client_that_disconnects_does_not_affect_others(schedule: Schedule) -> None:
    for call in Simulation(schedule).calls:
        if not call.is_cancelled:
            assert call.outcomes is not None
            for text, outcome in zip(call.client.texts, call.outcomes, strict=True):
                assert isinstance(outcome, Exception) if fault_of(text) else outcome == answer(text)


def test_others_in_a_batch_get_their_answers_if_a_client_disconnects_while_it_runs() -> None:
    first, second = flood(2, 2, base=1.0, settings=some_settings(max_batch_seconds=1e3)).clients
    schedule = Schedule(
        (replace(first, disconnects_after=0.5), second),
        some_settings(max_batch_seconds=1e3),
        base=1.0,
        calibration=USUAL,
    )
    simulation = Simulation(schedule)
    assert set(simulation.batches[0].texts) == {*first.texts, *second.texts}
    assert simulation.batches[0].in_thread
    assert simulation.calls[0].is_cancelled
    assert simulation.calls[1].outcomes == [answer(text) for text in second.texts]


@both
def test_the_waiting_texts_of_a_client_that_disconnects_leave_the_queue(releases_gil: bool) -> None:
    settings = some_settings(max_batch_seconds=1e-6, max_inline_seconds=1e-6, deadline_seconds=1e4)
    schedule = flood(100, 20, settings=settings, base=0.01, releases_gil=releases_gil)
    first, second = schedule.clients
    simulation = Simulation(replace(schedule, clients=(replace(first, disconnects_after=0.055), second)))
    assert len(simulation.model.seen & set(first.texts)) <= MAX_TURN_TEXTS
    assert simulation.calls[1].outcomes == [answer(text) for text in second.texts]
    assert simulation.waiting == (0, 0)


def test_a_client_that_disconnects_is_removed_without_a_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """Comparing each client with all others would take quadratic time."""
    comparisons = 0

    def is_equal(one: object, other: object) -> bool:
        nonlocal comparisons
        comparisons += 1
        return one is other

    async def main(loop: SimulatedLoop) -> None:
        batcher, admission = open_batcher(Model(loop, 1.0, 0), some_settings(), True, loop.moment)
        tasks = [asyncio.create_task(batcher.submit([make_text(owner, 0)])) for owner in range(100)]
        await asyncio.sleep(0)
        monkeypatch.setattr(QueuedCall, "__eq__", is_equal)
        for task in reversed(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert admission.load.texts == 0
        assert comparisons == 0

    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        runner.run(main(runner.get_loop()))


def test_texts_of_a_client_that_disconnects_no_longer_count_as_waiting() -> None:
    async def main(loop: SimulatedLoop) -> None:
        settings = some_settings(max_batch_seconds=1e-6, max_inline_seconds=1e-6)
        batcher, admission = open_batcher(Model(loop, 1e-3, 1e-5), settings, True, loop.moment)
        task = asyncio.create_task(batcher.submit([make_text(0, place) for place in range(10)]))
        await asyncio.sleep(0)
        assert admission.load.texts == 10
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert (admission.load.texts, admission.load.characters) == (0, 0)

    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        runner.run(main(runner.get_loop()))


@given(schedules(drains=True))
def test_draining_refuses_every_request_during_the_drain_and_none_before_it(schedule: Schedule) -> None:
    simulation = Simulation(schedule)
    for call in simulation.calls:
        if call.submitted >= 0:
            assert isinstance(call.refusal, Draining) == call.came_during_drain


@given(schedules(faults=False, disconnects=False, unlimited=True, without_deadline=True, drains=True))
def test_draining_finishes_the_waiting_texts(schedule: Schedule) -> None:
    assert schedule.drain is not None
    simulation = Simulation(replace(schedule, drain=replace(schedule.drain, seconds=1e4)))
    assert simulation.left == 0
    assert simulation.drained >= max((batch.end for batch in simulation.batches), default=0)
    for call in simulation.calls:
        assert isinstance(call.refusal, Draining) or call.outcomes == [answer(t) for t in call.client.texts]


def test_draining_waits_for_the_running_batch() -> None:
    settings = some_settings(max_batch_seconds=1e-6, max_inline_seconds=1e-6)
    simulation = Simulation(flood(1, settings=settings, base=1.0, drain=Drain(0.5, 10.0)))
    assert simulation.batches[0].in_thread
    assert simulation.drained >= simulation.batches[0].end


@given(schedules(drains=True))
def test_draining_returns_the_number_of_texts_that_wait_when_its_time_is_up(schedule: Schedule) -> None:
    assert schedule.drain is not None
    simulation = Simulation(schedule)
    refused = [outcome for _, outcome in simulation.outcomes() if isinstance(outcome, Draining)]
    cancelled = sum(len(call.client.texts) for call in simulation.calls if call.is_cancelled)
    assert len(refused) <= simulation.left <= len(refused) + cancelled
    assert simulation.left_waiting == 0
    delay = max((batch.seconds for batch in simulation.batches if not batch.in_thread), default=0)
    in_time = schedule.drain.at + schedule.drain.seconds + SWEEP_SECONDS
    assert simulation.drained <= in_time + 2 * delay + ROUNDING


@both
def test_texts_that_still_wait_when_draining_ends_are_refused_and_counted(releases_gil: bool) -> None:
    settings = some_settings(max_batch_seconds=1e-6, max_inline_seconds=1e-6, deadline_seconds=1e4)
    schedule = flood(50, 50, settings=settings, base=0.1, releases_gil=releases_gil, drain=Drain(0.05, 1.0))
    simulation = Simulation(schedule)
    outcomes = list(simulation.outcomes())
    refused = [text for text, outcome in outcomes if isinstance(outcome, Draining)]
    assert len(outcomes) == sum(len(call.client.texts) for call in simulation.calls)
    assert len(refused) == simulation.left > 0
    assert all(outcome == answer(text) for text, outcome in outcomes if text not in refused)
    assert simulation.loop.faults == []


@pytest.mark.parametrize("left", [0, 1, 2])
def test_texts_submitted_after_draining_are_answered_if_and_only_if_nothing_was_left(left: int) -> None:
    async def main(loop: SimulatedLoop) -> None:
        settings = some_settings(max_batch_seconds=1e-6, max_inline_seconds=1e-6)
        batcher, _ = open_batcher(Model(loop, 1.0, 0), settings, True, loop.moment)
        early = asyncio.create_task(batcher.submit([make_text(0, place) for place in range(left + 1)]))
        await asyncio.sleep(0.5)
        assert await batcher.drain(0.1 if left else 10) == left
        late = batcher.submit([make_text(1, 0)])
        if left:
            with pytest.raises(Draining, match="the service stopped before this text's turn came"):
                await late
        else:
            assert await late == [answer(make_text(1, 0))]
        refused = (await early)[1:]
        assert [str(error) for error in refused] == [
            "the service stopped before this text's turn came"
        ] * left

    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        runner.run(main(runner.get_loop()))


@given(schedules(drains=True))
def test_nothing_counts_as_waiting_at_the_end(schedule: Schedule) -> None:
    simulation = Simulation(schedule)
    assert simulation.waiting == (0, 0)
    assert not simulation.loop.is_thread_busy


@given(schedules(drains=True))
def test_no_exception_is_lost_in_the_event_loop(schedule: Schedule) -> None:
    assert Simulation(schedule).loop.faults == []


@both
def test_an_empty_call_gets_no_outcomes_and_does_not_delay_others(releases_gil: bool) -> None:
    simulation = Simulation(flood(0, 3, releases_gil=releases_gil))
    assert simulation.calls[0].outcomes == []
    assert simulation.calls[1].outcomes == [answer(text) for text in simulation.calls[1].client.texts]
    assert simulation.loop.faults == []


@st.composite
def lessons(draw: st.DrawFn) -> Schedule:
    """Draw 200 separate batches of several sizes and then a flood."""
    lengths = draw(st.lists(st.integers(1, 5000), min_size=2, max_size=10, unique=True))
    assume(max(lengths) - min(lengths) > 100)
    lone = [Client((make_text(i, 0, lengths[i % len(lengths)]),), at=10.0 * i) for i in range(200)]
    many = [Client(draw(some_texts(i, faults=False)), at=5000.0) for i in range(200, 203)]
    return Schedule(
        (*lone, *many),
        some_settings(deadline_seconds=1e4),
        releases_gil=draw(st.booleans()),
        base=draw(st.floats(0, 0.001)),
        per_character=draw(st.floats(1e-8, 1e-4)),
    )


@settings(max_examples=20)
@given(lessons())
def test_after_some_batches_predicted_times_are_close_to_real_ones(schedule: Schedule) -> None:
    simulation = Simulation(schedule)
    for batch in simulation.batches[200:]:
        size = sum(TEXT_BYTES + len(text) for text in batch.texts)
        assert simulation.batcher._cost.seconds(size) == pytest.approx(batch.seconds, rel=0.1)


@settings(max_examples=20)
@given(lessons())
def test_after_some_batches_a_batch_keeps_its_limit_or_is_one_text(schedule: Schedule) -> None:
    settings = schedule.settings
    limit = settings.max_batch_seconds if schedule.releases_gil else settings.max_inline_seconds
    for batch in Simulation(schedule).batches[200:]:
        assert len(batch.texts) == 1 or batch.seconds <= 1.2 * limit


@settings(max_examples=20)
@given(lessons())
def test_after_some_batches_only_light_batches_run_on_the_event_loop(schedule: Schedule) -> None:
    for batch in Simulation(replace(schedule, releases_gil=True)).batches[200:]:
        assert batch.in_thread or batch.seconds <= 1.2 * schedule.settings.max_inline_seconds


@both
@pytest.mark.parametrize("fault", ["raises", "short"])
def test_the_cost_model_does_not_learn_from_a_batch_that_ran_again_in_halves(
    releases_gil: bool, fault: str
) -> None:
    texts = tuple(make_text(0, place, 100, fault if place == 7 else "") for place in range(50))
    schedule = Schedule((Client(texts),), some_settings(), releases_gil, 1e-4, 1e-7, calibration=USUAL)
    simulation = Simulation(schedule)
    assert max(batch.runs for batch in simulation.batches) > 1
    assert simulation.batcher._cost.seconds(10_000) == pytest.approx(11e-4)  # type: ignore[arg-type]


@given(st.lists(st.tuples(st.integers(101, 10**6), st.floats(1e-7, 10)), max_size=50))
def test_a_longer_batch_is_never_predicted_to_take_less_time(lesson: list[tuple[int, float]]) -> None:
    cost = CostModel()
    for characters, seconds in lesson:
        cost.learn(characters, seconds)
    predicted = [cost.seconds(characters) for characters in (0, 101, 10**4, 10**6)]
    assert predicted == sorted(predicted)
    assert predicted[0] >= -ROUNDING
    assert predicted[1] > 0


@given(
    st.lists(st.tuples(st.integers(101, 10**6), st.floats(1e-7, 10)), max_size=50), milliseconds(1, 10_000)
)
def test_the_largest_size_for_a_time_is_predicted_to_take_that_time(
    lesson: list[tuple[int, float]], seconds: float
) -> None:
    cost = CostModel()
    for characters, taken in lesson:
        cost.learn(characters, taken)
    largest = max((characters for characters, _ in lesson), default=0)
    allowed = cost.max_size(seconds)
    if allowed < MAX_GROWTH * largest:
        assert cost.seconds(allowed) == pytest.approx(seconds, rel=1e-6)  # type: ignore[arg-type]
    else:
        assert allowed == MAX_GROWTH * largest
        assert not largest or cost.seconds(allowed) <= seconds + ROUNDING


@given(schedules(faults=False))
def test_a_batch_is_one_text_or_at_most_twice_as_large_as_the_largest_one_before(schedule: Schedule) -> None:
    largest = 0
    for batch in Simulation(schedule).batches:
        assert len(batch.texts) == 1 or batch.size <= MAX_GROWTH * largest
        largest = max(largest, batch.size)


@both
def test_cheap_texts_let_a_batch_grow_at_most_twofold(releases_gil: bool) -> None:
    cheap = Client(tuple(make_text(0, place, 900, "costs 0.0") for place in range(1000)))
    settings = some_settings(deadline_seconds=1e4)
    sizes = [batch.size for batch in Simulation(Schedule((cheap,), settings, releases_gil, 0)).batches]
    assert sizes[:8] == [1000 * 2**doubling for doubling in range(8)]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["costs 0.001", "costs 0.03", "", "costs 4.0"]),
            st.sampled_from([30, 1300, 10_000]),
            st.integers(1, 200),
            milliseconds(0, 500),
        ),
        min_size=2,
        max_size=12,
    ),
    st.booleans(),
)
def test_a_batch_exceeds_its_limit_at_most_by_the_factor_by_which_its_texts_cost_more_than_calibration_texts(
    floods: list[tuple[str, int, int, float]], releases_gil: bool
) -> None:
    clients = tuple(
        Client(tuple(make_text(owner, place, length, times) for place in range(count)), at)
        for owner, (times, length, count, at) in enumerate(floods)
    )
    settings = some_settings(max_waiting_characters=10**9, deadline_seconds=1e4)
    schedule = Schedule(clients, settings, releases_gil, base=1e-4, per_character=6e-8, calibration=USUAL)
    simulation = Simulation(schedule)
    for batch in simulation.batches:
        limit = settings.max_batch_seconds if batch.in_thread else settings.max_inline_seconds
        assert len(batch.texts) == 1 or batch.seconds <= 4 * limit + schedule.base + ROUNDING
    for turn in turns(simulation.batches):
        assert sum(batch.seconds for batch in turn[:-1]) <= settings.max_inline_seconds / 2 + ROUNDING


def test_batches_that_take_less_time_than_predicted_are_followed_by_others_in_the_same_turn() -> None:
    cheap = Client(tuple(make_text(0, place, 10_000, "costs 0.05") for place in range(100)))
    schedule = Schedule((cheap,), some_settings(), False, 0, per_character=6e-8, calibration=USUAL)
    first, *_ = turns(Simulation(schedule).batches)
    assert len(first) > 5
    assert sum(len(batch.texts) for batch in first) > 80


@both
def test_after_many_cheap_long_texts_a_batch_of_usual_texts_keeps_its_limit(releases_gil: bool) -> None:
    cheap = [
        Client(tuple(make_text(i, place, 10_000, "costs 0.01") for place in range(100)), at=0.1 * i)
        for i in range(100)
    ]
    among = [Client((make_text(i, 0, 1300),), at=0.1 * (i - 100)) for i in range(100, 200)]
    usual = [
        Client(tuple(make_text(i, place, 1300) for place in range(100)), at=20.0) for i in range(200, 220)
    ]
    schedule = Schedule(
        (*cheap, *among, *usual),
        some_settings(deadline_seconds=1e4),
        releases_gil,
        base=1e-4,
        per_character=6e-8,
        calibration=USUAL,
    )
    limit = schedule.settings.max_batch_seconds if releases_gil else schedule.settings.max_inline_seconds
    batches = Simulation(schedule).batches
    assert max(len(batch.texts) for batch in batches) > 50
    assert max(batch.seconds for batch in batches) <= 1.2 * limit


@both
def test_the_first_batch_of_a_calibrated_model_may_have_many_texts(releases_gil: bool) -> None:
    schedule = flood(40, releases_gil=releases_gil, base=1e-4, per_character=1e-7, calibration=USUAL)
    assert len(Simulation(schedule).batches[0].texts) == 40


def test_an_interrupted_run_does_not_affect_calibration() -> None:
    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        loop = runner.get_loop()
        seconds = iter([0.02, *[1e-3] * 9, *[2e-3] * 5, 0.02, *[2e-3] * 4])

        def run(texts: Sequence[str]) -> Sequence[str]:
            loop.spend(next(seconds))
            return texts

        batcher, _ = open_batcher(run, some_settings(), False, loop.moment)
        batcher.calibrate([["a" * 900]])
        assert batcher._cost.seconds(1000) == pytest.approx(1e-3)  # type: ignore[arg-type]
        assert batcher._cost.seconds(2000) == pytest.approx(2e-3)  # type: ignore[arg-type]


def test_a_slow_model_is_calibrated_with_one_run_per_sample_and_size() -> None:
    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        loop = runner.get_loop()
        sizes: list[int] = []

        def run(texts: Sequence[str]) -> Sequence[str]:
            loop.spend(0.1 * len(texts))
            sizes.append(len(texts))
            return texts

        batcher, _ = open_batcher(run, some_settings(), False, loop.moment)
        batcher.calibrate([["a", "b"], ["c"]])
        assert sizes == [2, 4, 1, 2]
