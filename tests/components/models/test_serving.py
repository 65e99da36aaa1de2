"""What every trained model shares: the same numbers everywhere, and no artefact that does not fit."""

import msgspec
import numpy as np
import pytest

from components.models.artefact import artefact_of
from components.models.bundle import opened, tensors_in, tensors_of
from components.models.serving import Kind, Learnt, Serving
from engine.errors import ConfigError, StateError
from engine.events import DAY_NS, Features
from engine.protocols import Dataset
from engine.universe import universe_of
from tests.make import day

T, N, F = 30, 7, 4
NAMES = tuple(f"S{i}" for i in range(N))


class Centered:
    """Less the mean of training, NaN to 0 where asked."""

    kind = "centered"

    def __init__(self, *, fill: bool = False) -> None:
        self.options = {"fill": fill}

    def fit(self, features):
        return {"mean": np.nanmean(features, axis=0)}

    def apply(self, value, frozen):
        out = value - frozen["mean"]
        return np.where(np.isnan(out), 0.0, out) if self.options["fill"] else out


class Ranked:
    """By rank within the slice: what a name gets depends on all others."""

    kind = "ranked"

    def fit(self, features):
        return {}

    def apply(self, value, frozen):
        return np.where(np.isnan(value), np.nan, value.argsort(axis=0).argsort(axis=0))


def _opened(bundle):
    weight = tensors_in(bundle.weights["weights.safetensors"], "toy")["weight"]

    def answer(rows):
        assert rows.dtype == np.float32
        assert not len(rows) or rows.shape[1:] == ((F,) if bundle.schema.steps == 1 else (bundle.schema.steps, F))
        return (np.nan_to_num(rows) * weight).reshape(len(rows), -1).sum(axis=1).astype(np.float64)

    return answer


def _among_others(bundle):
    """Answers that depend on who else is asked."""
    alone = _opened(bundle)
    return lambda rows: alone(rows) - alone(rows).mean()


def serving(*, symbols=NAMES, opens=_opened, alone=False, version=1, **options) -> Serving:
    kind = Kind(name="toy", version=version, opened=opens, alone=alone)
    return Serving(kind=kind, name="m", universe=universe_of(symbols), **options)


def panel(*, n: int = N, t: int = T, holes: float = 0.2, seed: int = 0) -> Dataset:
    rng = np.random.default_rng(seed)
    x = rng.normal(1.0, 2.0, size=(t, n, F)).astype(np.float32)
    x[rng.random(x.shape) < holes] = np.nan
    ts = np.array([day(k) for k in range(t)])
    return Dataset(
        names=("a", "b", "c", "d"),
        schema="s1",
        ts=ts,
        features=x,
        label=rng.normal(size=(t, n)),
        label_from=ts,
        label_to=ts + DAY_NS,
        horizon_ns=DAY_NS,
        symbols=tuple(f"S{i}" for i in range(n)),
    )


def fit(model: Serving, data: Dataset, scale: float = 1.0):
    _, frozen = model.fitted(data, model.known(data))
    weight = (scale * np.arange(1, F + 1)).astype(np.float32)
    learnt = Learnt(
        weights={"weights.safetensors": tensors_of({"weight": weight})},
        params={},
        seed=0,
        label="raw",
        libraries={"numpy": "9.9"},
        slices={"train": len(data.ts)},
        rows={},
        metrics={"loss": float("nan")},
    )
    return model.composed(data, learnt, frozen)


def trained(data: Dataset, **options) -> Serving:
    model = serving(**options)
    model.take(fit(model, data))
    return model


def live(model: Serving, data: Dataset) -> np.ndarray:
    return np.stack(
        [
            model.on_features(Features(ts=int(ts), schema=data.schema, value=value.astype(np.float64))).value
            for ts, value in zip(data.ts, data.features, strict=True)
        ]
    )


