"""What a run returns: the figures, and the tables of its session directory, read when asked for."""

import html
import json
from pathlib import Path
from typing import Any, Literal

from engine.errors import DataError

TableName = Literal[
    "equity",
    "trades",
    "pnl",
    "orders",
    "fills",
    "refusals",
    "signals",
    "targets",
    "charges",
    "actions",
    "ic",
    "calendar",
    "sleeves",
    "execution",
    "execution_decisions",
    "execution_slices",
]
_SHOWN = (
    ("total_return", "Total return", "{:+.2%}"),
    ("cagr", "CAGR", "{:+.2%}"),
    ("benchmark_return", "Benchmark", "{:+.2%}"),
    ("volatility", "Volatility", "{:.2%}"),
    ("sharpe", "Sharpe", "{:.2f}"),
    ("sharpe_se", "  standard error", "{:.2f}"),
    ("max_drawdown", "Max drawdown", "{:.2%}"),
    ("calmar", "Calmar", "{:.2f}"),
    ("turnover", "Turnover a year", "{:.1f}"),
    ("cost", "Cost", "{:,.0f}"),
    ("rank_ic", "Rank IC", "{:.4f}"),
    ("rank_ic_t", "  t-statistic", "{:.1f}"),
    ("final_equity", "Final equity", "{:,.0f}"),
    ("orders", "Orders", "{:,}"),
    ("fills", "Fills", "{:,}"),
    ("refusals", "Refusals", "{:,}"),
    ("slices", "Slices", "{:,}"),
)
_POINTS = 240  # of the sparkline


def read_parquet(path: Path, columns: list[str] | None = None) -> Any:
    """A table of a session directory, or one clear error."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_table(path, columns=columns)
    except (OSError, pa.ArrowException) as error:
        said = str(error).splitlines()[0]
        raise DataError(f"{path}: it cannot be read as Parquet: {said}; run the session again") from error


class Result:
    """A finished session. `summary` has the figures of summary.json, see docs/metrics.md.

    Tables are pyarrow tables, read from the directory each time they are asked for. A session without a directory
    has only the tables it was given.
    """

    def __init__(self, directory: Path | None, summary: dict[str, Any], tables: dict[str, Any] | None = None) -> None:
        self.directory, self.summary = directory, summary
        self._tables = dict(tables or {})

    @classmethod
    def load(cls, directory: Path | str) -> "Result":
        """The session that was written to this directory."""
        folder = Path(directory)
        path = folder / "summary.json"
        try:
            summary = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise DataError(
                f"{path}: no session to read here ({error}); give the directory of a finished run"
            ) from None
        return cls(folder, summary)

    @property
    def tables(self) -> dict[str, Any]:
        """The tables that are in memory, by name."""
        return dict(self._tables)

    @property
    def warnings(self) -> list[str]:
        return list(self.summary.get("warnings", ()))

    @property
    def equity(self) -> Any:
        """One row a slice: ts, equity, cash, gross, net, turnover, cost, benchmark, costs by kind."""
        return self.table("equity")

    @property
    def trades(self) -> Any:
        """One row a round trip: symbol, side, opened, closed, quantity, entry, exit, P&L, return, slices."""
        return self.table("trades")

    @property
    def pnl(self) -> Any:
        """One row a symbol: realised, unrealised, fees, borrow, income, total; the last row is of no symbol."""
        return self.table("pnl")

    @property
    def orders(self) -> Any:
        return self.table("orders")

    @property
    def fills(self) -> Any:
        return self.table("fills")

    @property
    def signals(self) -> Any:
        return self.table("signals")

    @property
    def targets(self) -> Any:
        return self.table("targets")

    def table(self, name: TableName) -> Any:
        """The pyarrow table of this name."""
        if name in self._tables:
            return self._tables[name]
        path = self.directory / f"{name}.parquet" if self.directory is not None else None
        if path is None or not path.is_file():
            where = path or "a session that was not written to a directory"
            raise DataError(
                f"result: no table {name!r} in {where}; give `out` a directory and keep the session_dir sink"
            )
        return read_parquet(path)

    def to_pandas(self, name: TableName = "equity") -> Any:
        """The table as a pandas frame; `ts` is its index where each ts stands once."""
        frame = self.table(name).to_pandas()
        return frame.set_index("ts") if name == "equity" else frame

    def to_polars(self, name: TableName = "equity") -> Any:
        """The table as a polars frame. Needs polars."""
        import narwhals as nw

        return nw.from_native(self.table(name), eager_only=True).to_polars()

    def _lines(self) -> list[tuple[str, str]]:
        known = ((name, label, form, self.summary.get(name)) for name, label, form in _SHOWN)
        return [(label, form.format(value)) for _, label, form, value in known if value is not None]

    def __repr__(self) -> str:
        lines = self._lines()
        wide = max((len(label) for label, _ in lines), default=0)
        head = f"Result {self.summary.get('start')} to {self.summary.get('end')}"
        body = [f"  {label:<{wide}}  {text:>14}" for label, text in lines]
        said = [f"  ! {warning}" for warning in self.warnings]
        where = [f"  in {self.directory}"] if self.directory is not None else []
        return "\n".join([head, *body, *said, *where])

    def _repr_html_(self) -> str:
        """Static HTML for notebooks: a curve, the figures and the warnings; no script."""
        rows = "".join(
            f"<tr><th style='text-align:left;font-weight:400'>{html.escape(label.strip())}</th>"
            f"<td style='text-align:right;font-variant-numeric:tabular-nums'>{html.escape(text)}</td></tr>"
            for label, text in self._lines()
        )
        said = "".join(f"<li>{html.escape(warning)}</li>" for warning in self.warnings)
        notes = f"<ul style='margin:.5em 0;padding-left:1.2em'>{said}</ul>" if said else ""
        span = html.escape(f"{self.summary.get('start')} to {self.summary.get('end')}")
        return f"<div><b>Session, {span}</b><br>{self._sparkline()}<table>{rows}</table>{notes}</div>"

    def _sparkline(self) -> str:
        try:
            values = self.table("equity")["equity"].to_pylist()
        except DataError:
            return ""
        if len(values) < 2:
            return ""
        step = max(1, len(values) // _POINTS)
        shown = [*values[:-1:step], values[-1]]
        low, high = min(shown), max(shown)
        tall, wide = 60.0, 360.0
        scale = (tall - 4) / (high - low) if high > low else 0.0
        points = " ".join(
            f"{i * wide / (len(shown) - 1):.1f},{tall - 2 - (v - low) * scale:.1f}" for i, v in enumerate(shown)
        )
        return (
            f"<svg width='{wide:.0f}' height='{tall:.0f}' role='img' aria-label='equity'>"
            f"<polyline points='{points}' fill='none' stroke='#0072b2' stroke-width='1.5'/></svg>"
        )
