"""What the decision half is worth: the same scores, decided by Qlib's top-k dropout and by the cost-aware path.

Six sets of out-of-sample scores by Qlib's own models on the S&P names (July 2016 to January 2018), each traded through
the engine by three rules with the same account, costs and closes. A score of day T trades at the close of T + 1.

Fixed before the test window was read here: the path (a score smoothed, scaled to a return by IC and volatility, against
variance about the equal-weighted universe and linear cost spread over the horizon; fully invested, no name above 2 %,
a cap on turnover), the grids and rules of decision_setting.py, the risk model (Ledoit and Wolf's constant correlation,
which they made for managers measured against an index of hundreds of names; 250 slices, a year) and the smallest order,
at which the least commission is no dearer than the rate. Parameters come out of those rules, from data before July
2016. That the path exists at all is hindsight of a kind: prototypes in numpy read about six configurations on the test
window before these rules were written, and a try of the wiring read one quarter of it. Luck to that extent is in here.

Reads files of the folder SAMEWIRE_DATA. About two minutes of CPU; --quick: one set of scores on half of the window.
"""

import tempfile
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
from decision_setting import (
    BUY_BPS,
    HOLDING,
    LEARNED_UNTIL,
    MINIMUM,
    SELL_BPS,
    SLICES_A_YEAR,
    TEST_FROM,
    Replay,
    Scored,
    Setting,
    found,
    scored,
    table,
)
from measure import Outcome, arguments, between_marks, conclude, cpu_seconds, peak_mb
from sp500_models import ROOT, data

from components.metrics.error_bars import mean_of
from engine.events import Vector

KIND = {"ridge": "ridge", **{f"lgb_s{seed}": "lgb" for seed in range(5)}}  # scores -> the model that they are of
RULES = ("top-k 50/5", "top-k 50/1", "cost-aware")
FIRST, LAST, QUICK_LAST = TEST_FROM, "2018-01-31", "2017-04-13"
CASH = 100_000_000.0
ACCOUNT_OF_QLIB = 127_218_399.78055352  # at the end of `ridge` by top-k 50/5, case Q1
GOAL, COST_MAX = 3.0, 1.2  # percent a year
GLITCH = 0.03
# Before the repaired bars begin: what the holder of a share got on that day is no loss.
SPIN_OFFS = {
    "DISCA": "2014-08-07",
    "DISCK": "2014-08-07",
    "BAX": "2015-07-01",
    "NI": "2015-07-02",
    "EBAY": "2015-07-20",
}


class Run(msgspec.Struct, frozen=True, eq=False):
    """A session of one rule: net return less the benchmark's by slice, from the slice after the first purchases on."""

    excess: Vector
    cost: Vector  # share of equity
    turnover: Vector
    names: float
    account: float
    fallbacks: int

    def figures(self) -> dict[str, float]:
        """Percent a year, but for the ratio, the turnover (times equity) and the number of names."""
        yearly, spread = self.excess.mean() * SLICES_A_YEAR, self.excess.std(ddof=1) * SLICES_A_YEAR**0.5
        return {
            "net": 100 * float(yearly),
            "cost": 100 * float(self.cost.mean()) * SLICES_A_YEAR,
            "ratio": float(yearly / spread),
            "tracking_error": 100 * float(spread),
            "turnover": float(self.turnover.mean()) * SLICES_A_YEAR,
            "names": self.names,
        }


# ---- data ------------------------------------------------------------------------------------------------------------


def market(folder: Path) -> Path:
    """One file of bars: those that Qlib traded, and before them the history that models and risk need.

    The former were repaired: spin-offs undone, one-day glitches left out. The same is done to the latter.
    """
    fields = ["open", "high", "low", "close", "volume"]
    later = pd.read_parquet(data("oracles/qlib/bars.parquet")).astype(dict.fromkeys(fields, float))
    whole = pd.read_parquet(data())
    for frame in (later, whole):
        frame["date"] = pd.to_datetime(frame["date"])
    first = later["date"].min()
    old, new = (frame[frame["date"] == first].set_index("symbol")["close"] for frame in (whole, later))
    before = whole[whole["date"] < first].copy()
    before[fields[:4]] = before[fields[:4]].mul(before["symbol"].map(new / old).fillna(1.0), axis=0)
    for symbol, day in SPIN_OFFS.items():
        own = before[before["symbol"] == symbol].sort_values("date")["close"]
        held = before.loc[own.index, "date"] < pd.Timestamp(day)
        before.loc[held[held].index, fields[:4]] *= own[~held].iloc[0] / own[held].iloc[-1]
    kept = before[~_glitches(before)]
    path = folder / "market.parquet"
    pd.concat([kept, later]).sort_values(["date", "symbol"], kind="stable").to_parquet(path, index=False)
    return path


