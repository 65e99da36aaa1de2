"""Changing any bar after t in the source file changes no event up to t: for every shipped run file and layout."""

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq
import pytest

from adapters.files.journal_file import read_blocks
from adapters.files.sample import SampleFeed
from engine.events import Bars
from engine.journal_reading import read_runs
from engine.state import encode_hook
from samewire import run

ROOT = Path(__file__).parent.parent.parent
CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))
# The run files as they are, on a market small enough for a test.
SHORTER = {
    "agent": ["session.start=2019-04-01"],
    "demo": ["session.start=2019-04-01", "models[0].train.until=2019-06-28", "models[0].num_boost_round=20"],
    "sp500": ["session.start=2019-04-01", "session.end=null", "models[0].train.until=2019-06-28"]
    + ["models[0].num_boost_round=20", "strategy.topk=5", "risk.max_weight=0.5"],
}
_SMALL = ("num_boost_round=5", "num_leaves=7", "min_data_in_leaf=20")
_AGAIN = ["session.start=2019-04-01", "session.end=null", "strategy.topk=5", "risk.max_weight=0.5"]
SHORTER["sp500_lightgbm"] = [
    *_AGAIN,
    *(f"models[0].{said}" for said in _SMALL),
]
SHORTER["us_pit_lightgbm"] = SHORTER["sp500_lightgbm"]
SHORTER["sp500_alstm"] = [
    *_AGAIN,
    *(f"models[0].{said}" for said in ("epochs=1", "steps=4", "net.hidden=4", "net.layers=1", "retrain.every=90")),
]
SHORTER["cost_aware"] = [
    *("session.start=2019-04-01", "session.end=null", "risk.max_weight=0.6"),
    *("optimizer.risk_model.window=100", "optimizer.method.constraints[2].max=0.5"),
    *(f"models[0].{said}" for said in _SMALL),
]
SHORTER["scores"] = ["session.start=2019-04-01", "session.end=null", "strategy.topk=5", "risk.max_weight=0.5"]
SHORTER["live"] = ["session.start=2019-04-01", "session.end=null", "risk.max_weight=0.5"]
CUT = np.datetime64("2019-10-01", "ns").astype(np.int64).item()
CLOSE = "close: '16:00 America/New_York'"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of this test's own: nothing of another one may stand in for what is sorted here."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("SAMEWIRE_CACHE", str(folder))
    return folder


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


def written(rows: dict[str, Any], path: Path) -> str:
    """The rows as a Parquet file of instants, in time order; and the feed that reads it."""
    columns = {name: pa.array(values) for name, values in rows.items()}
    columns["ts"] = columns["ts"].cast(pa.timestamp("ns", tz="UTC"))
    pq.write_table(pa.table(columns), path)
    return f"{{use: parquet, stamped: close, interval: 1d, path: '{path}'}}"


def dates_of(rows: dict[str, Any]) -> pa.Table:
    zone = ZoneInfo("America/New_York")
    days = [dt.datetime.fromtimestamp(ts / 1e9, zone).date() for ts in rows["ts"].tolist()]
    named = {name: pa.array(values) for name, values in rows.items() if name != "ts"}
    return pa.table({"date": pa.array(days, pa.date32())} | named)


def dated(rows: dict[str, Any], path: Path) -> str:
    pq.write_table(dates_of(rows), path, row_group_size=1000)
    return f"{{use: parquet, {CLOSE}, path: '{path}'}}"


def by_symbol(rows: dict[str, Any], path: Path) -> str:
    """Sorted through the cache, in pieces far smaller than the table."""
    pq.write_table(dates_of(rows).sort_by([("symbol", "ascending"), ("date", "ascending")]), path)
    return f"{{use: parquet, {CLOSE}, path: '{path}', sort_rows_max: 700}}"


