"""The chain as lines of text: one or more a step, for a terminal."""

from typing import Any

from engine.bus import INPUT
from samewire.event_rows import stamp
from samewire.explain.around import guard_text, sleeve_text
from samewire.explain.life import Facts
from samewire.explain.reasons import binding, rule_text
from samewire.explain.words import number, shares, side

Lines = list[tuple[str, str]]
BROKER = "broker"  # the origin of what a run file's broker says
_FEATURES = 6  # shown in text


def upstream_lines(doc: Facts) -> Lines:
    """Bar, features, signals, targets, guards and position of a document of `why` or `why-not`."""
    guards = [("sleeve", sleeve_text(told)) for told in doc["sleeves"]]
    guards += [("guard", guard_text(told)) for told in doc["guards"]]
    return [*_bar(doc["bar"]), *_features(doc["features"]), *_signals(doc), *_targets(doc), *guards, *_position(doc)]


def _bar(bar: Facts) -> Lines:
    if not bar:
        return []
    if bar["status"] != "fresh":
        return [("bar", f"{stamp(bar['ts'])}  {bar['status']}")]
    prices = "  ".join(f"{name} {number(bar[name])}" for name in ("open", "high", "low", "close", "volume"))
    return [("bar", f"{stamp(bar['ts'])}  {prices}{'' if bar['member'] else '  (not a member)'}")]


def _features(features: list[Facts]) -> Lines:
    """The features that are furthest from the middle of all symbols, most unusual first."""
    lines: Lines = []
    for each in features:
        if each["unknown"]:
            lines.append(("features", f"{each['set']}: not computed again: {each['unknown']}".lstrip(": ")))
            continue
        known = [value for value in each["values"] if value["rank"] is not None]
        known.sort(key=lambda value: -abs((value["rank"] - 0.5) / value["of"] - 0.5))
        shown = [f"{v['name']} {number(v['value'])} ({v['rank']} of {v['of']})" for v in known[:_FEATURES]]
        more = len(each["values"]) - len(shown)
        nan = len(each["values"]) - len(known)
        rest = f", ... ({more} more{f', {nan} NaN' if nan else ''})" if more else ""
        lines.append(("features", f"{each['set']}: {', '.join(shown) or 'all NaN'}{rest}"))
    return lines


def _signals(doc: Facts) -> Lines:
    lines: Lines = []
    for signal in doc["signals"]:
        if signal["rank"] is None:
            said = "no opinion (NaN)" if signal["spoke"] else "no opinion on any symbol yet: warming up"
        else:
            said = f"{number(signal['value'])}, rank {signal['rank']} of {signal['of']}"
        asof = f", as of {stamp(signal['asof'])}" if signal["asof"] != doc["bar"].get("ts") and signal["asof"] else ""
        model = f", model {signal['model_hash'][:12]}" if signal["model_hash"] else ""
        lines.append(("signal", f"{signal['source']}: {said}{asof}{model}"))
    return lines


def _targets(doc: Facts) -> Lines:
    lines: Lines = []
    for target in doc["targets"]:
        value, kind = target["value"], target["kind"]
        if value != value:
            said = "leaves it as it is (NaN)"
        else:
            said = f"wants {shares(value)}" if kind == "quantity" else f"wants a {kind} of {number(value)}"
        alpha = f", alpha {number(target['alpha'])}" if target["alpha"] == target["alpha"] else ""
        prices = "".join(f", {n} {number(target[n])}" for n in ("limit", "stop") if target[n] == target[n])
        kept = f", since {stamp(target['ts'])}" if target["kept"] else ""
        lines.append(("target", f"{target['source']}: {said}{alpha}{prices}{kept}"))
    return lines or [("target", "none yet")]


def _position(doc: Facts) -> Lines:
    position = doc["position"]
    if not position:
        return []
    working = f" and {number(position['working'])} working" if position["working"] else ""
    weight = f" ({position['weight']:.2%} of equity)" if position["qty"] and position["weight"] is not None else ""
    money = f"cash {number(position['cash'])}, equity {number(position['equity'])}"
    mode = "" if position["mode"] == "active" else f", {position['mode']}"
    return [("position", f"{shares(position['qty'])}{working}{weight}, {money}{mode}")]


