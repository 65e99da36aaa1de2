"""What every model keeps: one list of models, one battery."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

from components.features.rolling import Rolling
from components.models.blend import Blend
from components.models.double_ensemble import DoubleEnsemble
from components.models.ema_cross import EmaCross
from components.models.gbdt import Gbdt
from components.models.linear import Linear
from components.models.momentum import Momentum
from components.models.networks.gru import Gru
from components.models.neural import Neural
from components.models.scores import Scores
from components.training.panel import walk
from engine.events import Bars, Signal
from engine.protocols import Artefact, Table
from engine.universe import Universe
from tests.conformance.driving import drive, first_names, history, resumed_everywhere
from tests.conformance.streams import SLICES, N, arrays, refuses_moved, same, universe
from tests.make import day

Make = Callable[[Universe], Any]


def gbdt(u: Universe) -> Gbdt:
    return Gbdt(universe=u, name="m", rng=np.random.default_rng(0), num_boost_round=5, min_data_in_leaf=5)


def feature_set(u: Universe) -> Rolling:
    return Rolling(universe=u, windows=(3, 6))


def ranking(u: Universe) -> Gbdt:
    return Gbdt(
        universe=u,
        name="m",
        rng=np.random.default_rng(0),
        num_boost_round=5,
        min_data_in_leaf=5,
        objective="lambdarank",
    )


def double(u: Universe) -> DoubleEnsemble:
    trees = {"num_boost_round": 5, "min_data_in_leaf": 5}
    return DoubleEnsemble(universe=u, name="m", rng=np.random.default_rng(0), num_models=2, **trees)


def linear(u: Universe) -> Linear:
    return Linear(universe=u, name="m")


def blend(u: Universe) -> Blend:
    return Blend(universe=u, name="m", models=(gbdt(u), linear(u)), weigh="ic", folds=2)


@cache
def artefact(make: Make) -> Artefact:
    u = universe()
    learnt: Artefact = make(u).fit(walk(iter(history(7, N, 60)), feature_set(u), 1, day(1000)))
    return learnt


def trained(make: Make) -> Make:
    def with_artefact(u: Universe) -> Any:
        model = make(u)
        model.swap(artefact(make))
        return model

    return with_artefact


def neural(u: Universe) -> Neural:
    net = Gru(hidden=4, layers=1)
    return Neural(universe=u, name="m", rng=np.random.default_rng(0), net=net, steps=4, epochs=2)


def scores(u: Universe, **options: Any) -> Scores:
    rng = np.random.default_rng(1)
    slices = rng.integers(0, SLICES, 90)
    drawn = {(int(k), int(s)) for k, s in zip(slices, rng.integers(0, N + 2, 90), strict=True)}
    score = dict(zip(sorted(drawn), rng.normal(size=len(drawn)).tolist(), strict=True))
    keys = [key for key in score if key[1] < len(u)]
    table = Table(
        path="mine",
        hash="",
        ts=np.array([day(k) for k, _ in keys]),
        symbol=np.array([s for _, s in keys]),
        columns={"score": np.array([score[key] for key in keys])},
    )
    return Scores(table=table, universe=u, name="m", **options)


CASES: dict[str, Make] = {
    "lightgbm": trained(gbdt),
    "lightgbm_untrained": gbdt,
    "network": trained(neural),
    "network_untrained": neural,
    "lambdarank": trained(ranking),
    "double_ensemble": trained(double),
    "linear": trained(linear),
    "linear_untrained": linear,
    "blend": trained(blend),
    "blend_untrained": blend,
    "scores": scores,
    "scores_stale": lambda u: scores(u, stale=3),
    "momentum": lambda u: Momentum(universe=u, name="m", window=5),
    "ema_cross": lambda u: EmaCross(universe=u, name="m", fast=3, slow=7),
}
pytestmark = [
    pytest.mark.parametrize("make", CASES.values(), ids=CASES.keys()),
    pytest.mark.parametrize("n", [N, 1]),
]


def relative(make: Make) -> bool:
    """Whether its answers are z-scores within the slice, so that every name moves those of all others."""
    return isinstance(make(universe(2)), Blend)


def seen_by(make: Make, n: int, rows: list[Any]) -> list[Any]:
    """The rows themselves, or the features of those slices for a model that reads features."""
    if not hasattr(make(universe(n)), "on_features"):
        return rows
    answers = drive(feature_set(universe(n)), rows)
    return [row if answer is None else answer for row, answer in zip(rows, answers, strict=True)]


def inputs(make: Make, n: int, seed: int = 0) -> list[Any]:
    return seen_by(make, n, history(seed, n))


def test_each_slice_is_answered_with_one_signal_of_its_shape_and_ts(make: Make, n: int) -> None:
    events = inputs(make, n)
    answers = drive(make(universe(n)), events)
    assert sum(isinstance(answer, Signal) for answer in answers) == SLICES
    for event, answer in zip(events, answers, strict=True):
        if answer is not None:
            assert (answer.ts, answer.asof, answer.source) == (event.ts, event.ts, "m")
            assert answer.value.shape == (n,)
            assert answer.value.dtype == np.float64
            assert not np.isinf(answer.value).any()
            assert answer.horizon_ns > 0 or (not answer.horizon_ns and np.isnan(answer.value).all())


def test_it_has_an_opinion_after_its_lookback_unless_it_knows_nothing(make: Make, n: int) -> None:
    model = make(universe(n))
    assert model.lookback >= 1
    answers = [a for a in drive(model, inputs(make, n)) if a is not None]
    silent = all(np.isnan(a.value).all() for a in answers)
    assert silent == (hasattr(model, "fit") and not answers[0].model_hash)


def test_inputs_are_not_changed(make: Make, n: int) -> None:
    events = inputs(make, n)
    before = [arrays(event) for event in events]
    drive(make(universe(n)), events)
    assert same(before, [arrays(event) for event in events])


def test_an_answer_is_never_changed_afterwards(make: Make, n: int) -> None:
    model, kept = make(universe(n)), []
    for event in inputs(make, n):
        answer = drive(model, [event])[0]
        if answer is not None:
            kept.append((answer.value, answer.value.copy()))
    assert all(np.array_equal(value, copy, equal_nan=True) for value, copy in kept)


def test_two_fresh_copies_agree(make: Make, n: int) -> None:
    events = inputs(make, n)
    assert same(drive(make(universe(n)), events), drive(make(universe(n)), events))


def test_state_saved_and_loaded_at_every_point_decides_the_same(make: Make, n: int) -> None:
    events = inputs(make, n)
    assert same(drive(make(universe(n)), events), resumed_everywhere(lambda: make(universe(n)), events))


@pytest.mark.parametrize("cut", [1, 9, 20])
def test_state_goes_on_in_a_universe_with_names_appended(make: Make, n: int, cut: int) -> None:
    """Old names as if nothing had happened, new ones as if everything began here."""
    if relative(make):
        return
    events, wide = inputs(make, n), inputs(make, n + 2)
    narrow = [first_names(event, n) for event in wide]
    assert len(events) == len(wide)
    short, longer, cold = make(universe(n)), make(universe(n + 2)), make(universe(n + 2))
    drive(short, narrow[:cut])
    longer.load(short.save())
    for old, new in zip(narrow[cut:], wide[cut:], strict=True):
        (kept,), (went_on,), (began,) = drive(short, [old]), drive(longer, [new]), drive(cold, [new])
        if kept is not None:
            assert same(went_on.value[:n], kept.value)
            assert same(went_on.value[n:], began.value[n:])


def test_state_of_a_symbol_that_is_gone_or_moved_is_refused(make: Make, n: int) -> None:
    if hasattr(make(universe(n)), "fit"):
        return  # what learns rows knows features, not symbols
    refuses_moved(make)


def test_answers_up_to_a_slice_do_not_depend_on_later_ones(make: Make, n: int) -> None:
    events, other = inputs(make, n), inputs(make, n, seed=1)
    whole = drive(make(universe(n)), events)
    for cut in range(1, len(events), 5):
        assert same(whole[:cut], drive(make(universe(n)), events[:cut] + other[cut:])[:cut])


def test_a_name_without_a_bar_spoils_no_other(make: Make, n: int) -> None:
    """NaN stays where it is: answers for one symbol do not depend on another's holes."""
    if relative(make):
        return
    events = [event for event in history(0, n) if isinstance(event, Bars)]
    spoilt = []
    for event in events:
        fields = {name: getattr(event, name) for name in event.__struct_fields__}
        for name in ("open", "high", "low", "close", "volume"):
            fields[name] = fields[name].copy()
            fields[name][n // 2] = np.nan
        fields["status"] = fields["status"].copy()
        fields["status"][n // 2] = 1
        spoilt.append(Bars(**fields))
    plain, holed = (drive(make(universe(n)), seen_by(make, n, rows)) for rows in (events, spoilt))
    others = [i for i in range(n) if i != n // 2]
    assert all(same(a.value[others], b.value[others]) for a, b in zip(plain, holed, strict=True))
