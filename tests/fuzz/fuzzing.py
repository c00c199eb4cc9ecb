"""The loop of fuzzing: draws a case, checks it, and shrinks a case that fails.

Grammars draw the cases from a plain random number generator, because Hypothesis takes ten times as long to
draw a conversation as the service takes to answer it. A fuzzer guided by coverage, such as atheris, would not
help, because the parsers here are written in C and Rust.
"""

import random
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

MAX_SMALLER_CASES = 4000
"""Most smaller cases that are tried after a case has failed."""

Fuzz = Callable[[Callable[[random.Random], Any], Callable[[Any], None]], None]


def fuzz_for(
    seconds: float,
    first_seed: int,
    name: str,
    draw: Callable[[random.Random], Any],
    check: Callable[[Any], None],
) -> int:
    """Check cases, each from its own seed, until the time is over; return their number.

    A case is a frozen dataclass whose `content` can be shortened. `name` is the test's name.
    """
    end = time.monotonic() + seconds
    seed = first_seed
    while seed == first_seed or time.monotonic() < end:
        case = draw(random.Random(seed))
        if _failure(check, case) is not None:
            smallest = _smallest(case, check)
            print(f"The check failed with {smallest!r}")  # noqa: T201
            print(f"To repeat it: make fuzz SECONDS=1 SEED={seed} ONLY={name}")  # noqa: T201
            check(smallest)
            check(case)
            raise AssertionError(
                "the check failed once, but did not fail again with the same case or with a smaller one"
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
    """Remove parts of the content as long as the check still fails."""
    tries_left = MAX_SMALLER_CASES
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
