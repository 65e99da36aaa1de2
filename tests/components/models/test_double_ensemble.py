"""The double ensemble: its two steps against a plain version of the reference, and whether it does what it is for."""

import msgspec
import numpy as np
import pandas as pd
import pytest

from components.models.bundle import opened, tensors_in
from components.models.double_ensemble import DoubleEnsemble
from components.models.double_ensemble_steps import Curve, Weighing, binned, curve_of, drawn, gains, reweighed, shares
from components.models.gbdt import Gbdt
from components.models.gbdt_trees import library
from components.models.linear_fit import plane, summed
from engine.errors import StateError
from engine.universe import universe_of
from tests.components.models.test_gbdt import card, gbdt
from tests.conformance.test_trained_models import F, N, T, ic, panel, symbols

SMALL = {"num_models": 3, "num_boost_round": 10, "min_data_in_leaf": 10, "num_leaves": 5, "learning_rate": 0.3}


def double(n: int = N, **options) -> DoubleEnsemble:
    return DoubleEnsemble(universe=universe_of(symbols(n)), name="m", rng=np.random.default_rng(1), **(SMALL | options))


# ---- the steps, against the reference written with pandas ------------------------------------------------------------


def test_rank_shares_are_those_of_pandas():
    x = np.round(np.random.default_rng(0).normal(size=200), 1)
    np.testing.assert_allclose(shares(x), pd.Series(x).rank(pct=True))


def test_bins_are_those_of_pandas():
    x = np.random.default_rng(0).normal(size=300)
    np.testing.assert_array_equal(binned(x, 10), pd.cut(pd.Series(x), 10, labels=False))
    assert set(binned(np.full(9, 2.0), 5)) == {0}


def test_weights_of_rows_are_those_of_the_reference():
    rng = np.random.default_rng(0)
    curve = Curve(start=rng.random(400) + 0.01, end=rng.random(400) + 0.01)
    loss, how = rng.random(400), Weighing(alpha1=1.0, alpha2=0.7, bins=10, decay=0.5)
    h = pd.DataFrame({"h": pd.Series(-loss).rank(pct=True) + 0.7 * pd.Series(curve.end / curve.start).rank(pct=True)})
    h["bins"] = pd.cut(h["h"], 10)
    mean = h.groupby("bins", observed=True)["h"].mean()
    wanted = 1.0 / (0.5**2 * h["bins"].map(mean).astype(float) + 0.1)
    np.testing.assert_allclose(reweighed(how, curve, loss, 2), wanted)


def test_ends_of_the_loss_curve_are_those_of_the_whole_curve():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 3))
    y = x[:, 0] + rng.normal(size=300)
    model = library().train({"verbosity": -1, "num_threads": 1, "num_leaves": 5}, library().Dataset(x, y), 25)
    whole = pd.DataFrame({k: (model.predict(x, num_iteration=k + 1) - y) ** 2 for k in range(25)}).rank(pct=True)
    found = curve_of(model, x, y)
    np.testing.assert_allclose(found.start, whole.iloc[:, :2].mean(axis=1), atol=1e-3)
    np.testing.assert_allclose(found.end, whole.iloc[:, -2:].mean(axis=1), atol=1e-3)


def test_the_gain_of_a_column_is_what_shuffling_it_costs():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 4)).astype(np.float32)
    y = 2.0 * x[:, 0] + 0.5 * x[:, 1] + rng.normal(size=500)
    found = gains(plane(summed(x, y, None, True), "ols", 0.0).answers, x, y, np.array([0, 1, 3]), rng)
    assert found[0] > found[1] > 5 * abs(found[3])
    assert found[2] == 0.0


def test_columns_are_drawn_from_every_bin_by_its_share():
    gain = np.concatenate([np.zeros(10), np.full(5, 0.5), np.ones(10)])
    found = drawn(gain, 5, (0.8, 0.7, 0.6, 0.5, 0.4), np.random.default_rng(0))
    assert len(set(found.tolist())) == len(found)
    # Bins without a column take no share: the best has 0.8, the next 0.7, the last 0.6.
    assert [int(np.isin(found, part).sum()) for part in (range(15, 25), range(10, 15), range(10))] == [8, 4, 6]
    assert (np.diff(found) > 0).all()


# ---- the model -------------------------------------------------------------------------------------------------------


def noisy(seed: int) -> tuple:
    """Two columns that matter among thirty, and a third of the rows with labels of nothing but large noise."""
    rng = np.random.default_rng(seed)
    data = panel(20, 150, seed=seed, holes=0.0)
    x = rng.normal(size=(150, 20, 30)).astype(np.float32)
    y = np.where(x[..., 0] > 0, x[..., 1], -x[..., 1]) + 0.5 * rng.normal(size=(150, 20))
    wild = rng.random(y.shape) < 0.35
    wild[100:] = False
    label = np.where(wild, 4.0 * rng.normal(size=y.shape), y)
    names = tuple(f"x{k}" for k in range(30))
    whole = msgspec.structs.replace(data, features=x, label=label, names=names)
    return whole, y


