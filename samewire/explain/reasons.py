"""Why a symbol was not traded: each link of the chain that stopped it, in the order of the chain."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.ids import id_text
from samewire.event_rows import stamp
from samewire.explain.life import Facts, Life, Lives, children_of
from samewire.explain.scene import Scene
from samewire.explain.steps import NEAR, optimizer_of, position_of
from samewire.explain.upstream import before_the_optimizer, no_bar
from samewire.explain.words import number, shares, side

_DUST = 1e-4  # of a share: what a solver leaves


@dataclass(frozen=True)
class Reason:
    """One link that stopped it. `facts` has the numbers of the text."""

    stage: str
    text: str
    facts: Facts


def reasons(scene: Scene, lives: Lives, decided: list[Life]) -> list[Reason]:
    """The reasons in the order of the chain; none where an order of the slice filled."""
    sent = [life for life in decided if life.leg.get("action") != "cancel"]
    sent = [life for life in sent if not children_of(sent, [life])]  # children stand for their parent
    if sent:
        return [reason for life in sent for reason in _after_the_order(scene, life, lives)]
    made, position = optimizer_of(scene), position_of(scene)
    if not position or made["asked"] is None:
        return [Reason(*found) for found in before_the_optimizer(scene)]
    start = position["qty"] + position["working"]
    wanted, near = made["wanted"], _DUST if made["weight"] is not None else NEAR
    left = any(note["kind"] == "binds:cost" for note in made["notes"])  # solved to stay, but for a solver's rounding
    if not (np.isnan(wanted) or left) and abs(wanted - start) > near * max(1.0, abs(start)):
        limited = _bound(scene) if made["weight"] is not None else []
        return [_dropped(scene, decided, wanted - start), *limited]
    solved = _bound(scene) if made["weight"] is not None or np.isnan(wanted) else []
    if not solved and made["weight"] is not None and abs(made["asked"] - start) > near * max(1.0, abs(start)):
        said = f"the optimizer solved a weight of {number(made['weight'])}: {shares(wanted)}, as it is"
        solved = [Reason("optimizer", said, {"weight": made["weight"]})]
    return solved or _waiting(scene, lives) or [Reason(*found) for found in before_the_optimizer(scene)]


# ---- the optimizer ---------------------------------------------------------------------------------------------------


def _dropped(scene: Scene, decided: list[Life], change: float) -> Reason:
    """A trade was wanted and no order was sent."""
    made, position = optimizer_of(scene), position_of(scene)
    unit, lot = position["unit"], float(scene.of.universe.lot[scene.symbol])
    want = f"the trade of {shares(change)}"
    facts = {"change": change, "lot": lot, "value": abs(change) * unit}
    missing = no_bar(scene)
    if missing:
        return Reason("bar", missing, facts)
    if not unit > 0:
        return Reason("price", "it has no price: it never had a close, so no order can be sized", facts)
    if decided:
        ref = decided[0].leg["ref"]
        said = f"its order {ref} is being cancelled; what takes its place is sent once that is gone, since it may fill"
        return Reason("order", said, facts | {"order": ref})
    for note in made["notes"]:
        told = _of_note(note, want, facts, scene)
        if told is not None:
            return told
    if abs(change) < lot * (1 - NEAR):
        return Reason("rounding", f"{want} is less than a lot of {number(lot)}", facts)
    return Reason("optimizer", f"the optimizer sent no order for {want}, and left no note that says why", facts)


def _of_note(note: Facts, want: str, facts: Facts, scene: Scene) -> Reason | None:
    """What an optimizer's note says of a trade that was dropped."""
    kind, facts = note["kind"], facts | {"note": note}
    if kind == "lot":
        return Reason("rounding", f"{want} is less than a lot of {number(facts['lot'])}", facts)
    if kind == "small":
        least = least_value(scene)
        than = f"the {number(least)} of min_order_value or band" if least else "min_order_value or band"
        said = f"{want}, worth {number(facts['value'])}, is below {than}"
        return Reason("rounding", said, facts | {"least": least})
    if kind == "cut":
        cash = position_of(scene)["cash"]
        said = f"cash is short: {shares(note['value'])} are not bought; cash at hand is {number(cash)}, and closing "
        return Reason("cash", f"{said}purchases and those with a higher alpha came first", facts | {"cash": cash})
    if kind == "participation":
        said = f"{want} was cut to max_participation of what the name trades: {shares(note['value'])} are not traded"
        return Reason("rounding", said, facts)
    if kind == "infinite":
        return Reason("target", "its target is infinite, so it is left alone", facts)
    if kind == "price":
        return Reason("target", "its limit or stop price is not positive, finite and at least a tick", facts)
    return None


def least_value(scene: Scene) -> float | None:
    """The least value of a trade by the run file, base money; None where it is not to be had."""
    run, book = scene.of.readable, scene.book
    if run is None or book is None:
        return None
    options: dict[str, Any] = run.optimizer.options
    return max(options.get("min_order_value") or 0.0, (options.get("band") or 0.0) * book.equity) or None


def _bound(scene: Scene) -> list[Reason]:
    """What binds in the optimizer's answer, with its shadow price, where it left the symbol as it is.

    What is said of the symbol comes before what is said of all of them.
    """
    made, found = optimizer_of(scene), []
    own = {note.kind for note in scene.notes if (note.symbol == scene.symbol).any()}
    missing = no_bar(scene)
    if missing and made["asked"] > 0:
        found.append(Reason("bar", missing, {}))
    for note in sorted(made["notes"], key=lambda note: note["kind"] not in own and note["kind"].startswith("binds:")):
        said = binding(note)
        if said and not (note["kind"] == "binds:invest" and not found):
            found.append(Reason("optimizer", said, {"note": note, "weight": made["weight"]}))
    return found


