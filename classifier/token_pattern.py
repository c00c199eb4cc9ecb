"""Check that a token pattern reads every text in time linear in its length.

Python's `re` has no time limit, and some patterns take time exponential in the length of a text. A pattern is
accepted if it keeps two rules, so that no text can make it slow:

1. Everything after an unbounded repeat can match the empty string. Then a match cannot fail any more once it
   reaches the repeat, so `re` never goes back: each character that it reads becomes part of a token and is
   read only once. A word boundary may follow if it always holds, as after `\\w+`, or if the token begins at
   one, as in `\\b[a-z]+\\b`.
2. The part before the repeat can fail. It takes at most `MAX_STEPS` steps, counting all the ways in which
   `re` can try it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from re import _constants as codes  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

MAX_STEPS = 300
"""Most steps at each character of a text."""

_Item = tuple[Any, Any]
"""An operation of `re`'s parser, and its argument."""

_CHARACTER = {codes.LITERAL, codes.NOT_LITERAL, codes.ANY, codes.IN}
_GREEDY = {codes.MAX_REPEAT, codes.POSSESSIVE_REPEAT}
_REPEAT = _GREEDY | {codes.MIN_REPEAT}
_BOUNDARY: _Item = (codes.AT, codes.AT_BOUNDARY)
_WORD: list[_Item] = [(codes.IN, [(codes.CATEGORY, codes.CATEGORY_WORD)])]


class UnboundedPattern(ValueError):
    """The pattern cannot be shown to take linear time; the message is the end of a sentence about it."""


@dataclass(frozen=True)
class _Cost:
    """The cost of a part of a pattern in the worst case, in which it or what follows it does not match."""

    steps: int
    ways: int
    """In how many ways the part can match the same text. `re` tries each of them."""


def check_token_pattern(pattern: str) -> None:
    """Raise UnboundedPattern for a pattern that cannot be shown to take linear time.

    The pattern must be one that `re` compiles, and must not have capturing groups.
    """
    try:
        steps = _sequence(list(parser.parse(pattern)), False).steps
    except RecursionError:
        raise UnboundedPattern("is nested too deeply") from None
    _check_steps(steps)


def _check_steps(steps: int) -> None:
    if steps > MAX_STEPS:
        raise UnboundedPattern(
            f"can take {steps} steps or more at each character of a text; at most {MAX_STEPS} are allowed"
        )


def _sequence(items: Sequence[_Item], next_can_fail: bool) -> _Cost:
    """Return the cost of consecutive items; `next_can_fail` says whether what follows them can fail."""
    if not next_can_fail and (cost := _between_boundaries(items)):
        _check_steps(cost.steps)
        return cost
    can_fail = [next_can_fail]
    for place in range(len(items) - 1, 0, -1):
        always = _always_matches(items[place]) or (
            items[place] == _BOUNDARY and _ends_in_words(items[:place])
        )
        can_fail.append(can_fail[-1] or not always)
    steps, ways = 0, 1
    for item, rest_can_fail in zip(items, reversed(can_fail), strict=True) if items else ():
        cost = _item(item, rest_can_fail)
        steps += ways * cost.steps
        ways *= cost.ways
        _check_steps(steps)
    return _Cost(steps, ways)


def _item(item: _Item, next_can_fail: bool) -> _Cost:
    code, argument = item
    if code in _CHARACTER or code in {codes.AT, codes.FAILURE}:
        return _Cost(1, 1)
    if code in _REPEAT:
        least, most, repeated = argument
        return _repeat(least, most, list(repeated), next_can_fail)
    if code is codes.BRANCH:
        costs = [_sequence(list(branch), next_can_fail) for branch in argument[1]]
        return _Cost(sum(cost.steps for cost in costs), sum(cost.ways for cost in costs))
    if code is codes.SUBPATTERN:
        _, flags_added, flags_removed, inner = argument
        if flags_added or flags_removed:
            raise UnboundedPattern(
                "has flags for a part of it; give them for all of it, as (?i) at its start"
            )
        return _sequence(list(inner), next_can_fail)
    if code is codes.ATOMIC_GROUP:
        return _sequence(list(argument), next_can_fail)
    if code in {codes.ASSERT, codes.ASSERT_NOT}:  # what an assertion reads is read again
        return _Cost(1 + _sequence(list(argument[1]), True).steps, 1)
    raise UnboundedPattern(f"has the operation {code}, which is not supported")


def _repeat(least: int, most: int, inner: Sequence[_Item], next_can_fail: bool) -> _Cost:
    """Return the cost of a repeat. If nothing after it can fail, only its first `least` rounds can."""
    if next_can_fail and most is codes.MAXREPEAT:
        raise UnboundedPattern(
            "has an unbounded repeat before something that a text can lack, so that long texts can take "
            r"very long; let each token end with the repeat, as in \w+(?:-\w+)*"
        )
    body = _sequence(inner, next_can_fail or least > 1)
    rounds = most if next_can_fail else max(least, 1)
    steps, ways, all_ways = 0, 1, 1 if least == 0 else 0
    for number in range(1, rounds + 1):
        steps += ways * body.steps
        ways *= body.ways
        all_ways += ways if number >= least else 0
        _check_steps(steps)
    return _Cost(steps, all_ways)


def _always_matches(item: _Item) -> bool:
    """Return whether an item matches at every position, at least the empty string."""
    code, argument = item
    if code in _REPEAT:
        return argument[0] == 0 or all(map(_always_matches, argument[2]))
    if code is codes.BRANCH:
        return any(all(map(_always_matches, branch)) for branch in argument[1])
    if code is codes.SUBPATTERN:
        return all(map(_always_matches, argument[3]))
    return code is codes.ATOMIC_GROUP and all(map(_always_matches, argument))


def _ends_in_words(items: Sequence[_Item]) -> bool:
    """Return whether the first match of the items ends at the end of a word, after at least one character."""
    if not items:
        return False
    code, argument = items[-1]
    if code in _GREEDY:
        least, most, inner = argument
        if most is codes.MAXREPEAT and list(inner) == _WORD:
            return bool(least) or _ends_in_words(items[:-1])
        return _ends_in_words(list(inner)) and (bool(least) or _ends_in_words(items[:-1]))
    if code is codes.BRANCH:
        return all(_ends_in_words(list(branch)) for branch in argument[1])
    if code is codes.SUBPATTERN:
        return _ends_in_words(list(argument[3]))
    return code is codes.ATOMIC_GROUP and _ends_in_words(list(argument))


def _between_boundaries(items: Sequence[_Item]) -> _Cost | None:
    """Return the cost of items such as `\\b[a-z]+\\b`; None for other items.

    They are characters between two word boundaries, and the last of the characters repeats without a bound.
    If they do not match, there is no boundary between the required characters and the end of the run that was
    read. So a run is read at most once from each of the required characters, and once more.
    """
    if len(items) < 3 or items[0] != _BOUNDARY or items[-1] != _BOUNDARY:
        return None
    code, argument = items[-2]
    # A possessive repeat does not stop at boundaries inside its run.
    if code is not codes.MAX_REPEAT or argument[1] is not codes.MAXREPEAT:
        return None
    characters = [*items[1:-2], *argument[2]]
    if len(characters) != len(items) - 2 or any(code not in _CHARACTER for code, _ in characters):
        return None
    return _Cost(len(items) + argument[0], 1)
