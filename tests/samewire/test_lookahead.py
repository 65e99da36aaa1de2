"""Changing any bar after t in the source file changes no event up to t: for every shipped run file."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from adapters.files.journal_file import read_journal
from adapters.files.sample import SampleFeed
from engine.events import Bars
from engine.state import encode_hook
from samewire import run

ROOT = Path(__file__).parent.parent.parent
CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))
# The run files as they are, on a market small enough for a test.
SHORTER = {
    "demo": ["session.start=2019-04-01", "models[0].train.until=2019-06-28", "models[0].num_boost_round=20"],
    "sp500": ["session.start=2019-04-01", "session.end=null", "models[0].train.until=2019-06-28"]
    + ["models[0].num_boost_round=20", "strategy.topk=5", "risk.max_weight=0.5"],
}
SHORTER["scores"] = ["session.start=2019-04-01", "session.end=null", "strategy.topk=5", "risk.max_weight=0.5"]
CUT = np.datetime64("2019-10-01", "ns").astype(np.int64).item()


@pytest.fixture(scope="module")
def rows() -> dict[str, Any]:
    """The generated market as a long table, two years of it."""
    feed = SampleFeed(symbols=20, years=2, seed=3)
    names = np.array(feed.universe.symbols)
    columns: dict[str, list[Any]] = {n: [] for n in ("ts", "symbol", "open", "high", "low", "close", "volume")}
    for event in feed.events():
        if isinstance(event, Bars):
            fresh = np.flatnonzero(event.status == 0)
            columns["ts"].append(np.full(len(fresh), event.ts))
            columns["symbol"].append(names[fresh])
            for name in ("open", "high", "low", "close", "volume"):
                columns[name].append(getattr(event, name)[fresh])
    return {name: np.concatenate(parts) for name, parts in columns.items()}


def written(rows: dict[str, Any], path: Path) -> Path:
    columns = {name: pa.array(values) for name, values in rows.items()}
    columns["ts"] = columns["ts"].cast(pa.timestamp("ns", tz="UTC"))
    pq.write_table(pa.table(columns), path)
    return path


def another_future(rows: dict[str, Any], seed: int) -> dict[str, Any]:
    """The same rows up to the cut; after it other prices and volumes, and a tenth of the bars gone."""
    rng = np.random.default_rng(seed)
    later = rows["ts"] > CUT
    changed = {name: values.copy() for name, values in rows.items()}
    factor = np.where(later, rng.uniform(0.5, 2.0, len(later)), 1.0)
    for name in ("open", "high", "low", "close"):
        changed[name] = changed[name] * factor
    changed["volume"] = np.where(later, rng.uniform(1e3, 1e7, len(later)), changed["volume"])
    keep = ~later | (rng.random(len(later)) > 0.1)
    return {name: values[keep] for name, values in changed.items()}


def told(config: Path, data: Path, out: Path) -> list[bytes]:
    """Every record up to the cut, with its origin."""
    feed = ["feed={use: parquet, stamped: close, interval: 1d, path: '" + str(data) + "'}"]
    if config.stem == "scores":  # its own scores are of another year
        feed.append(f"models[0].table='{monthly_scores(data)}'")
    run(config, overrides=feed + SHORTER.get(config.stem, []), out=out)
    encode = msgspec.msgpack.Encoder(enc_hook=encode_hook).encode
    return [
        encode([entry.seq, entry.origin, entry.event])
        for entry in read_journal(out / "journal")
        if entry.event is not None and entry.event.ts <= CUT
    ]


def monthly_scores(data: Path) -> Path:
    """A random score for each symbol every twentieth slice of the cut's year."""
    table = pq.read_table(data, columns=["ts", "symbol"])
    rng = np.random.default_rng(9)
    instants = np.unique(table["ts"].to_numpy().astype(np.int64))
    instants = instants[(instants > CUT - 200 * 86_400 * 10**9) & (instants <= CUT)][::20]
    names = sorted(set(table["symbol"].to_pylist()))
    lines = [f"{np.datetime64(int(t), 'ns')}Z,{name},{rng.normal():.6f}" for t in instants for name in names]
    path = data.parent / "monthly.csv"
    path.write_text("\n".join(["ts,symbol,score", *lines]))
    return path


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_the_future_changes_nothing_before_it(config: Path, rows: dict[str, Any], tmp_path: Path) -> None:
    as_it_was = told(config, written(rows, tmp_path / "bars.parquet"), tmp_path / "first")
    assert len(as_it_was) > 500
    for seed in (1, 2):
        data = written(another_future(rows, seed), tmp_path / f"other{seed}.parquet")
        otherwise = told(config, data, tmp_path / f"run{seed}")
        first = next((i for i, (a, b) in enumerate(zip(as_it_was, otherwise, strict=False)) if a != b), None)
        assert first is None, f"record {first} knew what was to come"
        assert len(otherwise) == len(as_it_was)


def test_the_check_finds_a_model_that_peeks(rows: dict[str, Any], tmp_path: Path) -> None:
    """The control: without it the test above proves nothing."""
    config = tmp_path / "peek.yaml"
    later = rows["ts"] > CUT
    oracle = tmp_path / "oracle.csv"

    def peeking(data: dict[str, Any]) -> Path:
        latest = {s: c for s, c in zip(data["symbol"][later_of(data)], data["close"][later_of(data)], strict=True)}
        days = np.unique(data["ts"][~later_of(data)])
        lines = [f"{np.datetime64(int(t), 'ns')}Z,{s},{c}" for t in days for s, c in latest.items()]
        oracle.write_text("\n".join(["ts,symbol,score", *lines]))
        return written(data, tmp_path / "peek.parquet")

    def later_of(data: dict[str, Any]) -> Any:
        return data["ts"] > CUT

    assert later.any()
    text = (ROOT / "configs" / "ema_cross.yaml").read_text()
    model = f"  - {{name: peek, use: scores, table: '{oracle}'}}"
    lines = [model if "use: ema_cross" in line else line for line in text.splitlines()]
    config.write_text("\n".join(lines))
    first = told(config, peeking(rows), tmp_path / "first")
    second = told(config, peeking(another_future(rows, 1)), tmp_path / "second")
    assert first != second
