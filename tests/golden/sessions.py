"""Small sessions and what of their journals is kept in git. `python -m tests.golden.sessions` writes them anew."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from engine.events import Book, Fills, Refusals, Signal
from samewire import run
from samewire.recorded import open_recorded

HERE = Path(__file__).parent
CONFIGS = HERE.parent.parent / "configs"
# Every run file of `configs` that needs no data from elsewhere. All but `demo` depend on arithmetic only, no solver and
# no trees; what `demo` learns is that of the pinned libraries.
SESSIONS: dict[str, tuple[str, list[str]]] = {
    "scores": ("scores.yaml", ["session.end=2021-04-30"]),
    "ema_cross": ("ema_cross.yaml", ["session.start=2018-06-01", "session.end=2018-12-31"]),
    "topk": (
        "ema_cross.yaml",
        ["feed.symbols=30", "session.start=2020-02-03", "session.end=2020-08-31", "risk.max_weight=0.3"]
        + ["models=[{name: mom, use: momentum, window: 20}]", "strategy={use: topk_dropout, topk: 5, n_drop: 1}"],
    ),
    "market": ("market.yaml", ["feed.symbols=12", "session.start=2019-03-01", "session.end=2019-07-31"]),
    "demo": ("demo.yaml", ["session.start=2021-01-04", "session.end=2021-02-12"]),
}


def told(name: str, folder: Path) -> dict[str, Any]:
    """Counts, and every book, fill and refusal of the session; of each signal its mean."""
    config, overrides = SESSIONS[name]
    run(CONFIGS / config, overrides=overrides, out=folder)
    kept: dict[str, Any] = {"events": {}, "books": [], "fills": [], "refusals": [], "signals": []}
    for entry in open_recorded(folder).entries():
        event = entry.event
        kind = "Features" if event is None else type(event).__name__  # of which only a digest is stored
        kept["events"][kind] = kept["events"].get(kind, 0) + 1
        if isinstance(event, Book):
            kept["books"].append([event.ts, event.equity, float(event.cash[0]), float(np.abs(event.qty).sum())])
        if isinstance(event, Fills):
            fees = event.fees.sum(axis=1)
            columns = (event.order_ids.astype(str), event.symbol, event.qty, event.price, fees)
            kept["fills"] += [[event.ts, *row] for row in zip(*(c.tolist() for c in columns), strict=True)]
        if isinstance(event, Refusals):
            kept["refusals"] += [
                [event.ts, rule, symbol] for rule, symbol in zip(event.rule, event.symbol.tolist(), strict=True)
            ]
        if isinstance(event, Signal) and np.isfinite(event.value).any():
            kept["signals"].append([event.ts, float(np.nanmean(event.value)), int(np.isfinite(event.value).sum())])
    return kept


def main() -> None:
    import tempfile

    for name in SESSIONS:
        with tempfile.TemporaryDirectory() as folder:
            text = json.dumps(told(name, Path(folder) / "run"))
        # One row a line: a change shows which one it was.
        (HERE / f"{name}.json").write_text(text.replace("], [", "],\n [").replace('"]], "', '"]],\n"') + "\n")


if __name__ == "__main__":
    main()