EVERY = pytest.mark.parametrize(
    "options",
    [
        {},
        {"alone": True},
        {"alone": True, "processors": (Centered(), Ranked())},
        {"opens": _among_others, "processors": (Ranked(), Centered(fill=True))},
        {"steps": 3},
        {"steps": 3, "alone": True, "processors": (Centered(fill=True),)},
        {"steps": 4, "opens": _among_others, "processors": (Ranked(), Centered())},
    ],
    ids=["plain", "alone", "processed", "among others", "steps", "steps alone", "all"],
)


@EVERY
def test_predict_over_history_equals_on_features_bit_for_bit(options):
    data = panel()
    past = trained(data, **options).predict(data)
    np.testing.assert_array_equal(past, live(trained(data, **options), data))
    assert np.isfinite(past[options.get("steps", 1) - 1 :]).any(axis=1).all()


@EVERY
def test_predictions_do_not_depend_on_where_history_begins_or_ends(options):
    data, steps = panel(), options.get("steps", 1)
    model = trained(data, **options)
    parts = {name: getattr(data, name)[5:20] for name in ("ts", "features", "label", "label_from", "label_to")}
    part = model.predict(msgspec.structs.replace(data, **parts))
    np.testing.assert_array_equal(part[steps - 1 :], model.predict(data)[5 + steps - 1 : 20])


@EVERY
def test_state_saved_at_any_slice_goes_on_the_same(options):
    data = panel()
    whole = live(trained(data, **options), data)
    for at in (0, 1, 2, 5):
        parts = {name: getattr(data, name)[:at] for name in ("ts", "features")}
        rest = {name: getattr(data, name)[at:] for name in ("ts", "features")}
        before, after = trained(data, **options), serving(**options)
        if at:
            live(before, msgspec.structs.replace(data, **parts))
        after.load(before.save())
        np.testing.assert_array_equal(live(after, msgspec.structs.replace(data, **rest)), whole[at:])


def test_answers_are_those_of_the_formula():
    data = panel(holes=0.0)
    model = trained(data, processors=(Centered(),))
    mean = data.features.reshape(-1, F).mean(axis=0)
    wanted = ((data.features - mean) * np.arange(1, F + 1)).sum(axis=2)
    np.testing.assert_allclose(model.predict(data), wanted, rtol=1e-4, atol=1e-4)


def test_what_the_weights_learn_from_is_what_they_will_be_given():
    data, seen = panel(), []

    def watching(bundle):
        answer = _opened(bundle)
        return lambda rows: seen.append(rows) or answer(rows)

    model = serving(processors=(Centered(), Ranked()), opens=watching)
    features, _ = model.fitted(data, model.known(data))
    model.take(fit(model, data))
    seen.clear()
    model.predict(data)
    known = model.known(data)
    assert len(seen) == T
    for t in range(T):
        np.testing.assert_array_equal(seen[t], features[t][known[t]])


def test_processors_learn_from_the_rows_given_only():
    data = panel()
    rows = np.zeros((T, N), bool)
    rows[:10] = True
    other = data.features.copy()
    other[10:] = 99.0
    changed = msgspec.structs.replace(data, features=other)
    one, two = (serving(processors=(Centered(), Ranked())).fitted(each, rows)[1] for each in (data, changed))
    np.testing.assert_array_equal(one[0]["mean"], two[0]["mean"])


def test_a_name_with_fewer_than_half_of_its_row_known_has_no_opinion_whatever_is_filled():
    data = panel(holes=0.0, t=3)
    data.features[1, 2, :3] = np.nan
    data.features[1, 3, :2] = np.nan
    fills = trained(data, processors=(Centered(fill=True),))
    assert np.argwhere(np.isnan(fills.predict(data))).tolist() == [[1, 2]]
    assert np.argwhere(~fills.known(data)).tolist() == [[1, 2]]
    over_three = trained(data, processors=(Centered(fill=True),), steps=3)
    assert np.isfinite(over_three.predict(data)[2]).all()
    assert over_three.known(data).any(axis=1).tolist() == [False, False, True]


