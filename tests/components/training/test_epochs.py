"""The loop behind all networks: every row counts, the best epoch stays, and what was killed goes on to the last bit."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from components.models.networks.mlp import Mlp
from components.training import checkpoints
from components.training.epochs import Begin, Loop, Part, learned
from components.training.windows import Windows, cleaned, shaped
from engine.errors import ConfigError, StateError

torch = pytest.importorskip("torch")
T, N, F, STEPS = 40, 6, 3, 4


def array(holes: float = 0.0, seed: int = 0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(T, N, F)).astype(np.float32)
    x[rng.random((T, N)) < holes] = np.nan
    x[rng.random(x.shape) < holes] = np.nan
    return x


def plainly(x, t, n, *, fill: bool):
    """One window, row by row: the latest known row before, else the first known one after."""
    rows = [x[k, n].copy() for k in range(t - STEPS + 1, t + 1)]
    known = [k for k, row in enumerate(rows) if not np.isnan(row).all()]
    out = []
    for k, row in enumerate(rows):
        if fill and known and k not in known:
            before = [j for j in known if j < k]
            row = rows[before[-1] if before else known[0]]
        out.append(np.where(np.isfinite(row), row, 0.0))
    return np.array(out)


# ---- windows ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fill", [False, True])
def test_windows_are_those_that_a_plain_loop_makes(fill):
    x = array(holes=0.3)
    x[5, 2, 1] = np.inf
    windows = Windows(x, steps=STEPS, fill=fill)
    slices, names = (each.ravel() for each in np.meshgrid(np.arange(STEPS - 1, T), np.arange(N)))
    found = windows.take(torch.from_numpy(windows.at(slices, names))).numpy()
    wanted = np.stack([plainly(x, t, n, fill=fill) for t, n in zip(slices, names, strict=True)])
    np.testing.assert_array_equal(found, wanted.astype(np.float32))
    raw = np.stack([x[t - STEPS + 1 : t + 1, n] for t, n in zip(slices, names, strict=True)])
    np.testing.assert_array_equal(cleaned(torch.from_numpy(raw), fill=fill).numpy(), found)


def test_flat_rows_are_read_feature_by_feature():
    x = np.arange(2 * 1 * 6, dtype=np.float32).reshape(2, 1, 6)  # two features of three values
    windows = Windows(x, steps=3, flat=True)
    assert (windows.width, windows.steps) == (2, 3)
    found = windows.take(torch.from_numpy(windows.at(np.array([1]), np.array([0]))))
    assert found.tolist() == [[[6.0, 9.0], [7.0, 10.0], [8.0, 11.0]]]
    assert shaped(torch.from_numpy(x[1:]), 3, True).tolist() == found.tolist()


def test_a_window_that_begins_before_history_is_refused():
    windows = Windows(array(), steps=STEPS)
    with pytest.raises(ValueError, match="a window of 4 slices cannot end at slice 2"):
        windows.at(np.array([2]), np.array([0]))


def test_the_array_that_is_given_stays_as_it_is():
    x = array(holes=0.3)
    before = x.copy()
    Windows(x, steps=STEPS, fill=True)
    np.testing.assert_array_equal(x, before)


# ---- the loop --------------------------------------------------------------------------------------------------------


def loop(**options) -> Loop:
    plain = {"epochs": 12, "lr": 0.01, "batch": 32, "patience": 50, "clip": 3.0, "seed": 5}
    return Loop(**(plain | options))


def parts(windows, train=150, valid=45, weight=None):
    """Labels that follow the newest row's first feature."""
    slices, names = (each.ravel() for each in np.meshgrid(np.arange(STEPS - 1, T), np.arange(N), indexing="ij"))
    where = windows.at(slices, names)
    label = windows.take(torch.from_numpy(where))[:, -1, 0].double().numpy()
    label = label + np.random.default_rng(1).normal(size=len(label)) * 0.1
    weight = np.ones(len(label)) if weight is None else weight[: len(label)]
    first = slice(0, train), slice(train, train + valid)
    return [Part(where=where[rows], label=label[rows], weight=weight[rows]) for rows in first]


def train(network=None, made=None, **options):
    windows = Windows(array(), steps=STEPS)
    told = []
    extra = {"on_metric": told.append} | {k: options.pop(k) for k in ("begin",) if k in options}
    found = learned(network or Mlp(hidden=(8,)), windows, made or parts(windows), loop(**options), **extra)
    return found, told


