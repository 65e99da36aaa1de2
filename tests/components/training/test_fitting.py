"""One task carried out: what a model is shown, and what it is not."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from components.models.artefact import artefact_of
from components.training.fitting import Panel, dataset_of, inputs_of, taken, train_task
from components.training.panel import Labels
from engine.errors import ConfigError
from engine.events import DAY_NS
from engine.learning import Metric, Span, Task
from engine.protocols import Artefact, Dataset

T, N = 12, 3
TS = np.arange(T) * DAY_NS + 10**18


def panel(**changes: Any) -> Panel:
    rng = np.random.default_rng(5)
    until = np.append(TS[2:] - 1, [2**63 - 1] * 2)
    made = Panel(
        names=("a",),
        schema="s",
        symbols=("X", "Y", "Z"),
        interval_ns=DAY_NS,
        ts=TS,
        features=rng.normal(size=(T, N, 1)).astype(np.float32),
        digests=rng.integers(0, 255, (T, 32), np.uint8),
        labels={1: Labels(rng.normal(size=(T, N)), np.append(TS[1:] - 1, 2**63 - 1), until)},
    )
    return msgspec.structs.replace(made, **changes)


def task(**changes: Any) -> Task:
    plain: dict[str, Any] = {
        "model": "m",
        "use": "u",
        "options": {},
        "features": "f",
        "schema": "s",
        "inputs": "i",
        "horizon": 1,
        "train": Span(int(TS[0]), int(TS[7]) + 1),
        "valid_from": int(TS[5]),
        "test": Span(int(TS[8]), int(TS[11]) + 1),
    }
    return Task(**(plain | changes))


class Spy:
    """Answers with its features and remembers what it was shown."""

    lookback = 3

    def __init__(self) -> None:
        self.asked: list[Dataset] = []

    def fit(self, dataset: Dataset, /, *, on_metric: Any = None, checkpoint: Path | None = None) -> Artefact:
        self.learned, self.checkpoint = dataset, checkpoint
        if on_metric is not None:
            on_metric(Metric("loss", 0, 0.5))
        return artefact_of({"model.txt": b"spy"})

    def swap(self, artefact: Artefact, /) -> None:
        self.used = artefact

    def predict(self, dataset: Dataset, /) -> Any:
        self.asked.append(dataset)
        return dataset.features[:, :, 0]


def test_a_model_learns_from_what_was_known_and_is_asked_without_labels(tmp_path: Path) -> None:
    spy, whole, seen = Spy(), panel(), []
    trained = train_task(lambda: spy, task(), whole, on_metric=seen.append, checkpoint=tmp_path)
    learned = spy.learned
    # Slice 7's label ends within slice 9, slice 6's within slice 8: neither was known when slice 7 closed.
    assert learned.ts.tolist() == TS[:6].tolist()
    assert learned.valid_from == TS[5]
    # Slices 3 and 4 look into the validation part, which begins with slice 5: slice 3 ends just before it.
    assert np.isnan(learned.label).all(axis=1).tolist() == [False, False, False, False, True, False]
    assert learned.horizon_ns == DAY_NS
    assert np.shares_memory(learned.features, whole.features)
    assert spy.used is trained.artefact
    assert (
        spy.asked[0].ts.tolist() == TS[6:].tolist()
    )  # two slices before the first that is predicted: its lookback is 3
    assert [len(asked.ts) for asked in spy.asked] == [6, 3, 3, 3]  # and each again without what came later
    assert all(np.isnan(asked.label).all() for asked in spy.asked)
    np.testing.assert_array_equal(trained.scores, whole.features[8:, :, 0])
    assert trained.ts.tolist() == TS[8:].tolist()
    assert (seen, spy.checkpoint) == ([Metric("loss", 0, 0.5)], tmp_path)


def test_a_model_without_these_keywords_is_not_given_them(tmp_path: Path) -> None:
    class Plain(Spy):
        def fit(self, dataset: Dataset, /) -> Artefact:
            return artefact_of({"model.txt": b"plain"})

    assert taken(Plain()) == ()
    trained = train_task(Plain, task(test=None), panel(), on_metric=lambda metric: None, checkpoint=tmp_path)
    assert trained.scores.shape == (0, N)
    assert taken(Spy()) == ("on_metric", "checkpoint")


def test_what_comes_later_changes_no_key_and_what_is_used_does() -> None:
    whole = panel()
    mine = inputs_of(task(), whole, 2)
    later = whole.labels[1].value.copy()
    later[6:] = 0
    assert inputs_of(task(), panel(labels={1: Labels(later, whole.labels[1].since, whole.labels[1].until)}), 2) == mine
    used = whole.labels[1].value.copy()
    used[5, 0] += 1
    assert inputs_of(task(), panel(labels={1: Labels(used, whole.labels[1].since, whole.labels[1].until)}), 2) != mine
    for k, changes in ((2, True), (6, True), (11, True)):
        digests = whole.digests.copy()
        digests[k, 0] += 1
        assert (inputs_of(task(), panel(digests=digests), 2) != mine) is changes
    digests = whole.digests.copy()
    digests[6, 0] += 1
    assert inputs_of(task(), panel(digests=digests), 0) == inputs_of(task(), whole, 0)  # within neither part
    assert inputs_of(task(), panel(symbols=("X", "Z", "Y")), 2) != mine


def test_answers_of_another_shape_and_unknown_horizons_are_refused() -> None:
    class Odd(Spy):
        def predict(self, dataset: Dataset, /) -> Any:
            return dataset.features

    with pytest.raises(ConfigError, match=r"Odd.predict answered \(6, 3, 1\) for 6 slices of 3 symbols"):
        train_task(Odd, task(), panel())
    with pytest.raises(ConfigError, match=r"labels of horizons \[1\], not of 5"):
        dataset_of(task(horizon=5), panel())


def test_a_model_that_looks_ahead_when_it_predicts_is_refused() -> None:
    class Peeking(Spy):
        def predict(self, dataset: Dataset, /) -> Any:
            return np.concatenate([dataset.features[2:, :, 0], dataset.features[-2:, :, 0]])

    with pytest.raises(ConfigError, match=r"Peeking.predict answers .* for X at 2001-.*look at no slice behind"):
        train_task(Peeking, task(), panel())


def test_a_model_that_keeps_what_it_has_seen_beside_its_artefact_is_asked_without_it() -> None:
    """What `fit` left in the object is not in a session; what the first `predict` saw is not known at its slices."""

    class Keeps(Spy):
        seen: Any = None

        def predict(self, dataset: Dataset, /) -> Any:
            self.seen = dataset.features[-1:, :, 0] if self.seen is None else self.seen
            return dataset.features[:, :, 0] + self.seen

    with pytest.raises(ConfigError, match=r"Keeps.predict answers .*look at no slice behind"):
        train_task(Keeps, task(), panel())

    class Learns(Spy):
        learned: Any = None

        def predict(self, dataset: Dataset, /) -> Any:
            return np.full_like(dataset.features[:, :, 0], 0 if self.learned is None else 1)

    assert not train_task(Learns, task(), panel()).scores.any()
