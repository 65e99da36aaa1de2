"""Small sessions, every event of whose journals is kept in git. `python -m tests.golden.sessions` writes them anew."""

import json
from collections import Counter
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np

from adapters.files.journal_file import read_blocks
from engine.event_columns import PLANS
from engine.events import Bars, Event, Features
from engine.journal_reading import Record, read_runs
from samewire import run
from samewire.prepare import walk_of
from samewire.recorded import open_recorded
from samewire.walk import Found

HERE = Path(__file__).parent
CONFIGS = HERE.parent.parent / "configs"
# Every run file of `configs` that needs no data from elsewhere. All but `demo` depend on arithmetic only, no solver and
# no trees; what `demo` learns is that of the pinned libraries.
SESSIONS: dict[str, tuple[str, list[str]]] = {
    "scores": ("scores.yaml", ["session.end=2021-03-05"]),
    "ema_cross": ("ema_cross.yaml", ["session.start=2018-06-01", "session.end=2018-08-20", "risk.max_drawdown=0.055"]),
    "topk": (
        "ema_cross.yaml",
        ["feed.symbols=12", "session.start=2020-02-03", "session.end=2020-04-08", "risk.max_order_value=26000"]
        + ["models=[{name: mom, use: momentum, window: 20}]", "strategy={use: topk_dropout, topk: 4, n_drop: 1}"],
    ),
    "market": ("market.yaml", ["feed.symbols=12", "session.start=2019-03-01", "session.end=2019-05-03"]),
    "execution": (
        "execution.yaml",
        ["feed.symbols=10", "models[0].window=5", "strategy.topk=3", "strategy.n_drop=1", "risk.max_weight=0.5"]
        + ["broker.participation=0.001", "session.start=2019-03-01", "session.end=2019-04-05"],
    ),
    "live": ("live.yaml", ["feed.symbols=12", "session.end=2021-02-05"]),
    "demo": ("demo.yaml", ["feed.symbols=20", "session.start=2021-01-04", "session.end=2021-02-05"]),
}
_SHORT = 4  # an array of so many rows is kept as it is
_DIGITS = 12  # significant, of numbers that are compared at 1e-9


def told(name: str, folder: Path) -> list[list[Any]]:
    """Every event of the session in bus order: [kind, origin, its fields].

    The generated market is not kept: of Bars all but the prices, at which the books are marked, and of Features no
    values, from which the signals follow.
    """
    config, overrides = SESSIONS[name]
    run(CONFIGS / config, overrides=overrides, out=folder)
    recorded = open_recorded(folder)
    bars = Found(walk_of(recorded.run))
    return [
        [record.kind, record.origin, _fields(record, bars(record) if record.kind == "Bars" else record.event)]
        for each in read_runs(read_blocks(folder / "journal"))
        for record in each.records
    ]


def _fields(record: Record, event: Event | None) -> dict[str, Any]:
    """Its plain values and its arrays, by name; what a journal cannot say of Features is left out."""
    found = {name: _plain(value) for name, value in record.plain.items()}
    if event is None:
        assert record.kind == Features.__name__, record.kind
        return found
    plan = PLANS[type(event)]
    arrays = plan.arrays(event)
    names = [*plan.columns, *(f"{plan.tail}[{i}]" for i in range(len(arrays) - len(plan.columns)))]
    for column, array in zip(names, arrays, strict=False):
        if not isinstance(event, Bars) or column in ("status", "member"):
            found[column] = sparse(array)
    return found


def _plain(value: Any) -> Any:
    """As JSON has it, numbers short."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}")
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


def sparse(array: Any) -> Any:
    """A short vector as it is; else the shape, the value most rows have, and the rows (of the flat array) that differ.

    Zero and NaN are values like others: to want nothing of a name is not to say nothing of it.
    """
    flat = [_plain(value) for value in np.asarray(array).ravel().tolist()]
    if array.ndim == 1 and len(flat) <= _SHORT:
        return flat
    (rest, count), *_ = Counter(map(repr, flat)).most_common(1) or [("", 0)]
    if count < len(flat) / 2:
        return flat if array.ndim == 1 else {"shape": list(array.shape), "flat": flat}
    most = next((value for value in flat if repr(value) == rest), None)
    rows = {str(i): value for i, value in enumerate(flat) if repr(value) != rest}
    return {"shape": list(array.shape), "most": most, "rows": rows}


def lines(events: list[list[Any]]) -> Iterator[str]:
    """As JSON, one event a line: a change shows which one it was."""
    texts = [json.dumps(event, separators=(",", ":")) for event in events]
    for k, text in enumerate(texts):
        yield f"{'[' if k == 0 else ' '}{text}{']' if k == len(texts) - 1 else ','}\n"


def main() -> None:
    import tempfile

    for name in SESSIONS:
        with tempfile.TemporaryDirectory() as folder:
            (HERE / f"{name}.json").write_text("".join(lines(told(name, Path(folder) / "run"))))


if __name__ == "__main__":
    main()