def binding(note: Facts) -> str:
    """A note of an optimizer on what binds, in words; empty for other notes."""
    kind, price = note["kind"], note["value"]
    value = number(price)
    if kind == "fallback" or kind.startswith("fallback:") or kind == "infeasible":
        return f"the optimizer fell back: {note['text']}"
    if kind == "binds:cost":
        return (
            f"a trade is not worth its cost: one more unit of weight would gain {value} a slice and costs {_rule(note)}"
        )
    if kind == "binds:zero":
        return (
            f"its best weight is 0: one unit less, a short position, would gain {value} a slice; long only forbids it"
        )
    if kind == "binds:max_weight":
        return f"{_rule(note)}: shadow price {value}, the gain a slice of one more unit of weight"
    if kind == "binds:no_alpha":
        return f"{_rule(note)}: one more unit of weight would gain {value} a slice"
    if kind == "binds:invest":
        return f"{note['text']}: shadow price {value}, the gain a slice of one more unit invested"
    if kind.startswith("binds:"):
        return f"{note['text']}: shadow price {value}, the gain a slice of a limit one unit of weight looser"
    return ""


def _rule(note: Facts) -> str:
    """The rule that a note names, without its count of names; of a cost its size."""
    text: str = note["text"]
    return text.rsplit(" cost of ", 1)[-1] if note["kind"] == "binds:cost" else text.split(" ", 2)[-1]


# ---- orders ----------------------------------------------------------------------------------------------------------


def _waiting(scene: Scene, lives: Lives) -> list[Reason]:
    """An order of an earlier slice works already for what is wanted."""
    book, position = scene.book, position_of(scene)
    if book is None or not position["working"]:
        return []
    found = []
    for row in np.flatnonzero(book.open_orders.symbol == scene.symbol).tolist():
        id_, left = int(book.open_orders.ids[row]), float(book.open_orders.left[row])
        life = lives.by_id.get(id_, Life(id_))
        since = f" of {stamp(life.leg['ts'])}" if life.leg else ""
        said = f"order {id_text(id_)}{since} works already for what is wanted: {shares(left)} of it have not filled"
        found.append(Reason("order", said + unfilled(life, lives, book.ts), {"order": id_text(id_), "left": left}))
    return found


def _after_the_order(scene: Scene, life: Life, lives: Lives) -> list[Reason]:
    """Why an order that was sent did not fill; nothing where it did."""
    if life.of("fill"):
        return []
    name, qty = f"order {id_text(life.id)}", life.leg["qty"]
    wish = f"{name} to {side(qty)} {number(abs(qty))}" if qty else name
    facts = {"order": id_text(life.id)}
    for refusal in life.of("refused"):
        passed = any(leg["event"] == "approved" for leg in life.legs)
        stage = "broker" if passed else "gate"
        said = f"{refusal['by']} refused {wish}: {rule_text(refusal)}{_mode(scene, refusal['rule'])}"
        return [Reason(stage, said, facts | {key: refusal[key] for key in ("by", "rule", "value", "threshold")})]
    reports = life.of("report")
    if life.state in ("expired", "cancelled"):
        ended = reports[-1]["ts"]
        said = f"{wish} was {life.state} at {stamp(ended)} before anything of it filled"
        said = said.replace("was expired", "expired")
        return [Reason("market", said + unfilled(life, lives, ended), facts | {"state": life.state})]
    last = lives.ranges[-1][0] if lives.ranges else 0
    said = f"{wish} was sent, and nothing of it has filled to the end of the journal"
    return [Reason("market", said + unfilled(life, lives, last), facts | {"state": life.state})]


def rule_text(refusal: Facts) -> str:
    """A refusal's rule with what it measured.

    >>> rule_text({"rule": "max_weight", "value": 0.25, "threshold": 0.2})
    'max_weight is 0.25 against a limit of 0.2'
    """
    rule, value, threshold = refusal["rule"], refusal["value"], refusal["threshold"]
    if rule in ("halted", "reduce_only"):
        return f"trading is {rule}"
    if rule == "no_book":
        return "no_book: the gate has seen no book yet"
    if rule == "price":
        return f"price: it has no finite positive price ({number(value)})"
    if not np.isfinite(value):
        return str(rule)
    return f"{rule} is {number(value)} against a limit of {number(threshold)}"


def _mode(scene: Scene, rule: str) -> str:
    control = scene.control
    if rule not in ("halted", "reduce_only") or control is None:
        return ""
    who = f" by {control.actor}" if control.actor else ""
    why = f", {control.reason}" if control.reason else ""
    return f": {control.action.value} at {stamp(control.ts)}{who}{why}"


def unfilled(life: Life, lives: Lives, until: int) -> str:
    """What the bars say of an order that did not fill, up to an instant."""
    leg = life.leg
    if not leg:
        return ""
    bars = [(low, high) for ts, low, high in lives.ranges if leg["ts"] < ts <= until]
    if not bars:
        return "; the symbol had no bar while it was open"
    low, high = min(low for low, _ in bars), max(high for _, high in bars)
    buys, limit, stop = leg["qty"] > 0, leg["limit"], leg["stop"]
    if stop == stop and (high < stop if buys else low > stop):
        return f"; its stop of {number(stop)} was not reached: the bars went from {number(low)} to {number(high)}"
    if limit == limit and (low >= limit if buys else high <= limit):
        return f"; its limit of {number(limit)} was not reached: the bars went from {number(low)} to {number(high)}"
    return ""
