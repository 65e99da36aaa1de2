"""The built-in components: names in run files and the classes they stand for. Reading it imports nothing."""

import importlib
from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

from engine.errors import ConfigError
from samewire.closest import closest

BUILT_IN: MappingProxyType[str, MappingProxyType[str, str]] = MappingProxyType(
    {
        "feeds": MappingProxyType(
            {
                "parquet": "adapters.files.parquet:ParquetFeed",
                "csv": "adapters.files.csv_folder:CsvFeed",
                "qlib": "adapters.files.qlib_layout:QlibFeed",
                "sample": "adapters.files.sample:SampleFeed",
                "generated_days": "components.rl.generated:GeneratedDays",
                "aggregate": "adapters.operators.aggregate:Aggregate",
            }
        ),
        "features": MappingProxyType(
            {
                "rolling": "components.features.rolling:Rolling",
                "alpha158": "components.features.alpha158:Alpha158",
                "alpha360": "components.features.alpha360:Alpha360",
                "custom": "components.features.custom:Custom",
            }
        ),
        "columns": MappingProxyType({"expression": "components.features.expression:Expression"}),
        "processors": MappingProxyType(
            {
                "robust_zscore": "components.processors.robust_zscore:RobustZscore",
                "zscore": "components.processors.zscore:Zscore",
                "min_max": "components.processors.min_max:MinMax",
                "cs_zscore": "components.processors.cs_zscore:CsZscore",
                "cs_rank": "components.processors.cs_rank:CsRank",
                "fill": "components.processors.fill:Fill",
                "drop": "components.processors.drop:Drop",
                "clip": "components.processors.clip:Clip",
                "tanh": "components.processors.tanh:Tanh",
            }
        ),
        "reweighters": MappingProxyType(
            {
                "decay": "components.training.reweighting:Decay",
                "even_slices": "components.training.reweighting:EvenSlices",
            }
        ),
        "networks": MappingProxyType(
            {
                "alstm": "components.models.networks.alstm:Alstm",
                "gru": "components.models.networks.gru:Gru",
                "lstm": "components.models.networks.lstm:Lstm",
                "mlp": "components.models.networks.mlp:Mlp",
                "transformer": "components.models.networks.transformer:Transformer",
                "tcn": "components.models.networks.tcn:Tcn",
            }
        ),
        "models": MappingProxyType(
            {
                "lightgbm": "components.models.gbdt:Gbdt",
                "double_ensemble": "components.models.double_ensemble:DoubleEnsemble",
                "linear": "components.models.linear:Linear",
                "network": "components.models.neural:Neural",
                "blend": "components.models.blend:Blend",
                "scores": "components.models.scores:Scores",
                "momentum": "components.models.momentum:Momentum",
                "ema_cross": "components.models.ema_cross:EmaCross",
            }
        ),
        # Models that are parts of another one.
        "learners": MappingProxyType(
            {
                "lightgbm": "components.models.gbdt:Gbdt",
                "double_ensemble": "components.models.double_ensemble:DoubleEnsemble",
                "linear": "components.models.linear:Linear",
                "network": "components.models.neural:Neural",
            }
        ),
        "strategies": MappingProxyType(
            {
                "topk_dropout": "components.strategies.topk_dropout:TopkDropout",
                "sign": "components.strategies.sign:Sign",
                "qlib_topk_dropout": "components.strategies.qlib_topk_dropout:QlibTopkDropout",
                "soft_topk": "components.strategies.soft_topk:SoftTopk",
                "long_short": "components.strategies.long_short:LongShort",
                "score_weights": "components.strategies.score_weights:ScoreWeights",
                "fixed_weights": "components.strategies.fixed_weights:FixedWeights",
                "equal_weight": "components.strategies.equal_weight:EqualWeight",
                "blend_signals": "components.strategies.blend_signals:BlendSignals",
                "sleeves": "components.strategies.sleeves:Sleeves",
                "guarded": "components.strategies.guarded:Guarded",
            }
        ),
        # What stands around a strategy.
        "filters": MappingProxyType(
            {
                "tradable": "components.strategies.filters.tradable:Tradable",
                "halted": "components.strategies.filters.halted:Halted",
                "price": "components.strategies.filters.price:Price",
                "adv": "components.strategies.filters.adv:Adv",
                "age": "components.strategies.filters.age:Age",
                "sector": "components.strategies.filters.sector:Sector",
                "limit_locked": "components.strategies.filters.limit_locked:LimitLocked",
                "restricted": "components.strategies.filters.restricted:Restricted",
                "members": "components.strategies.filters.members:Members",
            }
        ),
        "rules": MappingProxyType(
            {
                "stop_loss": "components.strategies.rules.stop_loss:StopLoss",
                "trailing_stop": "components.strategies.rules.trailing_stop:TrailingStop",
                "take_profit": "components.strategies.rules.take_profit:TakeProfit",
                "max_holding": "components.strategies.rules.max_holding:MaxHolding",
                "cool_down": "components.strategies.rules.cool_down:CoolDown",
                "volatility_target": "components.strategies.rules.volatility_target:VolatilityTarget",
                "drawdown_brake": "components.strategies.rules.drawdown_brake:DrawdownBrake",
            }
        ),
        "schedules": MappingProxyType(
            {
                "always": "components.strategies.schedules.always:Always",
                "every": "components.strategies.schedules.every:Every",
                "weekly": "components.strategies.schedules.weekly:Weekly",
                "month_end": "components.strategies.schedules.month_end:MonthEnd",
                "month_start": "components.strategies.schedules.month_start:MonthStart",
                "drift_band": "components.strategies.schedules.drift_band:DriftBand",
            }
        ),
        "optimizers": MappingProxyType(
            {
                "direct": "components.optimizers.direct:Direct",
                "mean_variance": "components.optimizers.mean_variance:MeanVariance",
                "portfolio": "components.optimizers.portfolio:Portfolio",
            }
        ),
        "methods": MappingProxyType(
            {
                "composed": "components.optimizers.methods.composed:Composed",
                "equal_weight": "components.optimizers.methods.equal_weight:EqualWeight",
                "inverse_volatility": "components.optimizers.methods.inverse_volatility:InverseVolatility",
                "minimum_variance": "components.optimizers.methods.minimum_variance:MinimumVariance",
                "max_sharpe": "components.optimizers.methods.max_sharpe:MaxSharpe",
                "risk_parity": "components.optimizers.methods.risk_parity:RiskParity",
                "max_diversification": "components.optimizers.methods.max_diversification:MaxDiversification",
                "hrp": "components.optimizers.methods.hrp:Hrp",
                "mean_cvar": "components.optimizers.methods.mean_cvar:MeanCvar",
                "black_litterman": "components.optimizers.methods.black_litterman:BlackLitterman",
                "multi_period": "components.optimizers.methods.multi_period:MultiPeriod",
            }
        ),
        "terms": MappingProxyType(
            {
                "expected_return": "components.optimizers.terms.expected_return:ExpectedReturn",
                "variance": "components.optimizers.terms.variance:RiskOf",
                "distance": "components.optimizers.terms.distance:Distance",
                "linear_cost": "components.optimizers.terms.linear_cost:LinearCost",
                "half_spread": "components.optimizers.terms.half_spread:HalfSpreadCost",
                "impact": "components.optimizers.terms.impact:ImpactCost",
                "cvar": "components.optimizers.terms.cvar:Shortfall",
                "holding_cost": "components.optimizers.terms.holding_cost:HoldingCost",
            }
        ),
        "constraints": MappingProxyType(
            {
                "long_only": "components.optimizers.constraints.long_only:LongOnly",
                "box": "components.optimizers.constraints.box:WeightBox",
                "benchmark_band": "components.optimizers.constraints.benchmark_band:BenchmarkBand",
                "budget": "components.optimizers.constraints.budget:Budget",
                "gross": "components.optimizers.constraints.gross:Gross",
                "sectors": "components.optimizers.constraints.sectors:Sectors",
                "group": "components.optimizers.constraints.group:Group",
                "exposures": "components.optimizers.constraints.exposures:Exposures",
                "beta": "components.optimizers.constraints.beta:Beta",
                "turnover": "components.optimizers.constraints.turnover:Turnover",
                "max_trade": "components.optimizers.constraints.max_trade:MaxTrade",
                "participation": "components.optimizers.constraints.participation:Participation",
                "risk_limit": "components.optimizers.constraints.risk_limit:RiskLimit",
                "cardinality": "components.optimizers.constraints.cardinality:Cardinality",
                "no_trade_zone": "components.optimizers.constraints.no_trade_zone:NoTradeZone",
                "listed": "components.optimizers.constraints.listed:Listed",
            }
        ),
        "risk_models": MappingProxyType(
            {
                "sample": "components.risk_models.sample:Sample",
                "ewma": "components.risk_models.ewma:Ewma",
                "ledoit_wolf": "components.risk_models.ledoit_wolf:LedoitWolf",
                "oas": "components.risk_models.oas:Oas",
                "poet": "components.risk_models.poet:Poet",
                "pca": "components.risk_models.pca:Pca",
                "factor_analysis": "components.risk_models.factor_analysis:FactorAnalysis",
                "given_factors": "components.risk_models.given_factors:GivenFactors",
            }
        ),
        # How fast the desk works parents; a class with `on_orders` is an execution policy in its own right.
        "execution": MappingProxyType(
            {
                "immediate": "components.execution.immediate:Immediate",
                "twap": "components.execution.twap:Twap",
                "vwap": "components.execution.vwap:Vwap",
                "pov": "components.execution.pov:Pov",
                "almgren_chriss": "components.execution.almgren_chriss:AlmgrenChriss",
                "sbb_ema": "components.execution.sbb_ema:SbbEma",
                "rl": "components.execution.rl:Rl",
            }
        ),
        "gates": MappingProxyType({"limits": "components.gates.limits:Limits"}),
        "brokers": MappingProxyType({"simulated": "components.brokers.simulated:Simulated"}),
        "costs": MappingProxyType(
            {
                "bps": "components.costs.bps:Bps",
                "by_side": "components.costs.by_side:BySide",
                "per_share": "components.costs.per_share:PerShare",
                "tiered": "components.costs.tiered:Tiered",
                "dated": "components.costs.dated:Dated",
                "fixed_slippage": "components.costs.fixed_slippage:FixedSlippage",
                "bps_slippage": "components.costs.bps_slippage:BpsSlippage",
                "volume_share": "components.costs.volume_share:VolumeShare",
                "half_spread": "components.costs.half_spread:HalfSpread",
                "square_root": "components.costs.square_root:SquareRoot",
                "quadratic_impact": "components.costs.quadratic_impact:QuadraticImpact",
                "together": "components.costs.together:Together",
            }
        ),
        "financing": MappingProxyType(
            {
                "borrow_fee": "components.financing.borrow_fee:BorrowFee",
                "margin_interest": "components.financing.margin_interest:MarginInterest",
                "cash_interest": "components.financing.cash_interest:CashInterest",
            }
        ),
        "sinks": MappingProxyType({"session_dir": "adapters.files.session_dir:SessionDir"}),
        "live": MappingProxyType({"kafka": "adapters.kafka.settings:Kafka"}),
        "run_sinks": MappingProxyType({"mlflow": "adapters.tracking.mlflow:Mlflow"}),
    }
)

