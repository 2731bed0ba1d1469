"""A query budget: how often an example's attack may ask its victim, `2000` or `50 per word`."""

import re
from typing import Annotated

from pydantic import AfterValidator

PER_WORD = re.compile(r"^([1-9][0-9]*) per word\Z")


def check_query_budget(budget: int | str) -> int | str:
    """The budget itself. Raises ValueError if it is not a positive number, or one per word."""
    if isinstance(budget, str) and PER_WORD.match(budget):
        return budget
    if isinstance(budget, int) and not isinstance(budget, bool) and budget >= 1:
        return budget
    raise ValueError(
        f"{budget!r}: give a number of queries, at least 1, or a multiple of a text's words, as "
        "'50 per word'"
    )


QueryBudget = Annotated[int | str, AfterValidator(check_query_budget)]


def queries_of(budget: int | str, words: int) -> int:
    """Queries that a text of so many words may be attacked with; at least 1."""
    if isinstance(budget, int):
        return budget
    match = PER_WORD.match(budget)
    assert match is not None
    return int(match[1]) * max(words, 1)