def losses(told, name):
    return [each.value for each in told if each.name == name]


def same_weights(one, two):
    assert one.weights.keys() == two.weights.keys()
    return all(torch.equal(one.weights[name], two.weights[name]) for name in one.weights)


def test_it_learns_and_tells_the_losses_of_each_epoch():
    found, told = train()
    assert [each.step for each in told if each.name == "l2_valid"] == list(range(12))
    assert losses(told, "l2_valid")[-1] < 0.5 * losses(told, "l2_valid")[0]
    assert found.losses == {
        "train": losses(told, "l2_train")[found.epoch],
        "valid": losses(told, "l2_valid")[found.epoch],
    }


def test_the_weights_are_those_of_the_best_epoch_and_patience_ends_it():
    found, told = train(lr=0.5, epochs=60, patience=4)
    valid = losses(told, "l2_valid")
    assert found.epoch == int(np.argmin(valid))
    assert found.epochs == len(valid) == found.epoch + 5 < 60
    shorter, _ = train(lr=0.5, epochs=found.epoch + 1, patience=4)
    assert same_weights(found, shorter)


@pytest.mark.parametrize(("batch", "valid"), [(32, 3), (1000, 1), (1, 45)])
def test_every_row_counts_however_batches_fall(batch, valid):
    """A part smaller than a batch is measured as well, and the loss is the mean over all of it."""
    windows = Windows(array(), steps=STEPS)
    made = parts(windows, train=33, valid=valid)
    found, told = train(made=made, batch=batch, epochs=2)
    network = Mlp(hidden=(8,))
    module = network.parts(F, STEPS)
    module.load_state_dict(found.weights)
    for name, part in zip(("l2_train", "l2_valid"), made, strict=True):
        answer = network.forward(module, windows.take(torch.from_numpy(part.where))).detach().double().numpy()
        assert losses(told, name)[found.epoch] == pytest.approx(np.mean((answer - part.label) ** 2), rel=1e-5)


def test_a_weight_counts_like_so_many_rows():
    windows = Windows(array(), steps=STEPS)
    weight = np.where(np.arange(400) % 3 == 0, 2.0, 1.0)
    weighed = parts(windows, weight=weight)
    twice = []
    for part in weighed:
        again = np.repeat(np.arange(len(part.label)), part.weight.astype(int))
        twice.append(Part(where=part.where[again], label=part.label[again], weight=np.ones(len(again))))
    # One batch an epoch: the order in it changes nothing but the last bits.
    one, told = train(made=weighed, batch=1000, epochs=3)
    two, said = train(made=twice, batch=1000, epochs=3)
    assert [each.value for each in told] == pytest.approx([each.value for each in said], rel=1e-4)
    for name in one.weights:
        torch.testing.assert_close(one.weights[name], two.weights[name], rtol=1e-3, atol=1e-5)


def test_without_a_held_out_part_all_epochs_are_run_and_the_last_weights_stay():
    windows = Windows(array(), steps=STEPS)
    found, told = train(made=parts(windows, valid=0), epochs=4, patience=1)
    assert (found.epoch, found.epochs) == (3, 4)
    assert {each.name for each in told} == {"l2_train"}


def test_the_same_seed_gives_the_same_bits_and_nobody_else_draws_from_it():
    one, _ = train(Mlp(hidden=(8,), dropout=0.3))
    torch.manual_seed(99)
    before = torch.get_rng_state()
    two, _ = train(Mlp(hidden=(8,), dropout=0.3))
    assert torch.equal(before, torch.get_rng_state())
    other, _ = train(Mlp(hidden=(8,), dropout=0.3), seed=6)
    assert same_weights(one, two)
    assert not same_weights(one, other)


def test_slopes_are_clipped_one_by_one():
    """With a clip that all slopes exceed, the first step of Adam does not tell how large they were."""
    windows = Windows(array(), steps=STEPS)
    made = parts(windows)
    large = [Part(where=p.where, label=p.label * 1e6, weight=p.weight) for p in made]
    huge = [Part(where=p.where, label=p.label * 1e7, weight=p.weight) for p in made]
    one, two = (train(made=each, epochs=1, batch=1000, clip=1e-6)[0] for each in (large, huge))
    assert same_weights(one, two)