class Strict:
    """Nothing of a name with a gap."""

    kind = "strict"

    def fit(self, features):
        return {}

    def apply(self, value, frozen):
        return np.where(np.isnan(value).any(axis=1, keepdims=True), np.nan, value)


def test_a_name_of_which_processors_leave_nothing_has_no_opinion():
    data = panel(holes=0.0, t=4)
    data.features[1, 2, 0] = data.features[3, 4, 0] = np.nan
    model = trained(data, processors=(Strict(),))
    assert np.argwhere(np.isnan(model.predict(data))).tolist() == [[1, 2], [3, 4]]
    np.testing.assert_array_equal(live(model, data), model.predict(data))
    assert np.isfinite(trained(data, processors=(Strict(),), steps=2).predict(data)[1:]).all()


def test_no_opinion_before_there_is_an_artefact():
    data, model = panel(), serving(horizon_ns=5)
    assert np.isnan(model.predict(data)).all()
    assert np.isnan(live(model, data)).all()
    assert (model.hash, model.horizon_ns) == ("", 5)


def test_an_artefact_taken_in_the_middle_answers_as_if_it_had_been_there():
    """The slices that a row looks at are kept as given, so what another artefact froze does not linger."""
    data = panel()
    options = {"steps": 3, "processors": (Centered(),)}
    other = fit(serving(**options), panel(seed=5), scale=2.0)
    whole = serving(**options)
    whole.take(other)
    wanted = live(whole, data)
    for first in (None, fit(serving(**options), data)):
        model = serving(**options)
        if first is not None:
            model.take(first)
        half = {name: getattr(data, name)[:10] for name in ("ts", "features")}
        rest = {name: getattr(data, name)[10:] for name in ("ts", "features")}
        live(model, msgspec.structs.replace(data, **half))
        model.take(other)
        np.testing.assert_array_equal(live(model, msgspec.structs.replace(data, **rest)), wanted[10:])


def test_state_goes_on_with_names_appended_and_refuses_moved_ones():
    data = panel(n=N)
    options = {"steps": 3}
    before = trained(data, **options)
    wide = panel(n=N + 2, seed=3)
    first = {name: getattr(wide, name)[:5] for name in ("ts", "features")}
    rest = msgspec.structs.replace(wide, **{name: getattr(wide, name)[5:] for name in ("ts", "features")})
    live(before, msgspec.structs.replace(wide, ts=first["ts"], features=first["features"][:, :N]))
    longer = serving(symbols=(*NAMES, "X", "Y"), **options)
    longer.load(before.save())
    found = live(longer, rest)
    np.testing.assert_array_equal(
        found[:, :N], live(before, msgspec.structs.replace(rest, features=rest.features[:, :N]))
    )
    assert np.isfinite(found[2:, N:]).any()
    with pytest.raises(StateError, match="symbol 'S0' was at position 0"):
        serving(symbols=NAMES[::-1], **options).load(before.save())


# ---- refusals --------------------------------------------------------------------------------------------------------


def test_weights_that_answer_otherwise_than_they_did_are_refused_and_the_old_ones_stay():
    data = panel()
    model = trained(data)
    before = model.hash
    files = fit(serving(), data, scale=2.0).files
    planted = tensors_of({"weight": np.array([2.0, 4.0, 6.0, 8.5], np.float32)})
    with pytest.raises(
        StateError, match=r"m: artefact [0-9a-f]{12} answers its stored row \d+ with .*, not .*numpy 9.9"
    ):
        model.take(artefact_of(files | {"weights.safetensors": planted}))
    assert model.hash == before


def test_rows_that_check_nothing_are_refused():
    data = panel()
    none = tensors_of({"rows": np.zeros((1, 0, F), np.float32), "answers": np.zeros(0)})
    with pytest.raises(StateError, match="nothing, for it has no rows"):
        serving().take(artefact_of(fit(serving(), data).files | {"check.safetensors": none}))


