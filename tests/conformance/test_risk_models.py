"""What every risk model keeps: one list of risk models, one battery."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from components.risk_models.ewma import Ewma
from components.risk_models.factor_analysis import FactorAnalysis
from components.risk_models.given_factors import GivenFactors
from components.risk_models.ledoit_wolf import LedoitWolf
from components.risk_models.oas import Oas
from components.risk_models.pca import Pca
from components.risk_models.poet import Poet
from components.risk_models.sample import Sample
from engine.events import ActionKind, Actions, Reference
from engine.universe import Universe
from tests.conformance.streams import N, arrays, grown_after, moved, refuses_moved, same, session, universe


def given_factors(u: Universe, **options: Any) -> GivenFactors:
    """With exposures of the symbols by name; those of one are unknown, and so are those of symbols appended."""
    rng = np.random.default_rng(11)
    by_name = {f"S{i}": rng.normal(size=2) for i in range(N)} | {"S3": np.full(2, np.nan)}
    value = np.array([by_name.get(name, np.full(2, np.nan)) for name in u.symbols])
    made = GivenFactors(universe=u, window=12, min_slices=5, **options)
    made.on_reference(Reference(ts=0, name="exposures", rows="symbol", value=value, columns=("a", "b")))
    return made


FITTED = {"window": 12, "min_slices": 5, "refit_every": 4}
CASES: dict[str, Callable[[Universe], Any]] = {
    "sample": lambda u: Sample(universe=u, window=12, min_slices=5),
    "sample_lags": lambda u: Sample(universe=u, window=12, min_slices=5, lags=2, demean=False),
    "ewma": lambda u: Ewma(universe=u, window=12, min_slices=5, half_life=4),
    "ewma_two": lambda u: Ewma(universe=u, window=12, min_slices=5, half_life=3, correlation_half_life=9, lags=1),
    "ledoit_wolf": lambda u: LedoitWolf(universe=u, window=12, min_slices=5),
    "ledoit_wolf_long": lambda u: LedoitWolf(universe=u, window=100, min_slices=3),
    "ledoit_wolf_correlation": lambda u: LedoitWolf(universe=u, window=12, min_slices=5, target="constant_correlation"),
    "ledoit_wolf_factor": lambda u: LedoitWolf(universe=u, window=12, min_slices=5, target="single_factor"),
    "oas": lambda u: Oas(universe=u, window=12, min_slices=5),
    "pca": lambda u: Pca(universe=u, factors=2, **FITTED),
    "pca_weighed": lambda u: Pca(
        universe=u,
        factors=2,
        **FITTED,
        factor_half_life=5,
        factor_correlation_half_life=8,
        specific_half_life=3,
        lags=1,
    ),
    "poet": lambda u: Poet(universe=u, factors=2, threshold=0.3, **FITTED),
    "poet_alone": lambda u: Poet(universe=u, factors=0, threshold=0.2, rule="hard", **FITTED),
    "factor_analysis": lambda u: FactorAnalysis(universe=u, factors=2, **FITTED),
    "given_factors": given_factors,
    "given_factors_weighed": lambda u: given_factors(
        u, factor_half_life=5, factor_correlation_half_life=8, specific_half_life=3, lags=2
    ),
}
pytestmark = pytest.mark.parametrize("make", CASES.values(), ids=CASES.keys())
Make = Callable[[Universe], Any]
SPLIT = Actions(
    ts=0,
    kind=np.array([ActionKind.SPLIT, ActionKind.CASH_DIVIDEND], np.int32),
    symbol=np.array([0, 1], np.int32),
    ratio=np.array([2.0, np.nan]),
    amount=np.array([np.nan, 0.5]),
    pay_at=np.array([0, 0]),
    successor=np.array([-1, -1], np.int32),
)


def step(model: Any, k: int, row: Any) -> Any:
    if k == 9:
        model.on_actions(SPLIT)
    model.on_bars(row[0])
    return model.risk()


def test_the_answer_has_its_shapes_and_no_nan(make: Make) -> None:
    model = make(universe())
    answers = [step(model, k, row) for k, row in enumerate(session())]
    assert answers[0] is None
    assert answers[-1] is not None
    for risk in answers:
        if risk is not None:
            columns = risk.factors.shape[1]
            assert risk.factors.shape == (N, columns)
            assert risk.covariance.shape == (columns, columns)
            assert risk.specific.shape == (N,)
            assert all(np.isfinite(array).all() for array in arrays(risk))
            assert (risk.specific >= 0).all()
            assert (risk.covariance == risk.covariance.T).all()
            values = np.linalg.eigvalsh(risk.covariance)
            assert values.min(initial=0.0) >= -1e-12 * values.max(initial=0.0)
            assert not any(a.flags.writeable for a in (risk.factors, risk.covariance, risk.specific))


def test_asking_changes_nothing(make: Make) -> None:
    one, two = make(universe()), make(universe())
    for k, row in enumerate(session()):
        step(one, k, row)
        one.risk()
        assert same(one.risk(), step(two, k, row))
        assert one.risk() is one.risk()
        assert one.save() == two.save()


def test_inputs_are_not_changed(make: Make) -> None:
    model = make(universe())
    for k, row in enumerate(session()):
        before = arrays(row[0])
        step(model, k, row)
        assert same(before, arrays(row[0]))


def test_state_saved_and_loaded_at_every_point_answers_the_same(make: Make) -> None:
    straight, broken = make(universe()), make(universe())
    for k, row in enumerate(session()):
        fresh = make(universe())
        fresh.load(broken.save())
        assert fresh.save() == broken.save()
        broken = fresh
        assert same(step(broken, k, row), step(straight, k, row))


def test_rule_14_nothing_older_than_the_lookback_matters(make: Make) -> None:
    model, late = make(universe()), make(universe())
    rows = session(slices=40)
    for row in rows:
        model.on_bars(row[0])
    for row in rows[-model.lookback :]:
        late.on_bars(row[0])
    assert same(late.risk(), model.risk())


@pytest.mark.parametrize("cut", [0, 1, 9, 20])
def test_state_goes_on_in_a_universe_with_names_appended(make: Make, cut: int) -> None:
    longer, always = grown_after(make, step, session(), cut)
    assert same(longer, always)


def test_state_of_a_symbol_that_is_gone_or_moved_is_refused(make: Make) -> None:
    refuses_moved(make)


@pytest.mark.parametrize("cut", [1, 7, 20])
def test_prefix_property(make: Make, cut: int) -> None:
    one, two = make(universe()), make(universe())
    changed = session()[:cut] + session(seed=99)[cut:]
    before = [step(one, k, row) for k, row in enumerate(session())][:cut]
    assert same(before, [step(two, k, row) for k, row in enumerate(changed)][:cut])


def test_permuting_symbols_permutes_the_covariance(make: Make) -> None:
    order = np.random.default_rng(5).permutation(N)
    one, two = make(universe()), make(universe(order=order))
    for row in session():
        one.on_bars(row[0])
        two.on_bars(moved(row[0], order))
    first, second = one.risk(), two.risk()
    whole = [r.factors @ r.covariance @ r.factors.T + np.diag(r.specific) for r in (first, second)]
    np.testing.assert_allclose(whole[1], whole[0][np.ix_(order, order)], rtol=1e-9, atol=1e-15)
