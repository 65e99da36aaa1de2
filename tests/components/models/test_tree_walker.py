"""The compiled walk over trees: the very doubles of LightGBM, or LightGBM itself."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.models.gbdt_trees import WORTH, answering, leaves_of, library
from components.models.tree_walker import Walker, _read, walker_of

lgb = library()
F = 6


def table(rows: int = 400, seed: int = 0, holes: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    """Columns of several kinds: normal, mostly zero, few values, huge, tiny, constant."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, F)).astype(np.float32)
    x[rng.random(rows) < 0.7, 1] = 0.0
    x[:, 2] = rng.integers(-2, 3, rows)
    x[:, 3] *= np.float32(1e30)
    x[:, 4] *= np.float32(1e-36)
    x[:, 5] = 1.0
    y = np.where(x[:, 0] > 0, x[:, 2], x[:, 1]) + rng.normal(size=rows)
    x[rng.random(x.shape) < holes] = np.nan
    return x, y


def booster(params: dict, rounds: int = 12, seed: int = 0, holes: float = 0.1, **dataset):
    x, y = table(seed=seed, holes=holes)
    if params.get("objective") == "binary":
        y = (y > 0).astype(float)
    if params.get("objective") in ("lambdarank", "rank_xendcg"):
        y, dataset = np.clip(np.round(y) + 2, 0, 4), {"group": [40] * 10, **dataset}
    fixed = {"verbosity": -1, "num_threads": 1, "deterministic": True, "force_col_wise": True, "min_data_in_leaf": 5}
    return lgb.train(fixed | params, lgb.Dataset(x, y, params=fixed | params, **dataset), rounds)


def questions(seed: int = 1, rows: int = 203) -> np.ndarray:
    """Rows unlike those that were learned from: holes, zeros of both signs, denormals, infinities."""
    rng = np.random.default_rng(seed)
    x, _ = table(rows, seed)
    for value in (np.nan, 0.0, -0.0, np.inf, -np.inf, 1e-38, -1e-38, 1e-35, -1e-35, 3.4e38):
        x[rng.random(x.shape) < 0.04] = np.float32(value)
    x[0], x[1], x[2] = np.nan, np.inf, -np.inf
    return x


def same_bits(model, walker: Walker | None, x: np.ndarray) -> None:
    assert walker is not None
    wanted = model.predict(x, num_threads=1)
    np.testing.assert_array_equal(walker.predict(x).view(np.int64), wanted.view(np.int64))


PARAMS = st.fixed_dictionaries(
    {
        "num_leaves": st.sampled_from([2, 3, 7, 31]),
        "max_depth": st.sampled_from([-1, 1, 3]),
        "objective": st.sampled_from(
            ["regression", "binary", "lambdarank", "rank_xendcg", "huber", "quantile", "mape"]
        ),
        "use_missing": st.booleans(),
        "zero_as_missing": st.booleans(),
        "max_bin": st.sampled_from([2, 15, 255]),
        "boosting": st.sampled_from(["gbdt", "dart"]),
        "extra_trees": st.booleans(),
        "lambda_l1": st.sampled_from([0.0, 1.0]),
        "bagging_freq": st.sampled_from([0, 1]),
        "bagging_fraction": st.just(0.7),
        "learning_rate": st.sampled_from([0.03, 1.0]),
    }
)


@settings(max_examples=60, deadline=None)
@given(params=PARAMS, seed=st.integers(0, 10**6), holes=st.sampled_from([0.0, 0.1, 0.6]))
def test_answers_are_those_of_the_library_to_the_last_bit(params, seed, holes):
    model = booster(params, seed=seed, holes=holes)
    text = model.model_to_string()
    loaded = lgb.Booster(model_str=text)
    same_bits(loaded, walker_of(text, loaded), questions(seed + 1))


def test_a_value_at_a_threshold_and_its_neighbours_go_where_the_library_sends_them():
    model = booster({"num_leaves": 31}, rounds=5, holes=0.0)
    walker = walker_of(model.model_to_string(), model)
    thresholds = [
        float(v)
        for line in model.model_to_string().splitlines()
        if line.startswith("threshold=")
        for v in line.partition("=")[2].split()
    ]
    with np.errstate(over="ignore"):
        at = np.array(thresholds).astype(np.float32)
    near = np.concatenate([at, np.nextafter(at, np.float32(np.inf)), np.nextafter(at, np.float32(-np.inf))])
    same_bits(model, walker, np.repeat(near[:, None], F, axis=1))


