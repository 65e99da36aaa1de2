"""Small markets written to files, in every layout."""

import datetime as dt
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from engine.events import Bars, Event

CLOSE = "16:00 America/New_York"
Row = tuple[dt.date, str, float, float, float, float, float]
NAMES = ("open", "high", "low", "close", "volume")
MONDAY = dt.date(2018, 3, 5)


def row(day: int, symbol: str, close: float, volume: float = 1000.0) -> Row:
    """A sound row, `day` business days after a Monday in the week before the clocks change."""
    date = MONDAY + dt.timedelta(days=day // 5 * 7 + day % 5)
    return (date, symbol, close * 0.99, close * 1.01, close * 0.98, close, volume)


def table(rows: Iterable[Row], *, stamp: str = "date") -> pa.Table:
    columns = list(zip(*rows, strict=True))
    kinds = [pa.date32(), pa.string(), *[pa.float64()] * 5]
    names = (stamp, "symbol", *NAMES)
    return pa.table({name: pa.array(column, kind) for name, column, kind in zip(names, columns, kinds, strict=True)})


def parquet(path: Path, rows: Iterable[Row], **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table(rows), path, **options)
    return path


def intraday(
    path: Path, stamps: Sequence[str], symbols: Sequence[str] = ("AAA",), *, step: float = 0.01, **options: Any
) -> Path:
    """One sound bar of each symbol at each stamp (UTC)."""
    rows = [(np.datetime64(stamp, "ns"), symbol) for stamp in stamps for symbol in symbols]
    close = 10 + step * np.arange(len(rows))
    columns = {
        "ts": pa.array(np.array([stamp for stamp, _ in rows]).astype(np.int64)).cast(pa.timestamp("ns", "UTC")),
        "symbol": pa.array([symbol for _, symbol in rows]),
        "open": close,
        "high": close,
        "low": close,
        "close": close,
        "volume": np.full(len(rows), 5.0),
    }
    pq.write_table(pa.table(columns), path, **options)
    return path


def market_rows(slices: int = 30, symbols: int = 5, *, seed: int = 0) -> list[Row]:
    """Rows by time with holes; the last symbol lists halfway, the first ends early."""
    rng = np.random.default_rng(seed)
    close = 50 * np.exp(np.cumsum(rng.normal(0, 0.01, (slices, symbols)), axis=0))
    rows = []
    for t in range(slices):
        for s in range(symbols):
            late, gone = s == symbols - 1 and t < slices // 2, s == 0 and t > slices * 2 // 3
            if not late and not gone and rng.random() > 0.05:
                rows.append(row(t, f"S{s}", round(float(close[t, s]), 2), float(rng.integers(0, 5000))))
    return rows


def by_symbol(rows: Iterable[Row]) -> list[Row]:
    return sorted(rows, key=lambda r: (r[1], r[0]))


def qlib(folder: Path, rows: Sequence[Row], *, factor: float = 0.5, market: Sequence[str] | None = None) -> Path:
    """The rows as Qlib keeps them, prices adjusted by a factor that halves after the fifth day."""
    days = sorted({r[0] for r in rows})
    (folder / "calendars").mkdir(parents=True)
    (folder / "instruments").mkdir()
    (folder / "calendars" / "day.txt").write_text("".join(f"{day}\n" for day in days))
    lines = []
    for symbol in sorted({r[1] for r in rows}):
        mine = {r[0]: r for r in rows if r[1] == symbol}
        first, last = days.index(min(mine)), days.index(max(mine))
        lines.append(f"{symbol}\t{days[first]}\t{days[last]}\n")
        where = folder / "features" / symbol.lower()
        where.mkdir(parents=True)
        span = days[first : last + 1]
        factors = np.array([factor if day in days[:5] else factor / 2 for day in span])
        for k, name in enumerate(NAMES):
            values = np.array([mine[day][2 + k] if day in mine else np.nan for day in span])
            values = values / factors if name == "volume" else values * factors
            np.concatenate(([first], values)).astype("<f4").tofile(where / f"{name}.day.bin")
        np.concatenate(([first], factors)).astype("<f4").tofile(where / "factor.day.bin")
    (folder / "instruments" / "all.txt").write_text("".join(lines))
    if market is not None:
        (folder / "instruments" / "index.txt").write_text("".join(f"{line}\n" for line in market))
    return folder


def slices(feed: Any, **bounds: Any) -> list[Bars]:
    return [event for event in feed.events(**bounds) if isinstance(event, Bars)]


def plain(event: Event) -> Any:
    """Something that compares: NaN is equal to itself."""
    return type(event).__name__, {name: _plain(getattr(event, name)) for name in msgspec.structs.asdict(event)}


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    return tuple(_plain(item) for item in value) if isinstance(value, tuple) else value


def plains(events: Iterable[Event]) -> list[Any]:
    return [plain(event) for event in events]