# What the class of a group must define; one of the names in a tuple is enough.
SHAPES: tuple[tuple[str, tuple[tuple[str, ...], ...]], ...] = (
    ("feeds", (("events",), ("issues",), ("hashes",))),
    ("features", (("on_bars",),)),
    ("processors", (("fit",), ("apply",))),
    ("columns", (("on_rows",),)),
    ("reweighters", (("weights",),)),
    ("learners", (("fit",), ("predict",))),
    ("networks", (("parts",), ("forward",))),
    ("models", (("on_features", "on_bars"),)),
    ("strategies", (("on_signals",),)),
    ("filters", (("passes",),)),
    ("rules", (("exits", "blocks", "scale"),)),
    ("schedules", (("due",),)),
    ("optimizers", (("on_targets",),)),
    ("methods", (("weights",),)),
    ("terms", (("cost",),)),
    ("constraints", (("allows",),)),
    ("risk_models", (("on_bars",), ("risk",))),
    ("execution", (("due", "on_orders"),)),
    ("gates", (("on_orders",),)),
    ("brokers", (("on_orders",), ("on_bars",))),
    ("costs", (("price",), ("fees",), ("rate",))),
    ("financing", (("charges",),)),
    ("sinks", (("write",), ("aclose",))),
    ("live", (("client_options",), ("cut_rules",))),
    ("run_sinks", (("begin",), ("log",), ("end",))),
)

