"""Every component of the registry is run over other futures and after other warm-ups; a new one fails until it is."""

import asyncio
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adapters.files.sample import SampleFeed
from components.models.artefact import write_artefact
from components.rl.acting import Categorical
from components.rl.observing import Compact
from components.rl.trainer_options import Mlp
from engine.event_columns import PLANS
from engine.events import MINUTE_NS, Bars
from samewire.altered import all_places
from samewire.lookahead import Verdict, look_ahead
from samewire.prepare import prepare
from samewire.registry import BUILT_IN
from samewire.run_file import RunFile
from samewire.schema import load_run
from samewire.warmups import Warmups, warm_ups
from tests.adapters.files.made import CLOSE, by_symbol, market_rows, parquet, qlib
from tests.components.rl.agents import card_of, drawn

SAMPLE = {"use": "sample", "symbols": 8, "years": 2}
COSTS: list[dict[str, Any]] = [
    {"use": "bps", "commission_bps": 1},
    {"use": "by_side", "sell_bps": 2},
    {"use": "per_share", "rate": 0.001},
    {"use": "tiered"},
    {"use": "dated", "rates": [{"since": "2017-01-01", "bps_sell": 1}, {"since": "2018-06-01", "bps_sell": 2}]},
    {"use": "fixed_slippage", "amount": 0.01},
    {"use": "bps_slippage", "bps": 1},
    {"use": "volume_share"},
    {"use": "half_spread", "bps": 1},
    {"use": "square_root", "fallback_bps": 1},
    {"use": "quadratic_impact", "impact": 0.01},
]
FINANCING = [{"use": "borrow_fee", "annual_bps": 50}, {"use": "margin_interest", "annual_bps": 500}]


def a_run(**parts: Any) -> dict[str, Any]:
    plain = {
        "schema": 1,
        "session": {"name": "every", "cash": 1_000_000},
        "feed": SAMPLE,
        "models": [{"name": "trend", "use": "momentum", "window": 5}],
        "strategy": {"use": "sign", "signal": "trend"},
        "optimizer": "direct",
        "risk": {"use": "limits", "max_weight": 0.6, "max_gross": 2.0},
        "broker": {"use": "simulated", "fill": "next_open", "costs": {"commission_bps": 5}},
    }
    return plain | parts


def learned(folder: Path) -> dict[str, Any]:
    """Features, trees, top-k and mean-variance, with every cost model at once."""
    gbdt = {"name": "gbdt", "use": "lightgbm", "features": "rolling", "num_boost_round": 5, "min_data_in_leaf": 20}
    return a_run(
        session={"name": "every", "cash": 1_000_000, "start": "2019-01-02"},
        features=[{"use": "rolling", "windows": [5, 10]}],
        models=[
            gbdt | {"train": {"until": "2018-12-31"}, "reweighter": {"use": "decay", "half_life": 100}},
            {"name": "plane", "use": "linear", "features": "rolling", "train": {"until": "2018-12-31"}},
        ],
        strategy=[
            {"name": "a", "use": "topk_dropout", "topk": 3, "n_drop": 1, "signal": "gbdt"},
            {"name": "b", "use": "topk_dropout", "topk": 3, "n_drop": 1, "signal": "plane"},
        ],
        optimizer={"use": "mean_variance", "risk_model": {"use": "ledoit_wolf", "window": 30, "min_slices": 10}},
        broker={"use": "simulated", "fill": "next_open", "costs": COSTS},
    )


def neural(folder: Path) -> dict[str, Any]:
    """Every network, tiny and hardly trained."""
    nets: dict[str, dict[str, Any]] = {
        "alstm": {"hidden": 4, "layers": 1},
        "gru": {"hidden": 4, "layers": 1},
        "lstm": {"hidden": 4, "layers": 1},
        "mlp": {"hidden": [4]},
        "transformer": {"hidden": 4, "layers": 1},
        "tcn": {"hidden": 4, "layers": 2},
    }
    learning = {"features": "rolling", "steps": 3, "epochs": 1, "train": {"until": "2018-06-29"}}
    models = [{"name": name, "use": "network", "net": {"use": name} | net} | learning for name, net in nets.items()]
    return a_run(
        session={"name": "every", "cash": 1_000_000, "start": "2018-07-02"},
        features=[{"use": "rolling", "windows": [5]}],
        models=models,
        strategy=[{"name": f"s_{name}", "use": "sign", "signal": name} for name in nets],
    )


