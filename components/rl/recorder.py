"""The days of a running session as observations read them: today's tape, yesterday's, and the volumes before."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.rl.observing import Market
from components.rl.tape import WINDOW, Bar, Tape, volume_profile
from engine.calendar import Sessions
from engine.errors import DataError
from engine.events import DAY_NS, ActionKind, Actions, Bars, Matrix, Vector
from engine.instants import instant_text
from engine.state import mutable, pack, placed, unpack
from engine.universe import Universe

_KIND, _VERSION = "rl_recorder", 1


class Recorder:
    """Writes each slice of a session to a tape of N rows, one a symbol, as `tape_of` writes whole days of history.

    After a slice `market` and `tick` are what the environment has at the same decision, to the bit, once `window` days
    have been seen (fewer, where the environment's history begins with the session's). A day is a session of the
    calendar; without one a date of UTC, as in `days_of` of a feed without `bounds`. `bars` is the number of bars that
    the longest day has: a day of more is a DataError. Memory: `window` days of N x `bars` volumes, and two tapes.
    """

    def __init__(
        self,
        *,
        universe: Universe,
        bars: int,
        sessions: Sessions | None = None,
        window: int = WINDOW,
        unit_bps: float = 10.0,
        features: bool = False,
    ) -> None:
        if window < 1 or bars < 1:
            raise ValueError(f"window and bars must be at least 1, got {window} and {bars}")
        self._universe, self._bars, self._sessions, self._window = universe, bars, sessions, window
        self._made: dict[str, Any] = {"bars": bars, "unit_bps": unit_bps, "features": features}
        self._label = -1
        self._volumes: list[Matrix] = []  # of the days before today, latest first
        self._ratios: list[Vector] = []  # shares for an old one that came into effect after each of them
        self._today_volume = self._unknown()
        self._split = np.ones(len(universe))  # of the actions since the last bar
        self.before: Tape | None = None
        self.today = self._begun()
        self.tick = -1  # the latest bar of the day

    def _unknown(self) -> Matrix:
        return np.full((len(self._universe), self._bars), np.nan)

    def _begun(self) -> Tape:
        known = volume_profile(self._volumes, self._ratios) if self._volumes else self._unknown()
        return Tape(expected=known, **self._made)

    def on_actions(self, actions: Actions, /) -> None:
        """Splits count from the next day on."""
        for kind, symbol, ratio in zip(actions.kind, actions.symbol, actions.ratio, strict=True):
            if kind == ActionKind.SPLIT:
                self._split[symbol] *= ratio

    def on_bars(self, bars: Bars, /) -> None:
        """A slice out of trading hours is passed over."""
        label = self.day_of(bars)
        if label < 0:
            return
        if label != self._label:
            self._turn(label)
        self.tick += 1
        if self.tick == self._bars:
            raise DataError(
                f"rl: the day has more than {self._bars} bars, the one of {instant_text(bars.ts)} is too many; the "
                "agent was trained on shorter days: train it on days like these"
            )
        self.today.add(self.tick, Bar(**{name: getattr(bars, name) for name in Bar.__struct_fields__}))
        self._today_volume[:, self.tick] = bars.volume

    def day_of(self, bars: Bars) -> int:
        """The label of the day that a slice is of, below 0 out of trading hours."""
        if self._sessions is None:
            return bars.opened // DAY_NS
        return self._sessions.hours_of(bars.ts)

    def _turn(self, label: int) -> None:
        """A new day begins: the one before goes to the volumes."""
        if self._label >= 0:
            self._volumes = [self._today_volume, *self._volumes][: self._window]
            self._ratios = [self._split, *self._ratios][: self._window]
            self.before = self.today
        self._label, self.tick = label, -1
        self._today_volume, self._split = self._unknown(), np.ones(len(self._universe))
        self.today = self._begun()

    def market(self, symbol: NDArray[Any]) -> Market:
        """Where orders of these symbols (W,) find their day."""
        row = symbol.astype(np.intp)
        before = row if self.before is not None else np.full(len(row), -1, np.intp)
        return Market(today=self.today, row=row, before=self.before or self.today, before_row=before)

    def save(self) -> bytes:
        return pack(
            _KIND,
            _VERSION,
            symbols=list(self._universe.symbols),
            bars=self._bars,
            label=self._label,
            tick=self.tick,
            volumes=self._volumes,
            ratios=self._ratios,
            volume=self._today_volume,
            split=self._split,
            today=self.today.save(),
            before=None if self.before is None else self.before.save(),
        )

    def load(self, state: bytes, /) -> None:
        """Restores by symbol: names appended to the universe since start unknown."""
        fields = unpack(state, _KIND, _VERSION)
        before, now = fields["symbols"], self._universe.symbols

        def by_row(array: Any, fill: float = np.nan) -> Any:
            return placed(array.T, before, now, fill).T

        self._label, self.tick = fields["label"], fields["tick"]
        self._volumes = [np.ascontiguousarray(by_row(volume)) for volume in fields["volumes"]]
        self._ratios = [placed(ratio, before, now, 1.0) for ratio in fields["ratios"]]
        self._today_volume = mutable(by_row(fields["volume"]))
        self._split = placed(fields["split"], before, now, 1.0)
        self.today = self._begun()
        self.today.load(fields["today"], before, now)
        self.before = None
        if fields["before"] is not None:
            self.before = Tape(expected=self._unknown(), **self._made)
            self.before.load(fields["before"], before, now)