def _glitches(frame: pd.DataFrame) -> Any:
    """Rows whose whole bar lies 3 % off the closes on both sides, which agree."""
    rows = frame.sort_values(["symbol", "date"], kind="stable")
    close = rows.groupby("symbol")["close"]
    before, after = close.shift(1), close.shift(-1)
    high, low = pd.concat([before, after], axis=1).max(axis=1), pd.concat([before, after], axis=1).min(axis=1)
    off = (rows["low"] > high * (1 + GLITCH)) | (rows["high"] < low * (1 - GLITCH))
    return (off & ((after / before - 1).abs() < GLITCH)).reindex(frame.index)


# ---- sessions --------------------------------------------------------------------------------------------------------


def by_qlib(n_drop: int) -> dict[str, Any]:
    """Qlib's rule, traded as Qlib does: at the close of T + 1 with the score of T, sized at that very close."""
    return {
        "compat": "qlib",
        "strategy": {"use": "qlib_topk_dropout", "topk": 50, "n_drop": n_drop},
        "broker": {"costs": {"use": "by_side", "buy_bps": BUY_BPS, "sell_bps": SELL_BPS, "minimum": MINIMUM}},
    }


def cost_aware(setting: dict[str, Any]) -> dict[str, Any]:
    """The cost-aware path: decided at the close of T, traded at that of T + 1."""
    objective = [
        {"use": "expected_return", "ic": setting["ic"], "smooth": setting["smooth"]},
        {"use": "variance", "aversion": setting["aversion"], "about": "benchmark"},
        {"use": "linear_cost", "buy_bps": BUY_BPS, "sell_bps": SELL_BPS, "holding_slices": HOLDING},
    ]
    limits = [{"use": "budget", "full": True}, {"use": "box", "max": 0.02}]
    turnover = {"use": "turnover", "max": setting["turnover"]}
    return {
        "strategy": {"use": "equal_weight", "scored_by": "scores"},
        "optimizer": {
            "use": "portfolio",
            "risk_model": {"use": "ledoit_wolf", "window": 250, "target": "constant_correlation"},
            "benchmark": "equal",
            "min_order_value": MINIMUM / BUY_BPS * 1e4,
            "method": {"use": "composed", "objective": objective, "constraints": ["long_only", *limits, turnover]},
        },
        "broker": {
            "use": "simulated",
            "fill": "next_close",
            "costs": {"use": "by_side", "buy_bps": BUY_BPS, "sell_bps": SELL_BPS, "minimum": MINIMUM},
        },
    }


def replayed(bars: Path, scores: dict[str, Any], rule: dict[str, Any], days: tuple[str, str]) -> Run:
    """One session through the engine."""
    from samewire import run

    result = run(
        {
            "schema": 1,
            "session": {"name": "decision", "start": days[0], "end": days[1], "cash": CASH},
            "feed": {"use": "parquet", "path": str(bars), "close": "16:00 America/New_York"},
            "models": [{"use": "scores", "name": "scores", **scores}],
            **rule,
        }
    )
    rows, fills = result.to_pandas("equity"), result.to_pandas("fills")
    held = fills.pivot_table(index="ts", columns="symbol", values="quantity", aggfunc="sum", fill_value=0.0).cumsum()
    count = (held.abs() > 0.5).sum(axis=1)
    count.index = count.index.astype(rows.index.dtype)
    since = int(np.flatnonzero(rows["turnover"].to_numpy() > 0)[0]) + 1
    equity, benchmark = rows["equity"].to_numpy(), rows["benchmark"].to_numpy()
    before = equity[since - 1 : -1]
    noted = {name: n for name, n in result.summary["notes"].items() if ".fallback" in name}
    return Run(
        excess=equity[since:] / before - benchmark[since:] / benchmark[since - 1 : -1],
        cost=rows["cost"].to_numpy()[since:] / before,
        turnover=rows["turnover"].to_numpy()[since:],
        names=float(count.reindex(rows.index).ffill()[since:].mean()),
        account=float(equity[-1]),
        fallbacks=sum(noted.values()),
    )