def featured(folder: Path) -> dict[str, Any]:
    """Each other feature set with a small model that reads it behind processors."""
    sets: list[dict[str, Any]] = [
        {"use": "alpha158", "windows": [3, 6], "vwap": "typical"},
        {"use": "alpha360", "lags": 4, "vwap": "typical"},
        {
            "use": "custom",
            "columns": [
                {"column": "rise", "expr": "close / lag(close, 5) - 1"},
                {"use": "tests.components.features.own_columns:Tilt", "days": 6},
            ],
        },
    ]
    tree = {"use": "lightgbm", "num_boost_round": 2, "min_data_in_leaf": 50, "train": {"until": "2018-12-31"}}
    stages = (
        [{"use": "drop", "max_missing": 0.5}, "robust_zscore", {"use": "fill", "by": "median"}, "tanh"],
        ["zscore", "clip", "cs_rank", "cs_zscore", "min_max"],
        [],
    )
    models = [
        tree | {"name": f"of_{each['use']}", "features": each["use"], "processors": stage}
        for each, stage in zip(sets, stages, strict=True)
    ]
    return a_run(
        session={"name": "every", "cash": 1_000_000, "start": "2019-01-02"},
        features=sets,
        models=models,
        strategy={"use": "topk_dropout", "topk": 3, "n_drop": 1, "signal": "of_alpha158"},
    )


def blended(folder: Path) -> dict[str, Any]:
    """Models within a model, and every way to weigh rows."""
    trees = {"num_boost_round": 4, "min_data_in_leaf": 20}
    models = [
        {"use": "lightgbm", **trees, "reweighter": "even_slices"},
        {"use": "double_ensemble", **trees, "num_models": 2},
        {"use": "linear", "estimator": "ols"},
        {"use": "network", "net": {"use": "mlp", "hidden": [4]}, "steps": 2, "epochs": 1},
    ]
    learn = {"features": "rolling", "train": {"until": "2018-12-31"}}
    return a_run(
        session={"name": "every", "cash": 1_000_000, "start": "2019-01-02"},
        features=[{"use": "rolling", "windows": [5, 10]}],
        models=[
            {"name": "blend", "use": "blend", "weigh": "ic", "folds": 2, "models": models, **learn},
            {"name": "double", "use": "double_ensemble", **trees, "num_models": 2, **learn},
        ],
        strategy=[
            {"name": "a", "use": "topk_dropout", "topk": 3, "n_drop": 1, "signal": "blend"},
            {"name": "b", "use": "topk_dropout", "topk": 3, "n_drop": 1, "signal": "double"},
        ],
    )


def ruled(folder: Path) -> dict[str, Any]:
    """Models that learn nothing, long and short on margin, financed."""
    feed = SampleFeed(symbols=8, years=2)
    slices = [event.ts for event in feed.events() if isinstance(event, Bars)][::15]
    rows = [
        f"{np.datetime64(ts, 'ns')}Z,{symbol},{(ts // 10**9 * (k + 3)) % 17}"
        for ts in slices
        for k, symbol in enumerate(feed.universe.symbols)
    ]
    (folder / "scores.csv").write_text("\n".join(["ts,symbol,score", *rows]) + "\n")
    return a_run(
        models=[
            {"name": "trend", "use": "momentum", "window": 5},
            {"name": "cross", "use": "ema_cross", "fast": 2, "slow": 6},
            {"name": "mine", "use": "scores", "table": str(folder / "scores.csv"), "stale": 20},
        ],
        strategy=[
            {"name": "a", "use": "sign", "signal": "trend", "short": True},
            {"name": "b", "use": "topk_dropout", "topk": 2, "n_drop": 1, "signal": "mine"},
            {"name": "c", "use": "sign", "signal": "cross"},
        ],
        broker={
            "use": "simulated",
            "fill": "next_open",
            "short": True,
            "leverage": 2,
            "costs": {"commission_bps": 5},
            "financing": [*FINANCING, {"use": "cash_interest", "annual_bps": 100}],
        },
    )


