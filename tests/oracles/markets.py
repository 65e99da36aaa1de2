"""The markets of the oracle cases, read from the data folder by the conventions of each engine."""

import datetime as dt
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from samewire import DAY_NS, HOUR_NS, MINUTE_NS, ActionKind
from tests.oracles.tape import PRICES, Action, Market

NEW_YORK = ZoneInfo("America/New_York")
_SPLIT, _DIVIDEND = int(ActionKind.SPLIT), int(ActionKind.CASH_DIVIDEND)


def _at(day: Any, hour: int, minute: int = 0) -> int:
    """UTC ns of a New York wall-clock time."""
    when = dt.datetime(day.year, day.month, day.day, hour, minute, tzinfo=NEW_YORK)
    return int(when.timestamp()) * 10**9


def _day(text: str) -> dt.date:
    return dt.date.fromisoformat(text)


def _wide(frame: Any, symbols: tuple[str, ...], index: str, names: tuple[str, ...]) -> tuple[Any, dict[str, Any]]:
    """The rows of these symbols as matrices (T, N), and what the rows of a matrix are."""
    frame = frame[frame["symbol"].isin(symbols)]
    keys = np.sort(frame[index].unique())
    tables = {}
    for name in names:
        table = frame.pivot(index=index, columns="symbol", values=name).reindex(index=keys, columns=list(symbols))
        tables[name] = np.ascontiguousarray(table.to_numpy(np.float64, na_value=np.nan))
    return keys, tables


def daily(frame: Any, symbols: tuple[str, ...], start: str, end: str, actions: tuple[Action, ...] = ()) -> Market:
    """Daily bars of New York sessions, 09:30 to 16:00, from a long table with a `date`."""
    days = pd.to_datetime(frame["date"]).dt.date
    frame = frame.assign(date=days)[(days >= _day(start)) & (days <= _day(end))]
    keys, tables = _wide(frame, symbols, "date", (*PRICES, "volume"))
    ts, opened = np.array([_at(day, 16) for day in keys]), np.array([_at(day, 9, 30) for day in keys])
    inside = tuple(action for action in actions if ts[0] <= action.ts < ts[-1])
    return Market(symbols, DAY_NS, ts, opened, **tables, actions=inside)


# ---- LEAN ------------------------------------------------------------------------------------------------------------


def _factors(folder: Path, symbol: str) -> Any:
    rows = pd.read_csv(folder / "lean" / "factor_files.csv")
    rows = rows[rows["symbol"] == symbol]
    return rows.assign(last_date=pd.to_datetime(rows["last_date"]).dt.date).sort_values("last_date")


def _adjusted(frame: Any, folder: Path, columns: tuple[str, ...]) -> Any:
    """Prices times price and split factor of the first factor row that does not end before the bar's date."""
    parts = []
    for symbol, part in frame.groupby("symbol", observed=True):
        rows = _factors(folder, str(symbol))
        product = (rows["price_factor"] * rows["split_factor"]).to_numpy()
        at = np.searchsorted(rows["last_date"].to_numpy("datetime64[D]"), part["day"].to_numpy("datetime64[D]"))
        part = part.copy()
        for name in columns:
            part[name] = part[name].to_numpy() * product[at]
        parts.append(part)
    return pd.concat(parts)


def lean_daily(folder: Path, symbols: tuple[str, ...], start: str, end: str, *, raw: bool = False) -> Market:
    """Daily bars; raw ones with their splits and dividends as actions, else adjusted ones."""
    frame = pd.read_parquet(folder / "lean" / "equity_daily.parquet")
    frame = frame[frame["symbol"].isin(symbols)]
    if raw:
        return daily(frame, symbols, start, end, lean_actions(folder, symbols))
    return daily(_adjusted(frame.assign(day=frame["date"]), folder, PRICES), symbols, start, end)


def lean_actions(folder: Path, symbols: tuple[str, ...]) -> tuple[Action, ...]:
    """After each row's last date: a split where the split factor changes, a dividend where the price factor does."""
    found = []
    for s, symbol in enumerate(symbols):
        rows = _factors(folder, symbol)
        columns = ("last_date", "price_factor", "split_factor", "reference_close")
        table = list(zip(*(rows[name] for name in columns), strict=True))
        for (day, price, split, close), (_, next_price, next_split, _) in zip(table, table[1:], strict=False):
            if price != next_price:
                amount = round(close * (1 - price / next_price), 2)
                found.append(Action(_at(day, 16), _DIVIDEND, s, amount=amount))
            if split != next_split:
                found.append(Action(_at(day, 16), _SPLIT, s, ratio=next_split / split))
    return tuple(sorted(found, key=lambda action: action.ts))


def lean_intraday(folder: Path, symbols: tuple[str, ...], start: str, end: str, *, minute: bool = False) -> Market:
    """Adjusted hour or minute bars of the regular session; minute bars with the closing quotes."""
    frame = pd.read_parquet(folder / "lean" / ("equity_minute.parquet" if minute else "equity_hour.parquet"))
    frame = frame[frame["symbol"].isin(symbols)]
    if minute:
        frame = frame[frame["regular"]].rename(columns={"bid_close": "bid", "ask_close": "ask"})
    local = frame["ts"].dt.tz_convert("America/New_York").dt.date
    frame = frame.assign(day=local)[(local >= _day(start)) & (local <= _day(end))]
    quotes = ("bid", "ask") if minute else ()
    frame = _adjusted(frame, folder, (*PRICES, *quotes))
    frame = frame.assign(ts=frame["ts"].astype("datetime64[ns, UTC]").astype("int64"))
    keys, tables = _wide(frame, symbols, "ts", (*PRICES, "volume", *quotes))
    extra = tuple((name, tables.pop(name)) for name in quotes)
    length = MINUTE_NS if minute else HOUR_NS
    days = pd.to_datetime(keys, utc=True).tz_convert("America/New_York")
    begins = np.array([_at(day, 9, 30) for day in days])
    session = np.unique(begins, return_inverse=True)[1]
    return Market(symbols, length, keys + length, np.maximum(keys, begins), **tables, extra=extra, session=session)


