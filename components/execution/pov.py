"""Percentage of volume."""

from collections import deque
from typing import Any

import numpy as np

from components.execution.horizon import hours_for
from components.execution.pace import Market, Parents, checked_horizon, full_lots
from engine.calendar import Sessions
from engine.events import ActionKind, Actions, Bars, Vector
from engine.state import pack, placed, unpack
from engine.universe import Universe

_KIND, _VERSION = "pov", 1


class Pov:
    """A share of what the market trades, taken from the volume of the last `bars` bars.

        a_k = min(floor(rate v / lot) lot, rest),   v = mean volume of those that were FRESH, 0 where none was

    Below a day only bars of the running day count, where the feed knows its sessions and the horizon does not span
    them: what the close before traded says nothing of the open, and the first child waits for the first bar.

    The next bar's volume is not known when it is decided, so the last ones stand for it; the broker's `participation`
    is what no bar is traded beyond. It ends with the horizon: what is left then is not sent, unless `complete`, by
    which the last step sends all of it.
    """

    def __init__(  # noqa: PLR0913 - the schema of a run file's block
        self,
        *,
        universe: Universe,
        sessions: Sessions | None = None,
        horizon: int,
        rate: float = 0.1,
        bars: int = 1,
        complete: bool = False,
        span_days: bool = False,
    ) -> None:
        if not 0 < rate <= 1:
            raise ValueError(f"rate must be above 0 and at most 1 (of the bar's volume), got {rate}")
        if bars < 1:
            raise ValueError(f"bars must be at least 1, got {bars}")
        self.horizon, self.span_days, self.completes = checked_horizon(horizon), span_days, complete
        self.lookback = bars
        self._universe, self._rate = universe, rate
        self._sessions = None if span_days else sessions
        self._day = -1  # its label
        self._volumes: deque[Vector] = deque(maxlen=bars)

    def on_bars(self, bars: Bars, /) -> None:
        day = self._day_of(bars.ts, bars.interval_ns)
        if day != self._day:
            self._volumes.clear()
        self._day = day
        self._volumes.append(np.where(bars.status == 0, bars.volume, np.nan))

    def _day_of(self, ts: int, interval_ns: int) -> int:
        hours = hours_for(interval_ns, self._sessions)
        row = -1 if hours is None else hours.day_of(ts)
        return -1 if hours is None or row < 0 else int(hours.label[row])

    def on_actions(self, actions: Actions, /) -> None:
        for i in np.flatnonzero(actions.kind == ActionKind.SPLIT).tolist():
            for volume in self._volumes:
                volume[actions.symbol[i]] *= actions.ratio[i]

    def due(self, parents: Parents, market: Market, /) -> Vector:
        if not self._volumes or self._day_of(market.trades_from, market.interval_ns) != self._day:
            return np.zeros(len(parents.ids))
        seen = np.array(self._volumes)[:, parents.symbol]
        known = np.isfinite(seen)
        count = known.sum(axis=0)
        volume = np.where(known, seen, 0.0).sum(axis=0) / np.maximum(count, 1)
        return parents.side * np.minimum(full_lots(self._rate * volume, parents.lot), parents.rest)

    def save(self) -> bytes:
        return pack(_KIND, _VERSION, symbols=self._universe.symbols, day=self._day, volumes=list(self._volumes))

    def load(self, state: bytes, /) -> None:
        fields: dict[str, Any] = unpack(state, _KIND, _VERSION)
        before, now = fields["symbols"], self._universe.symbols
        self._day = fields.get("day", -1)  # older states have none
        self._volumes.clear()
        self._volumes.extend(placed(volume, before, now, np.nan) for volume in fields["volumes"])
