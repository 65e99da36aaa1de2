"""The components that trade a world: their options as drawn, and wired."""

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
from engine.events import (
    DAY_NS,
    Features,
    Signal,
)
from engine.ids import OrderIds
from engine.slice_ends import Ends
from engine.state import pack
from engine.universe import Universe
from engine.wiring import ModelPart, Parts
from tests.chaos.whims import Failing, Slowly, Whims, Whimsical


def maybe(rng: np.random.Generator, value: float) -> float | None:
    return float(value) if rng.random() < 0.6 else None


def drawn_options(rng: np.random.Generator, part: str, universe: Universe, ends: dict[int, Ends]) -> dict[str, Any]:
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
            "participation": maybe(rng, rng.uniform(0.01, 0.5)),
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


def parts_of(seed: int, u: Universe, cash: float, sessions: Any, finest: int, drawn: Any) -> Parts:
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


def changed_parts(parts: Parts, failing: tuple[str, str, int] | None, slow: bool) -> Parts:
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
