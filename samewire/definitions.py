"""What each figure of summary.json is called and means: the report shows these words, docs/metrics.md repeats them."""

from typing import NamedTuple


class Definition(NamedTuple):
    label: str
    text: str
    form: str = "number"  # percent, signed (percent with its sign), money, count, number, fine (four digits) or text


DEFINITIONS: dict[str, Definition] = {
    "digest": Definition(
        "Digest", "Running hash of every event in bus order; equal digests mean equal sessions.", "text"
    ),
    "slices": Definition("Slices", "Bars events of the session's interval.", "count"),
    "bars": Definition("Bars", "Bars of single symbols with status FRESH.", "count"),
    "wall_s": Definition("Wall time", "Seconds the run took by the clock on the wall, start-up left out."),
    "cpu_s": Definition("CPU time", "Seconds of processor time of the run, start-up left out."),
    "start": Definition("Start", "UTC date of the first slice.", "text"),
    "end": Definition("End", "UTC date of the last slice.", "text"),
    "initial_equity": Definition("Initial equity", "Cash before the first slice, base currency.", "money"),
    "final_equity": Definition(
        "Final equity", "Cash, receivables and positions at the last close, base currency, net.", "money"
    ),
    "periods_per_year": Definition(
        "Slices a year",
        "P: 252 for daily bars (365 where nearly every calendar day has one), 52 for weekly, 12 for monthly; "
        "shorter bars: P of days times the mean number of slices a day.",
        "count",
    ),
    "years": Definition("Years", "T / P: slices over slices a year."),
    "total_return": Definition(
        "Total return", "Final over initial equity, less 1; net of all costs, compounded.", "signed"
    ),
    "cagr": Definition(
        "CAGR", "(1 + total return)^(P / T) - 1: yearly growth, net of all costs, P slices a year.", "signed"
    ),
    "gross_return": Definition(
        "Gross return",
        "(Final equity + all costs) over initial equity, less 1: what the same trades had made without costs; what the "
        "saved costs would have earned is left out.",
        "signed",
    ),
    "benchmark": Definition("Benchmark", "What the session is compared with: equal_weight, a symbol, or none.", "text"),
    "benchmark_return": Definition(
        "Benchmark return",
        "Total return of the benchmark without costs: equal weight of the universe's members, rebalanced each slice at "
        "the close, or one symbol; dividends reinvested, a missing bar counts as no change.",
        "signed",
    ),
    "excess_return": Definition("Excess return", "Total return less benchmark return.", "signed"),
    "beta": Definition("Beta", "Slope of the net returns of slices on those of the benchmark: cov / var."),
    "alpha": Definition(
        "Alpha",
        "P times (mean net return of slices less beta times the mean return of the benchmark): what the benchmark does "
        "not explain, a year.",
        "signed",
    ),
    "tracking_error": Definition(
        "Tracking error",
        "Standard deviation (n - 1) of the differences between the net returns of slices and those of the benchmark, "
        "times sqrt(P).",
        "percent",
    ),
    "information_ratio": Definition(
        "Information ratio", "Mean over standard deviation (n - 1) of those differences, times sqrt(P)."
    ),
    "volatility": Definition(
        "Volatility", "Standard deviation (n - 1) of the net returns of slices, times sqrt(P).", "percent"
    ),
    "sharpe": Definition(
        "Sharpe", "Mean over standard deviation (n - 1) of the net returns of slices, times sqrt(P); riskless rate 0."
    ),
    "sharpe_se": Definition(
        "Sharpe error",
        "Standard error of the Sharpe ratio for independent returns (Lo 2002): sqrt(P (1 + s^2 / 2) / T), s the Sharpe "
        "ratio of one slice.",
    ),
    "sortino": Definition(
        "Sortino", "Mean of the net returns of slices over the root mean square of those below 0, times sqrt(P)."
    ),
    "max_drawdown": Definition(
        "Max drawdown",
        "Deepest fall of net equity below its highest value before, at closes; the initial equity counts as a value.",
        "percent",
    ),
    "drawdown_slices": Definition(
        "Drawdown length", "Slices from the peak before the deepest fall to its recovery, or to the end.", "count"
    ),
    "drawdown_recovered": Definition("Recovered", "Whether the deepest fall was made good before the end.", "text"),
    "calmar": Definition("Calmar", "CAGR over the depth of the max drawdown."),
    "skew": Definition("Skewness", "Third standardised moment of the net returns of slices."),
    "kurtosis": Definition("Kurtosis", "Fourth standardised moment of the net returns of slices, less 3."),
    "turnover": Definition(
        "Turnover a year",
        "Sum over slices of traded value (buys plus sells) over the equity before, per year; selling everything and "
        "buying something else once is 2.0.",
    ),
    "cost": Definition(
        "Cost",
        "Fees and slippage of all fills, borrow fees, margin interest and other charges, base currency; interest and "
        "dividends received are income and not taken off.",
        "money",
    ),
    "cost_drag": Definition("Cost drag", "Cost over initial equity: gross return less total return.", "percent"),
    "costs": Definition(
        "Costs by kind",
        "Commission, exchange fees, tax, slippage = quantity times (fill price less market price) of each fill, borrow "
        "fees, margin interest, other charges.",
        "money",
    ),
    "dividends": Definition(
        "Dividends", "Cash dividends whose right fell into the session, less those that shorts paid.", "money"
    ),
    "interest": Definition("Interest received", "Interest on cash that was held.", "money"),
    "translation": Definition(
        "Translation", "What changes of exchange rates did to the equity, apart from all trades.", "money"
    ),
    "gross_exposure": Definition(
        "Gross exposure", "Mean over slices of the sum of absolute position values over equity, at closes.", "percent"
    ),
    "net_exposure": Definition(
        "Net exposure", "Mean over slices of the sum of signed position values over equity, at closes.", "percent"
    ),
    "orders": Definition("Orders", "New order legs that the optimizer sent.", "count"),
    "fills": Definition("Fills", "Fills of the broker, partial ones each.", "count"),
    "refusals": Definition("Refusals", "Order legs that the gate or the broker refused.", "count"),
    "refused_by": Definition("Refused by", "Refused legs by rule.", "count"),
    "notes": Definition("Notes", "Notes that components left in the journal, by component and kind.", "count"),
    "large_fills": Definition("Large fills", "Fills above a tenth of the volume of their bar.", "count"),
    "open_positions": Definition(
        "Open at the end", "Positions open after the last slice, valued at their last close.", "count"
    ),
    "trades": Definition(
        "Trades",
        "Round trips that ended: from flat to flat, or to the other side; partial exits are part of one. Those still "
        "open at the end are not counted.",
        "count",
    ),
    "win_rate": Definition("Win rate", "Share of trades with a positive return.", "percent"),
    "profit_factor": Definition(
        "Profit factor", "Sum of the positive returns of trades over the sum of the negative ones, unsigned."
    ),
    "best_trade": Definition(
        "Best trade",
        "Highest return of a trade: price gain less fees and borrow plus dividends, over the value entered.",
        "signed",
    ),
    "worst_trade": Definition("Worst trade", "Lowest return of a trade.", "signed"),
    "average_trade": Definition(
        "Average trade", "Geometric mean of the returns of trades: (prod (1 + r))^(1 / n) - 1.", "signed"
    ),
    "expectancy": Definition("Expectancy", "Arithmetic mean of the returns of trades.", "signed"),
    "trade_slices": Definition("Holding time", "Mean number of slices from the first fill of a trade to its last."),
    "exposure": Definition(
        "In the market", "Share of slices in which some position was held at some moment.", "percent"
    ),
    "missing": Definition("Missing bars", "Bars that a listed member of the universe did not have.", "count"),
    "halted": Definition("Halted bars", "Bars of members with status HALTED.", "count"),
    "actions": Definition(
        "Corporate actions", "Splits, cash dividends, delistings and changes of symbol that the feed reported.", "count"
    ),
    "ic": Definition(
        "IC",
        "Mean over slices of the correlation of the first model's signal with the return from the next open to the "
        "open one horizon later, dividends and splits included.",
        "fine",
    ),
    "icir": Definition("ICIR", "Mean over standard deviation (n - 1) of the IC of slices, not annualised."),
    "rank_ic": Definition("Rank IC", "As IC, of the ranks (Spearman, equal values share their mean rank).", "fine"),
    "rank_icir": Definition(
        "Rank ICIR", "Mean over standard deviation (n - 1) of the rank IC of slices, not annualised."
    ),
    "rank_ic_t": Definition(
        "Rank IC t-statistic",
        "Mean rank IC over its standard error, which counts what labels of one horizon share; beyond 2 or so it is "
        "unlikely to be luck, if it is the only thing that was tried.",
    ),
    "models": Definition(
        "Models",
        "The figures above for every model, with its horizon in slices and how many slices were scored.",
        "text",
    ),
    "qlib": Definition(
        "Qlib's analysis",
        "Mean, standard deviation, annualised return, information ratio and max drawdown of the excess return with and "
        "without cost as Qlib defines them: returns added up, 238 days a year.",
        "text",
    ),
    "warnings": Definition("Warnings", "What a reader must know before believing the figures, in sentences.", "text"),
    "issues": Definition(
        "Issues", "Defects of the feed that were counted: kind, count, what was done, examples.", "text"
    ),
}


def written(name: str, value: object) -> str:
    """A figure as the report writes it; a dash where it is undefined.

    >>> written("cagr", 0.0737), written("cost", 12345.6), written("sharpe", None)
    ('+7.37 %', '12,346', '–')
    """
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, int | float):
        return str(value)
    form = DEFINITIONS[name].form
    if form in ("percent", "signed"):
        return f"{value * 100:+.2f} %" if form == "signed" else f"{value * 100:.2f} %"
    if form in ("money", "count"):
        return f"{value:,.0f}"
    return f"{value:.4f}" if form == "fine" else f"{value:.2f}"
