"""Bars of single symbols into slices: 500 symbols a minute in random order. Goal: 500,000 bars a CPU second.

`lossy` in the detail is the same with a tenth of the bars missing, a tenth twice and some corrected or too late.
"""

from typing import Any

import numpy as np
from measure import Outcome, arguments, best_and_median, conclude, peak_mb

from engine.cuts import Bar, CutRules
from engine.events import MINUTE_NS, SECOND_NS
from engine.slice_ends import Clock
from engine.slicer import Slicer
from engine.universe import universe_of

NAMES, GOAL = 500, 500_000.0


def stream(slices: int, lossy: bool) -> list[tuple[Bar, int]]:
    """Bars with the instants at which they arrive, in that order."""
    rng = np.random.default_rng(7)
    rows: list[tuple[int, int, Bar]] = []
    for ts in range(MINUTE_NS, (slices + 1) * MINUTE_NS, MINUTE_NS):
        closes = rng.uniform(10, 100, NAMES)
        delays = rng.integers(0, SECOND_NS, NAMES) + (rng.random(NAMES) < 0.02 * lossy) * 3 * SECOND_NS
        for s, (close, delay) in enumerate(zip(closes.tolist(), delays.tolist(), strict=True)):
            columns: dict[str, Any] = {"open": close, "high": close * 1.01, "low": close * 0.99, "close": close}
            bar = Bar(symbol=s, ts=ts, interval_ns=MINUTE_NS, volume=1e4, vwap=close, **columns)
            copies = rng.choice([0, 1, 2], p=[0.1, 0.8, 0.1]) if lossy else 1
            rows += [(ts + delay, len(rows), bar)] * int(copies)
    rows.sort(key=lambda row: row[:2])
    return [(bar, now) for now, _, bar in rows]


def main() -> None:
    args = arguments(__doc__ or "")
    slices, rounds = (100, 3) if args.quick else (1000, 7)
    universe = universe_of(tuple(f"S{i:03d}" for i in range(NAMES)))
    rules = CutRules(deadline_ns=2 * SECOND_NS, quorum=0.5, patience_ns=5 * SECOND_NS)
    counted: list[Slicer] = []

    def cut(bars: list[tuple[Bar, int]]) -> None:
        slicer = Slicer(universe=universe, ends={MINUTE_NS: Clock(MINUTE_NS)}, start=0, rules=rules)
        for bar, now in bars:
            slicer.offer(bar, now)
        counted.append(slicer)

    plain, lossy = stream(slices, False), stream(slices, True)
    best, median = best_and_median(lambda: cut(plain), rounds)
    assert counted[-1].counts.placed == len(plain) - counted[-1].held
    worst, _ = best_and_median(lambda: cut(lossy), rounds)
    counts = counted[-1].counts
    outcome = Outcome(
        work=f"{NAMES} symbols x {slices} slices of single bars",
        value=len(plain) / best,
        unit="bars a CPU second",
        goal=GOAL,
        met=len(plain) / best >= GOAL,
        detail={
            "median": round(len(plain) / median),
            "lossy": round(len(lossy) / worst),
            "late": counts.late,
            "duplicates": counts.duplicates,
            "state_bytes": len(counted[-1].save()),
            "peak_mb": round(peak_mb()),
        },
    )
    conclude(args, "slicer", outcome)


if __name__ == "__main__":
    main()
