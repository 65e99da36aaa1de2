"""One symbol through the full wiring: EMA cross, market orders. Goal: at least 100,000 bars a CPU second."""

import asyncio

import numpy as np
from measure import Outcome, arguments, best_and_median, conclude

from components.brokers.simulated import Simulated
from components.costs.bps import Bps
from components.gates.limits import Limits
from components.models.ema_cross import EmaCross
from components.optimizers.direct import Direct
from components.strategies.sign import Sign
from engine.barrier import Named
from engine.events import MINUTE_NS, Bars
from engine.ids import OrderIds
from engine.session import Replay, Session
from engine.universe import universe_of
from engine.wiring import ModelPart, Parts, Wiring

GOAL = 100_000


def history(count: int) -> list[Bars]:
    rng = np.random.default_rng(1)
    close = 50 * np.exp(np.cumsum(rng.normal(0, 0.001, count)))
    status, member, volume = np.zeros(1, np.int32), np.ones(1, bool), np.full(1, 1e6)
    slices = []
    for t in range(count):
        now, before = close[t : t + 1], close[max(t - 1, 0) : max(t - 1, 0) + 1]
        slices.append(
            Bars(
                ts=(t + 1) * MINUTE_NS,
                interval_ns=MINUTE_NS,
                opened=t * MINUTE_NS,
                open=before,
                high=np.maximum(now, before),
                low=np.minimum(now, before),
                close=now,
                volume=volume,
                vwap=now,
                status=status,
                member=member,
            )
        )
    return slices


def wiring() -> Wiring:
    universe, costs = universe_of(("ONE",)), Bps(commission_bps=0.5, slippage_bps=0.5)
    optimizer = Direct(universe=universe, ids=OrderIds("bench", "optimizer"), costs=costs, name="optimizer")
    gate = Limits(universe=universe, ids=OrderIds("bench", "gate"), name="gate", max_weight=2.0)
    return Wiring(
        Parts(
            universe=universe,
            interval_ns=MINUTE_NS,
            cash=1e6,
            broker=Named("broker", Simulated(universe=universe, costs=costs, name="broker", fill="next_open")),
            models=(ModelPart(name="cross", model=EmaCross(universe=universe, name="cross")),),
            strategies=(Named("strategy", Sign(universe=universe, name="strategy", gross=0.98)),),
            optimizer=Named("optimizer", optimizer),
            gate=Named("gate", gate),
        )
    )


def main() -> None:
    args = arguments(__doc__ or "")
    count = 20_000 if args.quick else 100_000
    slices = history(count)
    fills = 0

    def replay() -> None:
        nonlocal fills
        made = wiring()
        asyncio.run(Session(made).run(Replay(lambda: iter(slices))))
        fills = int(made.ledger.book(0).fees[0] > 0)

    best, median = best_and_median(replay, 3 if args.quick else 9)
    if not fills:
        raise SystemExit("nothing was traded: this measures nothing")
    outcome = Outcome(
        work=f"{count} bars of one symbol, EMA 12/26 cross, market orders at the next open",
        value=count / best,
        unit="bars per CPU second",
        goal=GOAL,
        met=count / best >= GOAL,
        detail={"median": round(count / median), "us_per_bar": round(best / count * 1e6, 2)},
    )
    conclude(args, "ema_cross", outcome)


if __name__ == "__main__":
    main()