def test_it_helps_where_rows_and_columns_are_noise():
    """Mean over three seeds of the correlation with what can be known, against one model of the same trees."""
    options = {"num_boost_round": 40, "learning_rate": 0.15, "num_leaves": 8, "valid_share": 0.0, "label": "raw"}
    scores = {"one": [], "ensemble": []}
    for seed in range(3):
        data, truth = noisy(seed)
        names = ("ts", "features", "label", "label_from", "label_to")
        past = msgspec.structs.replace(data, **{name: getattr(data, name)[:100] for name in names})
        for name, model in (("one", gbdt(20, **options)), ("ensemble", double(20, num_models=4, **options))):
            assert isinstance(model, Gbdt | DoubleEnsemble)
            model.swap(model.fit(past))
            scores[name].append(ic(model.predict(data)[100:], truth[100:]))
    assert np.mean(scores["ensemble"]) > np.mean(scores["one"]) + 0.03, scores


def test_without_either_step_each_model_learns_the_same_rows_and_columns():
    data = panel()
    artefact = double(reweight=False, select=False).fit(data)
    texts = [artefact.files[f"model.{k}.txt"].partition(b"\nparameters:")[0] for k in range(3)]
    assert texts[0] == texts[1] == texts[2]
    alone = gbdt(N, **{k: v for k, v in SMALL.items() if k != "num_models"}, early_stopping_rounds=50).fit(data)
    assert texts[0] == alone.files["model.txt"].partition(b"\nparameters:")[0]


@pytest.mark.parametrize("step", ["reweight", "select"])
def test_each_step_alone_changes_the_second_model_and_not_the_first(step):
    data = panel()
    neither, one = (double(reweight=False, select=False), double(**{"reweight": False, "select": False, step: True}))
    a, b = neither.fit(data).files, one.fit(data).files
    trees = [[files[f"model.{k}.txt"].partition(b"\nparameters:")[0] for k in (0, 1)] for files in (a, b)]
    assert [one == other for one, other in zip(*trees, strict=True)] == [True, False]


def test_its_answer_is_the_weighed_mean_of_its_models_on_their_columns():
    data, weights = panel(holes=0.0), (1.0, 3.0, 0.5)
    artefact = double(sub_weights=weights).fit(data)
    arrays = tensors_in(artefact.files["weights.safetensors"], "x")
    model = double(sub_weights=weights)
    model.swap(artefact)
    x, wanted = data.features.reshape(-1, F), np.zeros(T * N)
    for k, weight in enumerate(weights):
        booster = library().Booster(model_str=artefact.files[f"model.{k}.txt"].decode())
        wanted += weight * booster.predict(x[:, arrays[f"columns.{k}"]], num_threads=1)
    np.testing.assert_array_equal(model.predict(data).ravel(), wanted / sum(weights))


def test_the_card_has_the_figures_of_every_model_and_rounds_are_told():
    told = []
    artefact = double().fit(panel(), on_metric=told.append)
    assert set(card(artefact)["metrics"]) == {f"l2_{part}_{k}" for part in ("train", "valid") for k in range(3)}
    assert {m.name for m in told} == set(card(artefact)["metrics"])
    assert card(artefact)["size"]["models"] == 3
    assert artefact.hash == double().fit(panel()).hash


def test_another_seed_draws_other_columns():
    data, _ = noisy(0)
    artefacts = [
        DoubleEnsemble(universe=universe_of(symbols(20)), name="m", rng=np.random.default_rng(k), **SMALL).fit(data)
        for k in (1, 2)
    ]
    columns = [tensors_in(a.files["weights.safetensors"], "x")["columns.1"].tolist() for a in artefacts]
    assert columns[0] != columns[1]


def test_an_artefact_whose_columns_are_none_of_the_features_is_refused():
    from components.models.bundle import composed, tensors_of

    artefact = double().fit(panel())
    bundle = opened(artefact, "x")
    arrays = dict(tensors_in(bundle.weights["weights.safetensors"], "x"))
    for name, value in (("columns.1", np.array([0, F])), ("columns.1", np.array([-1])), ("weights", np.zeros(3))):
        weights = bundle.weights | {"weights.safetensors": tensors_of(arrays | {name: value})}
        with pytest.raises(StateError, match="its columns and weights are none of this feature set"):
            double().swap(composed(msgspec.structs.replace(bundle, weights=weights)))
    less = {name: content for name, content in bundle.weights.items() if name != "model.2.txt"}
    altered = composed(msgspec.structs.replace(bundle, weights=less))
    with pytest.raises(StateError, match="is no double ensemble"):
        double().swap(altered)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"num_models": 0}, "num_models"),
        ({"decay": 0.0}, "decay"),
        ({"decay": 1.5}, "decay"),
        ({"alpha1": 0.0, "alpha2": 0.0}, "alpha1"),
        ({"bins_fs": 4}, "sample_ratios"),
        ({"sample_ratios": (0.5, 0.5, 0.5, 0.5, 0.0)}, "sample_ratios"),
        ({"sub_weights": (1.0,)}, "sub_weights"),
        ({"sub_weights": (0.0, 1.0, 1.0)}, "sub_weights"),
        ({"label": "above"}, "label"),
        ({"valid_share": 0.9}, "valid_share"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, said):
    with pytest.raises(ValueError, match=said):
        double(**options)
