"""The bus alone: four hops, N = 1. Goal: at least 500,000 input events a second on one core."""

import asyncio
from collections.abc import AsyncIterator

import numpy as np
from measure import Outcome, arguments, best_and_median, conclude

from engine.bus import Bus, Route
from engine.events import Note, Signal, Target, TargetKind, Timer

GOAL = 500_000


def main() -> None:
    args = arguments(__doc__ or "")
    count = 50_000 if args.quick else 300_000
    one = np.ones(1)

    def model(event: Timer) -> Signal:
        return Signal(ts=event.ts, source="model", asof=event.ts, value=one, horizon_ns=1)

    def strategy(event: Signal) -> Target:
        return Target(ts=event.ts, source="s", kind=TargetKind.WEIGHT, value=one, alpha=one, limit=one, stop=one)

    def optimizer(event: Target) -> Note:
        return Note(ts=event.ts, source="o", kind="k", symbol=none, value=one)

    def last(event: Note) -> None:
        return None

    none = np.empty(0, np.int32)
    routes = [
        Route(Timer, "a", model),
        Route(Signal, "b", strategy),
        Route(Target, "c", optimizer),
        Route(Note, "d", last),
    ]
    bus = Bus(routes)
    inputs = [Timer(ts=i, name="t", due=i) for i in range(count)]

    async def stream() -> AsyncIterator[Timer]:
        for event in inputs:
            yield event

    best, median = best_and_median(lambda: asyncio.run(bus.run(stream())), 3 if args.quick else 9)
    outcome = Outcome(
        work=f"{count} input events, four hops each, N = 1",
        value=count / best,
        unit="input events per CPU second",
        goal=GOAL,
        met=count / best >= GOAL,
        detail={"median": round(count / median), "us_per_input": round(best / count * 1e6, 3)},
    )
    conclude(args, "bus", outcome)


if __name__ == "__main__":
    main()
