"""A whole rebalance: a target in, orders out of `portfolio` with `composed`, milliseconds of CPU, warm, one thread.

Problem A: long only, a dense covariance of 2 N slices, cost of trading. Problem B: a factor model about a benchmark,
11 sectors within 2 %, exposures to factors within 0.1, bands, cost of trading. Alphas are AR(1), books drift with
prices and trade what was ordered. Data movement, certificate, notes, rounding and orders are in the figure. `B moving`
has a `given_factors` model that each bar changes, its update timed apart. Goals are medians: 0.6, 1.5, 7 ms for A and
1, 2, 6 ms for B of 50, 500, 3,000 names; 1.2 times bare PIQP for the compiled route at 500; 10 s for a session of 2,500
days (`optimizer_session`). With `--peers` the problems as PIQP alone and cvxpy solve them (`optimizer_kernel`).
"""

import re
import time
from collections import Counter
from typing import Any

import numpy as np
import optimizer_kernel
import optimizer_program
from measure import Outcome, arguments, conclude, versions
from optimizer_session import GOAL_S, session

from components.costs.bps import Bps
from components.optimizers.constraints.benchmark_band import BenchmarkBand
from components.optimizers.constraints.box import WeightBox
from components.optimizers.constraints.budget import Budget
from components.optimizers.constraints.exposures import Exposures
from components.optimizers.constraints.long_only import LongOnly
from components.optimizers.constraints.sectors import Sectors
from components.optimizers.methods.composed import Composed
from components.optimizers.portfolio import Portfolio
from components.optimizers.terms.expected_return import ExpectedReturn
from components.optimizers.terms.linear_cost import LinearCost
from components.optimizers.terms.variance import RiskOf
from components.risk_models.given_factors import GivenFactors
from engine.events import Bars, Orders, Reference
from engine.ids import OrderIds
from engine.protocols import Risk
from engine.universe import universe_of
from tests.make import bars, book, day, target

FACTORS = optimizer_kernel.FACTORS
GOAL_MS = {("A", 50): 0.6, ("A", 500): 1.5, ("A", 3000): 7.0, ("B", 50): 1.0, ("B", 500): 2.0, ("B", 3000): 6.0}
FALLBACKS, BEFORE = 0.01, 65  # the most that may fall back; slices before a moving risk model is full
SOLVED = re.compile(r"solved by (\S+) in .* residual (\S+),")


class Fixed:
    """A risk model whose estimate stands."""

    def __init__(self, risk: Risk) -> None:
        self._risk = risk

    def on_bars(self, bars: Bars, /) -> None:
        del bars

    def risk(self) -> Risk:
        return self._risk


class Market:
    """Prices by a factor structure, scores, and a book that trades what it is told to at the close."""

    def __init__(self, n: int, exposures: Any, rng: np.random.Generator) -> None:
        self.n, self.rng, self._exposures = n, rng, exposures
        self.price, self.score = rng.uniform(20.0, 100.0, n), rng.normal(size=n)
        self.cash, self.qty, self.t = 1e8, np.zeros(n), 0
        self._size = np.append(0.01, rng.uniform(0.002, 0.006, exposures.shape[1] - 1))

    def moved(self) -> Bars:
        common = self._exposures @ (self._size * self.rng.normal(size=len(self._size)))
        self.price = self.price * np.exp(common + 0.012 * self.rng.normal(size=self.n))
        self.score = 0.9 * self.score + np.sqrt(1 - 0.9**2) * self.rng.normal(size=self.n)
        self.t += 1
        return bars(day(self.t), close=self.price)

    def trade(self, orders: Orders) -> None:
        self.qty = self.qty.copy()
        self.qty[orders.symbol] += orders.qty
        self.cash -= float(orders.qty @ self.price[orders.symbol])


def rebalancer(kind: str, n: int, moving: bool) -> tuple[Portfolio, Any, Market, Any]:
    """The optimizer of a problem, its risk model, its market and the weights that its targets ask for."""
    rng, universe = np.random.default_rng(n), universe_of(tuple(f"S{i:04d}" for i in range(n)))
    risk, benchmark, _ = optimizer_kernel.KINDS[kind](n, rng)
    exposures = risk.factors if kind == "B" else np.ones((n, 1))
    model: Any = GivenFactors(universe=universe, window=60, min_slices=60) if moving else Fixed(risk)
    objective = (
        ExpectedReturn(universe=universe, alpha="raw"),
        RiskOf(aversion=optimizer_kernel.AVERSION, about="benchmark" if kind == "B" else "zero"),
        LinearCost(buy_bps=2, sell_bps=2, holding_slices=1),
    )
    limits: tuple[Any, ...] = (LongOnly(), WeightBox(max=max(0.05, 3.0 / n)))
    if kind == "B":
        band = BenchmarkBand(deviation=max(0.01, 2.0 / n))
        limits = (band, Sectors(deviation=0.02), Exposures(min=-0.1, max=0.1))
    method = Composed(universe=universe, objective=objective, constraints=(Budget(min=1, max=1), *limits))
    made = Portfolio(
        universe=universe,
        ids=OrderIds("bench", "optimizer"),
        costs=Bps(),
        name="optimizer",
        method=method,
        risk_model=model,
        benchmark="reference" if kind == "B" else "none",
    )
    if kind == "B":
        columns = tuple(f"f{k}" for k in range(exposures.shape[1]))
        sector = rng.integers(0, 11, n).astype(float)[:, None]
        labels = tuple(f"g{k}" for k in range(11))
        for name, value, names in (
            ("benchmark", benchmark[:, None], ("weight",)),
            ("exposures", exposures, columns),
            ("sectors", sector, labels),
        ):
            made.on_reference(Reference(ts=1, name=name, rows="symbol", value=value, columns=names))
    return made, model, Market(n, exposures, rng), benchmark if kind == "B" else np.full(n, 1.0 / n)


