"""`samewire why`: the chain of one order, from the bar it was decided on to its last fill."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.errors import ConfigError
from engine.events import Approved, Bars, Children, Fills, Orders, Refusals, Reports
from engine.ids import id_text
from samewire.event_rows import stamp
from samewire.explain.life import Facts, Life, Lives, children_of, family
from samewire.explain.scene import Scene
from samewire.explain.steps import (
    bar_of,
    control_of,
    features_of,
    follow_features,
    guards_of,
    optimizer_of,
    position_of,
    signals_of,
    sleeves_of,
    targets_of,
)
from samewire.recorded import Recorded

_NAMED = (Orders, Children, Approved, Refusals, Reports, Fills)
_SHOWN = 5


def explain_order(of: Recorded, text: str) -> Facts:
    """The whole chain as a document. ConfigError for an id that is none, is not there, or is not the only one."""
    order, symbol = _found(of, text)
    if not 0 <= symbol < len(of.universe):
        raise ConfigError(f"why: order {id_text(order)} is of symbol number {symbol}, which the universe does not have")
    scene, lives = Scene(of, symbol), Lives(of.universe, symbol, of.interval_ns)
    made = follow_features(scene)
    decisions: dict[int, Scene] = {}  # by id, at its first leg
    for entry in of.entries():
        scene.take(entry)
        for each in lives.take(entry):
            if each not in decisions:
                decisions[each] = scene.still()
    members = family(lives.by_id, order)
    first = _root(members, lives.by_id[order])
    return {
        "order": id_text(order),
        "symbol": of.universe.symbols[symbol],
        **_decided(first, decisions[first.id], made),
        "orders": [_told(life, children_of(members, [life])) for life in members],
    }


def _root(members: list[Life], order: Life) -> Life:
    """The order whose decision is explained: of a child its parent's, of a cancel or replace its own."""
    parents = {leg["parent"] for leg in order.legs if leg["parent"]}
    return next((life for life in members if id_text(life.id) in parents), order)


def _decided(life: Life, scene: Scene, made: dict[str, Any]) -> Facts:
    leg = life.leg
    first = leg or {"ts": life.said[0]["ts"], "by": life.said[0]["origin"]}
    return {
        "decided": {"ts": first["ts"], "by": first["by"]},
        "bar": bar_of(scene),
        "features": features_of(scene, made),
        "signals": signals_of(scene),
        "targets": targets_of(scene),
        "guards": guards_of(scene),
        "sleeves": sleeves_of(scene),
        "position": position_of(scene),
        "optimizer": optimizer_of(scene) | {"source": leg.get("by", ""), "ordered": leg.get("qty", np.nan)},
        "control": control_of(scene),
    }


def _told(life: Life, children: list[Life]) -> Facts:
    """One order; what filled of a parent is what its children filled."""
    filled = life.filled + sum(child.filled for child in children)
    return {
        "id": id_text(life.id),
        "legs": life.legs,
        "events": life.said,
        "state": "parent" if children else life.state,
        "filled": filled,
        "left": float(life.leg["qty"]) - filled if children else life.left,
    }


# ---- finding it ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Seen:
    """An order id of the journal, where it first stands."""

    id: int
    symbol: int
    ts: int


def _found(of: Recorded, text: str) -> tuple[int, int]:
    """Id and symbol of the one order that the text means: 16 hexadecimal digits, or the first few of them."""
    digits = text.lower()
    if not digits or len(digits) > 16 or any(c not in "0123456789abcdef" for c in digits):
        raise ConfigError(
            f"why: {text!r} is no order id; give its 16 hexadecimal digits, or the first few of them, as `samewire tap "
            "orders` shows them"
        )
    low, high = int(digits.ljust(16, "0"), 16), int(digits.ljust(16, "f"), 16)
    seen = _orders(of)
    fits = [order for order in seen.values() if low <= order.id <= high]
    if len(fits) == 1:
        return fits[0].id, fits[0].symbol
    if fits:
        raise ConfigError(f"why: {text} is the beginning of {len(fits)} orders; one of: {_listed(of, fits)}")
    if not seen:
        raise ConfigError(f"why: {of.directory} has no order at all; `samewire why-not SYMBOL TIME` says why")
    near = sorted(seen.values(), key=lambda order: (-_common(id_text(order.id), digits), order.ts))
    raise ConfigError(f"why: no order of {of.directory} is called {text}; the nearest: {_listed(of, near)}")


def _orders(of: Recorded) -> dict[int, _Seen]:
    seen: dict[int, _Seen] = {}
    for entry in of.entries():
        event = entry.event
        if isinstance(event, Bars) or not isinstance(event, _NAMED):
            continue
        ids = event.order_ids if isinstance(event, Fills) else event.ids
        for id_, symbol in zip(ids.tolist(), event.symbol.tolist(), strict=True):
            if id_ not in seen:
                seen[id_] = _Seen(id_, symbol, event.ts)
    return seen


def _common(one: str, other: str) -> int:
    """How many first digits are the same."""
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _listed(of: Recorded, orders: list[_Seen]) -> str:
    symbols = of.universe.symbols
    shown = [
        f"{id_text(order.id)} ({symbols[order.symbol] if 0 <= order.symbol < len(symbols) else '?'}, {stamp(order.ts)})"
        for order in orders[:_SHOWN]
    ]
    more = len(orders) - len(shown)
    return ", ".join(shown) + (f", ... ({more} more)" if more else "")