def test_a_row_has_the_same_answer_in_whatever_company():
    model = booster({})
    walker = walker_of(model.model_to_string(), model)
    x = questions(rows=4100)  # more than are keyed at a time
    whole = walker.predict(x)
    for rows in (slice(0, 1), slice(1, 8), slice(3, 20), slice(2040, 2060)):
        np.testing.assert_array_equal(walker.predict(x[rows]), whole[rows])
    assert walker.predict(x[:0]).shape == (0,)
    same_bits(model, walker, x)


def test_a_view_with_gaps_is_read_as_it_stands():
    model = booster({})
    walker = walker_of(model.model_to_string(), model)
    wide = questions()[:, ::-1].copy()
    same_bits(model, walker, wide[::3, ::-1])


def test_a_model_of_stumps_without_any_split_answers_its_constant():
    x, _ = table()
    model = lgb.train({"verbosity": -1, "num_threads": 1}, lgb.Dataset(x, np.full(len(x), 3.0)), 3)
    same_bits(model, walker_of(model.model_to_string(), model), questions())


@pytest.mark.parametrize(
    ("params", "dataset"),
    [
        ({"objective": "multiclass", "num_class": 3}, {}),
        ({"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5}, {}),
        ({"linear_tree": True}, {}),
        ({"objective": "poisson"}, {}),
        ({"reg_sqrt": True}, {}),
        ({}, {"categorical_feature": [2]}),
    ],
)
def test_what_it_cannot_walk_is_left_to_the_library(params, dataset):
    x, y = table()
    y = np.clip(np.round(np.abs(y)), 0, 2)
    x[:, 2] = np.where(np.isnan(x[:, 2]), np.nan, x[:, 2] + 2)
    fixed = {"verbosity": -1, "num_threads": 1, "min_data_in_leaf": 5} | params
    model = lgb.train(fixed, lgb.Dataset(x, y, params=fixed, **dataset), 4)
    assert walker_of(model.model_to_string(), model) is None


def test_trees_that_answer_unlike_the_library_are_left_to_it():
    """The check at load: here the text is another model's."""
    model, other = booster({}), booster({}, seed=5)
    assert walker_of(other.model_to_string(), other) is not None
    assert walker_of(other.model_to_string(), model) is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("left_child", "900"),
        ("right_child", "-900"),
        ("left_child", "0"),
        ("split_feature", "77"),
        ("threshold", "nan"),
    ],
)
def test_a_text_that_is_no_tree_is_not_walked(field, value):
    lines = booster({}, rounds=2).model_to_string().split("\n")
    k = next(i for i, line in enumerate(lines) if line.startswith(f"{field}="))
    lines[k] = " ".join([f"{field}={value}", *lines[k].split(" ")[1:]])
    assert _read("\n".join(lines)) is None


def test_rows_of_another_width_or_type_are_refused():
    model = booster({})
    walker = walker_of(model.model_to_string(), model)
    with pytest.raises(ValueError, match=r"rows must be float32 of 6 columns, got float32 of shape \(2, 5\)"):
        walker.predict(np.zeros((2, 5), np.float32))
    with pytest.raises(ValueError, match="got float64"):
        walker.predict(np.zeros((2, 6)))


def test_models_that_are_worth_compiling_for_are_walked_and_others_left_to_the_library():
    large = booster({"num_leaves": 31}, rounds=220).model_to_string()
    small = booster({"num_leaves": 31}, rounds=3).model_to_string()
    assert leaves_of(small) < WORTH <= leaves_of(large)
    x = questions()
    for text, often, walks in ((large, False, True), (small, False, False), (small, True, True)):
        answer = answering(text, often)
        assert isinstance(getattr(answer, "__self__", None), Walker) == walks
        wanted = lgb.Booster(model_str=text).predict(x, num_threads=1)
        np.testing.assert_array_equal(answer(x).view(np.int64), wanted.view(np.int64))