def walked(kind: str, n: int, slices: int, *, moving: bool = False) -> dict[str, Any]:
    """The figures of a path of rebalances, without the first three."""
    optimizer, model, market, wanted = rebalancer(kind, n, moving)
    ms: list[float] = []
    updates: list[float] = []
    residuals: list[float] = []
    routes: Counter[str] = Counter()
    for t in range(slices + (BEFORE if moving else 0)):
        slice_ = market.moved()
        start = time.process_time()
        optimizer.on_bars(slice_)
        model.risk()
        updated = time.process_time()
        if moving and t < BEFORE:
            continue
        now = book(day(market.t), market.price, cash=market.cash, qty=market.qty)
        asked = target(day(market.t), wanted, alpha=optimizer_kernel.EDGE * market.score)
        begun = time.process_time()
        told = optimizer.on_targets((asked,), now)
        ms.append(1e3 * (time.process_time() - begun))
        updates.append(1e3 * (updated - start))
        for event in told:
            if isinstance(event, Orders):
                market.trade(event)
            elif event.kind == "weights":
                found = SOLVED.search(event.text)
                assert found is not None, event.text
                routes[found[1]] += 1
                residuals.append(float(found[2]))
            elif event.kind.startswith("fallback"):
                routes["fallback"] += 1
    return {
        "ms": round(float(np.median(ms[3:])), 3),
        "ms_p95": round(float(np.quantile(ms[3:], 0.95)), 3),
        "first_ms": round(ms[0], 1),
        "update_ms": round(float(np.median(updates[3:])), 3),
        "residual_max": max(residuals),
        "routes": {route: round(count / len(ms), 4) for route, count in sorted(routes.items())},
        "fallback_share": routes["fallback"] / len(ms),
        "goal_ms": GOAL_MS[kind, n],
    }


def shown(name: str, row: dict[str, Any]) -> None:
    times = f"{row['ms']:8.2f}{row['ms_p95']:8.2f}{row['update_ms']:8.2f}"
    print(f"{name:16}{times}{row['residual_max']:10.0e}{row['goal_ms']:7.1f}  {row['routes']}", flush=True)


def main() -> None:
    args = arguments(__doc__ or "")
    detail: dict[str, Any] = {}
    print(f"{'':16}{'ms':>8}{'p95':>8}{'update':>8}{'residual':>10}{'goal':>7}  shares of routes")
    for n in (50, 500) if args.quick else (50, 500, 3000):
        for kind, moving in (("A", False), ("B", False), ("B", True)):
            name = f"{kind} {n}{' moving' if moving else ''}"
            detail[name] = walked(kind, n, 30 if args.quick or n == 3000 else 120, moving=moving)
            shown(name, detail[name])
    met = all(
        row["ms"] <= row["goal_ms"] and row["residual_max"] <= 1e-7 and row["fallback_share"] <= FALLBACKS
        for row in detail.values()
    )
    general = optimizer_program.compared(500, 30, 20, 1 if args.quick else 3, moving=False)
    print(f"general, compiled: {general['500_fixed_ms']:.2f} ms, {general['500_fixed_ratio']:.2f} times bare PIQP")
    detail["general"] = general
    detail["session"] = found = session(args.quick)
    print(f"session: {found}", flush=True)
    met = met and general["500_fixed_ratio"] <= optimizer_program.GOAL and found["s"] <= GOAL_S
    peers: dict[str, Any] = {}
    if args.peers:
        for kind in optimizer_kernel.KINDS:
            for n in optimizer_kernel.SIZES[: 2 if args.quick else 3]:
                _, kept = optimizer_kernel.walked(kind, n, 10)
                peers[f"{kind} {n}"] = optimizer_kernel.compared(kind, n, kept)
                print(f"{kind} {n}: {peers[f'{kind} {n}']}", flush=True)
        detail["versions"] = versions("cvxpy", "piqp")
    work = "a whole rebalance of 500 names, problem B, target in to orders out, warm"
    value = detail["B 500"]["ms"]
    outcome = Outcome(work=work, value=value, unit="ms", goal=GOAL_MS["B", 500], met=met, peers=peers, detail=detail)
    conclude(args, "optimizer", outcome)


if __name__ == "__main__":
    main()
