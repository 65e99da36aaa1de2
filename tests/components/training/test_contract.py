"""A dataset that breaks its promises teaches nobody."""

from typing import Any

import msgspec
import numpy as np
import pytest

from components.models.linear import Linear
from components.training.contract import check_dataset
from components.training.panel import NEVER
from engine.errors import ConfigError
from engine.protocols import Dataset
from engine.universe import universe_of
from tests.make import day

T, N = 40, 4
TS = np.array([day(k) for k in range(T)], np.int64)


def dataset(**changes: Any) -> Dataset:
    rng = np.random.default_rng(0)
    made = Dataset(
        names=("a", "b"),
        schema="s",
        symbols=("A", "B", "C", "D"),
        ts=TS,
        features=rng.normal(size=(T, N, 2)).astype(np.float32),
        label=rng.normal(size=(T, N)),
        label_from=TS + 1,
        label_to=TS + 2,
        horizon_ns=1,
    )
    return msgspec.structs.replace(made, **changes)


def changed(array: Any, k: int, value: int) -> Any:
    out = array.copy()
    out[k] = value
    return out


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "twice": ({"ts": changed(TS, 5, TS[4])}, r"the slice of 2018-01-06T\S+ stands twice"),
    "unsorted": ({"ts": changed(TS, 5, TS[3])}, r"the slice of 2018-01-05T\S+ comes after that of 2018-01-06T"),
    "backwards": ({"ts": TS[::-1], "label_from": TS[::-1] + 1, "label_to": TS[::-1] + 2}, "comes after that of"),
    "looks back": ({"label_from": changed(TS + 1, 7, TS[7] - 1)}, "label of slice 7, decided at .* begins before that"),
    "ended": ({"label_to": changed(TS + 2, 7, TS[7] - 1)}, "label of slice 7, decided at .* ends before it begins"),
    "never": ({"label_to": changed(TS + 2, T - 1, NEVER)}, "label of slice 39, .* is not known yet"),
    "short label": ({"label": np.zeros((T - 1, N))}, r"label is of shape \(39, 4\) beside features of 40 slices"),
    "flat": ({"features": np.zeros((T, N), np.float32)}, r"features are of shape \(40, 4\); give slices, names"),
    "names": ({"names": ("a",)}, "names has 1 entries beside features of 2"),
    "symbols": ({"symbols": ("A",)}, "symbols has 1 entries beside features of 4"),
    "none": (
        {name: np.zeros((0, N, 2)[: k + 1]) for name, k in (("ts", 0), ("label", 1), ("features", 2))}
        | {"label_from": np.zeros(0), "label_to": np.zeros(0)},
        "no slice",
    ),
}


@pytest.mark.parametrize(("changes", "said"), WRONG.values(), ids=WRONG.keys())
def test_a_broken_promise_is_one_clear_error_of_the_model(changes: dict[str, Any], said: str) -> None:
    model = Linear(universe=universe_of(("A", "B", "C", "D")), name="plane")
    with pytest.raises(ConfigError, match=f"^plane: .*{said}"):
        model.fit(dataset(**changes))


def test_what_is_promised_passes() -> None:
    check_dataset(dataset(), "m")
    check_dataset(dataset(label_from=TS, label_to=TS), "m")  # one that begins and ends with its decision
    check_dataset(dataset(symbols=()), "m")
    unknown = dataset().label.copy()
    unknown[3] = np.nan
    check_dataset(dataset(label=unknown), "m")
