"""What every model that learns rows keeps, whatever it learns: one list, one battery, and inputs that break models."""

import contextlib
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest

from components.models.blend import Blend
from components.models.double_ensemble import DoubleEnsemble
from components.models.gbdt import Gbdt
from components.models.linear import Linear
from components.models.networks.gru import Gru
from components.models.networks.mlp import Mlp
from components.models.neural import Neural
from engine.errors import ConfigError, NothingLearnedError, StateError
from engine.events import DAY_NS, Features
from engine.protocols import Artefact, Dataset, Trainable
from engine.universe import universe_of
from tests.make import day

N, T, F = 12, 60, 6
NAMES = ("a", "b", "c", "d", "e", "f")
Make = Callable[[int], Any]


def symbols(n: int) -> tuple[str, ...]:
    return tuple(f"S{i}" for i in range(n))


def gbdt(n: int, **options: Any) -> Gbdt:
    small = {"num_boost_round": 8, "min_data_in_leaf": 10, "num_leaves": 5, "learning_rate": 0.3}
    return Gbdt(universe=universe_of(symbols(n)), name="m", rng=np.random.default_rng(1), **(small | options))


def double(n: int, **options: Any) -> DoubleEnsemble:
    small = {"num_models": 3, "num_boost_round": 6, "min_data_in_leaf": 10, "num_leaves": 5, "learning_rate": 0.3}
    return DoubleEnsemble(universe=universe_of(symbols(n)), name="m", rng=np.random.default_rng(1), **(small | options))


def linear(n: int, **options: Any) -> Linear:
    return Linear(universe=universe_of(symbols(n)), name="m", **options)


def neural(n: int, **options: Any) -> Neural:
    small = {"net": Mlp(hidden=(8,)), "steps": 1, "epochs": 12, "batch": 100, "lr": 0.03}
    return Neural(universe=universe_of(symbols(n)), name="m", rng=np.random.default_rng(1), **(small | options))


def blend(n: int, **options: Any) -> Blend:
    small = {"models": (gbdt(n), linear(n)), "folds": 2}
    return Blend(universe=universe_of(symbols(n)), name="m", **(small | options))


MODELS: dict[str, Make] = {
    "mse": gbdt,
    "binary": lambda n: gbdt(n, objective="binary"),
    "lambdarank": lambda n: gbdt(n, objective="lambdarank"),
    "rank_xendcg": lambda n: gbdt(n, objective="rank_xendcg"),
    "double_ensemble": double,
    "ols": lambda n: linear(n, estimator="ols"),
    "ridge": lambda n: linear(n, estimator="ridge", alpha=0.01),
    "lasso": lambda n: linear(n, estimator="lasso", alpha=0.001),
    "nnls": lambda n: linear(n, estimator="nnls"),
    "mlp": neural,
    "flat_gru": lambda n: neural(n, net=Gru(hidden=6, layers=1), steps=2, flat=True),
    "blend": blend,
    "blend_ic": lambda n: blend(n, weigh="ic", ic_slices=20),
    "blend_stacked": lambda n: blend(n, weigh="stacked"),
}
pytestmark = pytest.mark.parametrize("make", MODELS.values(), ids=MODELS.keys())


