"""summary.json: the figures of a session, each defined in docs/metrics.md."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from components.metrics.flows import COST_KINDS
from components.metrics.fold import Counts, SessionFold
from components.metrics.qlib import qlib_periods, qlib_report, risk_by_sum
from components.metrics.ratios import alpha, beta, information_ratio, tracking_error
from components.metrics.returns import Performance, performance, periods_per_year, returns
from components.metrics.signal import coefficient
from components.metrics.trades import trade_figures
from engine.calendar import Sessions
from engine.events import DAY_NS, Book, Mode, Vector
from engine.instants import day_text
from engine.protocols import Issue
from samewire.trade_tables import Traded

_SHORT_YEARS = 0.5  # below this a yearly figure is mostly luck


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """What a summary says about the run itself."""

    digest: str
    wall_s: float
    cpu_s: float


def summarise(
    fold: SessionFold,
    *,
    run: Run,
    traded: Traded | None = None,
    issues: Sequence[Issue] = (),
    warnings: Sequence[str] = (),
    sessions: Sessions | None = None,
) -> dict[str, Any]:
    """The summary of a finished fold, ready for JSON: an undefined number is None, never NaN.

    `sessions` are the trading days of the feed, by which a year's slices are counted; None = by UTC dates.
    `traded` is what the trades say; None where the session wrote no fills, and their figures are None too.
    `warnings` are what the caller has to say (a fill at the same close, say); those that follow from the figures
    and from the feed's issues are added behind them.
    """
    fold.finish()
    rows, counts = fold.rows, fold.counts()
    equity, ts = rows["equity"], rows.ts
    periods = periods_per_year(ts, fold.interval_ns, sessions)
    net = performance(equity, fold.cash, periods)
    models = _models(fold)
    said = [*warnings, *_warnings(fold, counts, net), *(_issue_text(issue) for issue in issues)]
    summary = {
        "digest": run.digest,
        "slices": counts.slices,
        "bars": counts.bars,
        "wall_s": round(run.wall_s, 4),
        "cpu_s": round(run.cpu_s, 4),
        "start": _date(ts, 0),
        "end": _date(ts, -1),
        **_returns(fold, net),
        **_against(fold, net),
        **_trading(fold, counts, net),
        **_trades(traded),
        **_first_model(models),
        "qlib": _qlib(fold),
        "models": models,
        "warnings": said,
        "issues": [{"kind": i.kind, "count": i.count, "rule": i.rule, "examples": list(i.examples)} for i in issues],
    }
    return {name: plain(value) for name, value in summary.items()}


def _returns(fold: SessionFold, net: Performance) -> dict[str, Any]:
    equity, cost = fold.rows["equity"], fold.rows["cost"]
    last = float(equity[-1]) if len(equity) else fold.cash
    gross = (last + float(cost.sum())) / fold.cash - 1
    level = fold.rows.last("benchmark") if len(equity) else math.nan
    benchmark = level / fold.cash - 1
    return {
        "initial_equity": fold.cash,
        "final_equity": last,
        "periods_per_year": net.periods,
        "years": net.years,
        "total_return": net.total_return,
        "cagr": net.cagr,
        "gross_return": gross,
        "benchmark": fold.benchmark,
        "benchmark_return": benchmark,
        "excess_return": net.total_return - benchmark,
        "volatility": net.volatility,
        "sharpe": net.sharpe,
        "sharpe_se": net.sharpe_se,
        "sortino": net.sortino,
        "max_drawdown": net.drawdown.depth,
        "drawdown_slices": net.drawdown.slices,
        "drawdown_recovered": net.drawdown.recovered,
        "calmar": net.calmar,
        "skew": net.skew,
        "kurtosis": net.kurtosis,
    }


def _against(fold: SessionFold, net: Performance) -> dict[str, float]:
    """The session beside its benchmark, slice by slice."""
    r = returns(fold.rows["equity"], fold.cash)
    b = returns(fold.rows["benchmark"], fold.cash)[: len(r)]
    return {
        "beta": beta(r, b),
        "alpha": alpha(r, b, net.periods),
        "tracking_error": tracking_error(r, b, net.periods),
        "information_ratio": information_ratio(r, b, net.periods),
    }


def _qlib(fold: SessionFold) -> dict[str, dict[str, Any]]:
    """What Qlib's portfolio analysis prints of the same rows, up to ruin."""
    equity = fold.rows["equity"]
    n = len(returns(equity, fold.cash))
    report = qlib_report(equity[:n], fold.rows["cost"][:n], fold.rows["benchmark"][:n], fold.cash)
    found = {}
    for name, with_cost in (("excess_return_without_cost", False), ("excess_return_with_cost", True)):
        risk = risk_by_sum(report.excess(with_cost=with_cost), qlib_periods(fold.interval_ns or DAY_NS))
        found[name] = {key: plain(value) for key, value in msgspec.structs.asdict(risk).items()}
    return found


def _trading(fold: SessionFold, counts: Counts, net: Performance) -> dict[str, Any]:
    rows = fold.rows
    cost = float(rows["cost"].sum())
    book = fold.book
    return {
        "turnover": float(rows["turnover"].sum()) / net.years if net.years else math.nan,
        "cost": cost,
        "cost_drag": cost / fold.cash,
        "costs": {kind: float(rows[kind].sum()) for kind in COST_KINDS},
        "dividends": float(rows["dividends"].sum()),
        "interest": float(rows["cash_interest"].sum()),
        "translation": float(rows["translation"].sum()),
        "gross_exposure": _mean(rows["gross"]),
        "net_exposure": _mean(rows["net"]),
        "orders": counts.orders,
        "fills": counts.fills,
        "refusals": counts.refusals,
        "refused_by": counts.refused_by,
        "notes": counts.notes,
        "large_fills": counts.large,
        "open_positions": int(np.count_nonzero(book.qty)) if book is not None else 0,
        "missing": int(counts.missing.sum()),
        "halted": int(counts.halted.sum()),
        "actions": counts.actions,
    }


