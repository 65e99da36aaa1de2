"""Top-k dropout on 500 names x 1,258 days, signals precomputed, costs on. Goal: at most 0.3 s of CPU.

With --journal the same session with its journal on disk beside it.
"""

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from measure import Outcome, arguments, best_and_median, conclude, peak_mb

from adapters.files.journal_file import JournalFile
from components.brokers.simulated import Simulated
from components.costs.bps import Bps
from components.gates.limits import Limits
from components.models.scores import Scores
from components.optimizers.direct import Direct
from components.strategies.topk_dropout import TopkDropout
from engine.barrier import Named
from engine.events import DAY_NS, HOUR_NS, Bars
from engine.ids import OrderIds
from engine.journal import Journal
from engine.protocols import Table
from engine.session import Replay, Session
from engine.universe import universe_of
from engine.wiring import ModelPart, Parts, Wiring

NAMES, GOAL_S = 500, 0.3


def history(days: int) -> tuple[list[Bars], Table]:
    """A random market of 500 names, and scores that change slowly: about a tenth of the book turns over a day."""
    rng = np.random.default_rng(1)
    close = 50 * np.exp(np.cumsum(rng.normal(0, 0.015, (days, NAMES)), axis=0))
    opening = np.vstack([close[:1], close[:-1]]) * np.exp(rng.normal(0, 0.004, (days, NAMES)))
    score = np.zeros((days, NAMES))
    for t in range(1, days):
        score[t] = 0.95 * score[t - 1] + 0.3 * rng.normal(size=NAMES)
    status, member = np.zeros(NAMES, np.int32), np.ones(NAMES, bool)
    volume = np.full(NAMES, 1e6)
    slices = [
        Bars(
            ts=(t + 1) * DAY_NS,
            interval_ns=DAY_NS,
            opened=(t + 1) * DAY_NS - 6 * HOUR_NS,
            open=opening[t],
            high=np.maximum(opening[t], close[t]),
            low=np.minimum(opening[t], close[t]),
            close=close[t],
            volume=volume,
            vwap=close[t],
            status=status,
            member=member,
        )
        for t in range(days)
    ]
    table = Table(
        path="generated",
        hash="",
        ts=np.repeat(np.arange(1, days + 1) * DAY_NS, NAMES),
        symbol=np.tile(np.arange(NAMES, dtype=np.int32), days),
        columns={"score": score.ravel()},
    )
    return slices, table


def wiring(table: Table) -> Wiring:
    universe = universe_of(tuple(f"S{i:03d}" for i in range(NAMES)))
    costs = Bps(commission_bps=5, slippage_bps=5)
    ids = {name: OrderIds("bench", name) for name in ("optimizer", "gate")}
    strategy = TopkDropout(topk=50, n_drop=5, universe=universe, name="strategy")
    return Wiring(
        Parts(
            universe=universe,
            interval_ns=DAY_NS,
            cash=1e8,
            broker=Named("broker", Simulated(universe=universe, costs=costs, name="broker", fill="next_open")),
            models=(ModelPart(name="scores", model=Scores(table=table, universe=universe, name="scores")),),
            strategies=(Named("strategy", strategy),),
            optimizer=Named(
                "optimizer", Direct(universe=universe, ids=ids["optimizer"], costs=costs, name="optimizer")
            ),
            gate=Named("gate", Limits(universe=universe, ids=ids["gate"], name="gate", max_weight=0.1)),
        )
    )


def main() -> None:
    args = arguments(__doc__ or "")
    days = 250 if args.quick else 1258
    slices, table = history(days)
    last: dict[str, Any] = {}

    def replay(recorders: tuple[Any, ...] = ()) -> None:
        last["wiring"] = wiring(table)
        session = Session(last["wiring"], recorders=recorders)
        asyncio.run(session.run(Replay(lambda: iter(slices))))

    def journalled() -> None:
        with tempfile.TemporaryDirectory() as folder:
            file = JournalFile(Path(folder))
            replay((Journal(file.write),))
            file.close()

    rounds = 3 if args.quick else 9
    best, median = best_and_median(replay, rounds)
    detail: dict[str, Any] = {"median_s": round(median, 4), "us_per_slice": round(best / days * 1e6, 1)}
    if args.journal:
        with_journal, _ = best_and_median(journalled, rounds)
        detail |= {"with_journal_s": round(with_journal, 4), "journal_ratio": round(with_journal / best, 2)}
    book = last["wiring"].ledger.book(0)
    detail |= {"positions": int(np.count_nonzero(book.qty)), "peak_mb": round(peak_mb())}
    goal = GOAL_S * days / 1258
    outcome = Outcome(
        work=f"top-k dropout 50/5, {NAMES} names x {days} days, costs on, journal off",
        value=best,
        unit="CPU s",
        goal=goal,
        met=best <= goal,
        detail=detail,
    )
    conclude(args, "topk", outcome)


if __name__ == "__main__":
    main()