def panel(n: int = N, slices: int = T, *, holes: float = 0.05, seed: int = 0, **fields: Any) -> Dataset:
    """Labels that follow the first two features, with noise of the same size."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(slices, n, F)).astype(np.float32)
    y = x[..., 0].astype(float) + 0.5 * x[..., 1] + rng.normal(size=(slices, n))
    x[rng.random(x.shape) < holes] = np.nan
    x[rng.random(y.shape) < holes] = np.nan
    y[rng.random(y.shape) < holes] = np.nan
    ts = np.array([day(k) for k in range(slices)])
    made = Dataset(
        names=NAMES,
        schema="s1",
        ts=ts,
        features=x,
        label=y,
        label_from=ts + DAY_NS // 2,
        label_to=ts + 3 * DAY_NS // 2,
        horizon_ns=DAY_NS,
        symbols=symbols(n),
    )
    return msgspec.structs.replace(made, **fields)


def cut(data: Dataset, rows: slice) -> Dataset:
    names = ("ts", "features", "label", "label_from", "label_to")
    return msgspec.structs.replace(data, **{name: getattr(data, name)[rows] for name in names})


def slice_of(data: Dataset, t: int, **fields: Any) -> Features:
    made = Features(ts=int(data.ts[t]), schema=data.schema, value=data.features[t].astype(np.float64))
    return msgspec.structs.replace(made, **fields)


def trained(make: Make, data: Dataset) -> Any:
    model = make(data.label.shape[1])
    model.swap(model.fit(data))
    return model


def card(artefact: Artefact) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(artefact.files["model.json"])
    return found


def ic(value: Any, label: Any) -> float:
    known = np.isfinite(value) & np.isfinite(label)
    return float(np.corrcoef(value[known], label[known])[0, 1])


def test_predict_over_history_equals_on_features_bit_for_bit(make: Make) -> None:
    data = panel()
    model = trained(make, data)
    history = model.predict(data)
    for t in range(T):
        live = model.on_features(slice_of(data, t)).value
        np.testing.assert_array_equal(live.view(np.int64), history[t].view(np.int64))


def test_it_finds_a_signal_that_is_there_in_slices_that_it_has_not_seen(make: Make) -> None:
    data = panel(slices=120)
    model = trained(make, cut(data, slice(0, 90)))
    assert ic(model.predict(data)[95:], data.label[95:]) > 0.35


def test_training_twice_gives_the_same_bytes(make: Make) -> None:
    model = make(N)
    assert model.fit(panel()).hash == make(N).fit(panel()).hash == model.fit(panel()).hash


def test_nothing_that_is_held_out_or_purged_is_learned(make: Make) -> None:
    """Labels and features of the slices that are purged change nothing; those held out only when to stop."""
    data = panel(holes=0.0, valid_from=day(45), label_to=np.array([day(k) + 3 * DAY_NS for k in range(T)]))
    purged = range(43, 45)
    label, features = data.label.copy(), data.features.copy()
    label[purged], features[purged] = 100.0 * np.arange(N), 50.0
    other = msgspec.structs.replace(data, label=label, features=features)
    answers = []
    for each in (data, other):
        model = make(N)
        artefact = model.fit(each)
        assert card(artefact)["slices"]["train"] == 43
        model.swap(artefact)
        answers.append(model.predict(panel(seed=5)))
    np.testing.assert_array_equal(*answers)


def test_names_without_an_opinion_teach_nothing_and_get_none(make: Make) -> None:
    data = panel(holes=0.0)
    data.features[:, 3, :4] = np.nan
    model = trained(make, data)
    assert np.isnan(model.predict(data)[:, 3]).all()
    assert np.isfinite(np.delete(model.predict(data), 3, axis=1)).all()
    rows = card(model.fit(data))["rows"]
    assert sum(rows.values()) % (N - 1) == 0


def test_constant_and_unknown_columns_do_no_harm(make: Make) -> None:
    data = panel(holes=0.0)
    data.features[..., 4], data.features[..., 5] = 7.25, np.nan
    value = trained(make, data).predict(data)
    assert np.isfinite(value).all()
    assert ic(value, data.label) > 0.35


def test_features_that_never_move_are_one_clear_error(make: Make) -> None:
    for value in (1.5, 1e7):
        data = panel(holes=0.0)
        data.features[:] = value
        with pytest.raises(ConfigError, match=r"m.*: each of the 6 features is the same in all \d+ rows to learn from"):
            make(N).fit(data)


def test_features_that_tell_slices_apart_and_no_names_are_one_clear_error(make: Make) -> None:
    """The index's return, the day of the week: every name of a slice has the same, and labels compare names."""
    data = panel(holes=0.0)
    data.features[:] = data.features[:, :1]
    with pytest.raises(ConfigError, match="m.*: in each slice all names have the same features.*`label: raw`"):
        make(N).fit(data)
    data.features[2, 0, 2] += 1  # one name of one slice is enough to learn from, however little
    with contextlib.suppress(NothingLearnedError):
        make(N).fit(data)


def test_one_slice_is_no_history(make: Make) -> None:
    data = panel(n=12, slices=1, holes=0.0)
    with pytest.raises(ConfigError, match="longer history"):
        make(12).fit(data)


def test_labels_that_are_all_the_same_are_one_clear_error(make: Make) -> None:
    data = panel(holes=0.0)
    with pytest.raises(
        ConfigError, match=r"m.*: the labels \(`\w+`\) of all \d+ rows to learn from are -?[\d.]+, which"
    ):
        make(N).fit(msgspec.structs.replace(data, label=np.full_like(data.label, 0.01)))


@pytest.mark.parametrize("slices", [1, 2, 3])
def test_the_shortest_history_trains_or_says_what_it_lacks(make: Make, slices: int) -> None:
    """What it learns from so little is worth little, but it is no constant."""
    data = panel(slices=slices, holes=0.0)
    model = make(N)
    try:
        model.swap(model.fit(data))
    except ConfigError as error:
        if "longer history" not in str(error):
            raise
        return
    value = model.predict(data)
    assert np.isfinite(value).all()
    assert np.ptp(value) > 0


def test_one_symbol_has_no_rank_among_others_and_is_one_clear_error(make: Make) -> None:
    with pytest.raises(ConfigError, match="take more symbols, or learn from one with `label: raw`"):
        make(1).fit(panel(1, holes=0.0))


def test_no_label_at_all_is_one_clear_error(make: Make) -> None:
    data = panel()
    with pytest.raises(ConfigError, match=r"m.*: none of the 60 slices has a name with both features and a label"):
        make(N).fit(msgspec.structs.replace(data, label=np.full_like(data.label, np.nan)))
    with pytest.raises(ConfigError, match=r"m.*: none of the 60 slices has a name with both"):
        make(N).fit(msgspec.structs.replace(data, features=np.full_like(data.features, np.nan)))


