"""A market, an account and the components that trade it, all drawn from one seed."""

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from components.brokers.simulated import Simulated
from components.costs.bps import Bps
from components.costs.by_side import BySide
from components.costs.half_spread import HalfSpread
from components.costs.per_share import PerShare
from components.costs.quadratic_impact import QuadraticImpact
from components.costs.square_root import SquareRoot
from components.costs.tiered import Tiered
from components.costs.together import Together
from components.costs.volume_share import VolumeShare
from components.features.rolling import Rolling
from components.financing.borrow_fee import BorrowFee
from components.financing.cash_interest import CashInterest
from components.financing.margin_interest import MarginInterest
from components.gates.limits import Limits
from components.models.ema_cross import EmaCross
from components.models.momentum import Momentum
from components.optimizers.direct import Direct
from components.optimizers.mean_variance import MeanVariance
from components.risk_models.ledoit_wolf import LedoitWolf
from components.strategies.sign import Sign
from components.strategies.topk_dropout import TopkDropout
from engine.barrier import Named
from engine.calendar import Sessions
from engine.cuts import Bar, CutRules
from engine.events import (
    DAY_NS,
    HOUR_NS,
    MINUTE_NS,
    SECOND_NS,
    ActionKind,
    Actions,
    Control,
    ControlAction,
    Features,
    Reference,
    Signal,
)
from engine.ids import OrderIds
from engine.slice_ends import Clock, Ends, TradingDays
from engine.state import pack
from engine.universe import Universe
from engine.wiring import ModelPart, Parts, Wiring
from tests.chaos.whims import Failing, Slowly, Whims, Whimsical
from tests.engine.trading_days import DAY


class World(msgspec.Struct, frozen=True, kw_only=True):
    """Everything of a run but what happens to the bars on their way. `wiring` makes all components afresh."""

    seed: int
    universe: Universe
    ends: dict[int, Ends]
    start: int
    rules: CutRules
    bars: tuple[Bar, ...]  # as they should arrive, by end and symbol
    others: tuple[Any, ...]  # actions, references and controls, in order
    cash: float
    max_order_value: float | None
    max_weight: float | None
    wiring: Callable[..., Wiring]
    facts: dict[str, Any]  # what was drawn, for whoever looks at a failure


def world(seed: int) -> World:
    rng = np.random.default_rng(seed)
    universe = _universe(rng)
    sessions, ends, start = _ends(rng)
    bars = _bars(rng, universe, ends, start, int(rng.integers(12, 40)))
    finest = min(ends)
    stamps = sorted({bar.ts for bar in bars if bar.interval_ns == finest})
    cash = float(10 ** rng.uniform(4.5, 6.5))
    limits = {
        "max_order_value": _maybe(rng, cash * rng.uniform(0.1, 0.6)),
        "max_weight": _maybe(rng, rng.uniform(0.2, 0.9)),
        "max_gross": _maybe(rng, rng.uniform(0.5, 1.6)),
        "max_net": _maybe(rng, rng.uniform(0.5, 1.2)),
    }
    drawn = {name: _options(rng, name, universe, ends) for name in ("broker", "costs", "deciding", "models")}
    facts = {"n": len(universe), "slices": len(stamps), "intervals": list(ends), "cash": cash} | drawn | limits

    def wiring(failing: tuple[str, str, int] | None = None, slow: bool = False) -> Wiring:
        parts = _parts(seed, universe, cash, sessions, finest, (drawn, limits))
        return Wiring(_changed(parts, failing, slow))

    rules = CutRules(
        deadline_ns=2 * SECOND_NS,
        quorum=float(rng.choice([0.0, 0.5, 0.9])),
        patience_ns=6 * SECOND_NS,
        absent_after=int(rng.integers(0, 4)),
        early=bool(rng.random() < 0.8),
        late_max=int(rng.choice([3, 1000])),
    )
    return World(
        seed=seed,
        universe=universe,
        ends=ends,
        start=start,
        rules=rules,
        bars=tuple(bars),
        others=_others(rng, universe, stamps),
        cash=cash,
        max_order_value=limits["max_order_value"],
        max_weight=limits["max_weight"],
        wiring=wiring,
        facts=facts,
    )


