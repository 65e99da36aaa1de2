"""A lookback that is declared too short is found by name, and how long it would have to be; a long one passes."""

from typing import Any

import numpy as np
import pytest

from adapters.files.sample import SampleFeed
from engine.errors import DataError
from engine.events import Bars, Features
from samewire.drift import Answers, drifts
from samewire.schema import load_run
from samewire.warmups import Outcome, Warmups, warm_ups
from tests.samewire.test_other_futures import OWN, a_run

FEED = {"use": "sample", "symbols": 8, "years": 3}
START = {"name": "warm", "cash": 1_000_000, "start": "2020-01-02"}


async def found(run: dict[str, Any], **options: Any) -> Warmups:
    return await warm_ups(
        load_run({"session": START, "feed": FEED} | {k: v for k, v in run.items() if k != "feed"}), **options
    )


def of(said: Warmups, name: str) -> Outcome:
    return next(outcome for outcome in said.outcomes if outcome.declared.name == name)


def slow(span: int, lookback: int) -> dict[str, Any]:
    """Features of a mean over `span` slices, a model that answers with it and a strategy that hears it."""
    return a_run(
        session=START,
        features=[{"name": "slow", "use": OWN + "Slow", "span": span, "lookback": lookback}],
        models=[{"name": "mine", "use": OWN + "Column", "features": "slow"}],
    )


async def test_honest_lookbacks_are_long_enough() -> None:
    said = await found(a_run(session=START))
    assert said.too_short == ()
    assert [outcome.declared.name for outcome in said.outcomes] == ["trend", "strategy", "optimizer"]
    assert (said.lengths[0], 6 in said.lengths, list(said.longest.values())) == (0, True, [256])
    assert of(said, "trend").drift.max == 0.0
    assert not of(said, "trend").by_length[0][0].max < np.inf  # the check would have seen it


async def test_a_feature_set_that_declares_too_little_is_named_with_its_feature_and_what_would_do() -> None:
    said = await found(slow(span=40, lookback=25))
    assert [outcome.declared.name for outcome in said.too_short] == ["slow"]
    outcome = of(said, "slow")
    assert (outcome.drift.name, outcome.drift.max > 0.001) == ("mean", True)
    assert 0 < outcome.drift.median <= outcome.drift.max
    assert outcome.drift.settled == 14  # its 40th slice is the 15th of the session, after a warm-up of 25
    assert outcome.enough == 39  # with the slice itself 40
    # Who reads it is not accused.
    assert (of(said, "mine").follows, of(said, "strategy").follows) == ("slow", "mine")


async def test_the_same_features_pass_where_they_declare_enough() -> None:
    for lookback in (40, 60):
        said = await found(slow(span=40, lookback=lookback))
        assert said.too_short == ()
        assert of(said, "slow").drift.max == 0.0


async def test_a_recursive_model_is_judged_by_the_tolerance() -> None:
    """An average of span 20 forgets a tenth a slice: 1e-6 of a signal of 0.03 takes about 170 slices, 1e-2 some 80."""
    run = a_run(session=START, models=[{"name": "mine", "use": OWN + "Average", "span": 20, "lookback": 90}])
    strict, lax = await found(run), await found(run, tolerance=1e-2)
    assert [outcome.declared.name for outcome in strict.too_short] == ["mine"]
    assert lax.too_short == ()
    outcome = of(strict, "mine")
    assert outcome.enough is not None
    assert 120 < outcome.enough < 240
    worst = [outcome.by_length[n][0].max for n in sorted(outcome.by_length)]
    assert worst == sorted(worst, reverse=True)
    enough = a_run(
        session=START, models=[{"name": "mine", "use": OWN + "Average", "span": 20, "lookback": outcome.enough}]
    )
    assert (await found(enough)).too_short == ()


async def test_what_never_forgets_is_said_to_need_more_than_was_tried() -> None:
    run = a_run(session=START, models=[{"name": "mine", "use": OWN + "Average", "span": 5000, "lookback": 20}])
    (outcome,) = (await found(run)).too_short
    assert (outcome.declared.name, outcome.enough) == ("mine", None)
    assert outcome.drift.settled is None


