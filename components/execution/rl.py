"""A trained agent as a pace: what it learned in `components/rl` decides how fast parents are worked."""

from typing import Any, ClassVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from components.execution.pace import Market, Parents, checked_horizon, even_steps
from components.execution.rows import found_in
from components.execution.twap import Twap
from components.rl.acting import Working, children, cut_short
from components.rl.agent_artefact import opened_agent
from components.rl.recorder import Recorder
from engine.calendar import Sessions
from engine.errors import ConfigError
from engine.events import MINUTE_NS, Actions, Bars, Vector
from engine.protocols import Artefact
from engine.state import mutable, pack, unpack
from engine.universe import Universe

_KIND, _VERSION = "rl_pace", 3
Places = NDArray[np.intp]


class _Memory(msgspec.Struct, eq=False, kw_only=True):
    """What is remembered of R parents, in the columns of `Working`. `day` counts days of the session."""

    ids: NDArray[np.uint64]
    day: Places
    size: Vector  # of the parent when it was last looked at
    quantity: Vector
    start: Places
    now: Places
    next: Places
    end: Places
    step: Places
    steps: Places
    amount: Vector  # to trade in the step
    history: Vector  # (R, K + 1)

    def rows(self, at: Any) -> "_Memory":
        return _Memory(**{name: getattr(self, name)[at] for name in self.__struct_fields__})

    def with_rows(self, new: "_Memory") -> "_Memory":
        both = {name: (getattr(self, name), getattr(new, name)) for name in self.__struct_fields__}
        return _Memory(**{name: np.concatenate(each) for name, each in both.items()})


