"""The steps of a decision on one symbol as plain facts: bar, features, signals, target, position, optimizer."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from components.optimizers.paying import unit_value
from components.optimizers.sizing import wanted_shares
from engine.errors import SamewireError
from engine.events import Mode, Signal, Status, Vector
from engine.universe import universe_of
from samewire.explain.scene import History, Scene
from samewire.recorded import Recorded

Facts = dict[str, Any]
NEAR = 1e-9  # of a share


def bar_of(scene: Scene) -> Facts:
    bars, s = scene.bars, scene.symbol
    if bars is None:
        return {}
    columns = ("open", "high", "low", "close", "volume")
    return {
        "ts": bars.ts,
        "opened": bars.opened,
        "status": Status(int(bars.status[s])).name.lower(),
        "member": bool(bars.member[s]),
        **{name: float(getattr(bars, name)[s]) for name in columns},
        "last_seen": scene.seen,
    }


def rank(value: Vector, s: int) -> tuple[int, int] | None:
    """Place of a symbol among the finite values, 1 = the highest, and how many there are; None where it is NaN."""
    if not np.isfinite(value[s]):
        return None
    known = value[np.isfinite(value)]
    return int(np.count_nonzero(known > value[s])) + 1, len(known)


def signals_of(scene: Scene) -> list[Facts]:
    """The latest signal of every model."""
    found = []
    for name, opinion in scene.opinions.items():
        signal: Signal = opinion.signal
        at = rank(signal.value, scene.symbol)
        found.append(
            {
                "source": name,
                "ts": signal.ts,
                "asof": signal.asof,
                "value": float(signal.value[scene.symbol]),
                "rank": at[0] if at else None,
                "of": int(np.isfinite(signal.value).sum()),
                "horizon_ns": signal.horizon_ns,
                "model_hash": signal.model_hash,
                "answers": opinion.slices,
                "spoke": opinion.spoke,
                "last": opinion.last,
            }
        )
    return found


def targets_of(scene: Scene) -> list[Facts]:
    """The latest target of every strategy; `kept` where it is of an earlier slice."""
    now, s = 0 if scene.bars is None else scene.bars.ts, scene.symbol
    return [
        {
            "source": target.source,
            "ts": target.ts,
            "kept": target.ts < now,
            "kind": target.kind.value,
            **{name: float(getattr(target, name)[s]) for name in ("value", "alpha", "limit", "stop")},
        }
        for target in scene.targets.values()
    ]


def guards_of(scene: Scene) -> list[Facts]:
    """What of the filters and rules around the strategies holds of the symbol."""
    return [dict(told) for told in scene.around.holds.values()]


def sleeves_of(scene: Scene) -> list[Facts]:
    """What each sleeve of capital wants of the symbol, and what it traded of it with others."""
    return [dict(told) for told in scene.around.sleeves.values()]


def position_of(scene: Scene) -> Facts:
    """The book before the decision."""
    book, s = scene.book, scene.symbol
    if book is None:
        return {}
    unit = float(unit_value(scene.of.universe, book, np.array([s]))[0])
    return {
        "qty": float(book.qty[s]),
        "working": float(book.working[s]),
        "mark": float(book.mark[s]),
        "unit": unit,
        "weight": float(book.qty[s]) * unit / book.equity if book.equity else np.nan,
        "cash": float(book.cash @ book.rate),
        "equity": book.equity,
        "mode": Mode(int(book.mode)).name.lower(),
    }


def control_of(scene: Scene) -> Facts | None:
    """The latest control of the gate, None where there was none."""
    control = scene.control
    if control is None:
        return None
    fields = ("actor", "reason", "latch")
    return {"ts": control.ts, "action": control.action.value, **{name: getattr(control, name) for name in fields}}


def optimizer_of(scene: Scene) -> Facts:
    """What the targets ask for and what the optimizer made of it, in shares; NaN = leave as it is, None = not known.

    An optimizer that solves for weights says them in a note; of one that does not the targets are what it wants.
    """
    if scene.book is None or not scene.targets:
        return {"asked": None, "wanted": None, "weight": None, "notes": scene.noted()}
    s, notes = scene.symbol, scene.noted()
    asked = float(wanted_shares(tuple(scene.targets.values()), scene.book, scene.of.universe)[s])
    weight = next((note["value"] for note in notes if note["kind"] == "weights"), None)
    solved = any(note.kind == "weights" for note in scene.notes)
    fell = any(note.kind == "fallback" for note in scene.notes)
    wanted = asked
    if weight is not None:
        wanted = weight * scene.book.equity / position_of(scene)["unit"]
    elif (solved or fell) and not asked <= 0:
        wanted = np.nan  # held: it cannot move, or there was no answer
    return {"asked": asked, "wanted": wanted, "weight": weight, "notes": notes}


# ---- features --------------------------------------------------------------------------------------------------------


def follow_features(scene: Scene) -> dict[str, Any]:
    """Has the scene remember what the features of its models depend on. Returns fresh feature sets by name."""
    run = scene.of.readable
    if run is None or not run.features:
        return {}
    try:
        made = _feature_sets(scene.of)
    except SamewireError as error:
        scene.unbuilt = str(error).splitlines()[0]
        return {}
    for name, each in made.items():
        interval = int(getattr(each, "interval_ns", 0)) or scene.of.interval_ns
        scene.histories[name] = History(interval, max(1, int(getattr(each, "lookback", 0))))
    return made


def _feature_sets(of: Recorded) -> dict[str, Any]:
    from samewire.build import Given, feature_sets

    run = of.readable
    assert run is not None
    given = Given(session=run.session.name, seed=run.session.seed, universe=universe_of(of.universe.symbols))
    return feature_sets(run, given)


def features_of(scene: Scene, made: dict[str, Any]) -> list[Facts]:
    """The features of the symbol, computed again from the recorded bars: name, value, rank among all symbols."""
    found: list[Facts] = []
    for name, each in made.items():
        history, needs = scene.histories[name], int(getattr(each, "lookback", 0))
        facts: Facts = {"set": name, "values": [], "unknown": ""}
        found.append(facts)
        if history.bars < needs:
            facts["unknown"] = (
                f"it looks back {needs} slices, of which {history.bars} in the journal: what it saw before the session "
                "began is not recorded"
            )
            continue
        try:
            value = _answer(each, list(history.events))
        except Exception as error:  # noqa: BLE001 - a user's class; the rest of the chain is told all the same
            facts["unknown"] = f"it failed on the recorded bars: {type(error).__name__}: {error}"
            continue
        facts["values"] = [_feature(feature, value[:, k], scene.symbol) for k, feature in enumerate(each.names)]
    unread = scene.of.unread or scene.unbuilt
    if not found and unread:
        found.append({"set": "", "values": [], "unknown": unread})
    return found


def _answer(feature_set: Any, events: Sequence[Any]) -> Any:
    """(N, F) values after the last of these events, None where there are none."""
    handlers = {"Bars": "on_bars", "Actions": "on_actions", "Late": "on_late", "Reference": "on_reference"}
    value = None
    for event in events:
        handler = getattr(feature_set, handlers[event.__class__.__name__], None)
        out = None if handler is None else handler(event)
        value = getattr(out, "value", value)
    return value


def _feature(name: str, column: Vector, s: int) -> Facts:
    at = rank(column, s)
    of = int(np.isfinite(column).sum())
    return {"name": name, "value": float(column[s]), "rank": at[0] if at else None, "of": of}