def csv_folder(rows: dict[str, Any], path: Path) -> str:
    path.mkdir()
    table = dates_of(rows)
    for name in sorted({*rows["symbol"].tolist()}):
        pc.write_csv(table.filter(pa.array(rows["symbol"] == name)).drop_columns("symbol"), path / f"{name}.csv")
    return f"{{use: csv, {CLOSE}, path: '{path}'}}"


Layout = Callable[[dict[str, Any], Path], str]
LAYOUTS: dict[str, Layout] = {"dated": dated, "by_symbol": by_symbol, "csv_folder": csv_folder}


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


def told(config: Path, feed: str, out: Path, *more: str) -> list[bytes]:
    """Every record up to the cut, with its origin: its body, of features the digest of it."""
    run(config, overrides=[f"feed={feed}", *SHORTER.get(config.stem, []), *more], out=out)
    # A run of the journal is one input and what followed from it at that instant.
    return [
        msgspec.msgpack.encode(
            (record.origin, record.kind, record.plain, record.columns, record.tail, record.kept), enc_hook=encode_hook
        )
        for step in read_runs(read_blocks(out / "journal"))
        if step.records[0].plain["ts"] <= CUT
        for record in step.records
    ]


def monthly_scores(rows: dict[str, Any], path: Path) -> Path:
    """A random score for each symbol every twentieth slice of the cut's year."""
    rng = np.random.default_rng(9)
    instants = np.unique(rows["ts"])
    instants = instants[(instants > CUT - 200 * 86_400 * 10**9) & (instants <= CUT)][::20]
    names = sorted(set(rows["symbol"].tolist()))
    lines = [f"{np.datetime64(int(t), 'ns')}Z,{name},{rng.normal():.6f}" for t in instants for name in names]
    path.write_text("\n".join(["ts,symbol,score", *lines]))
    return path


def assert_blind(config: Path, layout: Layout, rows: dict[str, Any], folder: Path, *more: str) -> list[bytes]:
    """Runs it on the rows and on two other futures of them; what it said up to the cut is the same."""
    as_it_was = told(config, layout(rows, folder / "bars"), folder / "first", *more)
    assert len(as_it_was) > 500
    for seed in (1, 2):
        feed = layout(another_future(rows, seed), folder / f"other{seed}")
        otherwise = told(config, feed, folder / f"run{seed}", *more)
        first = next((i for i, (a, b) in enumerate(zip(as_it_was, otherwise, strict=False)) if a != b), None)
        assert first is None, f"record {first} knew what was to come"
        assert len(otherwise) == len(as_it_was)
        digests = {
            json.loads((folder / name / "summary.json").read_text())["digest"] for name in ("first", f"run{seed}")
        }
        assert len(digests) == 2, "the other future was never read"
    return as_it_was


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_the_future_changes_nothing_before_it(config: Path, rows: dict[str, Any], tmp_path: Path) -> None:
    # The scores of that run file are of another year.
    scores = f"models[0].table='{monthly_scores(rows, tmp_path / 'monthly.csv')}'"
    said = assert_blind(config, written, rows, tmp_path, *([scores] if config.stem == "scores" else []))
    features = [record for record in said if msgspec.msgpack.decode(record)[1] == "Features"]
    assert bool(features) == ("features:" in config.read_text())


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_the_future_changes_nothing_before_it_in_any_layout(
    layout: Layout, rows: dict[str, Any], tmp_path: Path, cache: Path
) -> None:
    config = ROOT / "configs" / "ema_cross.yaml"
    assert_blind(config, layout, rows, tmp_path)
    # Three tables that differ are three entries; a table in time order is never sorted.
    assert len(list(cache.glob("*.parquet"))) == (0 if layout is dated else 3)


def test_the_check_finds_a_model_that_peeks(rows: dict[str, Any], tmp_path: Path) -> None:
    """The control: without it the test above proves nothing."""
    config = tmp_path / "peek.yaml"
    later = rows["ts"] > CUT
    oracle = tmp_path / "oracle.csv"

    def peeking(data: dict[str, Any]) -> str:
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