def settings(bars: Path, folder: Path, kinds: tuple[str, ...]) -> dict[str, Setting]:
    """The parameters of each kind of model, from the calibration window."""
    chosen = found(scored(bars, kinds), _replay(bars, folder))
    for kind, setting in chosen.items():
        print(f"{kind}: {msgspec.json.encode(setting).decode()}", flush=True)
    return chosen


def _replay(bars: Path, folder: Path) -> Replay:
    """Tracking errors a year of sessions in the calibration window."""

    def error(of: Scored, setting: dict[str, Any] | None) -> float:
        rule = by_qlib(5) if setting is None else cost_aware(setting)
        path = table(of, folder / f"{of.name}.parquet")
        last = str(of.ts[-1].astype("datetime64[ns]").astype("datetime64[D]"))
        return replayed(bars, {"table": str(path)}, rule, (LEARNED_UNTIL, last)).figures()["tracking_error"]

    return error


# ---- what came of it -------------------------------------------------------------------------------------------------


def paired(ours: list[Vector], theirs: list[Vector]) -> dict[str, float]:
    """Difference of net returns, points a year: its mean over sets, with Newey and West's error and 95 % interval.

    Differences are averaged over the sets of each slice before the error is taken: the sets share days and names, and
    five of them are seeds of one model, so they are no independent witnesses.
    """
    each = np.mean([a - b for a, b in zip(ours, theirs, strict=True)], axis=0)
    seen = mean_of(each * SLICES_A_YEAR * 100)
    half = 1.96 * seen.error
    low, high = seen.value - half, seen.value + half
    return {"mean": seen.value, "error": seen.error, "low": low, "high": high, "t": seen.t}


def mean_figures(runs: list[Run]) -> dict[str, float]:
    rows = [run.figures() for run in runs]
    return {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}


def compared(runs: dict[str, dict[str, Run]]) -> dict[str, Any]:
    """All figures: by set and rule, means over the sets, and the paired differences."""
    sets = list(runs)
    ours, theirs, slow = ([runs[name][rule] for name in sets] for rule in (RULES[2], RULES[0], RULES[1]))
    trees = [name for name in sets if KIND[name] == "lgb"]
    pairs = {name: paired([runs[name][RULES[2]].excess], [runs[name][RULES[0]].excess]) for name in sets}
    pairs["mean"] = paired([run.excess for run in ours], [run.excess for run in theirs])
    if trees and len(trees) < len(sets):
        several = [[np.mean([runs[n][rule].excess for n in trees], axis=0)] for rule in (RULES[2], RULES[0])]
        both = [[runs["ridge"][rule].excess] for rule in (RULES[2], RULES[0])]
        pairs["two models"] = paired(both[0] + several[0], both[1] + several[1])
    return {
        "sets": {name: {rule: run.figures() for rule, run in rules.items()} for name, rules in runs.items()},
        "mean": {rule: mean_figures([runs[name][rule] for name in sets]) for rule in RULES},
        "paired": pairs,
        "against_50_1": paired([run.excess for run in ours], [run.excess for run in slow]),
        "slices": len(ours[0].excess),
        "fallbacks": sum(run.fallbacks for run in ours),
    }


def checked(account: float) -> None:
    """Qlib's own run of these scores, to the cent: what is compared with is Qlib's rule and nothing like it."""
    if abs(account / ACCOUNT_OF_QLIB - 1) > 1e-12:
        raise SystemExit(f"top-k 50/5 on ridge ended at {account:.2f}, Qlib's own run at {ACCOUNT_OF_QLIB:.2f}")


# ---- docs/results.md -------------------------------------------------------------------------------------------------

_HEAD = "| scores | rule | net, a year | cost, a year | information ratio | tracking error | turnover | names |"


