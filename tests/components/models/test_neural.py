"""Networks: each formula against a plain one, and a model that answers live what it answers over history."""

import sys
from functools import cache
from itertools import pairwise

import msgspec
import numpy as np
import pytest
from scipy.stats import spearmanr

from components.models.artefact import artefact_of
from components.models.networks.alstm import Alstm
from components.models.networks.gru import Gru
from components.models.networks.lstm import Lstm
from components.models.networks.mlp import Mlp
from components.models.networks.tcn import Tcn
from components.models.networks.transformer import Transformer
from components.models.neural import Neural
from components.processors.clip import Clip
from components.processors.robust_zscore import RobustZscore
from components.training.importance import importance_of
from components.training.reweighting import Decay
from engine.errors import ConfigError, StateError
from engine.events import Features
from engine.protocols import Trainable
from engine.universe import universe_of
from tests.components.models.test_gbdt import days_later
from tests.conformance.test_trained_models import F, N, card, cut, ic, panel, slice_of, symbols

torch = pytest.importorskip("torch")
SMALL = {
    "alstm": Alstm(hidden=8, layers=2, dropout=0.1),
    "gru": Gru(hidden=8, layers=2, dropout=0.1),
    "lstm": Lstm(hidden=8, layers=2, dropout=0.1),
    "mlp": Mlp(hidden=(16, 8), dropout=0.1),
    "transformer": Transformer(hidden=8, heads=2, layers=1, dropout=0.1),
    "tcn": Tcn(hidden=8, layers=2, kernel=2, dropout=0.1),
}
every = pytest.mark.parametrize("net", SMALL.values(), ids=SMALL.keys())


def neural(n: int = N, *, net=SMALL["gru"], seed: int = 1, **options) -> Neural:
    plain = {"steps": 3, "epochs": 4, "lr": 0.02, "batch": 100}
    return Neural(
        universe=universe_of(symbols(n)), name="m", rng=np.random.default_rng(seed), net=net, **(plain | options)
    )


def trained(data, **options) -> Neural:
    model = neural(data.label.shape[1], **options)
    model.swap(model.fit(data))
    return model


@cache
def learned(kind: str) -> Neural:
    """It has learned from the first 90 slices of a panel of 120."""
    return trained(cut(panel(slices=120), slice(0, 90)), net=SMALL[kind], epochs=16, patience=6)


def bits(value):
    return np.asarray(value).view(np.int64)