def allocated(folder: Path) -> dict[str, Any]:
    """Strategies that think in weights, in sleeves of capital; signals blended for one of them; weights of a table."""
    feed = SampleFeed(symbols=8, years=2)
    slices = [event.ts for event in feed.events() if isinstance(event, Bars)][::20]
    rows = [
        f"{np.datetime64(ts, 'ns')}Z,{symbol},{(ts // 10**9 + k) % 3 / 8}"
        for ts in slices
        for k, symbol in enumerate(feed.universe.symbols[:4])
    ]
    (folder / "weights.csv").write_text("\n".join(["ts,symbol,weight", *rows]) + "\n")
    parts: list[dict[str, Any]] = [
        {"use": "soft_topk", "topk": 3, "impact_limit": 0.1, "signal": "trend"},
        {"use": "long_short", "count": 2, "weights": "inverse_vol", "window": 8, "signal": "trend"},
        {"use": "score_weights", "method": "zscore", "side": "neutral", "signal": "fast", "rebalance": "changes"},
        {"use": "fixed_weights", "table": str(folder / "weights.csv"), "missing": "renormalise"},
        {"use": "equal_weight", "scored_by": "fast", "leavers": "close"},
        {"use": "qlib_topk_dropout", "topk": 3, "n_drop": 1, "method_sell": "random", "signal": "trend"},
        {"use": "blend_signals", "strategy": {"use": "topk_dropout", "topk": 2, "n_drop": 1}, "weights": {"fast": 0.5}},
    ]
    return a_run(
        models=[
            {"name": "trend", "use": "momentum", "window": 5},
            {"name": "fast", "use": "ema_cross", "fast": 2, "slow": 6},
        ],
        strategy={"use": "sleeves", "strategies": parts, "rebalance_every": 25},
        broker={
            "use": "simulated",
            "fill": "next_open",
            "short": True,
            "leverage": 2,
            "costs": {"commission_bps": 5},
            "financing": FINANCING,
        },
    )


def estimated(use: str, **options: Any) -> Callable[[Path], dict[str, Any]]:
    """Mean-variance weights by one risk model."""

    def made(folder: Path) -> dict[str, Any]:
        risk_model = {"use": use, "window": 20, "min_slices": 10, **options}
        return a_run(optimizer={"use": "mean_variance", "risk_model": risk_model, "max_weight": 0.4})

    made.__name__ = use
    return made


def given_factors(folder: Path) -> dict[str, Any]:
    """Exposures that change every fifth day, beside the bars."""
    days = sorted({row[0] for row in ROWS})
    names = sorted({row[1] for row in ROWS})
    rows = [
        f"{day},{name},1,{(7 * k + 3 * j) % 5 - 2}" for k, day in enumerate(days[::5]) for j, name in enumerate(names)
    ]
    (folder / "exposures.csv").write_text("\n".join(["date,symbol,market,style", *rows]))
    run = estimated("given_factors")(folder)
    reference = {"exposures": str(folder / "exposures.csv")}
    return run | {"feed": of_csv(folder)["feed"] | {"reference": reference}}