def _trades(traded: Traded | None) -> dict[str, Any]:
    figures = trade_figures(np.empty(0), np.empty(0)) if traded is None else traded.figures
    return {
        "trades": None if traded is None else figures.trades,
        "win_rate": figures.win_rate,
        "profit_factor": figures.profit_factor,
        "best_trade": figures.best,
        "worst_trade": figures.worst,
        "average_trade": figures.average,
        "expectancy": figures.expectancy,
        "trade_slices": figures.slices,
        "exposure": math.nan if traded is None else traded.exposure,
    }


def _models(fold: SessionFold) -> dict[str, dict[str, Any]]:
    found = {}
    for name, score in fold.models.items():
        ic = coefficient(score.rows["ic"], overlap=score.horizon)
        rank = coefficient(score.rows["rank_ic"], overlap=score.horizon)
        found[name] = {
            "ic": plain(ic.mean),
            "icir": plain(ic.ratio),
            "rank_ic": plain(rank.mean),
            "rank_icir": plain(rank.ratio),
            "rank_ic_t": plain(rank.t),
            "horizon": score.horizon,
            "slices": rank.slices,
        }
    return found


def _first_model(models: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The figures of the first model of the run file stand at the top level too."""
    first = next(iter(models.values()), {})
    return {name: first.get(name) for name in ("ic", "icir", "rank_ic", "rank_icir", "rank_ic_t")}


def _warnings(fold: SessionFold, counts: Counts, net: Performance) -> list[str]:
    book = fold.book
    said = _ended(book)
    if not counts.fills:
        said.append(f"Nothing was traded: {_many(counts.orders, 'order')}, no fill.{_why_not(counts)}")
    elif 0 < net.years < _SHORT_YEARS:
        said.append(f"The session is {net.years:.2f} years long: yearly figures of so short a time are mostly luck.")
    held = np.flatnonzero(book.qty) if book is not None else ()
    if book is not None and len(held):
        said.append(_left_open(len(held)))
    if counts.refusals and counts.fills:
        said.append(f"{_many(counts.refusals, 'order leg')} refused: {_listed(counts.refused_by)}.")
    said += _fallbacks(counts)
    if counts.large:
        said.append(f"{_many(counts.large, 'fill')} of {counts.fills} above 10 % of the bar's volume.")
    if counts.unpriced:
        said.append(f"{counts.unpriced} fills have no market price beside them; their slippage counts as zero.")
    missing, halted = int(counts.missing.sum()), int(counts.halted.sum())
    if missing:
        names = int(np.count_nonzero(counts.missing))
        share = missing / max(1, missing + halted + counts.bars)
        said.append(
            f"{_many(missing, 'bar')} of {_many(names, 'member')} missing ({share:.2%}): no price was invented."
        )
    if halted:
        said.append(f"{halted} bars of {int(np.count_nonzero(counts.halted))} members were halted.")
    return said


def _ended(book: Book | None) -> list[str]:
    """What the last book says that a reader must know first."""
    said = []
    if book is not None and book.equity <= 0:
        said.append(f"The account was ruined: equity ended at {book.equity:,.0f}.")
    if book is not None and book.mode is not Mode.ACTIVE:
        said.append(f"The session ended {book.mode.name}: `samewire tap controls` says since when, and why.")
    return said


def _why_not(counts: Counts) -> str:
    """What was said on the way to no fill."""
    said = f" Refused: {_listed(counts.refused_by)}." if counts.refusals else ""
    notes = {name: count for name, count in counts.notes.items() if not name.endswith((".weights", ".sleeve"))}
    if notes:
        said += f" Notes: {_listed(notes)}; `samewire tap notes` shows of which symbols."
    return said


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())


def _many(count: int, thing: str) -> str:
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def _left_open(count: int) -> str:
    if count == 1:
        return "1 position was open at the end; it counts at its last close, not at a sale."
    return f"{count} positions were open at the end; they count at their last close, not at a sale."


def _fallbacks(counts: Counts) -> list[str]:
    """Each optimizer that fell back, with the steps it took where it has several."""
    fell: dict[str, dict[str, int]] = {}
    for noted, n in counts.notes.items():
        name, dot, kind = noted.rpartition(".")
        if dot and (kind == "fallback" or kind.startswith("fallback:")):
            fell.setdefault(name, {})[kind.removeprefix("fallback").removeprefix(":")] = n
    said = []
    for name, steps in fell.items():
        taken = ", ".join(f"{step} {n}" for step, n in steps.items() if step)
        held = steps.get("", 0)
        count = max(held, sum(n for step, n in steps.items() if step))
        said.append(
            f"{name} fell back {count} times{f' ({taken})' if taken else ''}; its notes in the journal say why."
        )
    return said


def _issue_text(issue: Issue) -> str:
    bars = "row" if issue.count == 1 else "rows"
    return f"{issue.count} {bars} of the feed: {issue.kind.replace('_', ' ')}; {issue.rule}."


def _mean(values: Vector) -> float:
    return float(values.mean()) if len(values) else math.nan


def _date(ts: Any, place: int) -> str | None:
    return day_text(ts[place].astype("datetime64[ns]").astype(np.int64)) if len(ts) else None


def plain(value: Any) -> Any:
    """A number that JSON can hold: None for NaN and infinities."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
