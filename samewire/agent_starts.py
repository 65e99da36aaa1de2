"""Bars at whose close orders are decided, and days that end before one can trade: never left out without a word."""

import numpy as np

from components.rl.days import Days
from components.rl.episodes import Split
from engine.errors import ConfigError

_PARTS = {"train": "to learn from", "validation": "to choose by", "test": "to judge by"}


def check_starts(starts: list[int], days: Days) -> None:
    """ConfigError for a bar that no day has another bar behind."""
    longest = int(days.length.max(initial=0))
    late = [start for start in starts if start >= longest - 1]
    if late:
        raise ConfigError(
            f"training.agent.orders.start: no day has a bar behind bar {late[0]}, the longest has {longest} counted "
            "from 0; lower it"
        )


def unheard(starts: list[int], parts: Split) -> list[str]:
    """A warning of each bar that has no order in a part of the split, whose days are all too short for it."""
    found = []
    for start in starts:
        without = [what for part, what in _PARTS.items() if not (getattr(parts, part).start == start).any()]
        if without:
            found.append(
                f"orders.start: bar {start} has no order {' and none '.join(without)}: the days there end before a bar "
                "behind it; lower it, leave it out, or move the dates of split"
            )
    return found


def shorter(starts: list[int], days: Days) -> list[str]:
    """Each bar that not all days have, and how many do."""
    have = {start: int(np.count_nonzero(days.length - 1 > start)) for start in starts}
    return [
        f"bar {start}: {count:,} of {len(days):,} days; the others end before a bar behind it and have no order of it"
        for start, count in have.items()
        if count < len(days)
    ]