def around(folder: Path) -> dict[str, Any]:
    """Every filter, rule and schedule, each schedule around a strategy of its own."""
    feed = SampleFeed(symbols=8, years=2)
    slices = [event.ts for event in feed.events() if isinstance(event, Bars)][::20]
    rows = [
        f"{np.datetime64(ts, 'ns')}Z,{symbol},{int((ts // 10**9 // 86400 + k) % 3 > 0)}"
        for ts in slices
        for k, symbol in enumerate(feed.universe.symbols)
    ]
    (folder / "index.csv").write_text("\n".join(["ts,symbol,member", *rows]) + "\n")
    filters: list[Any] = [
        *("tradable", {"use": "halted", "exit": "sell"}, {"use": "price", "minimum": 2}, {"use": "age", "slices": 10}),
        *({"use": "adv", "minimum": 1e5, "window": 10}, {"use": "sector", "deny": ["Energy"]}, "limit_locked"),
        {"use": "restricted", "symbols": [feed.universe.symbols[1]]},
        {"use": "members", "table": str(folder / "index.csv"), "exit": "sell"},
    ]
    rules: list[Any] = [
        *(
            {"use": "stop_loss", "loss": 0.05},
            {"use": "trailing_stop", "drop": 0.04},
            {"use": "take_profit", "gain": 0.1},
        ),
        *({"use": "max_holding", "slices": 15}, {"use": "cool_down", "slices": 3, "after": "any"}),
        {
            "use": "volatility_target",
            "target": 0.1,
            "risk_model": {"use": "ledoit_wolf", "window": 30, "min_slices": 10},
        },
        {"use": "drawdown_brake", "start": 0.01, "full": 0.2, "floor": 0.3},
    ]
    sign = {"use": "sign", "signal": "trend", "gross": 0.2}
    return a_run(
        strategy=[
            {"name": "a", "use": "topk_dropout", "topk": 3, "n_drop": 1, "signal": "trend", "filters": filters},
            sign | {"name": "b", "rules": rules, "schedule": "weekly"},
            sign | {"name": "c", "schedule": "month_end", "filters": ["halted"]},
            sign | {"name": "d", "schedule": {"use": "month_start", "session": 2}},
            sign | {"name": "e", "schedule": {"use": "every", "slices": 4}, "rules": rules[:2]},
            sign | {"name": "f", "schedule": {"use": "drift_band", "single": 0.02, "every": 9}},
            sign | {"name": "g", "schedule": "always"},
        ],
    )


def composed(folder: Path) -> dict[str, Any]:
    """Every term and constraint in one problem, with the matrices that they read."""
    days = sorted({row[0] for row in ROWS})
    names = sorted({row[1] for row in ROWS})
    written = {
        "exposures": ("style,size", lambda k: f"{k % 3 - 1},{k % 2}"),
        "benchmark": ("weight", lambda k: f"{1 / len(names)!r}"),
        "borrow": ("rate", lambda k: f"{0.01 * (k + 1)}"),
        "beta": ("beta", lambda k: f"{0.8 + 0.1 * k}"),
    }
    reference = {}
    for name, (columns, values) in written.items():
        rows = [f"{days[0]},{symbol},{values(k)}" for k, symbol in enumerate(names)]
        (folder / f"{name}.csv").write_text("\n".join([f"date,symbol,{columns}", *rows]))
        reference[name] = str(folder / f"{name}.csv")
    sectors = "\n".join(["symbol,sector", *(f"{symbol},{'AB'[k % 2]}" for k, symbol in enumerate(names))])
    (folder / "sectors.csv").write_text(sectors)
    method = {
        "use": "composed",
        "objective": [
            {"use": "expected_return", "ic": 0.1, "smooth": 2, "half_life": 10},
            *({"use": "variance", "aversion": 10, "about": "benchmark"}, {"use": "distance", "weight": 1e-4}),
            *("linear_cost", {"use": "half_spread", "bps": 2}, {"use": "impact", "coefficient": 0.1}),
            {"use": "holding_cost", "short_bps": 50, "reference": "borrow"},
        ],
        "constraints": [
            *("long_only", {"use": "budget", "full": True}, {"use": "box", "max": 0.7}, {"use": "gross", "max": 1.5}),
            *({"use": "benchmark_band", "deviation": 0.6}, {"use": "sectors", "deviation": 0.5, "soft": 0.001}),
            {"use": "group", "label": "duo", "symbols": names[:2], "max": 0.9, "soft": 0.01},
            {"use": "exposures", "min": -1, "max": 1, "soft": 0.01},
            {"use": "beta", "min": 0, "max": 2, "reference": "beta"},
            *({"use": "turnover", "max": 0.8, "soft": 0.01}, {"use": "max_trade", "max": 0.5, "soft": 0.01}),
            *({"use": "participation", "share": 0.5}, {"use": "listed", "symbols": names[:1], "rule": "no_buy"}),
        ],
    }
    optimizer = {
        "use": "portfolio",
        "risk_model": {"use": "ledoit_wolf", "window": 20, "min_slices": 10},
        "benchmark": "reference",
        "method": method,
    }
    feed = of_csv(folder)["feed"] | {"reference": reference, "sectors": str(folder / "sectors.csv")}
    return a_run(feed=feed, optimizer=optimizer)


