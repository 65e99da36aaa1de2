"""What every processor keeps: one list of processors, one battery."""

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest

from components.processors.clip import Clip
from components.processors.cs_rank import CsRank
from components.processors.cs_zscore import CsZscore
from components.processors.drop import Drop
from components.processors.fill import Fill
from components.processors.min_max import MinMax
from components.processors.robust_zscore import RobustZscore
from components.processors.tanh import Tanh
from components.processors.zscore import Zscore
from samewire.registry import BUILT_IN

CASES: dict[str, Callable[[], Any]] = {
    "robust_zscore": RobustZscore,
    "zscore": Zscore,
    "min_max": MinMax,
    "cs_zscore": CsZscore,
    "cs_zscore_robust": lambda: CsZscore(robust=True),
    "cs_rank": CsRank,
    "fill": Fill,
    "fill_median": lambda: Fill(by="median"),
    "fill_mean": lambda: Fill(by="mean"),
    "drop": lambda: Drop(max_missing=0.2),
    "clip": lambda: Clip(low=-1, high=1),
    "tanh": Tanh,
}
FILLS = ("fill", "fill_median", "fill_mean")
pytestmark = pytest.mark.parametrize("name", CASES)
T, N, F = 12, 40, 7


def panel(seed: int = 0) -> np.ndarray:
    """Slices (T, N, F) float32 with gaps, a name without a bar, and a column that hardly differs."""
    rng = np.random.default_rng(seed)
    value = rng.normal(2, 3, (T, N, F))
    value[..., 3] = np.round(value[..., 3])
    value[rng.random(value.shape) < 0.1] = np.nan
    value[:, 5] = np.nan
    return value.astype(np.float32)


def rows() -> np.ndarray:
    return panel(1).reshape(-1, F)


def test_every_registered_processor_is_in_this_list(name: str) -> None:
    assert set(BUILT_IN["processors"]) <= set(CASES)
    assert CASES[name]().kind in BUILT_IN["processors"]


def test_values_are_float32_in_their_places(name: str) -> None:
    stage = CASES[name]()
    frozen = stage.fit(rows())
    for each in panel():
        out = stage.apply(each, frozen)
        assert (out.shape, out.dtype, out.flags.c_contiguous) == ((N, F), np.float32, True)
        assert np.isfinite(out).any()
        assert not np.isinf(out).any()


def test_nan_stays_nan_unless_filling_is_what_it_is_for(name: str) -> None:
    stage, each = CASES[name](), panel()[0]
    out = stage.apply(each, stage.fit(rows()))
    assert np.isnan(out[np.isnan(each).all(axis=1)]).all()
    if name in FILLS:
        assert np.isfinite(out[~np.isnan(each).all(axis=1)]).all()
    else:
        assert np.isnan(out[np.isnan(each)]).all()


def test_a_slice_is_treated_alone(name: str) -> None:
    """The same slice has the same bits whatever came before it."""
    stage, slices = CASES[name](), panel()
    frozen = stage.fit(rows())
    alone = stage.apply(slices[7], frozen)
    for each in (*slices, slices[7] * 1e6):
        stage.apply(each, frozen)
    assert stage.apply(slices[7], frozen).tobytes() == alone.tobytes()


def test_inputs_are_not_changed_and_may_be_read_only(name: str) -> None:
    stage, each, train = CASES[name](), panel()[0], rows()
    each.flags.writeable = train.flags.writeable = False
    before = each.copy(), train.copy()
    frozen = stage.fit(train)
    for array in frozen.values():
        array.flags.writeable = False
    kept = {key: array.copy() for key, array in frozen.items()}
    stage.apply(each, frozen)
    np.testing.assert_array_equal(each, before[0])
    np.testing.assert_array_equal(train, before[1])
    assert all(np.array_equal(frozen[key], kept[key], equal_nan=True) for key in kept)


def test_what_is_learned_is_all_there_is_to_keep(name: str) -> None:
    """A fresh copy with the statistics of another answers the same; so an artefact can hold them."""
    one, other = CASES[name](), CASES[name]()
    frozen = one.fit(rows())
    assert all(array.shape == (F,) and array.dtype == np.float64 for array in frozen.values())
    kept = {key: np.frombuffer(array.tobytes()) for key, array in frozen.items()}
    assert other.apply(panel()[2], kept).tobytes() == one.apply(panel()[2], frozen).tobytes()
    assert msgspec.json.decode(msgspec.json.encode(one.options)) == one.options


def test_names_in_another_order_reorder_the_answer(name: str) -> None:
    stage, each = CASES[name](), panel()[3]
    frozen, order = stage.fit(rows()), np.random.default_rng(0).permutation(N)
    turned = stage.apply(np.ascontiguousarray(each[order]), frozen)
    np.testing.assert_allclose(turned, stage.apply(each, frozen)[order], rtol=2e-7, atol=1e-7)


def test_columns_do_not_mix(name: str) -> None:
    """What is left of a column is what is left of it alone; one that counts the gaps of a row may leave less."""
    stage, each = CASES[name](), panel()[4]
    frozen = stage.fit(rows())
    some = {key: array[2:3] for key, array in frozen.items()}
    alone = stage.apply(np.ascontiguousarray(each[:, 2:3]), some)[:, 0]
    known = ~np.isnan(each[:, 2])
    whole = stage.apply(each, frozen)[known, 2]
    left = ~np.isnan(whole)
    assert left.any()
    assert left.all() != (name == "drop")
    np.testing.assert_allclose(alone[known][left], whole[left], rtol=1e-6)


def test_a_slice_of_one_name_and_one_where_nothing_is_known_pass(name: str) -> None:
    stage = CASES[name]()
    frozen = stage.fit(rows())
    assert stage.apply(panel()[0][:1], frozen).shape == (1, F)
    assert np.isnan(stage.apply(np.full((N, F), np.nan, np.float32), frozen)).all()