def optimizer_lines(made: Facts) -> Lines:
    """What the optimizer made of the targets, and what binds there."""
    lines: Lines = []
    if made["weight"] is not None:
        lines.append(("optimizer", f"solved a weight of {number(made['weight'])}: {shares(made['wanted'])}"))
    for note in made["notes"]:
        if note["kind"].startswith("binds:") and made["weight"] is None:
            continue  # of names that were not the symbol
        said = binding(note)
        if note["kind"] != "weights":
            cut = f"cash is short: {shares(note['value'])} wanted are not bought" if note["kind"] == "cut" else ""
            lines.append(
                ("binds" if said or cut else "note", said or cut or f"{note['text']} ({number(note['value'])})")
            )
    return lines


def _rounding(doc: Facts) -> Lines:
    made, position = doc["optimizer"], doc["position"]
    wanted, ordered = made["wanted"], made.get("ordered")
    if not position or wanted is None or wanted != wanted or not ordered:
        return []
    change = wanted - position["qty"] - position["working"]
    if abs(change - ordered) < 1e-9:
        return []
    return [("rounding", f"{shares(change)} wanted, {number(ordered)} ordered")]


# ---- an order --------------------------------------------------------------------------------------------------------


def order_text(doc: Facts) -> str:
    """The document of `why` as text."""
    own = next(order for order in doc["orders"] if order["id"] == doc["order"])
    symbol = doc["symbol"]
    what = _leg(own["legs"][0], symbol) if own["legs"] else f"{symbol}, {_unsent(own)}"
    head = f"Order {doc['order']}: {what}"
    lines = upstream_lines(doc) if own["legs"] else _bar(doc["bar"])
    if own["legs"] and not _of_the_gate(own):
        lines += optimizer_lines(doc["optimizer"]) + _rounding(doc)
    control = doc["control"]
    if control is not None:
        lines.append(("control", _control(control)))
    for order in doc["orders"]:
        lines += _order(order, symbol)
    return f"{head}\n\n{aligned(lines)}"


def _leg(leg: Facts, symbol: str) -> str:
    if leg["action"] == "cancel":
        return f"cancels order {leg['ref']} of {symbol}"
    prices = "".join(f", {name} {number(leg[name])}" for name in ("limit", "stop", "trail") if leg[name] == leg[name])
    if leg["action"] == "replace":
        qty = f" {number(abs(leg['qty']))} left to {side(leg['qty'])}" if leg["qty"] == leg["qty"] else ""
        return f"replaces order {leg['ref']} of {symbol}:{qty}{prices}"
    kind, tif = (leg[name].replace("_", " ") for name in ("kind", "time_in_force"))
    return f"{side(leg['qty'])} {number(abs(leg['qty']))} {symbol}, {kind}{prices}, {tif}"


def _control(control: Facts) -> str:
    who = f" by {control['actor']}" if control["actor"] else ""
    latch = f" (latch {control['latch']})" if control["latch"] else ""
    why = f": {control['reason']}" if control["reason"] else ""
    return f"{control['action']} at {stamp(control['ts'])}{who}{latch}{why}"


def _order(order: Facts, symbol: str) -> Lines:
    lines: Lines = []
    first = order["legs"][0] if order["legs"] else None
    if first is None:
        such = ", such as a liquidation" if _tellers(order) <= {BROKER} else ""
        lines.append(("order", f"{order['id']}: {_unsent(order)}{such}"))
    else:
        parent = f" for order {first['parent']}" if first["parent"] else ""
        lines.append(
            ("order", f"{order['id']} at {stamp(first['ts'])} by {first['by']}{parent}: {_leg(first, symbol)}")
        )
    approved = next((leg for leg in order["legs"] if leg["event"] == "approved"), None)
    if first is not None and approved is not None and approved is not first:
        same = approved["qty"] == first["qty"] or first["qty"] != first["qty"]
        lines.append(("gate", f"{approved['by']} approved it{'' if same else ': ' + number(approved['qty'])}"))
    if _of_the_gate(order):
        lines.append(("gate", f"{order['legs'][0]['by']} sent it by itself; no strategy or optimizer asked for it"))
    for event in sorted(order["events"], key=lambda event: event.get("at", event["ts"])):
        lines += _event(event, approved is not None)
    return lines + _end(order)


