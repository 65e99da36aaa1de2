"""What is learned from, what is held out, and what counts how much."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.training.parts import learnable, parted, rows_of, weighed
from components.training.reweighting import Decay, EvenSlices
from engine.errors import ConfigError
from engine.events import DAY_NS
from engine.protocols import Dataset
from tests.make import day


def dataset(slices: int = 20, n: int = 3, reach: int = 1, **fields) -> Dataset:
    ts = np.array([day(k) for k in range(slices)], np.int64)
    made = Dataset(
        names=("x",),
        schema="s",
        ts=ts,
        features=np.zeros((slices, n, 1), np.float32),
        label=np.random.default_rng(0).normal(size=(slices, n)),
        label_from=ts + DAY_NS // 2,
        label_to=ts + DAY_NS // 2 + reach * DAY_NS,
        horizon_ns=reach * DAY_NS,
    )
    return msgspec.structs.replace(made, **fields)


@given(
    slices=st.integers(1, 40),
    reach=st.integers(0, 10),
    share=st.floats(0, 0.9),
    embargo=st.integers(0, 5),
    from_=st.none() | st.integers(-3, 50),
)
def test_no_label_that_is_learned_reaches_into_what_is_held_out(slices, reach, share, embargo, from_):
    rows = dataset(slices, reach=reach, valid_from=None if from_ is None else day(from_))
    parts = parted(rows, share, embargo * DAY_NS)
    assert not (parts.train & parts.valid).any()
    if parts.valid.any():
        begins = rows.ts[parts.valid].min()
        assert (rows.label_to[parts.train] + embargo * DAY_NS <= begins).all()
        left = ~parts.train & ~parts.valid  # and no more than that is left out
        assert (rows.label_to[left] + embargo * DAY_NS > begins).all()
    else:
        assert parts.train.all()


def test_the_dataset_says_where_the_held_out_part_begins():
    parts = parted(dataset(valid_from=day(15)), valid_share=0.5)
    assert np.flatnonzero(parts.valid).tolist() == [15, 16, 17, 18, 19]
    assert parts.counts() == {"train": 14, "valid": 5}


def test_the_share_is_one_of_the_slices_that_have_a_label():
    """A gap of a split stays in place without labels: as if it were not there, and never what is stopped by."""
    rows = dataset()
    rows.label[8:17] = np.nan  # 11 slices are left: 0..7 and 17..19
    assert np.flatnonzero(parted(rows, 0.2).valid).tolist() == [18, 19]
    assert np.flatnonzero(parted(rows, 0.4).valid).tolist() == list(range(7, 20))
    rows.label[15:] = np.nan
    assert np.flatnonzero(parted(rows, 0.25).valid).tolist() == list(range(6, 20))
    rows.label[:] = np.nan
    assert not parted(rows, 0.5).valid.any()


def test_a_held_out_part_beyond_the_end_is_empty_and_one_from_the_start_leaves_nothing():
    assert parted(dataset(valid_from=day(99))).counts() == {"train": 20, "valid": 0}
    rows = dataset(valid_from=day(-1))
    parts = parted(rows)
    assert parts.counts() == {"train": 0, "valid": 20}
    with pytest.raises(ConfigError, match="m: all 20 slices are held out"):
        learnable(rows_of(rows.label, np.ones((20, 3), bool), None, parts.train), rows, parts, None, "m")


def test_weights_of_the_dataset_and_of_a_reweighter_are_multiplied():
    rows = dataset(weight=np.full((20, 3), 2.0))
    np.testing.assert_array_equal(weighed(rows, Decay(half_life=1), "m")[-2:], [[1.0] * 3, [2.0] * 3])
    assert weighed(dataset(), None, "m") is None


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1.0])
def test_a_weight_that_is_none_is_refused_with_its_place(bad):
    weight = np.ones((20, 3))
    weight[4, 1] = bad
    with pytest.raises(ConfigError, match=rf"m: the dataset's weights are {bad} at slice 4, name 1"):
        weighed(dataset(weight=weight), None, "m")
    with pytest.raises(ConfigError, match=r"of shape \(2, 2\), the rows of \(20, 3\)"):
        weighed(dataset(weight=np.ones((2, 2))), None, "m")


def test_rows_that_count_nothing_are_left_out_and_all_of_them_is_an_error():
    rows, all_slices, usable = dataset(), np.ones(20, bool), np.ones((20, 3), bool)
    weight = np.ones((20, 3))
    weight[0], weight[1, 2] = 0.0, 0.0
    found = rows_of(rows.label, usable, weight, all_slices)
    assert (len(found.label), found.counts.tolist()[:2]) == (56, [2, 3])
    nothing = np.zeros((20, 3))
    with pytest.raises(ConfigError, match="m: the weights of all rows are zero"):
        learnable(rows_of(rows.label, usable, nothing, all_slices), rows, parted(rows), nothing, "m")


def test_a_row_without_a_label_teaches_nothing():
    rows = dataset()
    rows.label[3, 1] = np.nan
    assert len(rows_of(rows.label, np.ones((20, 3), bool), None, np.ones(20, bool)).label) == 59


def test_decay_halves_over_its_half_life_and_refuses_none():
    weight = Decay(half_life=5).weights(dataset())
    np.testing.assert_allclose(weight[14], 0.5 * weight[19])
    with pytest.raises(ValueError, match="half_life must be above 0 slices, got 0"):
        Decay(half_life=0)


def test_even_slices_give_each_slice_the_same_total():
    rows = dataset()
    rows.label[5, :2] = np.nan
    rows.label[6] = np.nan
    total = np.where(np.isfinite(rows.label), EvenSlices().weights(rows), 0.0).sum(axis=1)
    np.testing.assert_allclose(np.delete(total, 6), total[0])
    assert np.isfinite(EvenSlices().weights(dataset(label=np.full((20, 3), np.nan)))).all()
