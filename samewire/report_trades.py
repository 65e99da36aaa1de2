"""The tables of the report about trades and symbols: what the positions earned, and which."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from adapters.report import Grid
from components.metrics.trades import TradeFigures, trade_figures
from samewire.result import read_parquet

_EACH = 5  # best and worst symbols, and trades, that are shown


def trade_grids(directory: Path, initial: float) -> tuple[Grid, ...]:
    """Tables of trades.parquet and pnl.parquet, where there are any."""
    return (*_trades(directory / "trades.parquet"), *_symbols(directory / "pnl.parquet", initial))


def _trades(path: Path) -> tuple[Grid, ...]:
    if not path.is_file():
        return ()
    table = read_parquet(path)
    if not len(table):
        return ()
    closed = table["closed"].is_valid().to_numpy()
    if not closed.any():
        return ()
    returns, slices = table["return"].to_numpy()[closed], table["slices"].to_numpy()[closed].astype(np.float64)
    long = np.array(table["side"].to_pylist(), dtype=object)[closed] == "long"
    sides = [("all", np.ones(len(long), bool)), ("long", long), ("short", ~long)]
    shown = [(name, which) for name, which in sides if which.any() and (name == "all" or not which.all())]
    rows = tuple(_line(name, trade_figures(returns[which], slices[which])) for name, which in shown)
    head = ("", "Trades", "Win rate", "Profit factor", "Average", "Expectancy", "Best", "Worst", "Slices held")
    caption = "Round trips from flat to flat that ended; returns are net of fees, over the value entered."
    return (Grid("Trades", caption, head, rows), _extremes(table, np.flatnonzero(closed)))


def _line(name: str, figures: TradeFigures) -> tuple[str, ...]:
    return (
        name,
        f"{figures.trades:,}",
        _percent(figures.win_rate, sign=False, digits=1),
        _number(figures.profit_factor),
        _percent(figures.average),
        _percent(figures.expectancy),
        _percent(figures.best),
        _percent(figures.worst),
        f"{figures.slices:,.1f}",
    )


def _extremes(table: Any, rows: Any) -> Grid:
    """The best and the worst trades by their return."""
    order = rows[np.argsort(-table["return"].to_numpy()[rows], kind="stable")]
    chosen = order if len(order) <= 2 * _EACH else np.concatenate([order[:_EACH], order[-_EACH:]])
    columns = table.take(chosen).to_pydict()
    lines = tuple(
        (
            str(columns["symbol"][i]),
            str(columns["side"][i]),
            f"{columns['opened'][i]:%Y-%m-%d}",
            f"{columns['closed'][i]:%Y-%m-%d}",
            f"{columns['quantity'][i]:,.10g}",
            _price(columns["entry"][i]),
            _price(columns["exit"][i]),
            _percent(columns["return"][i]),
            f"{columns['net'][i]:,.0f}",
            f"{columns['slices'][i]:,}",
        )
        for i in range(len(chosen))
    )
    head = ("Symbol", "Side", "Opened", "Closed", "Quantity", "Entry", "Exit", "Return", "Net P&L", "Slices held")
    count = f"The {_EACH} best and the {_EACH} worst of {len(rows):,}" if len(order) > 2 * _EACH else "All"
    return Grid(
        "Best and worst trades",
        f"{count} by return, money in the currency of the symbol; the file trades.parquet has every one.",
        head,
        lines,
    )


def _symbols(path: Path, initial: float) -> tuple[Grid, ...]:
    if not path.is_file():
        return ()
    columns = read_parquet(path).to_pydict()
    named = [i for i, symbol in enumerate(columns["symbol"]) if symbol]
    if not named:
        return ()
    order = sorted(named, key=lambda i: -columns["total"][i])
    chosen = order if len(order) <= 2 * _EACH else [*order[:_EACH], *order[-_EACH:]]
    rare = [name for name in ("borrow", "income") if any(columns[name])]
    shown = ["realised", "unrealised", "fees", *rare, *(name for name in ("traded", "trades") if name in columns)]
    lines = tuple(
        (
            str(columns["symbol"][i]),
            f"{columns['total'][i]:,.0f}",
            _percent(columns["total"][i] / initial),
            *(f"{columns[name][i]:,.0f}" for name in shown),
        )
        for i in chosen
    )
    count = f"The {_EACH} best and the {_EACH} worst of {len(order):,} symbols" if len(chosen) < len(order) else "All"
    caption = f"{count}, in the base currency; the file pnl.parquet has every one."
    head = ("Symbol", "Total", "Of initial equity", *(name.capitalize() for name in shown))
    return (Grid("P&L by symbol", caption, head, lines),)


def _percent(value: float, *, sign: bool = True, digits: int = 2) -> str:
    if not np.isfinite(value):
        return "–"
    return f"{value * 100:+.{digits}f} %" if sign else f"{value * 100:.{digits}f} %"


def _price(value: float) -> str:
    """At least six significant digits and two decimals.

    >>> _price(0.0712345678), _price(64.25), _price(23_456.789), _price(1.08615)
    ('0.0712346', '64.25', '23,456.79', '1.08615')
    """
    size = abs(value)
    digits = min(max(2, 5 - math.floor(math.log10(size))), 15) if 0 < size < math.inf else 2
    text = f"{value:,.{digits}f}"
    kept = len(text) - (digits - 2)  # zeros behind the second decimal say nothing
    return text[:kept] + text[kept:].rstrip("0")


def _number(value: float) -> str:
    return f"{value:.2f}" if np.isfinite(value) else "–"
