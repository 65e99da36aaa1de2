"""The table of a signal's figures, one by one against plain loops, and what it says of signals whose worth is known."""

import math

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr

from components.metrics.buckets import bucket_means, buckets, forward
from components.metrics.error_bars import mean_of
from components.metrics.evaluation import evaluation

T, N = 60, 25


def made(skill=0.3, *, holes=0.1, seed=0):
    rng = np.random.default_rng(seed)
    label = rng.normal(0.001, 0.02, (T, N))
    score = skill * label / 0.02 + rng.normal(size=(T, N))
    score[rng.random((T, N)) < holes] = np.nan
    label[rng.random((T, N)) < holes] = np.nan
    return score, label


def average(rows):
    rows = [row for row in rows if math.isfinite(row)]
    return sum(rows) / len(rows)


def test_every_figure_equals_a_plain_loop():
    score, label = made()
    table = evaluation(score, label)
    place = buckets(score, 5)
    ic, rank, hit, names, cover, sign = [], [], [], [], [], []
    up, down, up_rel, down_rel, spread, long, short = [], [], [], [], [], [], []
    went = {4: [], 0: []}
    for t in range(T):
        both = [i for i in range(N) if math.isfinite(score[t, i]) and math.isfinite(label[t, i])]
        x, y = score[t, both], label[t, both]
        ic.append(pearsonr(x, y)[0])
        rank.append(spearmanr(x, y)[0])
        hit.append(float(rank[-1] > 0))
        names.append(len(both))
        cover.append(len(both) / sum(math.isfinite(v) for v in label[t]))
        sign.append(np.mean((x > x.mean()) == (y > y.mean())))
        top = [label[t, i] for i in both if place[t, i] == 4]
        bottom = [label[t, i] for i in both if place[t, i] == 0]
        up.append(np.mean([v > 0 for v in top]))
        down.append(np.mean([v < 0 for v in bottom]))
        up_rel.append(np.mean([v > y.mean() for v in top]))
        down_rel.append(np.mean([v < y.mean() for v in bottom]))
        spread.append((np.mean(top) - np.mean(bottom)) / 2)
        long.append(np.mean(top) - y.mean())
        short.append(np.mean(bottom) - y.mean())
        for b, share in went.items():
            now, before = np.flatnonzero(place[t] == b), np.flatnonzero(place[t - 1] == b)
            share += [len(set(now) - set(before)) / len(now)] if t else []
    wanted = {
        "ic": ic,
        "rank_ic": rank,
        "hit_rate": hit,
        "names": names,
        "coverage": cover,
        "sign_rate": sign,
        "precision_top": up,
        "precision_bottom": down,
        "relative_precision_top": up_rel,
        "relative_precision_bottom": down_rel,
        "long_short": spread,
        "long_excess": long,
        "short_excess": short,
        "turnover_top": went[4],
        "turnover_bottom": went[0],
    }
    for name, rows in wanted.items():
        assert table[name].value == pytest.approx(average(rows)), name
        assert table[name].error == pytest.approx(mean_of(np.array(rows, float)).error), name
    assert table["icir"].value == pytest.approx(np.mean(ic) / np.std(ic, ddof=1))
    assert table["rank_icir"].value == pytest.approx(np.mean(rank) / np.std(rank, ddof=1))
    for k in range(5):
        means = bucket_means(place, label, 5)[:, k]
        assert table[f"bucket_{k + 1}"].value == pytest.approx(average(means.tolist()))


def test_a_perfect_signal_and_its_opposite():
    _, label = made(holes=0.0)
    best, worst = evaluation(label, label), evaluation(-label, label)
    for name in ("ic", "rank_ic", "hit_rate", "sign_rate", "monotonicity", "coverage"):
        assert best[name].value == pytest.approx(1.0), name
    for name in ("ic", "rank_ic", "monotonicity"):
        assert worst[name].value == pytest.approx(-1.0), name
    assert best["long_short"].value == pytest.approx(-worst["long_short"].value)
    assert best["long_short"].value > 0.02
    assert best["relative_precision_top"].value == best["relative_precision_bottom"].value == 1.0