@pytest.mark.parametrize(("lookback", "short"), [(3, ["optimizer"]), (30, [])])
async def test_a_risk_model_that_declares_too_little_is_found_by_the_orders_of_its_optimizer(
    lookback: int, short: list[str]
) -> None:
    risk = {"use": OWN + "ShortRisk", "window": 30, "lookback": lookback}
    optimizer = {"use": "mean_variance", "risk_model": risk, "max_weight": 0.4}
    said = await found(a_run(session=START, optimizer=optimizer), slices=4)
    assert [outcome.declared.name for outcome in said.too_short] == short
    assert of(said, "strategy").ok or of(said, "strategy").follows == "optimizer"


async def test_chance_is_told_from_memory() -> None:
    (outcome,) = (await found(a_run(session=START, models=[{"name": "mine", "use": OWN + "Dice"}]))).too_short
    assert (outcome.declared.name, outcome.repeatable, outcome.enough) == ("mine", False, None)


async def test_a_session_without_history_is_begun_later() -> None:
    said = await found(a_run(session={"name": "warm", "cash": 1_000_000}) | {"session": {"name": "warm", "cash": 1e6}})
    assert said.moved
    assert list(said.longest.values()) == [256]
    assert said.start is not None
    feed = SampleFeed(symbols=8, years=3)
    begin = feed.bounds(said.start, None)[0]
    assert sum(isinstance(event, Bars) for event in feed.events(None, begin)) == 256


async def test_a_history_that_is_too_short_to_tell_is_refused() -> None:
    run = a_run(feed=FEED | {"years": 1}, models=[{"name": "trend", "use": "momentum", "window": 240}])
    with pytest.raises(DataError, match="241 are declared to be needed"):
        await warm_ups(load_run(run))


async def test_a_trained_model_answers_from_the_first_slice_on_and_is_trained_once() -> None:
    gbdt = {"name": "gbdt", "use": "lightgbm", "features": "rolling", "num_boost_round": 5, "min_data_in_leaf": 20}
    run = a_run(
        session=START,
        features=[{"use": "rolling", "windows": [5, 10]}],
        models=[gbdt | {"train": {"until": "2020-03-31"}}],
    )
    said = await found(run)
    assert said.too_short == ()
    assert of(said, "gbdt").by_length[0][0].max > 0  # it did answer: without history it answered otherwise


async def test_weeks_are_counted_as_weeks() -> None:
    run = a_run(session=START | {"start": "2020-06-01"})
    run["models"] = [{"name": "mine", "use": OWN + "Average", "span": 3, "lookback": 4, "interval": "1w"}]
    feed = {"use": "aggregate", "of": FEED, "to": ["1w"]}
    said = await warm_ups(load_run(run | {"feed": feed}), slices=8)
    assert [outcome.declared.name for outcome in said.too_short] == ["mine"]


# ---- the measure -----------------------------------------------------------------------------------------------------


def answers(*rows: list[float]) -> Answers:
    kept = Answers({"f": ("x",)}, 2)
    for ts, row in enumerate(rows):
        kept.append(["f"], [Features(ts=ts, schema="s", value=np.array([[value] for value in row]))])
    return kept


def test_a_difference_is_relative_to_the_value_or_to_what_is_usual() -> None:
    long = answers([1.0, 100.0], [1.0, 1.0], [1.0, 1e-9])
    short = answers([1.5, 100.0], [1.0, 1.0 + 1e-9], [1.0, 2e-9])
    drift = drifts(short, long, [0, 1, 2], 1e-6)["f", "x"]
    assert (drift.max, drift.settled, drift.beyond, drift.differs) == (0.5, 1, 0, 0)
    assert drift.median == pytest.approx(1e-9)  # of 0.5, 1e-9 and 1e-9: a value near zero is measured by the usual one


def test_what_is_known_in_one_run_only_is_infinitely_far_off() -> None:
    nan = float("nan")
    drift = drifts(answers([nan, 1.0], [nan, nan]), answers([1.0, 1.0], [nan, nan]), [0, 1], 1e-6)["f", "x"]
    assert (drift.max, drift.settled) == (float("inf"), 1)
    same = drifts(answers([nan, nan]), answers([nan, nan]), [0], 0.0)["f", "x"]
    assert (same.max, same.settled, same.differs) == (0.0, 0, None)
