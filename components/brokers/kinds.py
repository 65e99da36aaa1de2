"""The kinds of orders: which wait for a trigger, and which prices each takes. Tables by OrderKind."""

from typing import Any

import numpy as np

from engine.events import Mask, OrderKind

_STOPS = (OrderKind.STOP, OrderKind.STOP_LIMIT)
_LIMITS = (OrderKind.LIMIT, OrderKind.STOP_LIMIT)
_AUCTIONS = (OrderKind.MARKET_ON_OPEN, OrderKind.MARKET_ON_CLOSE)
_TRAILING = (OrderKind.TRAILING_STOP,)


def _table(kinds: Any) -> Mask:
    table = np.array([kind in kinds for kind in OrderKind])
    table.flags.writeable = False
    return table


WAITS = _table((*_STOPS, *_TRAILING))  # trades only once it is triggered
AUCTIONS = _table(_AUCTIONS)  # trades in an auction, whatever the timing of the others
NEEDS = {"limit": _table(_LIMITS), "stop": _table(_STOPS), "trail": _table(_TRAILING)}
TAKES = {"limit": _table((*_LIMITS, *_AUCTIONS)), "stop": _table((*_STOPS, *_TRAILING)), "trail": _table(_TRAILING)}
