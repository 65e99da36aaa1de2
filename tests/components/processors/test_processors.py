"""The numbers of each processor, against scipy, scikit-learn, pandas and the formulas of the reference."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from components.processors.clip import Clip
from components.processors.cs_rank import CsRank
from components.processors.cs_zscore import CsZscore
from components.processors.drop import Drop
from components.processors.fill import Fill
from components.processors.min_max import MinMax
from components.processors.robust_zscore import RobustZscore
from components.processors.tanh import Tanh
from components.processors.zscore import Zscore
from engine.errors import ConfigError

RNG = np.random.default_rng(0)
TRAIN = (RNG.standard_t(3, (4000, 5)) * [1, 10, 0.1, 1e6, 1e-6] + [0, 5, 1, 1e7, 0]).astype(np.float32)
TRAIN[RNG.random(TRAIN.shape) < 0.1] = np.nan
SLICE = TRAIN[:60] * np.float32(1.5)
SLICE[5] = np.nan


def staged(stage: Any, value: np.ndarray = SLICE, train: np.ndarray = TRAIN) -> np.ndarray:
    return stage.apply(value, stage.fit(train))


def test_zscore_equals_scikit_learn() -> None:
    wanted = StandardScaler().fit(TRAIN.astype(float)).transform(SLICE.astype(float))
    np.testing.assert_allclose(staged(Zscore()), wanted, rtol=1e-6)


def test_min_max_equals_scikit_learn() -> None:
    wanted = MinMaxScaler().fit(TRAIN.astype(float)).transform(SLICE.astype(float))
    np.testing.assert_allclose(staged(MinMax()), wanted, rtol=1e-6)


@pytest.mark.parametrize("clip", [3.0, 0.0, 1.5])
def test_robust_zscore_equals_scipy(clip: float) -> None:
    train = TRAIN.astype(float)
    spread = 1.4826 * stats.median_abs_deviation(train, axis=0, nan_policy="omit")
    wanted = (SLICE - np.nanmedian(train, axis=0)) / spread
    if clip:
        wanted = np.clip(wanted, -clip, clip)
    np.testing.assert_allclose(staged(RobustZscore(clip=clip)), wanted, rtol=1e-5)
    assert np.nanmax(np.abs(wanted)) > 1


def test_cross_section_zscore_equals_pandas() -> None:
    frame = pd.DataFrame(SLICE.astype(float))
    np.testing.assert_allclose(staged(CsZscore()), (frame - frame.mean()) / frame.std(), rtol=1e-5)
    median = frame.median()
    robust = ((frame - median) / (1.4826 * (frame - median).abs().median())).clip(-3, 3)
    np.testing.assert_allclose(staged(CsZscore(robust=True)), robust, rtol=1e-5)


def test_cross_section_rank_equals_pandas_with_ties() -> None:
    coarse = np.round(SLICE / [1, 10, 0.1, 1e6, 1e-6]).astype(np.float32)
    wanted = (pd.DataFrame(coarse).rank(pct=True) - 0.5) * 3.46
    np.testing.assert_allclose(staged(CsRank(), coarse), wanted, rtol=1e-6, atol=1e-7)
    assert np.nanstd(staged(CsRank())) == pytest.approx(1.0, abs=0.02)


def test_fill_takes_zero_the_training_median_or_the_mean_of_the_slice() -> None:
    gaps = np.isnan(SLICE)
    listed = ~gaps.all(axis=1)
    for by, wanted in (
        ("zero", np.zeros(5)),
        ("median", np.nanmedian(TRAIN.astype(float), axis=0)),
        ("mean", np.nanmean(SLICE.astype(float), axis=0)),
    ):
        out = staged(Fill(by=by))
        np.testing.assert_array_equal(out[~gaps], SLICE[~gaps])
        for j in range(5):
            np.testing.assert_allclose(out[listed & gaps[:, j], j], wanted[j], rtol=1e-6)
        assert np.isnan(out[~listed]).all()


def test_drop_leaves_no_feature_of_a_name_that_misses_too_many() -> None:
    missing = np.isnan(SLICE).sum(axis=1)
    for share, most in ((0.0, 0), (0.2, 1), (0.5, 2)):
        out = staged(Drop(max_missing=share))
        assert np.isnan(out[missing > most]).all()
        np.testing.assert_array_equal(out[missing <= most], SLICE[missing <= most])
    assert {0, 1, 2, 5} <= set(missing.tolist())


def test_clip_and_tanh_are_what_they_are_called() -> None:
    np.testing.assert_array_equal(staged(Clip(low=-1, high=2)), np.clip(SLICE, -1, 2))
    np.testing.assert_allclose(staged(Tanh(shift=1.0)), np.tanh(SLICE.astype(float) - 1), rtol=1e-6)


def test_infinite_training_rows_count_as_gaps() -> None:
    train = TRAIN.copy()
    train[np.isnan(train)] = np.inf
    for stage in (Zscore(), MinMax(), RobustZscore(), Fill(by="median")):
        np.testing.assert_array_equal(staged(stage, train=train), staged(stage))


@pytest.mark.parametrize("stage", [Zscore(), MinMax()], ids=["zscore", "min_max"])
def test_a_column_that_stood_still_in_training_is_left_as_it_is(stage: Any) -> None:
    still = np.full((1000, 1), 0.1, np.float32)
    np.testing.assert_array_equal(staged(stage, np.float32([[0.1], [7.0]]), still), np.float32([[0.1], [7.0]]))


def test_a_column_unknown_in_training_stays_unknown() -> None:
    nothing = np.full((10, 1), np.nan, np.float32)
    for stage in (Zscore(), MinMax(), RobustZscore()):
        assert np.isnan(staged(stage, np.float32([[1.0]]), nothing)).all()


@pytest.mark.parametrize("robust", [False, True])
def test_a_column_that_all_names_share_tells_none_apart(robust: bool) -> None:
    assert np.isnan(staged(CsZscore(robust=robust), np.full((7, 1), 0.1, np.float32))).all()
    assert np.isnan(staged(CsZscore(robust=robust), np.float32([[1.0], [np.nan]]))).all()


def test_no_row_to_learn_from_is_one_clear_error() -> None:
    with pytest.raises(ConfigError, match="no row to learn statistics of"):
        Zscore().fit(np.empty((0, 3), np.float32))


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: RobustZscore(clip=-1), "at least 0"),
        (lambda: Fill(by="max"), "zero, median"),  # type: ignore[arg-type]
        (lambda: Drop(max_missing=1.0), "below 1"),
        (lambda: Clip(low=1, high=1), "low must be below high"),
    ],
)
def test_options_that_make_no_sense_are_refused(make: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        make()
