"""What every strategy keeps: one list of strategies, one battery."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from components.costs.by_side import BySide
from components.risk_models.ledoit_wolf import LedoitWolf
from components.strategies.blend_signals import BlendSignals
from components.strategies.equal_weight import EqualWeight
from components.strategies.filters.adv import Adv
from components.strategies.filters.age import Age
from components.strategies.filters.halted import Halted
from components.strategies.filters.limit_locked import LimitLocked
from components.strategies.filters.members import Members
from components.strategies.filters.price import Price
from components.strategies.filters.restricted import Restricted
from components.strategies.filters.tradable import Tradable
from components.strategies.fixed_weights import FixedWeights
from components.strategies.guarded import Guarded
from components.strategies.long_short import LongShort
from components.strategies.qlib_topk_dropout import QlibTopkDropout
from components.strategies.rules.cool_down import CoolDown
from components.strategies.rules.drawdown_brake import DrawdownBrake
from components.strategies.rules.max_holding import MaxHolding
from components.strategies.rules.stop_loss import StopLoss
from components.strategies.rules.take_profit import TakeProfit
from components.strategies.rules.trailing_stop import TrailingStop
from components.strategies.rules.volatility_target import VolatilityTarget
from components.strategies.schedules.drift_band import DriftBand
from components.strategies.schedules.every import Every
from components.strategies.score_weights import ScoreWeights
from components.strategies.sign import Sign
from components.strategies.sleeves import Sleeves
from components.strategies.soft_topk import SoftTopk
from components.strategies.topk_dropout import TopkDropout
from engine.events import Target
from engine.universe import Universe
from tests.conformance.streams import SLICES, N, arrays, grown_after, moved, refuses_moved, same, session, universe
from tests.make import signal

CASES: dict[str, Callable[[Universe], Any]] = {
    "topk_dropout": lambda u: TopkDropout(topk=3, n_drop=1, universe=u, name="s"),
    "topk_dropout_held": lambda u: TopkDropout(topk=2, n_drop=2, universe=u, name="s", hold_thresh=3),
    "sign": lambda u: Sign(universe=u, name="s"),
    "sign_short": lambda u: Sign(universe=u, name="s", short=True, gross=0.8),
    "qlib_topk_dropout": lambda u: of_qlib(u, hold_thresh=2, only_tradable=True, price_limit=0.03),
    "soft_topk": lambda u: SoftTopk(topk=2, impact_limit=0.1, universe=u, name="s"),
    "long_short": lambda u: LongShort(quantile=0.3, universe=u, name="s", weights="score", max_weight=0.4),
    "long_short_by_volatility": lambda u: LongShort(count=2, universe=u, name="s", weights="inverse_vol", window=4),
    "score_weights": lambda u: ScoreWeights(universe=u, name="s", method="softmax", max_weight=0.5),
    "score_weights_neutral": lambda u: ScoreWeights(
        universe=u, name="s", method="zscore", side="neutral", vol_scaled=True, window=4, leavers="close"
    ),
    "equal_weight": lambda u: EqualWeight(universe=u, name="s", scored_by="model", leavers="close"),
    "fixed_weights": lambda u: FixedWeights(
        universe=u, name="s", weights={"S0": 0.5}, missing="renormalise", rebalance="changes"
    ),
    "blend_signals": lambda u: BlendSignals(strategy=LongShort(count=1, universe=u, name="i"), universe=u, name="s"),
    "sleeves": lambda u: Sleeves(
        strategies=(
            SoftTopk(topk=2, universe=u, name="a", impact_limit=0.3),
            LongShort(count=1, universe=u, name="b"),
        ),
        universe=u,
        name="s",
        shares=(2.0, 1.0),
        rebalance_every=5,
    ),
    "guarded_by_nothing": lambda u: guarded(u, TopkDropout(topk=3, n_drop=1, universe=u, name="s")),
    "guarded_by_filters": lambda u: guarded(
        u,
        TopkDropout(topk=3, n_drop=1, universe=u, name="s"),
        filters=(Tradable(), Price(minimum=30), Adv(minimum=5e6, window=4, universe=u), Age(slices=3, universe=u)),
    ),
    "guarded_by_limits": lambda u: guarded(
        u,
        Sign(universe=u, name="s", short=True),
        filters=(LimitLocked(universe=u, limit=0.01), Halted(), Members(universe=u)),
    ),
    "guarded_by_rules": lambda u: guarded(
        u,
        TopkDropout(topk=3, n_drop=1, universe=u, name="s"),
        rules=(
            *(StopLoss(loss=0.05), TakeProfit(gain=0.1), TrailingStop(drop=0.03, after=0.01), MaxHolding(slices=2)),
            CoolDown(slices=3, universe=u, after="any"),
            VolatilityTarget(target=0.1, risk_model=LedoitWolf(universe=u, window=8, min_slices=4)),
            DrawdownBrake(start=0.0, full=0.5, floor=0.5),
        ),
    ),
    "guarded_by_drift": lambda u: guarded(
        u, Sign(universe=u, name="s"), schedule=DriftBand(single=0.01), rules=(CoolDown(slices=1, universe=u),)
    ),
    "guarded_every_other": lambda u: guarded(
        u,
        guarded(
            u,
            TopkDropout(topk=3, n_drop=1, universe=u, name="inner"),
            filters=(Restricted(symbols=("S0",), universe=u),),
        ),
        schedule=Every(slices=2),
        filters=(Tradable(),),
    ),
}


def of_qlib(u: Universe, **options: Any) -> QlibTopkDropout:
    chance = np.random.default_rng(0)
    return QlibTopkDropout(topk=2, n_drop=1, universe=u, costs=BySide(), chance=chance, name="s", **options)


def guarded(u: Universe, strategy: Any, **guards: Any) -> Guarded:
    return Guarded(strategy=strategy, universe=u, name="s", **guards)


pytestmark = pytest.mark.parametrize("make", CASES.values(), ids=CASES.keys())
Make = Callable[[Universe], Any]


def step(strategy: Any, row: Any) -> Target | None:
    bars, scores, book = row
    strategy.on_bars(bars)
    answer: Target | None = strategy.on_signals((scores,), book)
    return answer


def test_a_target_has_the_shape_and_ts_of_its_slice(make: Make) -> None:
    strategy = make(universe())
    for row in session():
        target = step(strategy, row)
        if target is not None:
            assert target.ts == row[0].ts
            assert target.source == "s"
            for column in (target.value, target.alpha, target.limit, target.stop):
                assert column.shape == (N,)
                assert column.dtype == np.float64


def test_it_decides_something_in_a_session(make: Make) -> None:
    strategy = make(universe())
    assert sum(step(strategy, row) is not None for row in session()) > SLICES // 2


def test_inputs_are_not_changed(make: Make) -> None:
    strategy = make(universe())
    for row in session():
        before = [arrays(event) for event in row]
        step(strategy, row)
        assert same(before, [arrays(event) for event in row])


def test_rule_17_no_nan_becomes_a_position(make: Make) -> None:
    strategy = make(universe())
    for bars, _, book in session():
        target = step(strategy, (bars, signal(bars.ts, [np.nan] * N), book))
        if isinstance(strategy, FixedWeights):  # reads no score: it says what it says
            assert target is not None
            assert np.isfinite(target.value).all()
        else:
            assert target is None or np.array_equal(target.value, book.qty)


def test_rule_14_warm_up_gives_no_target(make: Make) -> None:
    strategy = make(universe())
    bars, _, book = session()[0]
    assert isinstance(strategy, FixedWeights) or step(strategy, (bars, signal(bars.ts, [np.nan] * N), book)) is None


def test_state_saved_and_loaded_at_every_point_decides_the_same(make: Make) -> None:
    rows = session()
    straight = make(universe())
    expected = [step(straight, row) for row in rows]
    broken = make(universe())
    for row, answer in zip(rows, expected, strict=True):
        fresh = make(universe())
        fresh.load(broken.save())
        assert fresh.save() == broken.save()
        broken = fresh
        assert same(step(broken, row), answer)


def test_two_fresh_copies_agree(make: Make) -> None:
    one, two = make(universe()), make(universe())
    assert all(same(step(one, row), step(two, row)) for row in session())


@pytest.mark.parametrize("cut", [0, 1, 9, 20])
def test_state_goes_on_in_a_universe_with_names_appended(make: Make, cut: int) -> None:
    longer, always = grown_after(make, lambda one, _, row: step(one, row), session(), cut)
    assert same(longer, always)


def test_state_of_a_symbol_that_is_gone_or_moved_is_refused(make: Make) -> None:
    refuses_moved(make)


@pytest.mark.parametrize("cut", [1, 7, 20])
def test_prefix_property(make: Make, cut: int) -> None:
    one, two = make(universe()), make(universe())
    changed = session()[:cut] + session(seed=99)[cut:]
    before = [step(one, row) for row in session()][:cut]
    assert same(before, [step(two, row) for row in changed][:cut])


def test_permuting_symbols_permutes_the_target(make: Make) -> None:
    order = np.random.default_rng(5).permutation(N)
    one, two = make(universe()), make(universe(order=order))
    for row in session():
        first, second = step(one, row), step(two, tuple(moved(event, order) for event in row))
        assert (first is None) == (second is None)
        if first is not None and second is not None:
            np.testing.assert_allclose(second.value, first.value[order], rtol=1e-12)
