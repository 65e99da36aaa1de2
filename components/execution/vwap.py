"""Volume-weighted average price, by what the market traded at these times of day before."""

from typing import Any, ClassVar

import numpy as np

from components.execution.horizon import hours_for, in_hours
from components.execution.pace import Market, Parents, Steps, checked_horizon, on_pace
from components.execution.rows import Rows
from engine.calendar import Sessions
from engine.errors import ConfigError
from engine.events import DAY_NS, ActionKind, Actions, Bars, Matrix, Vector
from engine.state import mutable, pack, placed, unpack
from engine.universe import Universe

_KIND, _VERSION = "vwap", 2
_BEGUN = {"ids": np.uint64, "day": np.int64, "slot": np.int64, "step": np.int64}
_SLOTS_MAX = 1440  # a day has at most so many: shorter slices share the slot of their minute


class Vwap:
    """The share of the order that the market used to trade by this time of day.

        a_k = min(round((Q sum_{j<=k} u_j / sum_j u_j - done) / lot) lot, rest),   a_{T-1} = rest

    u_j is the mean volume of the symbol in the j-th slice of the horizon by time of day: of trading since the open, a
    break left out, where the feed knows its sessions, of the UTC day otherwise. It is learnt slice by slice; what
    counts are the last `days` days that are over, never the running one. The slots of a horizon are those from the one
    in which it began to as many behind the present one as it has steps left: a slice that never came used up time and
    no step, and what it was to trade is due. A symbol without a profile of its horizon is paced evenly, as TWAP.
    Memory: `days` + 1 rows of N by the slices of a day (at most 1,440) in single precision, and where the horizons of
    one day began.
    """

    completes: ClassVar[bool] = True

    def __init__(
        self,
        *,
        universe: Universe,
        sessions: Sessions | None = None,
        horizon: int,
        days: int = 10,
        span_days: bool = False,
    ) -> None:
        if days < 1:
            raise ValueError(f"days must be at least 1, got {days}")
        self.horizon, self.span_days = checked_horizon(horizon), span_days
        self._universe, self._sessions, self._days = universe, sessions, days
        self._slot_ns = 0  # not known before the first bar
        self._day = -1
        self._open = 0  # instant from which slots of the running day count
        self._pause = (0, 0)  # its break
        self._today: Matrix = np.empty((0, len(universe)), np.float32)  # (slots, N), NaN = no bar
        self._past: list[Matrix] = []  # the days before, the oldest first
        self._mean: Matrix | None = None  # of them
        self._begun = Rows(_BEGUN)  # where the horizons of parents began, and the step they were last seen at

    def on_bars(self, bars: Bars, /) -> None:
        if not in_hours(bars.ts, hours_for(bars.interval_ns, self._sessions)):
            return
        if not self._slot_ns:
            self._slot_ns = max(bars.interval_ns, DAY_NS // _SLOTS_MAX)
        self._turn(bars.ts)
        slot = self._slot(bars.ts)
        if slot >= len(self._today):
            more = np.full((slot + 1 - len(self._today), len(self._universe)), np.nan, np.float32)
            self._today = np.concatenate([self._today, more])
        volume = np.where(bars.status == 0, bars.volume, np.nan)
        known = self._today[slot]
        self._today[slot] = np.where(np.isnan(known), volume, known + np.nan_to_num(volume))

    def _day_of(self, ts: int) -> tuple[int, int, tuple[int, int]]:
        """The running day, the instant at which it began, and its break: bars are stamped at their end."""
        if self._sessions is not None:
            try:
                close = self._sessions.next_close(ts)
                row = self._sessions.day_of(close)
                pause = int(self._sessions.break_from[row]), int(self._sessions.break_to[row])
                return row, int(self._sessions.opens[row]), pause
            except ConfigError:
                pass  # behind the end of the calendar: by UTC dates
        day = (ts - 1) // DAY_NS
        return int(day), int(day) * DAY_NS, (0, 0)

    def _turn(self, ts: int) -> None:
        """The day of the slice that ends at `ts`; one that is over counts from now on."""
        day, self._open, self._pause = self._day_of(ts)
        if day == self._day:
            return
        if len(self._today):
            self._past = [*self._past[-(self._days - 1) :], self._today] if self._days > 1 else [self._today]
            self._mean = None
        self._day = day
        self._today = np.empty((0, len(self._universe)), np.float32)

    def _slot(self, ts: int) -> int:
        """The slot of the slice of the running day that ends at `ts`."""
        return self._slot_of(ts - 1, self._open, self._pause)

    def _slot_of(self, begun: int, opened: int, pause: tuple[int, int]) -> int:
        """The slot of an instant, by the time that was traded before it."""
        rested = max(0, min(begun, pause[1]) - max(pause[0], opened))
        return max(0, (begun - opened - rested) // self._slot_ns)

    def on_actions(self, actions: Actions, /) -> None:
        for i in np.flatnonzero(actions.kind == ActionKind.SPLIT).tolist():
            for day in (*self._past, self._today):
                day[:, actions.symbol[i]] *= np.float32(actions.ratio[i])
            self._mean = None

    def profile(self) -> Matrix:
        """(slots, N) mean volume of the days that are over, NaN = never seen."""
        if self._mean is None:
            slots = max((len(day) for day in self._past), default=0)
            total, count = np.zeros((slots, len(self._universe))), np.zeros((slots, len(self._universe)))
            for day in self._past:
                known = np.isfinite(day)
                total[: len(day)] += np.where(known, day, 0.0)
                count[: len(day)] += known
            with np.errstate(invalid="ignore"):
                self._mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
        return self._mean

    def due(self, parents: Parents, market: Market, /) -> Vector:
        share = (parents.step + 1) / parents.steps
        hours = hours_for(market.interval_ns, self._sessions)
        if self._slot_ns and market.interval_ns < DAY_NS and in_hours(market.trades_from, hours):
            self._turn(market.trades_from)  # at the beginning of a day the one before is over
            begun, ended, whole = self._sums(self.profile(), parents, market)
            known = whole > 0
            share = np.where(known, (ended - begun) / np.where(known, whole, 1.0), share)
        return parents.side * on_pace(parents, share)

    def _sums(self, profile: Matrix, parents: Parents, market: Market) -> tuple[Vector, Vector, Vector]:
        """Profile volume up to the horizon's first slice, up to the next one, and over all of the horizon.

        All of it is 0 where a slice of the horizon was never seen.
        """
        following = self._slot(market.trades_from)  # of the slice in which it trades
        begun, first = self._begin(parents, following)
        last = following + parents.remaining  # the slots first ... last - 1
        inside = (begun == self._day) & (first >= 0) & (last <= len(profile))
        cumulative = np.concatenate([np.zeros((1, profile.shape[1])), np.cumsum(np.nan_to_num(profile), axis=0)])
        unseen = np.concatenate([np.zeros((1, profile.shape[1])), np.cumsum(np.isnan(profile), axis=0)])
        low, high = np.clip(first, 0, len(profile)), np.clip(last, 0, len(profile))
        now = np.clip(following + 1, 0, len(profile))
        s = parents.symbol
        whole = np.where(inside & (unseen[high, s] == unseen[low, s]), cumulative[high, s] - cumulative[low, s], 0.0)
        return cumulative[low, s], cumulative[now, s], whole

    def _begin(self, parents: Parents, following: int) -> tuple[Steps, Steps]:
        """(P,) day and slot in which the horizon of each began. One that was not seen then had no gap in it."""
        rows = self._begun
        at, known = rows.find(parents.ids)
        if len(rows):
            known = known & (rows["step"][at] <= parents.step)  # else its horizon has begun anew
        begun, slot = np.full(len(known), self._day), following - parents.step
        begun[known], slot[known] = rows["day"][at[known]], rows["slot"][at[known]]
        rows.keep((rows["day"] == self._day) & ~np.isin(rows["ids"], parents.ids))
        rows.add(len(known), {"ids": parents.ids, "day": begun, "slot": slot, "step": parents.step})
        return begun, slot

    def save(self) -> bytes:
        plain = {"slot_ns": self._slot_ns, "day": self._day, "open": self._open, "pause": list(self._pause)}
        days = {"today": self._today, "past": self._past}
        return pack(_KIND, _VERSION, symbols=self._universe.symbols, begun=self._begun.save(), **plain, **days)

    def load(self, state: bytes, /) -> None:
        fields: dict[str, Any] = unpack(state, _KIND, _VERSION)
        before, now = fields["symbols"], self._universe.symbols
        self._slot_ns, self._day, self._open = fields["slot_ns"], fields["day"], fields["open"]
        self._pause = (fields["pause"][0], fields["pause"][1])
        self._today = mutable(placed(fields["today"], before, now, np.nan))
        self._past = [placed(day, before, now, np.nan) for day in fields["past"]]
        self._mean = None
        if "begun" in fields:  # older states have none
            self._begun.load(fields["begun"])
