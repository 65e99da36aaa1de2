"""What is wrong with the options of a feed from files as far as they tell it themselves: no file is opened."""

from collections.abc import Mapping
from typing import Any

from adapters.files.history import Names, Times, options
from adapters.files.life import Beside
from engine.errors import DataError

_TIMES = ("stamped", "close", "open", "interval", "calendar")


def wrong_option(said: Mapping[str, Any]) -> str:
    """The first rule that the options break, as the feed itself would say it; empty where they break none.

    >>> wrong_option({"lot": 0.0})
    'lot must be above 0 shares, got 0.0'
    >>> wrong_option({"close": "16:00 America/New_York"})
    ''
    """
    if said.get("symbols") is not None and said.get("symbols_file") is not None:
        return "symbols and symbols_file are both given; keep one"
    times = {name: said.get(name) for name in _TIMES}
    names = Names(
        symbols=said.get("symbols"),
        symbols_file=None,
        sectors=None,
        currency=said.get("currency", "USD"),
        lot=said.get("lot", 1.0),
        tick=said.get("tick", 0.0),
    )
    try:
        options(
            Times(outside=said.get("outside", "drop"), **times),
            names,
            extra=said.get("extra"),
            bad_rows=said.get("bad_rows", "missing"),
        )
        Beside(delist_after=said.get("delist_after"), reference=said.get("reference"))
    except (ValueError, DataError) as error:
        return str(error)
    rows = said.get("sort_rows_max", 1)
    return "" if rows >= 1 else f"sort_rows_max must be at least 1, got {rows}"
