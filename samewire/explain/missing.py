"""`samewire why-not`: what stopped a symbol from being traded at a slice."""

import datetime as dt
from dataclasses import dataclass
from typing import Any

from engine.errors import ConfigError
from engine.ids import id_text
from samewire.closest import closest, listed
from samewire.event_rows import stamp
from samewire.explain.life import Facts, Life, Lives, children_of
from samewire.explain.reasons import Reason, reasons
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
from samewire.explain.words import number, side
from samewire.recorded import Recorded


def explain_missing(of: Recorded, symbol: str, time: str) -> Facts:
    """Why no order of the slice at or after a time traded the symbol, as a document.

    `traded` is true where one did, or where one of an earlier slice filled in it. ConfigError for a symbol or a time
    that the session does not have.
    """
    place, at = _place(of, symbol), instant(time)
    scene = Scene(of, place)
    made = follow_features(scene)
    lives = Lives(of.universe, place, of.interval_ns)
    found = _walked(of, at, scene, lives)
    decided = [life for life in lives.by_id.values() if found.first <= life.first < found.end and life.legs]
    decided += [life for life in children_of(lives.by_id.values(), decided) if life not in decided]
    filled = [life for life in lives.by_id.values() if _filled_at(life, found.ts)]
    stops = _unread(of, found.scene) + reasons(found.scene, lives, decided)
    return {
        "symbol": symbol,
        "asked": at,
        "slice": found.ts,
        "traded": bool(filled) or any(life.of("fill") for life in decided),
        "answer": _answer(decided, filled, [reason.text for reason in stops]),
        "reasons": [{"stage": reason.stage, **reason.facts, "text": reason.text} for reason in stops],
        "bar": bar_of(found.scene),
        "features": features_of(found.scene, made),
        "signals": signals_of(found.scene),
        "targets": targets_of(found.scene),
        "guards": guards_of(found.scene),
        "sleeves": sleeves_of(found.scene),
        "position": position_of(found.scene),
        "optimizer": optimizer_of(found.scene),
        "control": control_of(found.scene),
        "orders": [id_text(life.id) for life in decided],
        "filled": [id_text(life.id) for life in filled],
    }


def _unread(of: Recorded, scene: Scene) -> list[Reason]:
    """That the bars of the slice are not there any more, so that what follows is of the journal alone."""
    if scene.bars is not None:
        return []
    why = of.lost[0] if of.lost else "the journal keeps only a digest of them"
    said = f"the bars of this slice cannot be read again, so whether it had one is not known: {why}"
    return [Reason("bar", said, {"unread": True})]


def _filled_at(life: Life, ts: int) -> bool:
    return any(fill["ts"] == ts for fill in life.of("fill"))


def _answer(decided: list[Life], filled: list[Life], texts: list[str]) -> str:
    said = []
    for life in decided:
        fills = life.of("fill")
        if fills:
            what = f"{side(life.filled)} {number(abs(life.filled))}"
            said.append(f"it was traded: order {id_text(life.id)} to {what}, filled from {stamp(fills[0]['at'])} on")
    said += [
        f"order {id_text(life.id)}, decided at {stamp(life.leg['ts'] if life.leg else 0)}, filled in this slice"
        for life in filled
        if life not in decided
    ]
    if texts:
        said.append(texts[0])
    return "; ".join(said) or "nothing in the journal says why"


@dataclass(frozen=True)
class _Slice:
    """The slice that was asked for: its ts, the records [first, end) of it, and what was known at its end."""

    ts: int
    first: int
    end: int
    scene: Scene


def _place(of: Recorded, symbol: str) -> int:
    """The symbol's position in the universe; ConfigError names the nearest one."""
    if symbol in of.symbols:
        return of.symbols.index(symbol)
    near = closest(symbol, of.symbols)
    meant = f"; did you mean {near!r}?" if near else ""
    raise ConfigError(f"why-not: {symbol!r} is not in the universe; expected one of: {listed(of.symbols)}{meant}")


def _walked(of: Recorded, at: int, scene: Scene, lives: Lives) -> _Slice:
    """Walks the whole journal, so that the lives of the orders are complete. `scene` stops at the end of the slice."""
    ts, first, end, low, high = 0, -1, -1, 0, 0
    seq = 0
    for entry in of.entries():
        seq = entry.seq
        if entry.kind == "Bars" and entry.plain["interval_ns"] == of.interval_ns:  # be it read or not
            low, high = low or entry.plain["ts"], entry.plain["ts"]
            if first >= 0 and end < 0:
                end = seq
            if first < 0 and high >= at:
                ts, first = high, seq
        if end < 0:
            scene.take(entry)
        lives.take(entry)
    if first < 0:
        if not high:
            raise ConfigError(f"why-not: the journal of {of.directory} has no slice")
        raise ConfigError(
            f"why-not: no slice at or after {stamp(at)}; the session runs from {stamp(low)} to {stamp(high)}"
        )
    return _Slice(ts, first, end if end >= 0 else seq + 1, scene)


def instant(text: str) -> int:
    """UTC ns of a day, of an instant, or of ns written out.

    >>> instant("1970-01-02"), instant("1970-01-01T00:00:01Z"), instant("17")
    (86400000000000, 1000000000, 17)
    """
    if text.lstrip("-").isdigit() and len(text) != 8:
        return int(text)
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(
            f"why-not: {text!r} is no time; give a day as 2021-03-01, an instant as 2021-03-01T21:00:00 (UTC), or ns"
        ) from None
    moment = moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment
    seconds: Any = moment - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    return int(seconds.days * 86_400 + seconds.seconds) * 10**9 + int(seconds.microseconds) * 1000
