"""What of bar, membership, signal and ranking left a symbol without a trade that anybody wanted."""

from typing import Any, TypeAlias

import numpy as np

from engine.events import Status, Vector
from samewire.event_rows import stamp
from samewire.explain.around import guard_text, sleeve_text
from samewire.explain.scene import Opinion, Scene
from samewire.explain.steps import position_of, rank
from samewire.explain.words import number, shares
from samewire.run_file import unguarded

Found: TypeAlias = tuple[str, str, dict[str, Any]]  # stage, text, facts


def no_bar(scene: Scene) -> str:
    """Why the symbol has no price in this slice, empty where it has one."""
    bars = scene.bars
    if bars is None or bars.status[scene.symbol] == Status.FRESH:
        return ""
    seen = f"its last bar was {stamp(scene.seen)}" if scene.seen else "it has had none since the session began"
    if bars.status[scene.symbol] == Status.HALTED:
        return f"the exchange has halted it; {seen}"
    return f"it has no bar in this slice; {seen}"


def before_the_optimizer(scene: Scene) -> list[Found]:
    """Reasons why no strategy wants another position than there is."""
    found: list[Found] = []
    missing = no_bar(scene)
    if missing:
        found.append(("bar", missing, {}))
    if scene.bars is not None and not scene.bars.member[scene.symbol]:
        found.append(("member", "it is not a member of the universe at this slice", {}))
    found += [
        ("guard", guard_text(told), dict(told)) for told in scene.around.holds.values() if told["what"] != "factor"
    ]
    able = not found
    found += [silence for opinion in _read(scene) if (silence := _silent(scene, opinion)) is not None]
    return found + _ranked(scene, able) + _target(scene)


def _read(scene: Scene) -> list[Opinion]:
    """The opinions that the strategies read: those they name, else all."""
    run = scene.of.readable
    named = {unguarded(strategy).options.get("signal") for strategy in run.strategies} if run is not None else {None}
    every = None in named or not named <= set(scene.opinions)
    return [opinion for name, opinion in scene.opinions.items() if every or name in named]


def _silent(scene: Scene, opinion: Opinion) -> Found | None:
    """A model that says nothing of the symbol."""
    signal = opinion.signal
    if np.isfinite(signal.value[scene.symbol]):
        return None
    known, n = int(np.isfinite(signal.value).sum()), len(signal.value)
    facts = {"source": signal.source, "answers": opinion.slices, "known": known}
    if not opinion.spoke:
        slices = "1 slice" if opinion.slices == 1 else f"{opinion.slices} slices"
        said = f"{signal.source} is warming up: in {slices} it has had no opinion on any symbol"
        return "signal", said, facts | {"warming_up": True}
    last = f"its last was of {stamp(opinion.last)}" if opinion.last else "it never had one"
    said = f"{signal.source} has no opinion on it (NaN) and one on {known} of {n} symbols; {last}"
    return "signal", said, facts | {"warming_up": False}


def _ranked(scene: Scene, able: bool) -> list[Found]:
    """Where the symbol stands in the ranking, and where the target ends; `able`: it could have been bought."""
    opinions, found = _read(scene), []
    if len(opinions) != 1 or position_of(scene).get("qty"):
        return []
    signal = opinions[0].signal
    at = rank(signal.value, scene.symbol)
    if at is None:
        return []
    for target in scene.targets.values():
        if target.value[scene.symbol] != 0:  # NaN too
            continue
        held = np.flatnonzero((target.value > 0) & np.isfinite(signal.value))
        said = f"{signal.source} gives it {number(float(signal.value[scene.symbol]))}, rank {at[0]} of {at[1]}"
        facts: dict[str, Any] = {"source": signal.source, "rank": at[0], "of": at[1]}
        if not held.size:
            found.append(("rank", f"{said}, and {target.source} wants nothing at all", facts))
        elif _use(scene, target.source) == "sign" and not signal.value[scene.symbol] > 0:
            found.append(("rank", f"{said}: {target.source} holds what is above 0", facts))
        elif able or at[0] > _lowest(signal.value, held)[1]:
            found.append(_beside(scene, target.source, said, facts, (signal.value, held)))
    return found


def _lowest(value: Vector, held: Any) -> tuple[int, int]:
    """Position and rank of the name with the lowest value among those held."""
    last = int(held[np.argmin(value[held])])
    place = rank(value, last)
    assert place is not None
    return last, place[0]


def _beside(scene: Scene, source: str, said: str, facts: dict[str, Any], of: tuple[Vector, Any]) -> Found:
    """The ranking beside the lowest name that the target holds."""
    value, held = of
    options = _options(scene, source)
    last, place = _lowest(value, held)
    name = scene.of.universe.symbols[last]
    facts |= {"cut_off": float(value[last]), "cut_off_symbol": name, "cut_off_rank": place}
    limit = f" (topk {options['topk']})" if "topk" in options else ""
    if facts["rank"] > place:
        lowest = f"{name}, rank {place} with {number(float(value[last]))}"
        ends = f"the last of the {len(held)} names that {source} wants{limit} is {lowest}"
        below = ": below the cut-off" if "topk" in options else ""
        return "rank", f"{said}{below}; {ends}", facts
    drops = ""
    if "n_drop" in options:
        drops = f": it replaces at most {options['n_drop']} names a slice"
        drops += f", held for {options['hold_thresh']} slices or more" if options.get("hold_thresh", 0) > 1 else ""
    return "rank", f"{said}: above {name}, rank {place}, but {source} keeps what it holds{drops}", facts


def _use(scene: Scene, source: str) -> str:
    run = scene.of.readable
    return next((unguarded(each).use for each in run.strategies if each.name == source), "") if run else ""


def _options(scene: Scene, source: str) -> dict[str, Any]:
    """The options of the strategy of this name in the run file, none where it cannot be read."""
    run = scene.of.readable
    strategies = () if run is None else run.strategies
    return next((unguarded(strategy).options for strategy in strategies if strategy.name == source), {})


def _target(scene: Scene) -> list[Found]:
    """What the strategies want beside what there is."""
    position = position_of(scene)
    start = position.get("qty", 0.0) + position.get("working", 0.0)
    if not scene.targets:
        names = (
            ", ".join(strategy.name for strategy in scene.of.readable.strategies)
            if scene.of.readable
            else "no strategy"
        )
        return [("target", f"{names} has given no target yet", {})]
    found: list[Found] = []
    now = 0 if scene.bars is None else scene.bars.ts
    for target in scene.targets.values():
        value = float(target.value[scene.symbol])
        kept = f" since {stamp(target.ts)}" if target.ts < now else ""
        facts = {"source": target.source, "value": value, "position": start}
        if np.isnan(value):
            found.append(("target", f"{target.source} leaves it as it is{kept} (NaN)", facts))
            continue
        found.append(("target", f"{target.source} {_wants(value, target.kind.value, start)}{kept}", facts))
    return found + [("sleeve", sleeve_text(told), dict(told)) for told in scene.around.sleeves.values()]


def _wants(value: float, kind: str, start: float) -> str:
    """What a strategy wants beside what there is."""
    if kind == "quantity" and value == start:
        return f"wants the {shares(start)} that there are" if start else "wants none, and none is held"
    what = shares(value) if kind == "quantity" else f"a {kind} of {number(value)}"
    return f"wants {what}, and {f'there are {shares(start)}' if start else 'none is held'}"