def counted(folder: Path) -> dict[str, Any]:
    """Constraints that need a search, or a cone."""
    limits = ["long_only", "budget", {"use": "cardinality", "most": 2}, {"use": "no_trade_zone", "width": 0.05}]
    method = {
        "use": "composed",
        "objective": [{"use": "variance", "aversion": 10}],
        "constraints": [*limits, {"use": "risk_limit", "max": 0.3, "about": "zero"}],
    }
    model = {"use": "ledoit_wolf", "window": 20, "min_slices": 10}
    return of_csv(folder) | {"optimizer": {"use": "portfolio", "risk_model": model, "method": method}}


def tailed(folder: Path) -> dict[str, Any]:
    """Expected shortfall instead of a risk model."""
    tail = {"use": "cvar", "window": 40, "min_slices": 20, "level": 0.9}
    method = {"use": "composed", "objective": [tail], "constraints": ["long_only", {"use": "budget", "full": True}]}
    return of_csv(folder) | {"optimizer": {"use": "portfolio", "method": method}}


def weighed(use: str, **options: Any) -> Callable[[Path], dict[str, Any]]:
    """Weights by one of the other methods: the best of a few names."""

    def made(folder: Path) -> dict[str, Any]:
        method = {"use": use, "max_weight": 0.6} | options
        model = {"use": "ledoit_wolf", "window": 20, "min_slices": 10}
        return a_run(
            feed=SAMPLE | {"years": 1},
            strategy={"use": "topk_dropout", "topk": 4, "n_drop": 1, "signal": "trend"},
            optimizer={"use": "portfolio", "risk_model": model, "benchmark": "equal", "method": method},
        )

    made.__name__ = use
    return made


def executed(use: str, **options: Any) -> Callable[[Path], dict[str, Any]]:
    """Orders of every second week, worked over days by one policy."""

    def made(folder: Path) -> dict[str, Any]:
        strategy = {"use": "sign", "signal": "trend", "schedule": {"use": "every", "slices": 10}}
        execution = {"use": use, "horizon": 4, "span_days": True} | options
        return a_run(feed=SAMPLE | {"years": 1}, strategy=strategy, execution=execution)

    made.__name__ = use
    return made


def by_agent(folder: Path) -> dict[str, Any]:
    """The same by an agent, on days that are like those it is for."""
    card = card_of(Compact(), Categorical(4), Mlp((8,)), interval_ns=39 * MINUTE_NS, bars=10)
    write_artefact(drawn(card), folder / "agent")
    strategy = {"use": "sign", "signal": "trend", "schedule": {"use": "every", "slices": 10}}
    execution = {"use": "rl", "artefact": str(folder / "agent"), "horizon": 7}
    feed = {"use": "generated_days", "days": 60, "symbols": 3}
    return a_run(feed=feed, strategy=strategy, execution=execution)


def longer(folder: Path) -> dict[str, Any]:
    model = {"name": "trend", "use": "momentum", "window": 3, "interval": "1w"}
    return a_run(feed={"use": "aggregate", "of": SAMPLE, "to": ["1w"]}, models=[model])


ROWS = market_rows(120)


def of_parquet(folder: Path) -> dict[str, Any]:
    return a_run(feed={"use": "parquet", "path": str(parquet(folder / "a.parquet", by_symbol(ROWS))), "close": CLOSE})


def of_csv(folder: Path) -> dict[str, Any]:
    lines = [",".join(map(str, row)) for row in ROWS]
    (folder / "a.csv").write_text("\n".join(["date,symbol,open,high,low,close,volume", *lines]))
    return a_run(feed={"use": "csv", "path": str(folder / "a.csv"), "close": CLOSE})


def of_qlib(folder: Path) -> dict[str, Any]:
    feed = {"use": "qlib", "path": str(qlib(folder / "q", ROWS)), "close": CLOSE, "currency": "USD"}
    return a_run(feed=feed)


def generated(folder: Path) -> dict[str, Any]:
    return a_run(feed={"use": "generated_days", "days": 60, "symbols": 3})