def _of_the_gate(order: Facts) -> bool:
    """Whether nobody asked for it: the first that is heard of it is that it was approved."""
    return bool(order["legs"]) and order["legs"][0]["event"] == "approved"


def _tellers(order: Facts) -> set[str]:
    return {event["origin"] for event in order["events"]}


def _unsent(order: Facts) -> str:
    """Who speaks of an order that nobody in the session sent."""
    tellers = sorted(_tellers(order))
    if tellers == [BROKER]:
        return "sent by the broker itself"
    said = " and ".join("an input from outside" if name == INPUT else name for name in tellers)
    return f"an order that nobody in this session sent; {said} tells of it"


def _event(event: Facts, passed: bool) -> Lines:
    if event["what"] == "refused":
        return [("broker" if passed else "gate", f"{event['by']} refused it: {rule_text(event)}")]
    if event["what"] == "report":
        left = f", {shares(event['left'])} left" if event["left"] else ""
        return [("report", f"{stamp(event['ts'])}  {event['state']}{left}")]
    slippage = f"slippage {number(event['slippage'])} ({event['slippage_bps']:.1f} bps)"
    cost = f"market {number(event['reference'])}, {slippage}"
    part = "" if event["participation"] != event["participation"] else f", {event['participation']:.2%} of the bar"
    at = f"{stamp(event['at'])}  {number(event['qty'])} at {number(event['price'])}"
    return [("fill", f"{at}  {cost}, fees {number(event['fees'])}{part}")]


def _end(order: Facts) -> Lines:
    filled = f"{shares(order['filled'])} filled"
    if order["state"] == "refused" and order["filled"]:
        refused = next(event for event in order["events"] if event["what"] == "refused")
        rest = f"the rest, {shares(refused['qty'])}, refused by {refused['by']}: {rule_text(refused)}"
        return [("end", f"{filled}, {rest}")]
    words: dict[str, str] = {
        "finished": f"filled whole: {shares(order['filled'])}",
        "refused": "refused",
        "parent": f"sent to the execution policy: its orders filled {number(order['filled'])}",
        "working": f"{filled}, {number(order['left'])} still working when the journal ends",
        "approved": "approved, nothing more is known",
        "sent": "sent, nothing more is known",
    }
    cancels = order["legs"] and order["legs"][0]["action"] != "new"
    if cancels and order["state"] in ("approved", "sent"):
        return []
    return [("end", words.get(order["state"], f"{order['state']}, {filled}"))]


# ---- no order --------------------------------------------------------------------------------------------------------


def missing_text(doc: Facts) -> str:
    """The document of `why-not` as text."""
    asked = f"{doc['symbol']} at {stamp(doc['slice'])}"
    head = f"{asked}: {doc['answer']}"
    more = [(reason["stage"], reason["text"]) for reason in doc["reasons"][1:]]
    also = f"\n\nand further down the chain\n{aligned(more)}" if more else ""
    lines = upstream_lines(doc) + optimizer_lines(doc["optimizer"])
    control = doc["control"]
    if control is not None:
        lines.append(("control", _control(control)))
    lines += [("order", f"{order}: `samewire why {order}` tells it whole") for order in doc["orders"]]
    return f"{head}{also}\n\n{aligned(lines)}"


def aligned(lines: Lines) -> str:
    """Two columns; a name that repeats is shown once.

    >>> print(aligned([("bar", "a"), ("bar", "b"), ("signal", "c")]))
      bar     a
              b
      signal  c
    """
    width = max((len(name) for name, _ in lines), default=0)
    out, before = [], ""
    for name, text in lines:
        out.append(f"  {name if name != before else '':<{width}}  {text}")
        before = name
    return "\n".join(out)


def plain(value: Any) -> Any:
    """What JSON can hold: None for NaN and infinities, everywhere in a document."""
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, float) and not abs(value) < float("inf"):
        return None
    return value
