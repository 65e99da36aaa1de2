"""What the components of this package say: arrays that nobody writes into, of the types that the events name."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from engine.errors import ComponentError
from engine.event_columns import PLANS
from engine.events import Approved, Bars, Book, Event, Fills, Note, Signal
from samewire.prepare import prepare
from samewire.schema import load_run
from tests.golden.sessions import CONFIGS, SESSIONS
from tests.samewire.own import Walk
from tests.samewire.test_every_component import ruled
from tests.samewire.test_risk import RUN

TIGHT = {"max_weight": 0.2, "max_drawdown": 0.01, "on_drawdown": "flatten", "max_orders_per_minute": 3}
RISKY = RUN | {"risk": TIGHT, "session": RUN["session"] | {"end": "2020-04-01"}}


def memory(array: Any) -> list[Any]:
    """The array, and what it is a view of where the events of a component are made: of the feed's columns not."""
    return [array, *(memory(array.base) if isinstance(array.base, np.ndarray) else ())]


class Looks:
    """Every array that can be written into, every column of another type, every event of another instant."""

    def __init__(self) -> None:
        self.kinds: set[type[Any]] = set()
        self.wrong: set[tuple[str, str, str]] = set()

    def append(self, origins: Sequence[str], events: Sequence[Event], /) -> None:
        for origin, event in zip(origins, events, strict=True):
            plan = PLANS[event.__class__]
            self.kinds.add(event.__class__)
            if event.ts != events[0].ts:
                self.wrong.add((origin, plan.name, f"ts of {events[0].__class__.__name__}"))
            for place, array in enumerate(plan.arrays(event)):
                name = plan.columns[place] if place < len(plan.columns) else plan.tail
                if array.size and any(each.flags.writeable for each in memory(array)):
                    self.wrong.add((origin, plan.name, name))
                if place < len(plan.columns) and array.dtype != plan.dtypes[place]:
                    self.wrong.add((origin, plan.name, f"{name} {array.dtype}"))


class Loose(Walk):
    """A feed whose arrays can be written into."""

    def events(self, start: int | None = None, end: int | None = None) -> Iterator[Event]:
        for event in super().events(start, end):
            assert isinstance(event, Bars)
            yield msgspec.structs.replace(event, volume=np.array(event.volume))


class Writes:
    """A model that takes the volumes it is handed for its own memory."""

    lookback = 0

    def __init__(self, *, name: str) -> None:
        self._name = name

    def on_bars(self, bars: Bars, /) -> Signal:
        bars.volume[:] = 0.0
        return Signal(ts=bars.ts, asof=bars.ts, source=self._name, value=bars.volume, horizon_ns=0)


async def test_what_a_feed_of_the_users_own_hands_out_is_read_only_too() -> None:
    feed = {"use": "tests.samewire.test_said:Loose"}
    models = [{"name": "w", "use": "tests.samewire.test_said:Writes"}]
    parts = {"schema": 1, "session": {"name": "w", "cash": 1e6}, "feed": feed, "models": models}
    run = load_run(RUN | parts)
    with pytest.raises(ComponentError, match="w: failed on Bars .* read-only"):
        await prepare(run).run()


@pytest.mark.parametrize("name", ["topk", "ema_cross", "demo", "ruled", "risky"])
async def test_every_event_is_read_only_of_its_instant_and_of_its_types(name: str, tmp_path: Path) -> None:
    if name in SESSIONS:
        config, overrides = SESSIONS[name]
        run = load_run(CONFIGS / config, overrides=overrides)
    else:
        run = load_run(ruled(tmp_path) if name == "ruled" else RISKY)
    looks = Looks()
    await prepare(run, recorders=(looks,)).run()
    assert looks.wrong == set()
    assert looks.kinds >= {Approved, Book, Fills} | ({Note} if name in ("ruled", "demo") else set())