# A new component is tried once it stands in one of these.
RUNS: tuple[Callable[[Path], dict[str, Any]], ...] = (
    *(learned, neural, featured, blended, ruled, allocated, around, composed, counted, tailed, longer),
    *(of_parquet, of_csv, of_qlib, generated),
    estimated("sample", lags=1),
    estimated("ewma", half_life=5, correlation_half_life=10),
    estimated("oas"),
    estimated("poet", factors=1, refit_every=5),
    estimated("pca", factors=2, refit_every=5),
    estimated("factor_analysis", factors=1, refit_every=5),
    given_factors,
    *(weighed(use) for use in ("equal_weight", "inverse_volatility", "minimum_variance", "risk_parity", "hrp")),
    weighed("max_diversification"),
    weighed("max_sharpe", alpha="grinold"),
    weighed("mean_cvar", window=20, min_slices=10),
    weighed("black_litterman", alpha="grinold", views=[{"weights": {"CO01": 1}, "expected": 0.001}]),
    weighed("multi_period", horizon=2, impact=0.1, constraints=[{"use": "turnover", "max": 0.4}]),
    *(executed(use) for use in ("immediate", "twap", "almgren_chriss")),
    by_agent,
    *(executed("vwap", days=2), executed("pov", rate=0.01), executed("sbb_ema", fast=2, slow=4)),
)
# Sinks are told what was decided or trained, and a replay is connected to nothing: neither check builds these.
BESIDE = ("sinks", "run_sinks", "live")
COMPONENTS = [(group, name) for group, names in BUILT_IN.items() for name in names if group not in BESIDE]


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], tuple[RunFile, Verdict, Warmups]]:
    """The run that has a component, and what both checks say of it."""

    @cache
    def loaded(k: int) -> RunFile:
        return load_run(RUNS[k](tmp_path_factory.mktemp("every")))

    @cache
    def checked(k: int) -> tuple[RunFile, Verdict, Warmups]:
        run = loaded(k)
        return run, asyncio.run(look_ahead(run, cuts=2, slices=80)), asyncio.run(warm_ups(run, slices=10))

    def having(group: str, name: str) -> tuple[RunFile, Verdict, Warmups]:
        for k in range(len(RUNS)):
            if any((part.group, part.use) == (group, name) for part in all_places(loaded(k)).values()):
                return checked(k)
        raise AssertionError(f"no run of this file has {name} of {group}: add it to one")

    return having


@pytest.mark.parametrize(("group", "name"), COMPONENTS)
def test_it_knows_nothing_of_the_future(
    group: str, name: str, tried: Callable[[str, str], tuple[RunFile, Verdict, Warmups]]
) -> None:
    _, verdict, _ = tried(group, name)
    assert verdict.findings == ()
    assert (len(verdict.cuts), verdict.events > 500) == (2, True)


@pytest.mark.parametrize(("group", "name"), COMPONENTS)
def test_it_remembers_no_more_than_it_declares(
    group: str, name: str, tried: Callable[[str, str], tuple[RunFile, Verdict, Warmups]]
) -> None:
    _, _, warmups = tried(group, name)
    assert warmups.too_short == ()
    assert any(drift.max > 0 for outcome in warmups.outcomes for row in outcome.by_length.values() for drift in row)


@pytest.mark.parametrize("made", RUNS, ids=lambda made: made.__name__)
async def test_nobody_writes_into_what_was_said(made: Callable[[Path], dict[str, Any]], tmp_path: Path) -> None:
    """A journal may be written a while later, so arrays of events must stay what they were."""
    kept: list[tuple[Any, list[bytes]]] = []

    class Copies:
        def append(self, origins: Sequence[str], events: Sequence[Any], /) -> None:
            for event in events:
                arrays = PLANS[event.__class__].arrays(event)
                kept.append((event, [array.tobytes() for array in arrays]))

    prepared = prepare(load_run(made(tmp_path)), recorders=[Copies()])
    await prepared.run()
    assert len(kept) > 500
    for event, copies in kept:
        arrays = PLANS[event.__class__].arrays(event)
        assert [array.tobytes() for array in arrays] == copies, f"{type(event).__name__} at {event.ts}"


def test_a_component_that_no_run_has_fails_by_name(
    tried: Callable[[str, str], tuple[RunFile, Verdict, Warmups]],
) -> None:
    with pytest.raises(AssertionError, match="no run of this file has teleport of costs: add it to one"):
        tried("costs", "teleport")
