"""Bars with a list of actions beside them, and what comes of it, short to write."""

from pathlib import Path
from typing import Any

import numpy as np

from adapters.files.parquet import ParquetFeed
from engine.events import INPUT_ORDER, ActionKind, Actions, Event
from tests.adapters.files.made import CLOSE, Row, parquet, row

RANK = {kind: k for k, kind in enumerate(INPUT_ORDER)}


def ns(text: str) -> int:
    return int(np.datetime64(text, "ns").astype(np.int64))


def feed(folder: Path, rows: list[Row], actions: str | None = None, **options: Any) -> ParquetFeed:
    """Bars with a file of actions beside them: the text of a CSV."""
    folder.mkdir(parents=True, exist_ok=True)
    if actions is not None:
        (folder / "actions.csv").write_text(actions)
        options["actions"] = folder / "actions.csv"
    return ParquetFeed(path=parquet(folder / "bars.parquet", rows), **({"close": CLOSE} | options))


def of(events: list[Event]) -> list[Actions]:
    return [event for event in events if isinstance(event, Actions)]


def legs(events: list[Event]) -> list[tuple[str, str, int, float, float]]:
    """(day, kind, symbol, ratio, amount) of every action."""
    return [
        (str(np.datetime64(a.ts, "ns"))[:16], ActionKind(k).name, s, r, m)
        for a in of(events)
        for k, s, r, m in zip(a.kind.tolist(), a.symbol.tolist(), a.ratio.tolist(), a.amount.tolist(), strict=True)
    ]


TWO = [row(k, s, 10.0 + k) for k in range(6) for s in ("A", "B")]