def test_noise_is_within_its_bars():
    """Of the t-statistics of fifty worthless signals about one in twenty is beyond two."""
    beyond = {"ic": 0, "rank_ic": 0, "long_short": 0, "hit_rate": 0}
    for seed in range(50):
        score, label = made(0.0, seed=seed)
        table = evaluation(score, label)
        for name in beyond:
            beyond[name] += abs(table[name].t) > 2
    assert max(beyond.values()) <= 9
    assert sum(beyond.values()) > 0


def test_labels_that_overlap_are_worth_less_than_they_look():
    rng = np.random.default_rng(1)
    one = rng.normal(0, 0.02, (200, N))
    slow = np.cumsum(rng.normal(size=(200, N)), axis=0)  # knows nothing, and hardly changes
    label = forward(one, 20)
    table = evaluation(slow, label, overlap=20)
    assert table["rank_ic"].error > 2 * evaluation(slow, one)["rank_ic"].error
    assert table["rank_ic"].slices == 200 - 19
    assert table["rank_autocorrelation"].value > 0.9


def test_decay_scores_the_same_signal_over_other_horizons():
    rng = np.random.default_rng(2)
    one = rng.normal(0, 0.02, (120, N))
    score = one + rng.normal(0, 0.02, one.shape)  # knows the next slice only
    labels = {h: forward(one, h) for h in (1, 2, 5, 10, 20)}
    table = evaluation(score, one, decay=labels)
    found = [table[f"rank_ic_{h}"].value for h in (1, 2, 5, 10, 20)]
    assert found == sorted(found, reverse=True)
    assert table["rank_ic_1"] == table["rank_ic"]
    assert table["ic_5"].value == pytest.approx(evaluation(score, labels[5])["ic"].value)
    assert table["ic_20"].slices == 101
    for name in ("ic", "rank_ic"):
        alone = evaluation(score, labels[20], overlap=20)[name]
        assert table[f"{name}_20"] == alone
        assert alone.error != evaluation(score, labels[20], overlap=1)[name].error


def test_names_that_could_not_be_traded_count_for_nothing():
    score, label = made(holes=0.0)
    listed = np.random.default_rng(0).random((T, N)) < 0.6
    table = evaluation(score, label, listed=listed)
    alone = evaluation(np.where(listed, score, np.nan), np.where(listed, label, np.nan))
    for name in ("ic", "rank_ic", "names", "long_short", "turnover_top", "bucket_1"):
        assert table[name] == alone[name], name
    silent = score.copy()
    silent[:, : N // 2] = np.nan
    assert evaluation(silent, label)["coverage"].value == pytest.approx((N - N // 2) / N)


def test_slices_before_the_first_score_do_not_count_and_silent_ones_between_do():
    """What a walk forward did not test is no lack of opinions."""
    score, label = made(holes=0.0)
    late = score.copy()
    late[:20] = np.nan
    late[30] = np.nan
    table = evaluation(late, label, decay={2: label})
    assert table["coverage"].value == pytest.approx(39 / 40)
    assert table["names"].slices == 40
    assert table["monotonicity"].slices == table["ic"].slices == table["ic_2"].slices == 39


def test_the_reference_calls_the_mean_of_all_labels_its_long_average():
    score, label = made(2.0, holes=0.0)
    table = evaluation(score, label)
    assert table["qlib_long_avg"].value == pytest.approx(label.mean())
    assert table["bucket_5"].value > 10 * table["qlib_long_avg"].value
    assert table["qlib_long_short"].value == pytest.approx(table["long_short"].value)  # no holes, no ties


def test_figures_of_nothing_are_unknown_and_raise_no_warning():
    empty = evaluation(np.full((5, 8), np.nan), np.full((5, 8), np.nan))
    assert all(math.isnan(figure.value) for name, figure in empty.items() if name != "names")
    assert set(empty) == set(evaluation(*made()))
    assert all(math.isnan(figure.value) for figure in evaluation(np.empty((0, 8)), np.empty((0, 8))).values())


def test_infinite_scores_are_no_opinion():
    score, label = made()
    holes = np.random.default_rng(0).random((T, N)) < 0.1
    one = evaluation(np.where(holes, np.inf, score), label)
    other = evaluation(np.where(holes, np.nan, score), label)
    assert {k: f.value for k, f in one.items()} == {k: f.value for k, f in other.items()}


def test_shapes_that_do_not_meet_are_refused():
    with pytest.raises(ValueError, match=r"\(4, 5\).*\(5, 4\)"):
        evaluation(np.zeros((4, 5)), np.zeros((5, 4)))