_OWN_MODULES = frozenset(place.partition(":")[0] for names in BUILT_IN.values() for place in names.values())


class UseError(ConfigError):
    """What `use:` names is no component. `hint` is the nearest name, if there is one near."""

    def __init__(self, group: str, got: str, expected: str, hint: str = "") -> None:
        near = f"; did you mean {hint!r}?" if hint else ""
        super().__init__(f"{group}: no component {got}; expected {expected}{near}")
        self.got, self.expected, self.hint = got, expected, hint


def resolve(group: str, use: str, allow: Sequence[str] | None = None) -> type[Any]:
    """The class that `use` names in this group: a built-in name, or `package.module:Class`.

    With `allow`, only built-ins and classes of the modules that it names, or lies in, are imported at all.

    >>> resolve("costs", "bps").__name__
    'Bps'
    >>> resolve("gates", "limit")
    Traceback (most recent call last):
    samewire.registry.UseError: gates: no component limit; expected one of: limits, or package.module:Class; did you
    mean 'limits'?
    """
    names = BUILT_IN[group]
    module, colon, name = names.get(use, use).partition(":")
    if not (colon and module and name):
        raise UseError(group, use, choices(group), closest(use, names))
    _check_allowed(group, use, module, allow)
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ImportError as error:
        raise UseError(group, f"{use}: {error}", "a module that can be imported from here") from error
    except Exception as error:  # a user's module may fail in any way while it is imported
        said = f"{use}: {type(error).__name__} while {module} is imported: {error}"
        raise UseError(group, said, "a module that can be imported") from error
    if not isinstance(found, type):
        own = [key for key, value in vars(importlib.import_module(module)).items() if isinstance(value, type)]
        raise UseError(group, f"{use}: {module} has no class {name!r}", "a class of that module", closest(name, own))
    _check_allowed(group, use, found.__module__, allow)  # a module may hold a class that it imported
    return found