# ---- zipline, backtrader, backtesting.py, pyalgotrade ----------------------------------------------------------------


def zipline_daily(folder: Path, symbols: tuple[str, ...], start: str, end: str) -> Market:
    """Raw daily bars with splits and dividends as actions on the morning of their ex-date."""
    rows = pd.read_csv(folder / "zipline" / "adjustments.csv", parse_dates=["ex_date"])
    found = []
    for row in rows[rows["symbol"].isin(symbols)].itertuples():
        when, s = _at(row.ex_date, 0), symbols.index(row.symbol)
        if row.kind == "split":
            found.append(Action(when, _SPLIT, s, ratio=1 / row.ratio))
        else:
            found.append(Action(when, _DIVIDEND, s, amount=row.amount))
    frame = pd.read_parquet(folder / "zipline" / "daily.parquet")
    return daily(frame, symbols, start, end, tuple(sorted(found, key=lambda action: action.ts)))


def backtrader_daily(folder: Path, name: str) -> Market:
    """One index without volume: its bars are taken as traded."""
    frame = pd.read_csv(folder / "backtrader" / name, parse_dates=["date"])
    return daily(frame.assign(symbol="SX5E", volume=np.nan), ("SX5E",), "2006-01-01", "2006-12-31")


def backtesting_daily(folder: Path, name: str = "goog") -> Market:
    frame = pd.read_parquet(folder / "backtestingpy" / f"{name}.parquet")
    frame = frame.assign(date=frame["ts"].dt.date, symbol=name.upper())
    return daily(frame, (name.upper(),), str(frame["date"].min()), str(frame["date"].max()))


def pyalgotrade_daily(folder: Path, symbols: tuple[str, ...], start: str, end: str, *, raw: bool = False) -> Market:
    """Adjusted bars: every price of a bar times its adjusted close over its close."""
    frame = pd.read_parquet(folder / "pyalgotrade" / "daily.parquet")
    if not raw:
        scale = frame["adj_close"] / frame["close"]
        frame = frame.assign(**{name: frame[name] * scale for name in PRICES})
        frame["close"] = frame["adj_close"]
    return daily(frame, symbols, start, end)


# ---- Qlib ------------------------------------------------------------------------------------------------------------


def scored(symbols: tuple[str, ...], days: Any, close: Any, change: Any, score: Any) -> Market:
    """A market of closes only, every price of a bar its close, with changes and scores as further columns."""
    ts, opened = np.array([_at(day, 16) for day in days]), np.array([_at(day, 9, 30) for day in days])
    volume = np.where(np.isnan(close), np.nan, 1e9)
    extra = (("change", change), ("score", score))
    return Market(symbols, DAY_NS, ts, opened, close, close, close, close, volume, extra)


def random_days(close: Any, score: Any) -> Market:
    """Named by number, on business days; a change counts from the last close that was seen."""
    seen = pd.DataFrame(close).ffill().shift(1).to_numpy()
    symbols = tuple(f"S{i:03}" for i in range(close.shape[1]))
    days = pd.bdate_range("2024-01-02", periods=len(close))
    return scored(symbols, days, close, np.nan_to_num(close / seen - 1), score)


def golden(*, suspended: bool = True, days: int = 15) -> tuple[Market, Any]:
    """Set G of reference 7.1, the day before the first trade included, and the returns of its index."""
    t, i = np.arange(18)[:, None], np.arange(8)[None, :]
    change = (((7 * i + 3 * t + i * t) % 11) - 5) / 200
    change[0], change[5, 3], change[8, 1] = 0.0, 0.10, -0.10
    close = (20.0 + 5.0 * i) * np.cumprod(1 + change, 0)
    index = 1000 * np.cumprod(1 + change.mean(axis=1))
    score = ((5 * i + 7 * t + 2 * i * t) % 13) / 13 + i * 0.001
    close, change = (stored.astype(np.float32).astype(np.float64) for stored in (close, change))
    index = index.astype(np.float32)  # and its returns too: Qlib works them out in what it stores
    if suspended:
        close[6:8, 5] = change[6:8, 5] = np.nan
    benchmark = (index / np.concatenate([index[:1], index[:-1]]) - np.float32(1)).astype(np.float64)
    dates = pd.bdate_range("2024-01-02", periods=18)[:days]
    market = scored(tuple(f"S{k}" for k in range(8)), dates, close[:days], change[:days], score[:days])
    return market, benchmark[:days]


def qlib_daily(folder: Path, column: str, start: str, end: str) -> Market:
    """Real closes with the scores of this column, from the day before the first on; no limit of a day's change."""
    bars = pd.read_parquet(folder / "qlib" / "bars.parquet")
    scores = pd.read_parquet(folder / "qlib" / "scores.parquet")
    closes = bars.pivot(index="date", columns="symbol", values="close").astype(np.float64)
    values = scores.pivot(index="date", columns="symbol", values=column)
    values = values.reindex(index=closes.index, columns=closes.columns).astype(np.float64)
    days = closes.index.tolist()
    inside = slice(days.index(_day(start)) - 1, days.index(_day(end)) + 1)
    close, score = closes.to_numpy()[inside], values.to_numpy()[inside]
    return scored(tuple(closes.columns), days[inside], close, np.zeros_like(close), score)