def tables(seen: dict[str, Any], chosen: dict[str, Setting]) -> str:
    """The text between the marks of docs/results.md."""
    lines = [_HEAD, "|---|---|---|---|---|---|---|---|"]
    for name, rules in [*seen["sets"].items(), ("**mean**", seen["mean"])]:
        for rule, row in rules.items():
            lines.append(
                f"| {name} | {rule} | {row['net']:+.2f}% | {row['cost']:.2f}% | {row['ratio']:.2f} "
                f"| {row['tracking_error']:.2f}% | {row['turnover']:.1f} | {row['names']:.0f} |"
            )
    lines += ["", "| cost-aware less top-k 50/5 | points a year | 95 % interval | t |", "|---|---|---|---|"]
    for name, row in seen["paired"].items():
        lines.append(f"| {name} | {row['mean']:+.2f} | {row['low']:+.2f} to {row['high']:+.2f} | {row['t']:.2f} |")
    row = seen["against_50_1"]
    lines.append(
        f"| mean, less top-k 50/1 | {row['mean']:+.2f} | {row['low']:+.2f} to {row['high']:+.2f} | {row['t']:.2f} |"
    )
    lines += ["", "| parameter | " + " | ".join(chosen) + " |", "|---|" + "---|" * len(chosen)]
    for label, told in _PARAMETERS:
        lines.append(f"| {label} | " + " | ".join(told(setting) for setting in chosen.values()) + " |")
    return "\n".join(lines)


_PARAMETERS = (
    ("half-life of the smoothed score, slices", lambda s: f"{s.smooth:g}"),
    ("IC measured before July 2016", lambda s: f"{s.measured_ic[0]:.4f} ± {s.measured_ic[1]:.4f}"),
    ("IC used", lambda s: f"{s.ic:.4f}"),
    ("risk aversion", lambda s: f"{s.aversion:g}"),
    ("tracking error there, by aversion (top-k 50/5)", lambda s: _errors(s.errors)),
    ("purchases and sales a slice, at most", lambda s: f"{s.turnover:.2%}"),
)


def _errors(errors: dict[str, tuple[float, float]]) -> str:
    said = ", ".join(f"{aversion}: {ours:.2f}%" for aversion, (ours, _) in errors.items())
    return f"{said} ({next(iter(errors.values()))[1]:.2f}%)"


def main() -> None:
    args = arguments(__doc__ or "")
    sets = ("ridge",) if args.quick else tuple(KIND)
    last = QUICK_LAST if args.quick else LAST
    spent: dict[str, float] = {}
    seen: dict[str, Any] = {}
    chosen: dict[str, Setting] = {}

    def work(folder: Path) -> None:
        bars = market(folder)
        kinds = tuple(dict.fromkeys(KIND[name] for name in sets))
        chosen.update(settings(bars, folder, kinds))
        runs: dict[str, dict[str, Run]] = {}
        for name in sets:
            rules = (by_qlib(5), by_qlib(1), cost_aware(msgspec.to_builtins(chosen[KIND[name]])))
            scores = {"table": str(data("oracles/qlib/scores.parquet")), "column": name}
            runs[name] = {
                rule: replayed(bars, scores, said, (FIRST, last)) for rule, said in zip(RULES, rules, strict=True)
            }
            if name == "ridge" and not args.quick:
                checked(runs[name][RULES[0]].account)
        seen.update(compared(runs))

    with tempfile.TemporaryDirectory() as folder:
        spent["cpu_s"] = round(cpu_seconds(lambda: work(Path(folder))), 1)
    text = tables(seen, chosen)
    print(text)
    if args.save and not args.quick:
        between_marks(ROOT / "docs" / "results.md", {"decision": text})
    ours, rule = seen["mean"][RULES[2]], seen["mean"][RULES[0]]
    value = seen["paired"]["mean"]["mean"]
    met = value >= GOAL and ours["cost"] <= COST_MAX and ours["tracking_error"] <= rule["tracking_error"]
    outcome = Outcome(
        work="cost-aware path less top-k dropout 50/5, from the same scores, net of costs",
        value=value,
        unit="points a year; cost at most 1.2 % a year and tracking error not higher",
        goal=GOAL,
        met=met,
        detail=rounded(seen) | {"settings": msgspec.to_builtins(chosen), **spent, "peak_mb": round(peak_mb())},
    )
    conclude(args, "decision", outcome)


def rounded(value: Any) -> Any:
    """Figures to four digits behind the point, wherever they stand."""
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    return round(value, 4) if isinstance(value, float) else value


if __name__ == "__main__":
    main()