# ---- formulas --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("width", "steps", "count"), [(6, 60, 52_609), (20, 20, 53_505)])
def test_alstm_has_the_weights_of_the_reference(width, steps, count):
    assert sum(each.numel() for each in Alstm().parts(width, steps).parameters()) == count


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def gru_states(w, x, layers):
    """(T, H) states of one window, number by number as the books have it."""
    for k in range(layers):
        wi, wh, bi, bh = (w[f"recur.gru.{name}_l{k}"] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
        h, out = np.zeros(wh.shape[1]), []
        for row in x:
            a, b = np.split(wi @ row + bi, 3), np.split(wh @ h + bh, 3)
            r, z = sigmoid(a[0] + b[0]), sigmoid(a[1] + b[1])
            h = (1 - z) * np.tanh(a[2] + r * b[2]) + z * h
            out.append(h)
        x = np.array(out)
    return x


def test_alstm_is_its_formula():
    net, x = Alstm(hidden=8, layers=2), np.random.default_rng(0).normal(size=(5, 7, 3))
    parts = net.parts(3, 7)
    w = {name: each.double().numpy() for name, each in parts.state_dict().items()}
    found = net.forward(parts, torch.from_numpy(x).float()).detach().numpy()
    for window, answer in zip(x, found, strict=True):
        h = gru_states(w, np.tanh(window @ w["enter.0.weight"].T + w["enter.0.bias"]), 2)
        score = np.tanh(h @ w["attend.0.weight"].T + w["attend.0.bias"]) @ w["attend.3.weight"][0]
        a = np.exp(score) / np.exp(score).sum()
        wanted = w["leave.weight"][0] @ np.concatenate([h[-1], a @ h]) + w["leave.bias"][0]
        assert answer == pytest.approx(wanted, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("hidden", [1, 5, 64])
@pytest.mark.parametrize("layers", [1, 2])
def test_gru_layers_are_those_of_pytorch_there_and_back(hidden, layers):
    from components.models.networks.gru_layers import GruLayers

    torch.manual_seed(hidden)
    made = GruLayers(4, hidden, layers=layers, dropout=0.0)
    x = torch.randn(6, 9, 4, requires_grad=True)
    wanted = torch.randn(6, 9, hidden)
    slopes = []
    for run in (made, lambda given: made.gru(given)[0]):
        state = run(x)
        (state * wanted).sum().backward()
        slopes.append([state.detach(), *(each.grad.clone() for each in (x, *made.parameters()))])
        for each in (x, *made.parameters()):
            each.grad = None
    for ours, theirs in zip(*slopes, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    with torch.inference_mode():
        torch.testing.assert_close(made(x), slopes[1][0], rtol=1e-5, atol=1e-6)
        with torch.autocast("cpu", torch.bfloat16):
            narrow = made(x)
        assert narrow.dtype == torch.bfloat16
        torch.testing.assert_close(narrow.float(), slopes[1][0], rtol=0.1, atol=0.05)


def test_gru_layers_squash_numbers_however_large():
    from components.models.networks.gru_layers import GruLayers

    made = GruLayers(1, 4, layers=1, dropout=0.0)
    x = torch.tensor([0.0, 1e-30, 1.0, -20.0, 1e4, -1e30]).view(1, 6, 1)
    with torch.inference_mode():
        torch.testing.assert_close(made(x), made.gru(x)[0], rtol=1e-5, atol=1e-6)


@every
def test_a_row_knows_nothing_of_its_batch_and_each_weight_learns(net):
    parts = net.parts(4, 6)
    parts.train(False)
    x = torch.randn(10, 6, 4)
    whole = net.forward(parts, x)
    torch.testing.assert_close(net.forward(parts, x[3:5]), whole[3:5], rtol=1e-5, atol=1e-6)
    whole.square().sum().backward()
    assert all(each.grad is not None and each.grad.abs().sum() > 0 for each in parts.parameters())


@every
def test_every_row_of_the_window_counts(net):
    net = Tcn(hidden=8, layers=3) if net.kind == "tcn" else net
    parts = net.parts(4, 6)
    parts.train(False)
    x = torch.randn(3, 6, 4, requires_grad=True)
    net.forward(parts, x).sum().backward()
    assert (x.grad.abs().sum(dim=(0, 2)) > 0).all()


# ---- the model -------------------------------------------------------------------------------------------------------


@every
def test_history_and_wiring_agree_to_the_last_bit_and_a_signal_is_found(net):
    data = panel(slices=120)
    model = learned(net.kind)
    history = model.predict(data)
    for t in range(len(data.ts)):
        np.testing.assert_array_equal(bits(model.on_features(slice_of(data, t)).value), bits(history[t]))
    assert np.isnan(history[:2]).all()
    assert ic(history[95:], data.label[95:]) > 0.3


def test_training_twice_gives_the_same_bytes_and_another_seed_others():
    one, two, other = (neural(seed=seed).fit(panel()) for seed in (1, 1, 2))
    assert one.hash == two.hash != other.hash


def test_flat_rows_and_windows_of_slices_learn_the_same_answers():
    """The same numbers, once as columns of one slice and once as slices."""
    data = panel(holes=0.0)
    x = data.features[..., :2]
    flat = np.stack([np.roll(x, lag, axis=0)[..., k] for k in range(2) for lag in (2, 1, 0)], axis=-1)
    flat[:2] = np.nan
    rows = msgspec.structs.replace(data, features=x, names=("a", "b"))
    columns = msgspec.structs.replace(data, features=flat, names=tuple("abcdef"))
    one, two = trained(rows), trained(columns, flat=True)
    assert (one.lookback, two.lookback) == (3, 1)
    np.testing.assert_array_equal(one.predict(rows)[2:], two.predict(columns)[2:])


def test_a_name_without_rows_has_no_opinion_and_a_lost_one_is_filled_or_zero():
    data = panel(holes=0.0)
    data.features[20, 4] = np.nan
    data.features[30:34, 5] = np.nan
    fill, zero = trained(data), trained(data, missing="zero")
    assert not np.isnan(fill.predict(data)[20:23, 4]).any()
    assert np.isnan(fill.predict(data)[30:36, 5]).tolist() == [False, True, True, True, True, False]
    told = msgspec.structs.replace(data, features=data.features.copy())
    for t, like in ((20, 19), (21, 19), (22, 21)):  # the latest row before it in the window, else the first after it
        told.features[20, 4] = data.features[like, 4]
        np.testing.assert_array_equal(bits(fill.predict(told)[t, 4]), bits(fill.predict(data)[t, 4]))
    told.features[20, 4] = 0.0
    np.testing.assert_array_equal(bits(zero.predict(told)[21, 4]), bits(zero.predict(data)[21, 4]))


class Filled:
    """A processor that fills holes with one number."""

    def __init__(self, value: float = 5.0) -> None:
        self.options = {"value": value}

    def fit(self, features, /):
        return {"middle": np.nanmean(features, axis=0)}

    def apply(self, value, frozen, /):
        return np.where(np.isnan(value), self.options["value"], value - frozen["middle"])


def test_processors_are_frozen_in_training_and_do_not_bring_lost_rows_back():
    data = panel(holes=0.0)
    data.features[20, 4] = np.nan
    model = trained(data, processors=(Filled(),))
    other = trained(data, processors=(Filled(9.0),))  # nothing but the lost row differs, and that is filled from before
    np.testing.assert_array_equal(bits(model.predict(data)), bits(other.predict(data)))
    data.features[20, 4, 1:] = 0.0
    assert not np.array_equal(bits(model.predict(data)), bits(other.predict(data)))
    moved = msgspec.structs.replace(data, features=data.features + 100.0)
    with pytest.raises(ConfigError, match="its processors are Filled .*9.0"):
        other.swap(neural(processors=(Filled(),)).fit(data))
    live = [model.on_features(slice_of(moved, t)).value for t in range(6)]
    np.testing.assert_array_equal(bits(live[5]), bits(model.predict(moved)[5]))


@pytest.mark.parametrize("cut_at", [1, 2, 5])
def test_state_goes_on_from_any_slice(cut_at):
    data = panel()
    model, fresh = trained(data), neural()
    for t in range(cut_at):
        model.on_features(slice_of(data, t))
    fresh.load(model.save())
    for t in range(cut_at, cut_at + 4):
        one, two = (each.on_features(slice_of(data, t)).value for each in (model, fresh))
        np.testing.assert_array_equal(bits(one), bits(two))


def test_answers_do_not_depend_on_which_other_names_are_there():
    """Blocks of one shape: a name's answer has the same bits alone, among 200, and with another one lost."""
    data = panel(200, 8, holes=0.0)
    model = neural(200, net=Alstm(hidden=16))
    artefact = model.fit(data)
    model.swap(artefact)
    whole = model.predict(data)
    few = neural(7, net=Alstm(hidden=16))
    few.swap(artefact)
    some = msgspec.structs.replace(data, features=data.features[:, 120:127], label=data.label[:, :7])
    np.testing.assert_array_equal(bits(few.predict(some)), bits(whole[:, 120:127]))
    holed = msgspec.structs.replace(data, features=data.features.copy())
    holed.features[:, 3] = np.nan
    np.testing.assert_array_equal(bits(model.predict(holed)[:, 4:]), bits(whole[:, 4:]))


@pytest.mark.parametrize("processors", [(), (Clip(low=-3.0, high=3.0),)], ids=["plain", "processed"])
def test_rows_that_are_answered_are_those_that_teach(processors):
    """A name whose newest slice is missing is answered from the ones before, so it is learned from too."""
    data = panel(slices=40, holes=0.0)
    data.features[np.random.default_rng(3).random((40, N)) < 0.15] = np.nan
    model = neural(steps=4, epochs=1, valid_share=0.0, processors=processors)
    artefact = model.fit(data)
    model.swap(artefact)
    answered = np.isfinite(model.predict(data))
    assert (answered & np.isnan(data.features).all(axis=2)).sum() > 20
    assert card(artefact)["rows"]["train"] == answered.sum()


def test_the_card_says_on_which_rows_a_network_was_judged():
    data = panel(slices=80)
    for share, part in ((0.2, "valid"), (0.0, "train")):
        model = neural(valid_share=share, precision="bf16")
        artefact = model.fit(data)
        found = card(artefact)["metrics"]
        assert set(found) >= {f"rank_ic_{part}", f"rank_correlation_bf16_{part}"}
        assert not {name for name in found if name.endswith(("rank_ic", "bf16"))}
        model.swap(artefact)
        rows = slice(len(data.ts) - card(artefact)["slices"]["valid"] if share else 0, None)
        known = [
            spearmanr(answer[at], label[at])[0]
            for answer, label in zip(model.predict(data)[rows], data.label[rows], strict=True)
            if (at := np.isfinite(answer) & np.isfinite(label)).sum() > 2
        ]
        assert found[f"rank_ic_{part}"] == pytest.approx(np.mean(known), abs=0.02)  # answered in bfloat16


def test_bfloat16_answers_only_where_its_ranks_agree(monkeypatch):
    data = panel(slices=80)
    model = trained(data, precision="bf16", net=SMALL["alstm"])
    found = card(model.fit(data))
    assert (found["params"]["trained"], found["params"]["answers"]) == ("bf16", "bf16")
    assert 0.999 <= found["metrics"]["rank_correlation_bf16_valid"] < 1.0
    wide = card(neural().fit(data))
    assert (wide["params"]["trained"], wide["params"]["answers"]) == ("float32", "float32")
    monkeypatch.setattr("components.models.neural._ALIKE", 1.01)
    refused = card(neural(precision="bf16", net=SMALL["alstm"]).fit(data))
    assert (refused["params"]["trained"], refused["params"]["answers"]) == ("bf16", "float32")


def test_losses_are_told_and_a_checkpoint_goes_on(tmp_path):
    told: list = []
    whole = neural(epochs=6).fit(panel(), on_metric=told.append)
    assert {each.name for each in told} == {"l2_train", "l2_valid"}
    assert [each.step for each in told][::2] == list(range(6))
    with pytest.raises(KeyboardInterrupt):
        neural(epochs=6).fit(panel(), on_metric=lambda found: stop(found, 3), checkpoint=tmp_path)
    rest: list = []
    assert neural(epochs=6).fit(panel(), on_metric=rest.append, checkpoint=tmp_path).hash == whole.hash
    assert rest == told[6:]
    with pytest.raises(StateError, match="of another training"):
        neural(epochs=7).fit(panel(), checkpoint=tmp_path)
    with pytest.raises(StateError, match="of another training"):
        neural(epochs=6).fit(panel(seed=1), checkpoint=tmp_path)


def test_a_checkpoint_behind_other_processors_weights_or_libraries_is_refused(tmp_path, monkeypatch):
    begun = {"epochs": 3, "processors": (Clip(low=-3.0, high=3.0),), "reweighter": Decay(half_life=20)}
    whole = neural(**begun).fit(panel()).hash
    with pytest.raises(KeyboardInterrupt):
        neural(**begun).fit(panel(), on_metric=lambda found: stop(found, 1), checkpoint=tmp_path)
    others = [
        {"processors": ()},
        {"processors": (Clip(low=-0.01, high=0.01),)},
        {"processors": (RobustZscore(),)},
        {"reweighter": Decay(half_life=10)},
    ]
    for other in others:
        with pytest.raises(StateError, match="of another training"):
            neural(**(begun | other)).fit(panel(), checkpoint=tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(torch, "__version__", "1.0.0")
        with pytest.raises(StateError, match="of another training"):
            neural(**begun).fit(panel(), checkpoint=tmp_path)
    assert neural(**begun).fit(panel(), checkpoint=tmp_path).hash == whole


def stop(found, step):
    if found.step == step:
        raise KeyboardInterrupt


# ---- going on from an artefact, and what matters ---------------------------------------------------------------------


def test_finetuning_begins_with_the_weights_of_the_artefact_and_says_so():
    first, later = neural(epochs=8).fit(panel()), days_later(panel(seed=1))
    told: list = []
    more = neural(finetune_epochs=2).finetune(later, first, on_metric=told.append)
    said = card(more)
    assert said["params"]["went_on_from"] == first.hash
    assert (said["params"]["epochs"], said["size"]["epochs"]) == (2, 2)
    assert {each.step for each in told} == {0, 1}
    cold: list = []
    neural(epochs=2).fit(later, on_metric=cold.append)
    assert told[0].value < cold[0].value  # after one epoch it knows what the artefact knew
    assert neural(finetune_epochs=2).finetune(later, first).hash == more.hash
    model = neural()
    model.swap(more)
    assert ic(model.predict(later), later.label) > 0.2


def test_finetuning_that_makes_it_worse_leaves_the_weights_as_they_were():
    data = panel()
    first = neural(epochs=25, patience=5).fit(data)
    noise = msgspec.structs.replace(
        data, label=np.where(np.arange(len(data.ts))[:, None] < 48, -data.label, data.label)
    )
    worse = neural(finetune_epochs=3, lr=0.5).finetune(days_later(noise), first)
    assert card(worse)["size"]["best_epoch"] == -1
    model = neural()
    model.swap(worse)
    before = neural()
    before.swap(first)
    np.testing.assert_array_equal(model.predict(data), before.predict(data))


def test_finetuning_is_not_stopped_by_what_the_artefact_has_seen():
    first = neural().fit(panel())
    with pytest.raises(ConfigError, match="are held out to stop by, and the artefact to go on from has learned until"):
        neural().finetune(panel(seed=1), first)
    assert card(neural(valid_share=0.0, finetune_epochs=1).finetune(panel(seed=1), first))["rows"]["valid"] == 0


def test_a_finetuned_network_says_what_both_trainings_learned_from_and_keeps_its_processors():
    early, late = cut(panel(), slice(0, 30)), cut(panel(), slice(25, 60))
    first = neural(processors=(RobustZscore(),)).fit(early)
    more = neural(processors=(RobustZscore(),), finetune_epochs=1, valid_share=0.0).finetune(late, first)
    assert (card(more)["since_ns"], card(more)["until_ns"]) == (card(first)["since_ns"], int(late.label_to.max()))
    assert more.files["weights.safetensors"] != first.files["weights.safetensors"]
    frozen = [name for name in more.files if "processor" in name or "frozen" in name]
    assert frozen
    assert all(more.files[name] == first.files[name] for name in frozen)


def test_finetuning_from_something_else_is_refused():
    first = neural().fit(panel())
    with pytest.raises(ConfigError, match="its label is raw, and the artefact to go on from learned with rank"):
        neural(label="raw").finetune(panel(), first)
    with pytest.raises(ConfigError, match="its horizon_ns is 5, and the artefact to go on from learned with"):
        neural().finetune(panel(horizon_ns=5), first)
    with pytest.raises(ConfigError, match="trained on features of schema s1 and is given s2"):
        neural().finetune(panel(schema="s2"), first)
    with pytest.raises(ConfigError, match="its net is mlp, and the artefact learned with gru"):
        neural(net=SMALL["mlp"]).finetune(panel(), first)


def test_a_finetuning_that_was_killed_goes_on_and_no_other_checkpoint_is_taken_for_its_own(tmp_path):
    first, other = neural().fit(panel()), neural(seed=2).fit(panel())
    whole = neural(finetune_epochs=6).finetune(days_later(panel(seed=1)), first)
    with pytest.raises(KeyboardInterrupt):
        neural(finetune_epochs=6).finetune(
            days_later(panel(seed=1)), first, on_metric=lambda found: stop(found, 3), checkpoint=tmp_path
        )
    with pytest.raises(StateError, match="of another training"):
        neural(finetune_epochs=6).finetune(days_later(panel(seed=1)), other, checkpoint=tmp_path)
    assert neural(finetune_epochs=6).finetune(days_later(panel(seed=1)), first, checkpoint=tmp_path).hash == whole.hash


def test_importance_names_what_the_labels_were_made_of_and_is_the_same_each_time():
    data = panel(slices=120)
    one, other = (neural(epochs=12, importance=3).fit(data) for _ in range(2))
    assert one.hash == other.hash
    found = card(one)["importance"]
    assert list(found) == list(data.names)
    first, second = sorted(found, key=lambda name: -found[name])[:2]
    assert (first, second) == (data.names[0], data.names[1])  # labels follow these two, the first twice as much
    assert found[first] > 0.1
    assert all(abs(found[name]) < found[second] / 2 for name in data.names[2:])
    assert card(neural().fit(panel()))["importance"] == {}


def test_importance_of_any_model_is_measured_on_any_history_with_its_answers():
    data = panel(slices=120)
    model = learned("gru")
    unseen = cut(data, slice(90, 120))
    found = importance_of(model, unseen, repeats=2)
    assert found == importance_of(model, unseen, repeats=2)
    assert found != importance_of(model, unseen, repeats=2, seed=1)
    assert max(found, key=lambda name: found[name]) == data.names[0]
    with pytest.raises(ConfigError, match="6 features and 0 names"):
        importance_of(model, msgspec.structs.replace(unseen, names=()))
    with pytest.raises(ConfigError, match="no slice has labels"):
        importance_of(model, msgspec.structs.replace(unseen, label=np.zeros_like(unseen.label)))


# ---- what is wrong ---------------------------------------------------------------------------------------------------


def test_an_artefact_of_another_network_is_refused_with_both_options():
    artefact = neural().fit(panel())
    for wrong, said in (
        (neural(net=Lstm(hidden=8)), "its net is lstm, and the artefact learned with gru"),
        (neural(net=Gru(hidden=9)), "its options is .*'hidden': 9.* learned with .*'hidden': 8"),
        (neural(steps=4), "it looks at 4 slices, and the artefact learned from 3"),
        (neural(missing="zero"), "its fill is False, and the artefact learned with True"),
    ):
        with pytest.raises(ConfigError, match=said):
            wrong.swap(artefact)


def test_weights_that_do_not_fit_or_are_no_numbers_are_refused():
    from safetensors.torch import load, save

    model = trained(panel())
    before = model.on_features(slice_of(panel(), 0)).model_hash
    good = neural(seed=3).fit(panel())
    weights = load(good.files["weights.safetensors"])
    name = "recur.gru.weight_hh_l0"
    broken = ({name: weights[name] * torch.nan}, {name: weights[name][:1]}, {"more": weights[name].clone()})
    for content in (*(save(weights | each) for each in broken), b"no safetensors"):
        with pytest.raises(StateError, match="its weights do not fit"):
            model.swap(artefact_of(good.files | {"weights.safetensors": content}))
    assert model.on_features(slice_of(panel(), 0)).model_hash == before


def test_shapes_that_cannot_be_are_one_clear_error():
    with pytest.raises(ConfigError, match="flat rows hold 4 values of each feature, and 6 columns are no multiple"):
        neural(flat=True, steps=4).fit(panel())
    with pytest.raises(ConfigError, match="2 slices are fewer than the 3 of one window"):
        neural().fit(panel(slices=2))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_one_clear_error_unless_any_will_do():
    with pytest.raises(ConfigError, match="device is cuda, and PyTorch finds no GPU"):
        neural(device="cuda").fit(panel())
    assert card(neural(device="auto").fit(panel()))["params"]["device"] == "cpu"


@pytest.mark.parametrize(
    ("option", "value"),
    [("steps", 0), ("epochs", 0), ("batch", 0), ("patience", 0), ("lr", 0.0), ("clip", float("inf")), ("label", "x")],
)
def test_options_that_make_no_sense_are_refused(option, value):
    with pytest.raises(ValueError, match=option):
        neural(**{option: value})


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (Alstm, {"hidden": 1}),
        (Gru, {"layers": 0}),
        (Lstm, {"dropout": 1.0}),
        (Mlp, {"hidden": ()}),
        (Transformer, {"hidden": 9}),
        (Tcn, {"kernel": 0}),
        (Tcn, {"layers": 13}),
    ],
)
def test_options_of_networks_that_make_no_sense_are_refused(make, options):
    with pytest.raises(ValueError, match=next(iter(options))):
        make(**options)


def test_without_pytorch_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ConfigError, match=r"m: networks need PyTorch, .*; pip install 'samewire\[torch\]'"):
        neural().fit(panel())


def test_it_is_trainable_and_without_an_artefact_has_no_opinion():
    model = neural()
    assert isinstance(model, Trainable)
    assert np.isnan(model.on_features(Features(ts=1, schema="s1", value=np.zeros((N, F)))).value).all()
    assert all(a.value is not b.value for a, b in pairwise([model.on_features(slice_of(panel(), t)) for t in range(3)]))
