"""Bounded, adaptive micro-batching on asyncio: the texts of many callers in one run of the model.

Laws, which the tests hold it to:

1. Nothing waits while the model is idle: a text that comes then runs in the next turn of the event loop.
2. A batch is one text, or its predicted time is within its limit. What a byte of text costs is learned from
   past batches, but never less than the texts of `calibrate` cost; and no batch is more than twice as large
   as the largest one before it, whatever the prediction.
3. Every text gets exactly one outcome, its own result or its own error, in its caller's order.
4. A run that fails, or gives another number of results than texts, is repeated in halves, so that only the
   text at fault fails.
5. The texts and characters that wait stay within their bounds, and nobody is let in while what waits takes
   longer than its limit, at the pace of the last batches; what comes beyond is refused at once.
6. A text that waited to its deadline is not run.
7. Callers take turns: of one caller's many texts a few are run, then the other callers' come first.
8. A caller that goes away takes its waiting texts along.
9. Draining refuses what comes to the door, `refusal`, and finishes what was let in, while its time lasts.
"""

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from classifier.errors import DeadlinePassed, Draining, QueueFull, Unavailable, WrongResultCount
from classifier.settings import BatchingSettings

Result = TypeVar("Result")

TURN = 8
"""Texts that a caller may run before it is the others' turn."""

SWEEP_SECONDS = 0.02
"""How often the deadlines of all that waits are looked at."""

DOOR = 0.9
"""Of the time that what waits may take: past this, no request is let in."""

CALLS_REMEMBERED = 64
"""For the size that a caller's texts are expected to have."""

STOPPED = "the service stopped before this text's turn came"

TEXT_BYTES = 100
"""What a text costs besides its own bytes, in bytes."""

GROWTH = 2
"""How many times as large as the largest batch before it a batch may be."""

CALIBRATION_RUNS = 10
"""Of which the shortest counts, since other processes interrupt some: on a busy machine a byte seemed to cost
up to 150 ns instead of 60 with 3 runs, and up to 74 with 10."""

CALIBRATION_SECONDS = 0.05
"""After which no further run begins."""


class CostModel:
    """Predicts the seconds of a batch from its size, by a line through past batches, recent ones first."""

    _KEPT = 0.95

    def __init__(self) -> None:
        self._count = self._x = self._y = self._xx = self._xy = 0.0
        self._slope = self._base = 0.0
        self._least_slope = 1e-12
        self._largest = 0

    def learn(self, size: int, seconds: float) -> None:
        """Note how long a batch took."""
        self._largest = max(self._largest, size)
        self._count = self._KEPT * self._count + 1
        self._x = self._KEPT * self._x + size
        self._y = self._KEPT * self._y + seconds
        self._xx = self._KEPT * self._xx + size * size
        self._xy = self._KEPT * self._xy + size * seconds
        x, y = self._x / self._count, self._y / self._count
        variance = self._xx / self._count - x * x
        slope = (self._xy / self._count - x * y) / variance if variance > 1 else y / x
        # An empty batch does not cost less than nothing.
        self._slope = max(min(slope, y / x), self._least_slope)
        self._base = max(y - self._slope * x, 0.0)

    def keep_slope(self, seconds: float) -> None:
        """Predict from the next lesson on that a byte costs at least so much."""
        self._least_slope = max(self._least_slope, seconds)

    def seconds(self, size: int) -> float:
        """The predicted time of a batch; infinite before anything is learned."""
        if not self._largest:
            return math.inf
        return self._base + self._slope * size

    def largest(self, seconds: float) -> float:
        """The size of the largest batch that may be run within a time; 0 before anything is learned."""
        if not self._largest:
            return 0
        return min((seconds - self._base) / self._slope, GROWTH * self._largest)


class Pace:
    """How fast a queue that is never empty gets shorter, everything between the batches included."""

    _KEPT = 0.95

    def __init__(self) -> None:
        # An invented text of a light model, to be forgotten with the first real ones.
        self._size, self._seconds = 100.0, 7e-6

    def learn(self, size: int, seconds: float) -> None:
        """Note how long it took until a batch was done since the one before was."""
        self._size = self._KEPT * self._size + size
        self._seconds = self._KEPT * self._seconds + seconds

    def seconds(self, size: int) -> float:
        """How long a queue of this size is foreseen to take."""
        return size * self._seconds / self._size