def test_a_loss_that_is_no_number_is_one_clear_error():
    with pytest.raises(ConfigError, match=r"the loss of the train part is (inf|nan) after epoch 0; lower `lr`"):
        train(lr=1e30)


def test_products_in_bfloat16_learn_the_same():
    _, told = train(epochs=12)
    _, narrow = train(epochs=12, narrow=True)
    assert losses(narrow, "l2_valid")[-1] == pytest.approx(losses(told, "l2_valid")[-1], rel=0.2)


# ---- checkpoints -----------------------------------------------------------------------------------------------------

_PROGRAM = """
import json, os, signal, sys
from pathlib import Path
import components.training.epochs as epochs_module
from components.training.epochs import Begin
from tests.components.training.test_epochs import said
folder, kill = Path(sys.argv[1]), int(sys.argv[2])
written, real = [], epochs_module.write_checkpoint
def write(*given):
    if len(written) + 1 == kill:
        (folder / ".epoch.safetensors.making").write_bytes(b"half of a file")
        os.kill(os.getpid(), signal.SIGKILL)
    written.append(1)
    real(*given)
epochs_module.write_checkpoint = write
print(json.dumps(said(begin=Begin(checkpoint=(folder, "k")))))
"""


def said(**options):
    """What a training with dropout left: a digest of its weights, its epochs, and what it told."""
    found, told = train(Mlp(hidden=(8,), dropout=0.3), epochs=10, patience=4, lr=0.05, **options)
    digest = hashlib.sha256(b"".join(found.weights[n].numpy().tobytes() for n in sorted(found.weights))).hexdigest()
    return [digest, found.epoch, found.epochs, [[each.step, each.value] for each in told]]


def ran(folder: Path, kill: int = 0):
    command = [sys.executable, "-c", _PROGRAM, str(folder), str(kill)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[3])
    return done.returncode, (json.loads(done.stdout) if done.stdout else done.stderr)


def test_a_training_killed_while_it_saves_goes_on_to_the_same_bits_in_another_process(tmp_path):
    whole = said()
    code, _ = ran(tmp_path, kill=5)
    assert code == -9
    assert len(list(tmp_path.iterdir())) == 2
    code, rest = ran(tmp_path)
    assert code == 0, rest
    assert rest[:3] == whole[:3]
    assert rest[3] == [each for each in whole[3] if each[0] >= 4]
    assert [path.name for path in tmp_path.iterdir()] == ["epoch.safetensors"]


def test_more_epochs_go_on_where_fewer_ended_and_a_training_that_ended_is_not_run_again(tmp_path):
    _, told = train(epochs=4, begin=Begin(checkpoint=(tmp_path, "k")))
    more, rest = train(epochs=9, begin=Begin(checkpoint=(tmp_path, "k")))
    whole, all_told = train(epochs=9)
    assert told + rest == all_told
    assert same_weights(more, whole)
    again, nothing = train(epochs=9, begin=Begin(checkpoint=(tmp_path, "k")))
    assert nothing == []
    assert same_weights(again, whole)


def test_a_checkpoint_of_another_training_is_refused(tmp_path):
    train(epochs=1, begin=Begin(checkpoint=(tmp_path, "k")))
    with pytest.raises(StateError, match=r"of another training \(key k, this one is other\)"):
        train(epochs=1, begin=Begin(checkpoint=(tmp_path, "other")))


def test_any_flipped_byte_of_a_checkpoint_is_found(tmp_path):
    train(epochs=1, begin=Begin(checkpoint=(tmp_path, "k")))
    path = tmp_path / "epoch.safetensors"
    content = path.read_bytes()
    for at in [*range(0, 64, 8), *np.linspace(64, len(content) - 1, 60).astype(int).tolist()]:
        path.write_bytes(content[:at] + bytes([content[at] ^ 16]) + content[at + 1 :])
        with pytest.raises(StateError, match="remove it to train from the start"):
            checkpoints.read_checkpoint(tmp_path)
    path.write_bytes(content[:-7])
    with pytest.raises(StateError, match="no checkpoint can be read"):
        checkpoints.read_checkpoint(tmp_path)
    path.write_bytes(content)
    assert checkpoints.read_checkpoint(tmp_path) is not None
