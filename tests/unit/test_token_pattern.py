"""Token patterns are accepted only if no text can make them slow."""

import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from classifier.token_pattern import UnboundedPattern, check_token_pattern

USUAL = [
    r"(?u)\b\w\w+\b",
    r"(?u)\b\w+\b",
    r"\w+",
    r"\w\w+",
    r"\w{2,}",
    r"\S+",
    r"[^\s]+",
    r"[a-z]+",
    r"[a-zA-Z0-9]{3,}",
    r"\b[a-zA-Z]{3,}\b",
    r"\b[a-z]{2,15}\b",
    r"\b[A-Za-z0-9\-]+\b",
    r"\b\w[\w'-]+\b",
    r"\b[^\W\d_]+\b",
    r"(?i)\b[a-z]+\b",
    r"[a-z]+(?:'[a-z]+)?",
    r"\b\w+(?:'\w+)?\b",
    r"\w+(?:-\w+)*",
    r"\d+(?:[.,]\d+)*",
    r"\w+|[^\w\s]",
    r"[\w']+|[.,!?;]",
    r"#?\w+",
    r"(?<!\w)[a-z]+",
    r"(?:ab)+",
    r"\w++",
    r"(?>\w+)(?:-(?>\w+))*",
    r".",
    '[^!"#$%&()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~\t\n ]+',  # Keras's
]


@pytest.mark.parametrize("pattern", USUAL)
def test_a_common_pattern_is_accepted(pattern: str) -> None:
    check_token_pattern(pattern)


REFUSED = [
    (r"\w+(?:(?:~+)+!)?", "has an unbounded repeat before something that a text can lack"),
    (r"(?:a+)+b", "has an unbounded repeat before"),
    (r"(?:a|a)*b", "has an unbounded repeat before"),
    (r"(?:a|ab)*c", "has an unbounded repeat before"),
    (r"(?:a{2,}){2,}", "has an unbounded repeat before"),
    (r"[a-z]+!", "has an unbounded repeat before"),
    (r"[a-z]+\b", "has an unbounded repeat before"),
    (r"\w+?\b", "has an unbounded repeat before"),
    (r"\b[a-z-]++\b", "has an unbounded repeat before"),
    (r"\b[a-z]+[0-9]+\b", "has an unbounded repeat before"),
    (r"\w+(?=\s)", "has an unbounded repeat before"),
    (r"a(?=\w*!)", "has an unbounded repeat before"),
    (r"(?<!x)(?!.*y)a", "has an unbounded repeat before"),
    (r"\w+$", "has an unbounded repeat before"),
    (r"(?:a?){25}a{25}", "steps or more at each character of a text; at most 300 are allowed"),
    (r"(?:(?:a|a|a){9}b)?", "steps or more at each character"),
    (r"\w{1,10000}!", "steps or more at each character"),
    (r"(?i:[a-z])+", "has flags for a part of it"),
]


@pytest.mark.parametrize(("pattern", "reason"), REFUSED)
def test_a_pattern_that_some_text_could_make_slow_is_refused_with_the_reason(
    pattern: str, reason: str
) -> None:
    with pytest.raises(UnboundedPattern, match=re.escape(reason)):
        check_token_pattern(pattern)


CHARACTERS = ["a", "b", "-", "!", ".", r"\w", r"\W", "[ab]", "[^a]", r"[\w-]", "[a-]", r"\S"]
ZERO_WIDTH = [r"\b", r"\B", "^", "$"]
QUANTIFIERS = ["*", "+", "?", "{2,}", "{1,3}", "{0,9}", "{3}", "{4,30}"]
KINDS = ["", "", "?", "+"]


def _pattern(random: Random, depth: int) -> str:
    """Generate nested patterns; the strategies of Hypothesis seldom give one that is slow."""
    choice = random.random() if depth else 0.0
    quantifier = random.choice(QUANTIFIERS) + random.choice(KINDS)
    if choice < 0.25:
        if random.random() < 0.15:
            return random.choice(ZERO_WIDTH)
        return random.choice(CHARACTERS) + (quantifier if random.random() < 0.5 else "")
    if choice < 0.55:
        return "".join(_pattern(random, depth - 1) for _ in range(random.randint(1, 4)))
    inner = _pattern(random, depth - 1)
    if choice < 0.7:
        return f"(?:{inner}|{_pattern(random, depth - 1)})"
    if choice < 0.9:
        return f"(?:{inner}){quantifier}"
    return f"({random.choice(['?>', '?=', '?!', '?<=', '?<!'])}{inner})"


def _letters(random: Random, lowest: int, highest: int) -> str:
    return "".join(random.choices("ab-! ", k=random.randint(lowest, highest)))


@contextmanager
def _within(seconds: float, what: str) -> Iterator[None]:
    """Fail if the block takes longer than a limit far above linear time and far below quadratic time."""

    def fail(*_: object) -> None:
        raise AssertionError(f"{what} took more than {seconds} s")

    before = signal.signal(signal.SIGALRM, fail)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@settings(max_examples=200)
@given(st.integers(0, 2**64))
def test_no_text_makes_an_accepted_pattern_slow(seed: int) -> None:
    random = Random(seed)
    start, end = random.choice(["", r"\b", "(?i)"]), random.choice(["", r"\b", "!", "(?:b|$)"])
    pattern = start + _pattern(random, 3) + end
    try:
        compiled = re.compile(pattern)
        check_token_pattern(pattern)
    except (re.error, UnboundedPattern):
        assume(False)
    for _ in range(3):
        unit = _letters(random, 1, 6)
        text = _letters(random, 0, 2) + unit * (10_000 // len(unit)) + _letters(random, 0, 2)
        with _within(0.5, f"{pattern!r} on {text[:10]!r}…{text[-5:]!r}"):
            compiled.findall(text)
