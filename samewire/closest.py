"""Did you mean: the nearest of the names that would have been right."""

import difflib
from collections.abc import Iterable

# Comparing takes the product of both: beyond these there is no suggestion, however many mistakes a file has.
LENGTH_MAX, NAMES_MAX = 100, 500


def closest(word: str, names: Iterable[str]) -> str:
    """The nearest name, or the empty text when none is near.

    >>> closest("num_leafs", ["num_leaves", "seed"]), closest("zzz", ["seed"])
    ('num_leaves', '')
    """
    known = {name.lower(): name for name in names} if len(word) <= LENGTH_MAX else {}
    if len(known) > NAMES_MAX:
        return ""
    near = difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.6)
    return known[near[0]] if near else ""


def listed(names: Iterable[str], limit: int = 12) -> str:
    """Names in a row, at most `limit` of them.

    >>> listed(["a", "b", "c"], limit=2)
    'a, b, ... (1 more)'
    """
    all_names = list(names)
    more = len(all_names) - limit
    return ", ".join(all_names[:limit]) + (f", ... ({more} more)" if more > 0 else "")
