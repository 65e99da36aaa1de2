"""How a session decided: kept beside its summary, read again, or folded once more from its journal."""

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from components.metrics.decision_rows import Decisions
from components.metrics.decisions import DecisionFold
from engine.errors import DataError
from engine.events import Note, Stamps, Vector
from engine.protocols import Feed
from samewire.attributing import Attributing, Attribution, own_benchmark
from samewire.hiding import hider
from samewire.recorded import Recorded
from samewire.run_file import RunFile

SCHEMA = 1  # of decisions.json: another one where a key goes or comes to mean something else
FILE, CURVES = "decisions.json", "sleeves.parquet"
Curves = dict[str, tuple[Stamps, Vector]]  # the equity of each sleeve by `source.name`


class Decided(msgspec.Struct, frozen=True, kw_only=True):
    """What decisions.json holds."""

    schema: int = SCHEMA
    decisions: Decisions
    attribution: Attribution | None = None  # of sessions whose optimizer solves for weights, or with sleeves


class Deciding:
    """What is folded of the decisions while a session runs.

    Its notes always: a session without any pays nothing for it. The attribution where its cost a slice is small beside
    that of a decision, so not for the plain rules of `direct`, unless capital is divided.
    """

    def __init__(self, run: RunFile, feed: Feed) -> None:
        self.notes = DecisionFold()
        plain = run.optimizer.use == "direct" and all(strategy.use != "sleeves" for strategy in run.strategies)
        self.attributing = None if plain else Attributing(feed.universe, feed.interval_ns, own_benchmark(run))
        self.recorders: tuple[Attributing, ...] = () if self.attributing is None else (self.attributing,)


def write_decisions(folder: Path, deciding: Deciding) -> None:
    """Writes decisions.json where there is something to say, and sleeves.parquet where there are sleeves."""
    from adapters.files.session_dir import write_columns
    from samewire.keeping import write_json

    decisions, attribution = deciding.notes.result(), _attribution(deciding.attributing)
    if decisions.empty and attribution is None:
        return
    kept = msgspec.to_builtins(Decided(decisions=decisions, attribution=attribution))
    write_json(folder / FILE, hider().inside(kept))
    curves = deciding.notes.curves()
    if curves:
        write_columns(folder / CURVES, _together(curves))


def _attribution(attributing: Attributing | None) -> Attribution | None:
    """None where there is nothing to attribute, or where a figure is no number."""
    if attributing is None:
        return None
    try:
        found = attributing.result()
        json.dumps(msgspec.to_builtins(found), allow_nan=False)
    except (DataError, ValueError):
        return None
    return found


def _together(curves: Curves) -> dict[str, Any]:
    """Columns over the instants of all sleeves, NaN where one has none."""
    ts = np.unique(np.concatenate([own for own, _ in curves.values()]))
    columns: dict[str, Any] = {"ts": ts}
    for name, (own, equity) in curves.items():
        columns[name] = np.full(len(ts), np.nan)
        columns[name][np.searchsorted(ts, own)] = equity
    return columns


def read_decisions(folder: Path) -> Decided | None:
    """What a session directory keeps of its decisions; None of one that has nothing, or has it in another version.

    Its journal tells of them in any case, see `decided`.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        kept = msgspec.json.decode(path.read_bytes())
        if isinstance(kept, dict) and kept.get("schema", SCHEMA) != SCHEMA:
            return None
        return msgspec.convert(kept, Decided)
    except (OSError, msgspec.MsgspecError) as error:
        raise DataError(
            f"{path}: it cannot be read: {error}; restore it, or delete it to see the report without"
        ) from None


def read_curves(folder: Path) -> Curves:
    """The equity of each sleeve, {} where there are none."""
    from samewire.result import read_parquet

    path = folder / CURVES
    if not path.is_file():
        return {}
    table = read_parquet(path)
    ts = table["ts"].cast("int64").to_numpy()
    return {name: (ts, table[name].to_numpy()) for name in table.column_names if name != "ts"}


def decided(recorded: Recorded) -> Decisions:
    """How a recorded session decided, by its journal: of one that failed, and of one of before, too."""
    fold = DecisionFold()
    for entry in recorded.entries(bars=False):
        if isinstance(entry.event, Note):
            fold.on_note(entry.event)
    return fold.result()