def test_a_held_out_part_that_nothing_can_be_judged_by_is_one_clear_error(make: Make) -> None:
    data = panel(valid_from=day(50), weight=np.ones((T, N)))
    data.label[50:] = np.nan
    with pytest.raises(ConfigError, match=r"m.*: none of the 10 slices that are held out to stop by has a name with"):
        make(N).fit(data)
    unweighed = panel(valid_from=day(50), weight=np.repeat((np.arange(T) < 50.0)[:, None], N, axis=1).astype(float))
    with pytest.raises(
        ConfigError, match=r"m.*: none of the 10 slices .* counts: all their weights are zero; hold out"
    ):
        make(N).fit(unweighed)
    with pytest.raises(ConfigError, match=r"m.*: slices from \d+ ns on are held out, and the last one is at \d+; hold"):
        make(N).fit(panel(valid_from=day(T + 9)))
    with pytest.raises(ConfigError, match="m.*: all 60 slices are held out"):
        make(N).fit(panel(valid_from=day(-1)))


def test_a_dataset_that_cannot_be_is_one_clear_error(make: Make) -> None:
    """Otherwise what is held out and purged by these instants would be anything."""
    data = panel(holes=0.0)
    stamps = ("ts", "label_from", "label_to")
    twice = {name: np.repeat(getattr(data, name)[::2], 2) for name in stamps}
    late = data.label_to.copy()
    late[-1] = 2**63 - 1
    cases: list[tuple[dict[str, Any], str]] = [
        (twice, "the slice of .* stands twice; give each instant once"),
        ({name: getattr(data, name)[::-1] for name in stamps}, "the slice of .* comes after that of"),
        ({"label_to": data.ts - 5, "label_from": data.ts - 9}, "the label of slice 0, .* begins before that"),
        ({"label_to": data.label_from - 1}, "the label of slice 0, .* ends before it begins"),
        ({"label_to": late}, "the label of slice 59, .* is not known yet, for it ends never; leave such slices out"),
        ({"ts": data.ts[1:]}, r"ts is of shape \(59,\) beside features of 60 slices, 12 names; give \(60,\)"),
        ({"label": data.label[:, 1:]}, r"label is of shape \(60, 11\) beside"),
        ({"names": data.names[1:]}, "names has 5 entries beside features of 6; give one for each"),
    ]
    for fields, told in cases:
        with pytest.raises(ConfigError, match="m.*: " + told):
            make(N).fit(msgspec.structs.replace(data, **fields))


def test_weights_of_zero_are_no_rows_and_only_zeros_an_error(make: Make) -> None:
    data = panel()
    weight = np.ones((T, N))
    weight[:20] = 0.0
    fewer = make(N).fit(msgspec.structs.replace(data, weight=weight, valid_from=day(50)))
    shorter = make(N).fit(msgspec.structs.replace(cut(data, slice(20, T)), valid_from=day(50)))
    assert card(fewer)["rows"] == card(shorter)["rows"]
    with pytest.raises(ConfigError, match="m.*: the weights of all rows are zero"):
        make(N).fit(msgspec.structs.replace(data, weight=np.zeros((T, N))))
    with pytest.raises(ConfigError, match="finite and not negative"):
        make(N).fit(msgspec.structs.replace(data, weight=-weight))


def test_an_artefact_of_other_features_is_refused_where_it_is_used(make: Make) -> None:
    model = trained(make, panel())
    with pytest.raises(ConfigError, match="trained on features of schema s1 and is given s2"):
        model.predict(panel(schema="s2"))
    with pytest.raises(ConfigError, match="trained on features of schema s1 and is given s2"):
        model.on_features(slice_of(panel(schema="s2"), 0))


def test_an_artefact_whose_weights_were_altered_is_refused(make: Make) -> None:
    model = trained(make, panel())
    before = model.on_features(slice_of(panel(), 0)).model_hash
    artefact = make(N).fit(panel(seed=3))
    for name in artefact.files:
        damaged = dict(artefact.files) | {name: artefact.files[name][:-9] + b"000000000"}
        with pytest.raises(StateError):
            model.swap(msgspec.structs.replace(artefact, files=damaged))
    assert model.on_features(slice_of(panel(), 0)).model_hash == before


def test_state_carries_the_artefact(make: Make) -> None:
    data = panel()
    model, fresh = trained(make, data), make(N)
    fresh.load(model.save())
    np.testing.assert_array_equal(fresh.predict(data), model.predict(data))
    fresh.load(make(N).save())
    assert np.isnan(fresh.predict(data)).all()


def test_without_an_artefact_it_has_no_opinion(make: Make) -> None:
    signal = make(N).on_features(slice_of(panel(), 0))
    assert np.isnan(signal.value).all()
    assert (signal.model_hash, signal.horizon_ns) == ("", 0)


def test_it_is_trainable_slow_and_says_what_it_learned(make: Make) -> None:
    model = make(N)
    assert isinstance(model, Trainable)
    assert model.slow_handlers == ("on_features",)
    found = card(model.fit(panel()))
    assert found["libraries"]["numpy"] == np.__version__
    assert found["size"]
    if isinstance(model, Neural):
        return  # weights of many layers do not say what a feature is worth
    assert set(found["importance"]) == set(NAMES)
    assert max(found["importance"], key=found["importance"].get) == "a"
