"""Markets that never close: a bar opens as the last one ends, and its open is known an interval later."""

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.features.rolling import Rolling
from components.training.panel import walk
from engine.clock import SystemClock
from engine.errors import ConfigError
from engine.events import HOUR_NS, Control
from samewire.build import Given, parts_of
from samewire.lookahead import look_ahead
from samewire.prepare import feed_of
from samewire.reach import days
from samewire.schema import load_run
from samewire.taught import learned
from samewire.training import How
from samewire.training_update import update
from tests.samewire.own import RoundTheClock
from tests.samewire.test_training import a_run, trained

FEED = {"use": "tests.samewire.own:RoundTheClock"}
SESSION = {"name": "clock", "cash": 1_000_000, "seed": 3, "start": "2018-01-06"}


def retrains(**feed: Any) -> dict[str, Any]:
    model = {"name": "gbdt", "use": "lightgbm", "features": "rolling", "num_boost_round": 5, "min_data_in_leaf": 20}
    run = a_run(Path(), feed=FEED | feed, models=[model | {"retrain": {"every": "30 slices", "least": 40}}])
    del run["training"]
    strategy = {"use": "topk_dropout", "topk": 2, "n_drop": 1}
    return run | {"session": SESSION, "strategy": strategy}


def turns(run: dict[str, Any]) -> list[Control]:
    whole = load_run(run)
    feed = feed_of(whole)
    end = days(feed, whole.session.start, whole.session.end)[1]
    given = Given(session="clock", seed=0, universe=feed.universe)
    return list(learned(whole, feed, parts_of(whole, feed, given), given, end).controls)


def test_a_label_is_known_once_the_bar_of_its_exit_has_ended() -> None:
    feed = RoundTheClock(slices=40)
    slices = list(feed.events())
    data = walk(iter(slices), Rolling(universe=feed.universe, windows=(3,)), 2, slices[20].ts)
    assert data.label_to.tolist() == [bars.ts for bars in slices[3:21]]
    assert data.label_from.tolist() == [bars.ts for bars in slices[:18]]  # it opens as the slice of the decision ends


def test_an_honest_training_has_no_leak(tmp_path: Path) -> None:
    results = trained(a_run(tmp_path, feed=FEED))
    assert results.verdict is not None
    assert results.verdict.found == ()
    assert results.ok


def test_an_update_promotes(tmp_path: Path) -> None:
    online = {"registry": str(tmp_path / "registry"), "judge": 20, "least": 10, "margin": -1}
    (decision,) = update(load_run(a_run(tmp_path, {"online": online}, feed=FEED)), How(clock=SystemClock())).decisions
    assert decision.outcome == "promoted", decision.reason


def test_a_turn_knows_no_bar_that_ends_with_the_slice_it_enters_at() -> None:
    """The bars of the slice at which a training takes over, and all later ones, may have any prices."""
    turn = turns(retrains())[1]
    first = int(np.datetime64("2018-01-02", "ns").astype(np.int64))
    place = (turn.ts - first) // HOUR_NS - 1
    other = turns(retrains(changed_after=place))[1]
    assert (other.ts, other.artefact) == (turn.ts, turn.artefact)
    assert turns(retrains(changed_after=place - 1))[1].artefact != turn.artefact


def test_nothing_of_a_session_that_retrains_knows_what_is_to_come() -> None:
    verdict = asyncio.run(look_ahead(load_run(retrains()), cuts=2, slices=60))
    assert verdict.findings == ()


def test_sessions_that_would_count_hours_are_refused(tmp_path: Path) -> None:
    split = {"use": "walk_forward", "every": 20, "window": "3 sessions"}
    with pytest.raises(ConfigError, match=r"training.split.window: '3 sessions' counts slices.* last 60 minutes.*3d"):
        trained(a_run(tmp_path, {"split": split}, feed=FEED))
    online = {"online": {"registry": str(tmp_path / "registry"), "judge": "20 sessions"}}
    with pytest.raises(ConfigError, match=r"training.online.judge: '20 sessions' counts slices"):
        update(load_run(a_run(tmp_path, online, feed=FEED)), How(clock=SystemClock()))
    for key in ("every", "window"):
        again = retrains()
        again["models"][0]["retrain"] |= {key: "2 sessions"}
        with pytest.raises(ConfigError, match=rf"retrain.{key}: '2 sessions' counts slices"):
            turns(again)
    assert trained(a_run(tmp_path, {"split": {"use": "walk_forward", "every": "10 sessions", "window": 40}})).ok
