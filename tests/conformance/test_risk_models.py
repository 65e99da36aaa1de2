"""What every risk model keeps: one list of risk models, one battery."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from components.risk_models.ledoit_wolf import LedoitWolf
from engine.events import ActionKind, Actions
from engine.universe import Universe
from tests.conformance.streams import N, arrays, grown_after, moved, refuses_moved, same, session, universe

CASES: dict[str, Callable[[Universe], Any]] = {
    "ledoit_wolf": lambda u: LedoitWolf(universe=u, window=12, min_slices=5),
    "ledoit_wolf_long": lambda u: LedoitWolf(universe=u, window=100, min_slices=3),
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


def test_asking_changes_nothing(make: Make) -> None:
    one, two = make(universe()), make(universe())
    for k, row in enumerate(session()):
        step(one, k, row)
        one.risk()
        assert same(one.risk(), step(two, k, row))
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