def _maybe(rng: np.random.Generator, value: float) -> float | None:
    return float(value) if rng.random() < 0.6 else None


def _universe(rng: np.random.Generator) -> Universe:
    n, two = int(rng.integers(1, 9)), rng.random() < 0.4
    return Universe(
        symbols=tuple(f"S{i}" for i in range(n)),
        currencies=("USD", "EUR") if two else ("USD",),
        currency=rng.integers(0, 2 if two else 1, n).astype(np.int32),
        multiplier=rng.choice([1.0, 1.0, 1.0, 10.0], n),
        lot=rng.choice([1.0, 1.0, 10.0, 0.01], n),
        tick=rng.choice([0.0, 0.01, 0.05], n),
    )


def _ends(rng: np.random.Generator) -> tuple[Sessions | None, dict[int, Ends], int]:
    """A market that never closes, or one with sessions, half days and lunch breaks; sometimes two intervals."""
    if rng.random() < 0.3:
        interval = int(rng.choice([MINUTE_NS, 15 * MINUTE_NS]))
        intervals = [interval, 4 * interval] if rng.random() < 0.3 else [interval]
        return None, {each: Clock(each) for each in intervals}, DAY
    days = np.array([k for k in range(80) if k % 7 not in (5, 6)])
    label = DAY + days * DAY_NS
    opens = label + int(14.5 * HOUR_NS)
    closes = label + np.where(rng.random(len(days)) < 0.1, 18, 21) * HOUR_NS
    lunch = np.where(rng.random(len(days)) < 0.3, label + 16 * HOUR_NS, 0)
    sessions = Sessions(
        name="CHAOS",
        label=label,
        opens=opens,
        closes=closes,
        break_from=lunch,
        break_to=np.where(lunch > 0, lunch + HOUR_NS, 0),
    )
    shapes = ([DAY_NS], [DAY_NS], [HOUR_NS], [HOUR_NS, DAY_NS], [30 * MINUTE_NS, 2 * HOUR_NS])
    intervals = shapes[int(rng.integers(len(shapes)))]
    return sessions, {each: TradingDays(each, sessions) for each in intervals}, DAY


def _bars(rng: np.random.Generator, universe: Universe, ends: dict[int, Ends], start: int, count: int) -> list[Bar]:
    """A random walk a symbol in the finest interval, longer bars made of it; some bars never exist, some are halted."""
    n, finest, at = len(universe), min(ends), start
    spans = []
    for _ in range(count):
        begin, at = ends[finest].after(at)
        spans.append((begin, at))
    walk = np.exp(np.cumsum(rng.normal(0, 0.02, (count, n)), axis=0)) * rng.uniform(5, 200, n)
    rows: dict[tuple[int, int], Bar] = {}
    for k, (_, end) in enumerate(spans):
        for s in range(n):
            close, opening = float(walk[k, s]), float(walk[max(k - 1, 0), s] * np.exp(rng.normal(0, 0.005)))
            high, low = (
                max(close, opening) * (1 + rng.uniform(0, 0.01)),
                min(close, opening) * (1 - rng.uniform(0, 0.01)),
            )
            volume = float(np.round(rng.lognormal(9, 1.5))) if rng.random() > 0.03 else 0.0
            fate = rng.random()
            if fate < 0.04:
                continue
            columns: dict[str, Any] = {"open": opening, "high": high, "low": low, "close": close, "volume": volume}
            rows[end, s] = Bar(
                symbol=s, ts=end, interval_ns=finest, vwap=(high + low) / 2, halted=fate < 0.06, **columns
            )
    bars = list(rows.values())
    for interval in sorted(ends)[1:]:
        bars += _longer(rows, spans, interval, ends[interval], n)
    return sorted(bars, key=lambda bar: (bar.ts, bar.interval_ns, bar.symbol))