@dataclass(eq=False, slots=True)
class _Call(Generic[Result]):
    """One caller's texts, of which those from `taken` on still wait."""

    texts: Sequence[str]
    sizes: Sequence[int]
    deadline: float
    done: asyncio.Future[None]
    outcomes: list[Result | Exception | None]
    missing: int
    taken: int = 0

    def settle(self, place: int, outcome: Result | Exception) -> None:
        self.outcomes[place] = outcome
        self.missing -= 1
        if not self.missing and not self.done.done():
            self.done.set_result(None)


class Batcher(Generic[Result]):
    """Runs concurrent callers' texts together. It belongs to the event loop that it is used in."""

    def __init__(
        self,
        run: Callable[[Sequence[str]], Sequence[Result]],
        settings: BatchingSettings,
        releases_gil: bool,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """`run` gives n results for n texts. If other threads can work meanwhile (`releases_gil`), a heavy
        batch runs in a thread; else a thread would only hold up the event loop that waits for it.
        """
        self._run = run
        self._settings = settings
        self._clock = clock
        self._executor = ThreadPoolExecutor(1, "model") if releases_gil else None
        self._limit = settings.max_batch_seconds if releases_gil else settings.max_inline_seconds
        self._cost = CostModel()
        self._pace = Pace()
        self._queued_since = math.inf  # When the last batch was done, if it left others waiting.
        self._calls: OrderedDict[_Call[Result], None] = OrderedDict()
        self._texts = 0
        self._characters = 0
        self._size = 0
        self._let_in = 0
        self._call_size = float(TEXT_BYTES)
        self._is_scheduled = False
        self._running: asyncio.Future[list[Result | Exception]] | None = None
        self._is_draining = self._is_closed = False
        self._is_sweeping = False
        self._next_sweep = -math.inf

    def calibrate(self, samples: Sequence[Sequence[str]]) -> None:
        """Learn what a batch costs before anybody waits for one, from samples of typical texts.

        Each sample is run once, then twice over in one batch. From then on a byte is never predicted to cost
        less than the second time did, in the sample where that was most: otherwise cheap texts could make a
        batch so large that it takes very long with usual ones. Raises what the model raises.
        """
        for sample in samples:
            size = sum(map(size_of, sample))
            once, twice = self._shortest_run(sample), self._shortest_run([*sample, *sample])
            self._cost.learn(size, once)
            self._cost.learn(2 * size, twice)
            self._cost.keep_slope((twice - once) / size)

    def _shortest_run(self, texts: Sequence[str]) -> float:
        """The seconds of the shortest of some runs."""
        seconds: list[float] = []
        while len(seconds) < CALIBRATION_RUNS and sum(seconds) < CALIBRATION_SECONDS:
            begin = self._clock()
            self._run(texts)
            seconds.append(self._clock() - begin)
        return min(seconds)

    @property
    def waiting_texts(self) -> int:
        """How many texts wait."""
        return self._texts

    def refusal(self) -> Unavailable | None:
        """Why a request should not even be read; None if it should, and `let_in` is to be told then.

        This door closes a little before the queue does, so that few are let in and refused after all.
        """
        coming = round(self._let_in * self._call_size)
        return self._closed(coming, DOOR * self._settings.max_waiting_seconds)

    def let_in(self) -> None:
        """Note a request whose texts come in this turn of the event loop, most likely."""
        if not self._let_in:
            asyncio.get_running_loop().call_soon(self._forget_let_in)
        self._let_in += 1

    def _forget_let_in(self) -> None:
        self._let_in = 0

    def check_open(self) -> None:
        """Raise QueueFull or Draining if not even one short text would be taken."""
        _raise(self._closed(0, self._settings.max_waiting_seconds))

    async def submit(self, texts: Sequence[str], timeout: float | None = None) -> list[Result | Exception]:
        """Run n texts, which wait `timeout` seconds at the most; never more than `deadline_seconds`.

        Returns n outcomes in order: a result, or the error of that text. Raises QueueFull, or Draining once
        the time for that is over, at once, and has run nothing then.
        """
        if not texts:
            return []
        characters = sum(map(len, texts))
        if self._is_closed:
            raise Draining(STOPPED)
        _raise(self._queue_full(len(texts), characters, 0, self._settings.max_waiting_seconds))
        loop = asyncio.get_running_loop()
        seconds = min(timeout or math.inf, self._settings.deadline_seconds)
        sizes = list(map(size_of, texts))
        call: _Call[Result] = _Call(
            texts, sizes, self._clock() + seconds, loop.create_future(), [None] * len(texts), len(texts)
        )
        self._calls[call] = None
        self._note_waiting(len(texts), characters, size := sum(sizes))
        self._call_size += (size - self._call_size) / CALLS_REMEMBERED
        self._schedule(loop)
        try:
            await call.done
        except asyncio.CancelledError:
            self._drop(call)
            raise
        return call.outcomes  # type: ignore[return-value]

    async def drain(self, seconds: float) -> int:
        """Close the door, finish the waiting texts within `seconds`, and refuse those that are left over.

        Returns how many were left over.
        """
        self._is_draining = True
        deadline = self._clock() + seconds
        while (self._texts or self._running is not None) and self._clock() < deadline:
            await asyncio.sleep(SWEEP_SECONDS)
        left = self._texts
        # Somebody who was let in may submit only now, once its body is read; that is run, if all else was.
        self._is_closed = left > 0
        for call in self._calls:
            self._fail_waiting(call, Draining(STOPPED))
        self._calls.clear()
        return left

    def _closed(self, coming: int, most_seconds: float) -> Unavailable | None:
        if self._is_draining:
            return Draining("the service is shutting down; ask another replica")
        return self._queue_full(1, 1, coming, most_seconds)

    def _queue_full(self, texts: int, characters: int, coming: int, most_seconds: float) -> QueueFull | None:
        settings = self._settings
        seconds = self._pace.seconds(self._size + coming)
        if self._texts + texts > settings.max_waiting_texts:
            why = f"{self._texts} texts wait, and {texts} more would pass the limit of"
            why = f"{why} {settings.max_waiting_texts}"
        elif self._characters + characters > settings.max_waiting_characters:
            why = f"{self._characters} characters wait, and {characters} more would pass the limit of"
            why = f"{why} {settings.max_waiting_characters}"
        elif seconds > most_seconds:
            why = f"what waits takes {seconds:.2f} s; the limit is {most_seconds:g} s"
        else:
            return None
        return QueueFull(why, retry_after=max(1, math.ceil(seconds)))

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._calls and not self._is_scheduled and self._running is None:
            self._is_scheduled = True
            loop.call_soon(self._run_waiting, loop)

    def _run_waiting(self, loop: asyncio.AbstractEventLoop) -> None:
        """Run what waits until half of the time of a batch is over, or until a batch runs in the thread.

        Where the first batch took much less than predicted, others follow it in this turn of the event loop:
        else the rest of each turn would be what costs.
        """
        self._is_scheduled = False
        turn = now = self._clock()
        if now >= self._next_sweep:
            self._fail_late(now)
        while self._calls and now - turn <= self._settings.max_inline_seconds / 2:
            places, texts, size = self._take(now, self._limit - (now - turn))
            if not texts:
                break
            heavy = now - turn + self._cost.seconds(size) > self._settings.max_inline_seconds
            if self._executor is not None and heavy:
                self._run_in_thread(loop, self._executor, places, texts, size)
                return
            begin = self._clock()
            self._finish(places, self._outcomes(texts), size, begin)
            now = self._clock()
        if not self._calls:
            self._queued_since = math.inf
        self._schedule(loop)

    def _run_in_thread(
        self,
        loop: asyncio.AbstractEventLoop,
        executor: ThreadPoolExecutor,
        places: Sequence[tuple[_Call[Result], int]],
        texts: Sequence[str],
        size: int,
    ) -> None:
        begin = self._clock()
        self._running = loop.run_in_executor(executor, self._outcomes, texts)

        def finished(running: asyncio.Future[list[Result | Exception]]) -> None:
            self._running = None
            if not running.cancelled():
                self._finish(places, running.result(), size, begin)
            self._schedule(loop)

        self._running.add_done_callback(finished)
        if not self._is_sweeping:
            self._is_sweeping = True
            loop.call_later(self._next_sweep - begin, self._sweep, loop)

    def _take(self, now: float, seconds: float) -> tuple[list[tuple[_Call[Result], int]], list[str], int]:
        """The next batch, predicted to take no longer than so many seconds, or of one text.

        Returns whose texts they are, the texts, and their size for the cost model.
        """
        places: list[tuple[_Call[Result], int]] = []
        texts: list[str] = []
        characters = size = 0
        room = self._cost.largest(seconds)
        is_full = False
        while self._calls and not is_full:
            call = next(iter(self._calls))
            if call.deadline <= now:
                del self._calls[call]
                self._fail_waiting(call, DeadlinePassed("the deadline passed before this text's turn came"))
                continue
            for turn in range(TURN):
                text = call.texts[call.taken]
                is_full = bool(texts) and size + call.sizes[call.taken] > room
                if is_full:
                    if turn:  # A batch that is full ends the turn, else it would begin anew in the next one.
                        self._calls.move_to_end(call)
                    break
                places.append((call, call.taken))
                texts.append(text)
                characters += len(text)
                size += call.sizes[call.taken]
                call.taken += 1
                if call.taken == len(call.texts):
                    del self._calls[call]
                    break
            else:
                self._calls.move_to_end(call)
        self._note_waiting(-len(texts), -characters, -size)
        return places, texts, size

    def _note_waiting(self, texts: int, characters: int, size: int) -> None:
        """Note that so much more waits; negative numbers where it is less."""
        self._texts += texts
        self._characters += characters
        self._size += size

    def _outcomes(self, texts: Sequence[str]) -> list[Result | Exception]:
        """Run texts; where that fails, in halves."""
        try:
            results = list(self._run(texts))
            if len(results) != len(texts):
                raise WrongResultCount(f"the model gave {len(results)} results for {len(texts)} texts")
        except Exception as error:
            if len(texts) == 1:
                return [error]
            middle = len(texts) // 2
            return [*self._outcomes(texts[:middle]), *self._outcomes(texts[middle:])]
        return list(results)

    def _finish(
        self,
        places: Sequence[tuple[_Call[Result], int]],
        outcomes: Sequence[Result | Exception],
        size: int,
        begin: float,
    ) -> None:
        now = self._clock()
        if not any(isinstance(outcome, Exception) for outcome in outcomes):  # Else it ran more than once.
            self._cost.learn(size, now - begin)
        self._pace.learn(size, now - min(begin, self._queued_since))
        self._queued_since = now if self._calls else math.inf
        for (call, place), outcome in zip(places, outcomes, strict=True):
            call.settle(place, outcome)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        """Look at the deadlines while a batch runs in the thread; between batches `_run_waiting` does."""
        self._fail_late(self._clock())
        self._is_sweeping = self._running is not None
        if self._is_sweeping:
            loop.call_later(SWEEP_SECONDS, self._sweep, loop)

    def _fail_late(self, now: float) -> None:
        """Answer the calls whose deadline passed, wherever in the queue they are."""
        late = [call for call in self._calls if call.deadline <= now]
        if late:
            self._calls = OrderedDict((call, None) for call in self._calls if call.deadline > now)
        for call in late:
            self._fail_waiting(call, DeadlinePassed("the deadline passed before this text's turn came"))
        self._next_sweep = now + SWEEP_SECONDS

    def _fail_waiting(self, call: _Call[Result], error: Exception) -> None:
        for place in range(call.taken, len(call.texts)):
            call.settle(place, error)
        self._forget(call)

    def _drop(self, call: _Call[Result]) -> None:
        """Take the waiting texts of a caller that went away out of the queue."""
        if call.taken < len(call.texts):
            del self._calls[call]
            self._forget(call)

    def _forget(self, call: _Call[Result]) -> None:
        waiting = call.texts[call.taken :]
        self._note_waiting(-len(waiting), -sum(map(len, waiting)), -sum(call.sizes[call.taken :]))
        call.taken = len(call.texts)


def size_of(text: str) -> int:
    """What a text counts for in a batch: its UTF-8 bytes, lone surrogates included, and `TEXT_BYTES`.

    A character outside of ASCII costs several times what one of ASCII costs, about as its bytes do.
    """
    return TEXT_BYTES + (len(text) if text.isascii() else len(text.encode(errors="surrogatepass")))


def _raise(error: Exception | None) -> None:
    """Raise an error, if there is one, from a frame that does not hold it: that cycle would be garbage."""
    try:
        if error is not None:
            raise error
    finally:
        del error
