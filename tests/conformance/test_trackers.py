"""What every tracker promises."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from adapters.tracking.store import RunStore
from engine.errors import ConfigError
from engine.learning import Metric, Tracker

FACTS = {"name": "plan", "code": "c1", "parameters": {"num_leaves": 31}}


@pytest.fixture
def tracker(tmp_path: Path) -> Iterator[Tracker]:
    with closing(RunStore(tmp_path / "store")) as made:
        yield made


def test_a_run_begins_is_added_to_and_ends(tracker: Tracker) -> None:
    run = tracker.begin("key", FACTS)
    tracker.log(run, [Metric("loss", k, 1.0 / (k + 1)) for k in range(3)])
    tracker.keep(run, "answer.txt", b"42")
    tracker.end(run, "end", {"artefact": "abc"})
    with pytest.raises(ConfigError, match="no run has the id"):
        tracker.log("another", [Metric("loss", 0, 1.0)])


def test_one_that_begins_again_is_the_same_run(tracker: Tracker) -> None:
    run = tracker.begin("key", FACTS)
    assert tracker.begin("key", FACTS) == run
    assert tracker.begin("key", FACTS | {"code": "c2"}) != run
    assert tracker.begin("other", FACTS) != run


def test_it_ends_in_one_of_two_ways(tracker: Tracker) -> None:
    run = tracker.begin("key", FACTS)
    with pytest.raises(ValueError, match="not as 'done'"):
        tracker.end(run, "done", {})
    tracker.end(run, "failed", {"error": json.dumps("no data")})