def _longer(rows: dict[tuple[int, int], Bar], spans: Any, interval: int, ends: Ends, n: int) -> list[Bar]:
    made, at, last = [], spans[0][0] - 1, spans[-1][1]
    while True:
        begin, at = ends.after(at)
        if at > last:
            return made
        for s in range(n):
            found = [rows[end, s] for _, end in spans if begin < end <= at and (end, s) in rows]
            if not found:
                continue
            columns = {"open": found[0].open, "close": found[-1].close, "volume": sum(bar.volume for bar in found)}
            columns |= {"high": max(bar.high for bar in found), "low": min(bar.low for bar in found)}
            made.append(Bar(symbol=s, ts=at, interval_ns=interval, **columns))


def _others(rng: np.random.Generator, universe: Universe, stamps: list[int]) -> tuple[Any, ...]:
    """Corporate actions, exchange rates, what can be borrowed, and an operator's commands."""
    n, found, halted = len(universe), list[Any](), False
    for ts in stamps:
        if rng.random() < 0.05:
            found.append(_action(rng, ts, n))
        if len(universe.currencies) > 1 and rng.random() < 0.3:
            rate = np.array([[1.0], [float(rng.uniform(0.8, 1.4))]])
            found.append(Reference(ts=ts, name="rates", rows="currency", value=rate))
        if rng.random() < 0.03:
            shares = np.where(rng.random((n, 1)) < 0.5, np.inf, rng.integers(0, 500, (n, 1)).astype(float))
            found.append(Reference(ts=ts, name="shortable", rows="symbol", value=shares))
        if rng.random() < 0.06:
            odds = {ControlAction.HALT: 0.15, ControlAction.REDUCE_ONLY: 0.2, ControlAction.RESUME: 0.5}
            action = ControlAction(str(rng.choice([*odds, ControlAction.FLATTEN], p=[*odds.values(), 0.15])))
            if halted and action is ControlAction.REDUCE_ONLY:  # nothing looser than what holds, without a resume
                action = ControlAction.RESUME
            halted = action in (ControlAction.HALT, ControlAction.FLATTEN)
            found.append(Control(ts=ts, action=action, actor="operator", reason="chaos"))
    rank = {Control: 0, Reference: 1, Actions: 4}
    return tuple(sorted(found, key=lambda event: (event.ts, rank[type(event)])))


