"""Top-k dropout on 500 names x 1,258 days, signals precomputed, costs on. Goal: at most 0.3 s of CPU.

With --journal the same session with its journal on disk beside it, in turn: bars kept by their place, as those of a
file are, and by value. Goal: at most 1.5 times the session without, and 100 us of CPU a slice.
"""

import asyncio
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from measure import Outcome, arguments, conclude, in_turn, peak_mb

from adapters.files.journal_file import FILE, JournalFile
from components.brokers.simulated import Simulated
from components.costs.bps import Bps
from components.gates.limits import Limits
from components.models.scores import Scores
from components.optimizers.direct import Direct
from components.strategies.topk_dropout import TopkDropout
from engine.barrier import Named
from engine.events import DAY_NS, HOUR_NS, Bars
from engine.ids import OrderIds
from engine.journal import Journal, runs_that_wait
from engine.protocols import Table
from engine.session import Replay, Session
from engine.universe import universe_of
from engine.wiring import ModelPart, Parts, Wiring
from samewire.walk import Walk

NAMES, GOAL_S = 500, 0.3
GOAL_RATIO, GOAL_US = 1.5, 100.0


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


def met_by(detail: dict[str, Any], journal: str) -> bool:
    """True where the session with this journal costs no more than it may."""
    return detail[f"{journal}_ratio"] <= GOAL_RATIO and detail[f"{journal}_us_per_slice"] <= GOAL_US


def main() -> None:
    args = arguments(__doc__ or "")
    days = 250 if args.quick else 1258
    slices, table = history(days)
    last: dict[str, Any] = {}
    sizes: dict[str, int] = {}
    scratch = tempfile.TemporaryDirectory()

    def replay(recorders: tuple[Any, ...] = (), walk: Walk | None = None) -> None:
        last["wiring"] = wiring(table)
        session = Session(last["wiring"], recorders=recorders)
        asyncio.run(session.run(Replay(walk.events if walk is not None else lambda: iter(slices))))

    def journalled(by_place: bool) -> None:
        folder = Path(tempfile.mkdtemp(dir=scratch.name))
        walk = Walk(lambda: iter(slices))
        file = JournalFile(folder, at_once=False)
        drawn: dict[str, Any] = {"drawn": walk, "files": {"generated": ""}} if by_place else {}
        journal = Journal(file.write, waits=runs_that_wait(NAMES), **drawn)
        replay((journal,), walk)
        journal.end()
        file.close()
        sizes["journal" if by_place else "journal_of_values"] = (folder / FILE).stat().st_size

    rounds = 3 if args.quick else 9
    works: dict[str, Callable[[], Any]] = {"": replay}
    if args.journal:
        works |= {"journal": lambda: journalled(True), "journal_of_values": lambda: journalled(False)}
    with scratch:  # what is written is deleted behind the last round, since deleting is not what is measured
        taken = in_turn(works, rounds)
    best, median = taken[""][0], taken[""][rounds // 2]
    detail: dict[str, Any] = {"median_s": round(median, 4), "us_per_slice": round(best / days * 1e6, 1)}
    for name in [name for name in works if name]:
        detail |= {
            f"with_{name}_s": round(taken[name][0], 4),
            f"{name}_ratio": round(taken[name][0] / best, 2),
            f"{name}_us_per_slice": round((taken[name][0] - best) / days * 1e6, 1),
            f"{name}_bytes_per_slice": round(sizes[name] / days),
        }
    book = last["wiring"].ledger.book(0)
    detail |= {"positions": int(np.count_nonzero(book.qty)), "peak_mb": round(peak_mb())}
    goal = GOAL_S * days / 1258
    outcome = Outcome(
        work=f"top-k dropout 50/5, {NAMES} names x {days} days, costs on, journal off",
        value=best,
        unit="CPU s",
        goal=goal,
        met=best <= goal and all(met_by(detail, name) for name in works if name),
        detail=detail,
    )
    conclude(args, "topk", outcome)


if __name__ == "__main__":
    main()