def checked_allow(allow: Sequence[str]) -> tuple[str, ...]:
    """A list of modules as it may be given. Raises ConfigError for what names none.

    >>> checked_allow(["my_package", "other.models"])
    ('my_package', 'other.models')
    """
    for name in allow:
        if not all(part.isidentifier() for part in name.split(".")):
            raise ConfigError(f"allow: {name!r} names no module; say a package or a module, such as my_package.models")
    return tuple(allow)


def _check_allowed(group: str, use: str, module: str, allow: Sequence[str] | None) -> None:
    """Raises UseError for a module that is neither built in nor below one that is allowed."""
    if allow is None or module in _OWN_MODULES or any(f"{module}.".startswith(f"{known}.") for known in allow):
        return
    shown = use if use.startswith(f"{module}:") else f"{use}, a class of {module}"
    known = f"built-in names and classes of {', '.join(allow)}" if allow else "built-in names only"
    raise UseError(
        group, f"{shown}, which is not on the list of allowed modules", f"{known}; extend the list by --allow"
    )


def built_in_model(use: str) -> str:
    """The kind of a built-in model, by its name or its place; empty for a class of the user's own."""
    return next((name for name, place in BUILT_IN["models"].items() if use in (name, place)), "")


def choices(group: str) -> str:
    """What `use` may say in this group.

    >>> choices("gates")
    'one of: limits, or package.module:Class'
    """
    names = BUILT_IN[group]
    return "one of: " + ", ".join([*names, "or package.module:Class"]) if names else "package.module:Class"