def _action(rng: np.random.Generator, ts: int, n: int) -> Actions:
    kinds = [ActionKind.SPLIT, ActionKind.CASH_DIVIDEND, ActionKind.DELISTING]
    kind, symbol = rng.choice(kinds, p=[0.4, 0.5, 0.1]), int(rng.integers(n))
    return Actions(
        ts=ts + 1,
        kind=np.array([kind], np.int32),
        symbol=np.array([symbol], np.int32),
        ratio=np.array([rng.choice([2.0, 3.0, 0.5, 0.1, 1.5])]),
        amount=np.array([float(rng.uniform(0.0, 3.0))]),
        pay_at=np.array([ts + int(rng.integers(1, 10)) * DAY_NS // 4]),
        successor=np.array([-1], np.int32),
    )


# ---- components ------------------------------------------------------------------------------------------------------


def _options(rng: np.random.Generator, part: str, universe: Universe, ends: dict[int, Ends]) -> dict[str, Any]:
    if part == "broker":
        fills = ["next_open", "next_open", "next_close", "next_vwap", "open_auction", "close_auction", "same_close"]
        short = bool(rng.random() < 0.5)
        leverage = float(rng.choice([1.0, 2.0])) if short else 1.0
        return {
            "fill": str(rng.choice(fills)),
            "short": short,
            "leverage": leverage,
            "maintenance": 0.3 if short and rng.random() < 0.5 else None,
            "settlement_days": int(rng.choice([0, 0, 2])),
            "participation": _maybe(rng, rng.uniform(0.01, 0.5)),
            "price_limit": 0.1 if rng.random() < 0.2 else None,
            "touch": bool(rng.random() < 0.3),
            "fractions": str(rng.choice(["cash", "lost"])),
            "financed": bool(rng.random() < 0.5),
        }
    if part == "costs":
        return {"kinds": [int(k) for k in rng.choice(8, int(rng.integers(1, 4)), replace=False)]}
    if part == "models":
        finest, slow = min(ends), max(ends)
        return {
            "lag": int(rng.choice([0, 0, 1])),
            "latency_ns": int(rng.choice([0, 0, finest // 3])),
            "ttl_ns": int(rng.choice([0, 3 * finest])),
            "slow": slow if slow > finest else 0,
            "rolling": bool(rng.random() < 0.5),
        }
    return {
        "strategies": [str(s) for s in rng.choice(["sign", "topk", "whims"], int(rng.integers(1, 3)), replace=False)],
        "optimizer": str(rng.choice(["whimsical", "whimsical", "direct", "direct", "mean_variance"])),
        "order": str(rng.choice(ORDERS)),
        "time_in_force": str(rng.choice(TIFS)),
        "proceeds": bool(rng.random() < 0.5),
        "band": float(rng.choice([0.0, 0.02])),
    }


ORDERS = ("market", "market", "market_on_open", "market_on_close")
TIFS = ("day", "gtc", "ioc", "fok")


class Reads:
    """A model of features: the mean of the first three."""

    lookback = 1

    def __init__(self, name: str) -> None:
        self._name = name

    def swap(self, artefact: Any, /) -> None:
        raise ValueError("it learns nothing")

    def on_features(self, features: Features, /) -> Signal:
        value = features.value[:, :3].mean(axis=1)
        return Signal(ts=features.ts, asof=features.ts, source=self._name, value=value, horizon_ns=DAY_NS)

    def save(self) -> bytes:
        return pack("reads", 1)

    def load(self, state: bytes, /) -> None:
        return None


def _costs(kinds: list[int], u: Universe) -> Any:
    made = [
        lambda: Bps(commission_bps=5, slippage_bps=3, min_commission=1, tax_bps_sell=2, universe=u),
        lambda: BySide(buy_bps=2, sell_bps=8, minimum=0.5, universe=u),
        lambda: HalfSpread(bps=3),
        lambda: PerShare(rate=0.005, minimum=1.0, maximum=0.02, universe=u),
        lambda: QuadraticImpact(impact=0.01, universe=u),
        lambda: SquareRoot(universe=u, eta=0.3, window=5),
        lambda: Tiered(universe=u),
        lambda: VolumeShare(),
    ]
    parts = tuple(made[k]() for k in kinds)
    return parts[0] if len(parts) == 1 else Together(parts=parts, universe=u)


def _parts(seed: int, u: Universe, cash: float, sessions: Any, finest: int, drawn: Any) -> Parts:
    (options, limits) = drawn
    costs, ids = _costs(options["costs"]["kinds"], u), {name: OrderIds(f"chaos{seed}", name) for name in ("o", "g")}
    account = dict(options["broker"])
    financing: tuple[Any, ...] = ()
    if account.pop("financed"):
        interest = [MarginInterest(universe=u, annual_bps=600), CashInterest(universe=u, annual_bps=150)]
        financing = (BorrowFee(universe=u, annual_bps=300), *interest)
    if sessions is None:  # nobody knows when its days begin and end
        plain = ("next_open", "next_close", "next_vwap")
        account |= {"settlement_days": 0, "price_limit": None}
        account["fill"] = account["fill"] if account["fill"] in plain else "next_open"
    broker = Simulated(universe=u, costs=costs, name="broker", sessions=sessions, financing=financing, **account)
    models = [
        ModelPart(name="trend", model=Momentum(universe=u, name="trend", window=3), ttl_ns=options["models"]["ttl_ns"])
    ]
    given = options["models"]
    held = {"latency_ns": given["latency_ns"]} if given["latency_ns"] else {"lag": given["lag"]}
    models.append(ModelPart(name="cross", model=EmaCross(universe=u, name="cross", fast=2, slow=5), **held))
    if given["slow"]:
        model = Momentum(universe=u, name="slow", window=1)
        models.append(ModelPart(name="slow", model=model, interval_ns=given["slow"]))
    rolling = Rolling(universe=u, windows=(3,)) if given["rolling"] else None
    if rolling is not None:
        models.append(ModelPart(name="reads", model=Reads("reads"), schema=rolling.schema))
    return Parts(
        universe=u,
        interval_ns=finest,
        intervals=(given["slow"],) if given["slow"] else (),
        cash=cash,
        broker=Named("broker", broker),
        features=() if rolling is None else (Named("rolling", rolling),),
        models=tuple(models),
        strategies=_strategies(seed, u, options),
        optimizer=Named("optimizer", _optimizer(seed, u, costs, ids["o"], options)),
        gate=Named("gate", Limits(universe=u, ids=ids["g"], name="gate", **limits)),
    )


def _strategies(seed: int, u: Universe, options: dict[str, Any]) -> tuple[Named, ...]:
    short, slow = options["broker"]["short"], options["models"]["slow"]
    made: dict[str, Callable[[], Any]] = {
        "sign": lambda: Sign(universe=u, name="sign", gross=0.9, short=short, signal="trend"),
        "topk": lambda: TopkDropout(topk=2, n_drop=1, universe=u, name="topk", signal="cross"),
        "whims": lambda: Whims(seed=seed, universe=u, name="whims", interval_ns=slow, short=short),
    }
    return tuple(Named(name, made[name]()) for name in options["deciding"]["strategies"])


def _optimizer(seed: int, u: Universe, costs: Any, ids: OrderIds, options: dict[str, Any]) -> Any:
    said, account = options["deciding"], options["broker"]
    if said["optimizer"] == "whimsical":
        return Whimsical(seed=seed, universe=u, ids=ids, name="optimizer")
    given = {name: said[name] for name in ("order", "time_in_force", "proceeds", "band")}
    given["leverage"] = account["leverage"] if account["short"] else None
    if said["optimizer"] == "direct":
        return Direct(universe=u, ids=ids, costs=costs, name="optimizer", **given)
    risk = LedoitWolf(universe=u, window=20, min_slices=5)
    return MeanVariance(universe=u, ids=ids, costs=costs, name="optimizer", risk_model=risk, **given)


def _changed(parts: Parts, failing: tuple[str, str, int] | None, slow: bool) -> Parts:
    """The same wiring with one component that fails, or with handlers that run in worker threads."""

    def other(named: Any) -> Any:
        component = named.model if isinstance(named, ModelPart) else named.component
        changed = component
        if failing is not None and failing[0] == named.name:
            changed = Failing(component, failing[1], failing[2])
        elif slow and hasattr(component, "on_signals"):
            changed = Slowly(component, "on_signals")
        elif slow and isinstance(component, Momentum) and not getattr(named, "latency_ns", 0):
            changed = Slowly(component, "on_bars")
        field = "model" if isinstance(named, ModelPart) else "component"
        return named if changed is component else msgspec.structs.replace(named, **{field: changed})

    fields = {name: getattr(parts, name) for name in ("broker", "optimizer", "gate")}
    groups = {name: getattr(parts, name) for name in ("features", "models", "strategies")}
    changed = {name: other(named) for name, named in fields.items()}
    return msgspec.structs.replace(parts, **changed, **{n: tuple(map(other, group)) for n, group in groups.items()})