class Rl:
    """The best action of a trained agent at each of its decisions, for all parents at once.

    It sees what the environment showed it, by the same functions (`components.rl.observing`), and what it answers
    becomes children by the same ones too (`components.rl.acting`): an episode of the environment and a replay of it
    agree to the bit. A decision is taken at the parent's slice and every `bars_per_step` slices after it.

    What was decided before a day, or is left of a parent when its day ends, goes on at the close of the next day's
    first bar, as an order of its own.

    An agent that was no better than an even pace on its validation orders, and says so, works them as `twap` does.

    Slices of a day behind as many as the longest day of its training had are beyond what it knows: in these, what is
    left of each parent is sent at an even pace.

    ConfigError for a horizon, an interval or days other than those that it was trained on; StateError for an artefact
    that is no agent, or of another schema or version. `lookback` covers the volume profile that it sees.
    """

    span_days: ClassVar[bool] = False
    completes: ClassVar[bool] = True

    def __init__(
        self, *, universe: Universe, artefact: Artefact, horizon: int, sessions: Sessions | None = None
    ) -> None:
        self.horizon = checked_horizon(horizon)
        self.artefact = artefact.hash
        card, self._policy = opened_agent(artefact, "execution rl")
        self._card, self._sessions = card, sessions if card.sessions else None
        if horizon != card.horizon:
            raise ConfigError(
                f"execution rl: horizon is {horizon}, and agent {artefact.hash[:12]} works orders over {card.horizon} "
                f"slices; set horizon: {card.horizon}, or train one for {horizon}"
            )
        self.lookback = (card.window + 2) * card.bars  # the first day may be a part of one, and today is not in it
        self._recorder = Recorder(
            universe=universe,
            bars=card.bars,
            sessions=self._sessions,
            window=card.window,
            unit_bps=card.unit_bps,
            features=card.observation.features,
        )
        self._even = Twap(horizon=self.horizon)  # for an agent that was no better
        self._memory = _nothing(card.steps)
        self._day = 0  # days so far
        self._label, self._beyond = -1, False  # of the day; whether it has more slices than the agent knows

    def check_session(self, interval_ns: int, sessions: Sessions | None) -> None:
        """ConfigError for bars or days other than those that it learned from."""
        card, short = self._card, self.artefact[:12]
        if interval_ns != card.interval_ns:
            was, now = (interval / MINUTE_NS for interval in (card.interval_ns, interval_ns))
            raise ConfigError(
                f"execution rl: agent {short} learned from bars of {was:g} minutes, and these are of {now:g}; take a "
                "feed of the same bars, or train one on these"
            )
        if card.sessions != (sessions is not None):
            said = ("sessions of a calendar", "dates of UTC")
            was_days, now_days = said if card.sessions else said[::-1]
            raise ConfigError(
                f"execution rl: agent {short} learned from days that are {was_days}, and the feed has {now_days}; take "
                "a feed with the same days, or train one on these"
            )

    # ---- the market --------------------------------------------------------------------------------------------------

    def on_bars(self, bars: Bars, /) -> None:
        if bars.interval_ns != self._card.interval_ns:  # longer ones of a session of several
            return
        label = self._recorder.day_of(bars)
        if label < 0:  # out of hours
            return
        new = label != self._label
        self._day, self._label = self._day + new, label
        self._beyond = not new and self._recorder.tick + 1 >= self._card.bars
        if not self._beyond:
            self._recorder.on_bars(bars)

    def on_actions(self, actions: Actions, /) -> None:
        self._recorder.on_actions(actions)

    # ---- decisions ---------------------------------------------------------------------------------------------------

    def due(self, parents: Parents, market: Market, /) -> Vector:
        if self._card.works == "even_pace":
            return self._even.due(parents, market)
        tick = self._recorder.tick
        if tick < 0 or self._new_day(market.trades_from):
            return np.zeros(len(parents.ids))
        if self._beyond:
            return parents.side * np.minimum(even_steps(parents), parents.rest)
        rows = self._remembered(parents, tick)
        deciding = self._moved_on(rows, parents, tick)
        memory = self._memory.rows(rows)
        own = _working(memory, parents)
        at = np.flatnonzero(deciding)
        if at.size:
            some = _working(memory.rows(at), _of(parents, at))
            seen = self._card.observation.observe(self._recorder.market(parents.symbol[at]), some)
            self._memory.amount[rows[at]] = self._card.action.amounts(self._policy.act(seen), some)
        amount, bar = self._memory.amount[rows], tick - memory.now
        due = np.zeros(len(rows))
        for k in np.unique(bar).tolist():
            due = np.where(bar == k, children(amount, own, own.remaining, k), due)
        return parents.side * np.where(tick < memory.end, due, 0.0)

    def _new_day(self, ts: int) -> bool:
        """Whether what is sent now trades in a day of which no bar was seen: it waits for the first."""
        return self._sessions is not None and self._sessions.day_of(ts) != self._label

    def _remembered(self, parents: Parents, tick: int) -> Places:
        """Where each parent stands in the memory; those that are new today begin with this slice."""
        kept = self._memory
        self._memory = kept = kept.rows((kept.day == self._day) & (kept.end >= tick) | np.isin(kept.ids, parents.ids))
        found, known = found_in(kept.ids, parents.ids)
        again = np.flatnonzero(known)
        stale = kept.day[found[again]] != self._day
        again = again[stale | (parents.step[again] == 0)]  # at step 0 the horizon of one that goes on begins once more
        new = np.flatnonzero(~known)
        begun = self._begun(_of(parents, np.concatenate([again, new])), tick)
        count = len(again)
        for name in kept.__struct_fields__:
            getattr(kept, name)[found[again]] = getattr(begun, name)[:count]
        found[new] = len(kept.ids) + np.arange(len(new))
        self._memory = kept.with_rows(begun.rows(slice(count, None)))
        return found

    def _begun(self, parents: Parents, tick: int) -> _Memory:
        card, zero = self._card, np.zeros(len(parents.ids), np.intp)
        end = np.minimum(tick + np.minimum(parents.remaining, card.horizon), card.bars - 1).astype(np.intp)
        history = np.zeros((len(zero), card.steps + 1))
        history[:, 0] = parents.rest
        return _Memory(
            ids=parents.ids.astype(np.uint64),
            day=zero + self._day,
            size=parents.size,
            quantity=parents.rest,
            start=zero + tick,
            now=zero + tick,
            next=np.minimum(tick + card.bars_per_step, end),
            end=end,
            step=zero,
            steps=np.maximum(-(-(end - tick) // card.bars_per_step), 1),
            amount=np.zeros(len(zero)),
            history=history,
        )

    def _moved_on(self, rows: Places, parents: Parents, tick: int) -> Any:
        """Who decides now: those that began, and those whose step is over. Replaced and split shares are taken over."""
        memory = self._memory
        ratio = parents.size / memory.size[rows]
        memory.size[rows] = parents.size
        for column in (memory.quantity, memory.amount):
            column[rows] *= ratio
        memory.history[rows] *= ratio[:, None]
        over = rows[(memory.next[rows] <= tick) & (memory.now[rows] < tick) & (memory.end[rows] > tick)]
        memory.step[over] += 1
        memory.now[over] = tick
        memory.next[over] = np.minimum(tick + self._card.bars_per_step, memory.end[over])
        latest = memory.end.copy()
        latest[rows] = np.minimum(tick + parents.remaining, latest[rows])
        cut_short(memory, latest, self._card.bars_per_step)
        rest = np.zeros(len(memory.ids))
        rest[rows] = parents.rest
        memory.history[over, memory.step[over]] = rest[over]
        return (memory.now[rows] == tick) & (memory.end[rows] > tick)

    # ---- state -------------------------------------------------------------------------------------------------------

    def save(self) -> bytes:
        memory = {name: getattr(self._memory, name) for name in _Memory.__struct_fields__}
        rest: dict[str, Any] = {"day": self._day, "recorder": self._recorder.save()}
        rest |= {"label": self._label, "beyond": self._beyond}
        return pack(_KIND, _VERSION, artefact=self.artefact, memory=memory, **rest)

    def load(self, state: bytes, /) -> None:
        fields = unpack(state, _KIND, _VERSION)
        if fields["artefact"] != self.artefact:
            raise ConfigError(
                f"execution rl: the state is of agent {fields['artefact'][:12]}, this one is {self.artefact[:12]}; "
                "go on with that one"
            )
        self._memory = _Memory(**{name: mutable(column) for name, column in fields["memory"].items()})
        self._day, self._label, self._beyond = fields["day"], fields["label"], fields["beyond"]
        self._recorder.load(fields["recorder"])


def _nothing(steps: int) -> _Memory:
    whole, number = np.zeros(0), np.zeros(0, np.intp)
    columns: dict[str, Any] = dict.fromkeys(_Memory.__struct_fields__, number)
    columns |= {"ids": np.zeros(0, np.uint64), "history": np.zeros((0, steps + 1))}
    return _Memory(**columns | dict.fromkeys(("size", "quantity", "amount"), whole))


def _of(parents: Parents, at: Places) -> Parents:
    return Parents(**{name: getattr(parents, name)[at] for name in parents.__struct_fields__})


def _working(memory: _Memory, parents: Parents) -> Working:
    """As the environment has it."""
    return Working(
        side=parents.side.astype(np.int32),
        quantity=memory.quantity,
        remaining=parents.rest,
        lot=parents.lot,
        start=memory.start,
        now=memory.now,
        next=memory.next,
        end=memory.end,
        step=memory.step,
        steps=memory.steps,
        history=memory.history,
    )
