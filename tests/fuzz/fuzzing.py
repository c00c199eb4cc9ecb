"""The loop of fuzzing: draw a case, check it, and make one that fails small.

The cases are drawn by grammars from a plain generator of random numbers, since Hypothesis takes ten times as
long to draw a conversation as the service takes to answer it. A fuzzer that is guided by coverage, as atheris
is, would see little, since what parses here is written in C and Rust.
"""

import random
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

SMALLER_TRIES = 4000
"""How many smaller cases are tried when one has failed."""

Fuzz = Callable[[Callable[[random.Random], Any], Callable[[Any], None]], None]


def fuzz_for(
    seconds: float,
    first_seed: int,
    name: str,
    draw: Callable[[random.Random], Any],
    check: Callable[[Any], None],
) -> int:
    """Check cases, each of a seed of its own, until the time is over; return how many.

    A case is a frozen dataclass whose `content` can be made smaller. `name` is that of the test.
    """
    end = time.monotonic() + seconds
    seed = first_seed
    while seed == first_seed or time.monotonic() < end:
        case = draw(random.Random(seed))
        if _failure(check, case) is not None:
            smallest = _smallest(case, check)
            print(f"It failed with {smallest!r}")  # noqa: T201
            print(f"The same again: make fuzz SECONDS=1 SEED={seed} ONLY={name}")  # noqa: T201
            check(smallest)
            check(case)
            raise AssertionError(
                "it failed once, but neither with the same case again nor with a smaller one"
            )
        seed += 1
    return seed - first_seed


def _failure(check: Callable[[Any], None], case: Any) -> Exception | None:
    try:
        check(case)
    except Exception as error:
        return error
    return None


def _smallest(case: Any, check: Callable[[Any], None]) -> Any:
    """Take parts of the content away, for as long as what is left still fails."""
    tries_left = SMALLER_TRIES
    size = max(1, len(case.content) // 2)
    while size:
        at = 0
        while at < len(case.content) and tries_left:
            tries_left -= 1
            smaller = replace(case, content=case.content[:at] + case.content[at + size :])
            if _failure(check, smaller) is None:
                at += size
            else:
                case = smaller
        size //= 2
    return case