def test_every_stored_row_is_of_a_known_name_and_they_are_spread_over_history():
    data = panel(t=200)
    check = opened(fit(serving(steps=2), data), "m")
    assert check.rows.shape == (2, 16, F)
    assert np.isfinite(check.answers).all()
    found = [
        next(t for t in range(1, 200) for i in range(N) if same_row(data, t, i, row))
        for row in check.rows.swapaxes(0, 1)
    ]
    assert found[0] < 20
    assert found[-1] > 180
    assert len(set(found)) == 16


def same_row(data, t, i, row) -> bool:
    return np.array_equal(data.features[t - 1 : t + 1, i], row, equal_nan=True)


@pytest.mark.parametrize("n", [1, 2, 40])
@pytest.mark.parametrize("t", [2, 5])
def test_short_history_and_few_names_give_the_rows_there_are(n, t):
    data = panel(n=n, t=t, holes=0.0)
    model = serving(symbols=data.symbols, steps=2)
    check = opened(fit(model, data), "m")
    assert 1 <= check.rows.shape[1] <= min(16, n * (t - 1))
    model.take(fit(model, data))


@pytest.mark.parametrize("steps", [1, 2])
def test_rows_to_check_by_are_found_where_few_slices_have_any(steps):
    data = panel(t=700, holes=0.0)
    there = np.isin(np.arange(700) % 70, (33, 34))
    data.features[~there] = np.nan
    model = serving(steps=steps)
    check = opened(fit(model, data), "m")
    assert check.rows.shape[1] == 16
    assert np.isfinite(check.answers).all()
    assert np.isfinite(check.rows).any(axis=(0, 2)).all()
    model.take(fit(model, data))


def test_history_without_a_row_to_check_by_is_one_clear_error():
    for data, steps in ((panel(t=2), 3), (panel(holes=1.0), 1)):
        with pytest.raises(ConfigError, match="train on longer history"), np.errstate(all="ignore"):
            fit(serving(steps=steps), data)


def test_an_artefact_of_another_kind_or_version_is_refused():
    artefact = fit(serving(), panel())
    with pytest.raises(StateError, match="the artefact is of toy v1, this model reads toy v2"):
        serving(version=2).take(artefact)


def test_an_artefact_learned_behind_other_processors_is_refused():
    artefact = fit(serving(processors=(Centered(fill=True),)), panel())
    serving(processors=(Centered(fill=True),)).take(artefact)
    for processors, said in (
        ((), "its processors are none, and"),
        ((Centered(),), "its processors are centered {'fill': False}, and"),
        ((Centered(fill=True), Ranked()), "its processors are centered {'fill': True}, ranked, and"),
    ):
        with pytest.raises(ConfigError, match=f"{said}.* learned behind centered {{'fill': True}}; name those"):
            serving(processors=processors).take(artefact)


def test_an_artefact_of_another_number_of_slices_or_another_horizon_is_refused():
    artefact = fit(serving(steps=2), panel())
    with pytest.raises(ConfigError, match="m: it looks at 3 slices, and the artefact learned from 2"):
        serving(steps=3).take(artefact)
    with pytest.raises(ConfigError, match=rf"horizon_ns is 5, and the labels of artefact .* span {DAY_NS} ns"):
        serving(steps=2, horizon_ns=5).take(artefact)


def test_features_of_another_schema_are_refused():
    data = panel()
    other = msgspec.structs.replace(data, schema="s2")
    model = trained(data)
    for ask in (model.predict, lambda asked: live(model, asked)):
        with pytest.raises(ConfigError, match="trained on features of schema s1 and is given s2; name the feature set"):
            ask(other)


def test_a_processor_that_moves_columns_is_refused():
    class Half(Ranked):
        def apply(self, value, frozen):
            return value[:, :2]

    with pytest.raises(ValueError, match=r"processor ranked: it made \(7, 2\) of \(7, 4\)"):
        fit(serving(processors=(Half(),)), panel())


@pytest.mark.parametrize(("option", "value"), [("steps", 0), ("horizon_ns", 0)])
def test_options_that_make_no_sense_are_refused(option, value):
    with pytest.raises(ValueError, match=option):
        serving(**{option: value})
