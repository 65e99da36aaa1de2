"""Does a training know what it must not? Over another future, with labels that mean nothing, and by its plan."""

import math
from collections.abc import Callable, Sequence

import msgspec
import numpy as np

from adapters.operators.another_future import AnotherFuture
from components.metrics.error_bars import mean_of
from components.metrics.signal import spearman
from components.training.asked_again import differs
from components.training.audit import Leak, audit
from engine.errors import NothingLearnedError
from engine.events import Mask, Matrix
from engine.instants import instant_text as said
from engine.learning import Fold
from engine.protocols import Dataset, Feed

Made = Callable[[Feed], Dataset]  # walks a feed through a fresh feature set and labels its slices
Learned = Callable[[Dataset, Fold], Matrix]  # trains on the fold's train slices; (T, N) scores, NaN but in its test

# What a call leaves out that is not told otherwise, and what does it.
NO_PERMUTATIONS = "permuted labels (Checks(permutations=20))"
NO_MODEL = "predictions over another future (give it `learned`)"

_BEYOND = 2.0  # a t-statistic that luck gives once in twenty times
_LUCK = 0.0455  # exactly: 2 (1 - Phi(2))
_SURPRISE = 0.02  # a count of those that luck exceeds more rarely is a leak
_TOGETHER = 3.0  # luck gives that once in 370 times
_SLICES_MIN = 20  # a t-statistic of fewer tested slices says nothing
_BLOCK = 64  # slices that are compared together: a bound on memory
_NAMED = 5  # features that a sentence lists


class Checks(msgspec.Struct, frozen=True, kw_only=True):
    """How much to look for. The defaults cost one walk through history."""

    cuts: int = 1  # instants after which history is replaced, each one walk (and one training, with `learned`)
    permutations: int = 0  # trainings on labels without meaning
    lookback: int = 0  # slices that features look back and the plan claims to leave out behind a test, 0 = not audited
    seed: int = 0


class Leaks(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict: what was looked at, and what was found."""

    found: tuple[Leak, ...]
    looked_at: tuple[str, ...]
    left_out: tuple[str, ...] = ()  # what was not asked for, and what could not be said
    t: tuple[float, ...] = ()  # of the rank IC of each permutation

    @property
    def sentence(self) -> str:
        """One line for a terminal or a log."""
        looked = ", ".join(self.looked_at) or "nothing"
        undone = "".join(f"; not looked at: {what}" for what in self.left_out)
        if not self.found:
            return f"no leak found in {looked}{undone}"
        told = "; ".join(f"{leak.kind.replace('_', ' ')}: {leak.sentence}" for leak in self.found)
        return f"{len(self.found)} leak{'s' if len(self.found) > 1 else ''} found in {looked}: {told}{undone}"


def leaks(
    feed: Feed, made: Made, folds: Sequence[Fold] = (), learned: Learned | None = None, how: Checks | None = None
) -> Leaks:
    """Looks for what a training must not know.

    1. The feed's history is walked again with all that comes after a cut replaced. No feature of a slice up to the cut,
       and no label that claims to have ended by then, may change by a bit. With `learned`, no prediction up to the cut
       of a model that learned from labels which had ended before its test may either.
    2. The folds are audited against the intervals of the labels: see `components.training.audit.audit`.
    3. With `learned` and `permutations`, labels are permuted among the names of each slice, in training and test alike.
       A model that predicts those has seen them: at most three t-statistics of twenty may lie beyond two, and all
       of them together have one of at most three.

    `made` must build its feature set anew each time, and read nothing but the feed it is given: what it reads beside
    has no other future here (`samewire lookahead` alters the tables and files of a run file too). For `feed` itself it
    may return what was made before. `learned` must draw its random numbers from the same seed each time. Whatever these
    raise, they raise here.
    """
    how = how or Checks()
    was = made(feed)
    found: list[Leak] = list(audit(folds, was, how.lookback))
    looked, left = list[str](), list[str]()
    ts: list[float] = []
    looked += [_counted(len(folds), "fold")] if folds else []
    cuts = _cuts(was, how)
    if how.cuts and not cuts:
        left.append(f"another future, since {len(was.ts)} slices are too few to cut")
    for k, cut in enumerate(cuts):
        now = made(AnotherFuture(of=feed, after=int(was.ts[cut]), seed=how.seed, nth=k))
        seen = {(leak.kind, leak.where) for leak in found}
        moved = [*_features(was, now, cut, feed.universe.symbols), *_label(was, now, cut, feed.universe.symbols)]
        if learned is not None and not moved:  # with other features or labels it predicts something else anyway
            moved = _predictions(was, now, cut, learned)
        found += [leak for leak in moved if (leak.kind, leak.where) not in seen]
    if cuts:
        looked.append(_counted(len(cuts), "other future"))
    if learned is None:
        left.append(NO_MODEL)
    if not how.permutations:
        left.append(NO_PERMUTATIONS)
    else:
        usable = [fold for fold in folds if np.count_nonzero(fold.test) >= _SLICES_MIN]
        if learned is None or not usable:
            left.append(f"permuted labels, which need a model and a fold that tests at least {_SLICES_MIN} slices")
        else:
            ts = _permuted(was, usable[len(usable) // 2], learned, how)
            found += _judged(ts)
            looked.append(_counted(how.permutations, "permutation") + " of labels")
    return Leaks(found=tuple(found), looked_at=tuple(looked), left_out=tuple(left), t=tuple(ts))


def _cuts(dataset: Dataset, how: Checks) -> list[int]:
    """Positions of slices to cut after, one drawn from each of equal parts of the second half but its last tenth."""
    count = len(dataset.ts)
    edges = np.linspace(count // 2, count - max(1, count // 10), how.cuts + 1).astype(int).tolist()
    rng = np.random.default_rng(how.seed)
    parts = zip(edges[:-1], edges[1:], strict=True)
    return [int(rng.integers(low, high)) for low, high in parts if 0 < low < high]


# ---- another future --------------------------------------------------------------------------------------------------


def _features(was: Dataset, now: Dataset, cut: int, symbols: tuple[str, ...]) -> list[Leak]:
    """Features up to the cut that changed; those with statistics of the whole range have from the first slice on."""
    if now.names != was.names or not np.array_equal(now.ts[: cut + 1], was.ts[: cut + 1]):
        return [
            Leak(
                kind="look_ahead",
                where="slices",
                sentence=f"which slices or features there are up to {said(was.ts[cut])} depends on what comes after; "
                "choose both without looking at later history",
            )
        ]
    one, other = was.features[: cut + 1], now.features[: cut + 1]
    parts = [slice(k, k + _BLOCK) for k in range(0, cut + 1, _BLOCK)]
    moved = np.concatenate([differs(one[part], other[part]).any(axis=1) for part in parts])  # (slices, F)
    ahead: list[int] = []
    whole: list[int] = []
    for f in np.flatnonzero(moved.any(axis=0)).tolist():
        known = np.flatnonzero(np.isfinite(was.features[: cut + 1, :, f]).any(axis=1))
        first = int(np.argmax(moved[:, f]))
        early = first - int(known[0]) if len(known) else 0
        (whole if early <= (cut - first) // 10 else ahead).append(f)
    return [
        *([_look_ahead(was, now, cut, (moved, ahead), symbols)] if ahead else []),
        *([_whole_range(was, cut, whole)] if whole else []),
    ]


def _look_ahead(was: Dataset, now: Dataset, cut: int, told: tuple[Mask, list[int]], symbols: tuple[str, ...]) -> Leak:
    moved, ahead = told
    t = int(np.argmax(moved[:, ahead].any(axis=1)))  # the first slice, that is, the farthest look
    i, k = (int(x) for x in np.argwhere(differs(was.features[t][:, ahead], now.features[t][:, ahead]))[0])
    f, steps = ahead[k], cut - t + 1
    return Leak(
        kind="look_ahead",
        where=_listed([was.names[f] for f in ahead]),
        sentence=f"{_listed([was.names[f] for f in ahead])} look{'s' * (len(ahead) == 1)} up to {steps} "
        f"slice{'s' * (steps > 1)} ahead: {was.names[f]} of {symbols[i]} at {said(was.ts[t])} was "
        f"{was.features[t, i, f]:.6g} and is {now.features[t, i, f]:.6g} with another future after "
        f"{said(was.ts[cut])}; compute it from the slice and what came before",
    )


def _whole_range(was: Dataset, cut: int, whole: list[int]) -> Leak:
    names = _listed([was.names[f] for f in whole])
    return Leak(
        kind="whole_range",
        where=names,
        sentence=f"{names} change{'s' * (len(whole) == 1)} from the first slice on with another future after "
        f"{said(was.ts[cut])}, as what is normalised with all of history does; fit such statistics on the slices that "
        "are learned from (a model's processors)",
    )


def _label(was: Dataset, now: Dataset, cut: int, symbols: tuple[str, ...]) -> list[Leak]:
    """Labels that had ended by the cut and changed nevertheless."""
    rows = np.flatnonzero(was.label_to[: len(now.ts)] <= was.ts[cut])
    if not np.array_equal(was.ts[rows], now.ts[rows]):
        return []  # told by the features
    moved = differs(was.label[rows], now.label[rows])
    if not moved.any():
        return []
    t, i = (int(x) for x in np.argwhere(moved)[-1])
    row, slices = int(rows[t]), int(np.count_nonzero(moved.any(axis=1)))
    return [
        Leak(
            kind="label",
            where="label",
            sentence=f"the label of {symbols[i]} at {said(was.ts[row])} is said to end at {said(was.label_to[row])}, "
            f"and changes with another future after {said(was.ts[cut])}; so do those of {slices} slices, which are "
            "purged too little; say in label_to until when it looks, and take no statistics over slices",
        )
    ]


def _predictions(was: Dataset, now: Dataset, cut: int, learned: Learned) -> list[Leak]:
    """Predictions up to the cut of a model whose labels had all ended before the first of them.

    It is asked for the slices behind the cut too, so that one that looks ahead when it predicts sees another future.
    """
    count, place = len(was.ts), np.arange(len(was.ts))
    begin = cut * 2 // 3
    test = (place > begin) & (place <= cut)
    train = was.label_to < was.ts[min(begin + 1, count - 1)]
    if not train.any() or not test.any() or len(now.ts) != count:
        return []
    fold = Fold(train=train, test=place > begin)
    one, other = learned(was, fold)[test], learned(now, fold)[test]
    moved = differs(one, other)
    if not moved.any():
        return []
    if differs(one, learned(was, fold)[test]).any():
        return [
            Leak(
                kind="unrepeatable",
                where="model",
                sentence="two trainings on the same history predict differently, so nothing can be said of another "
                "future; draw random numbers from the seed that the model is given",
            )
        ]
    t = int(np.argmax(moved.any(axis=1)))
    seen = Fold(train=train, test=test)  # nothing behind the cut is shown
    in_fit = differs(learned(was, seen)[test], learned(now, seen)[test]).any()
    rule = "`fit` see the slices that are learned from" if in_fit else "`predict` see a slice and those before it"
    return [
        Leak(
            kind="prediction",
            where="model",
            sentence=f"the prediction of {said(was.ts[test][t])} changes with another future after "
            f"{said(was.ts[cut])}, though the model was to learn from what ended before {said(was.ts[begin + 1])}; let "
            f"{rule}, and no others",
        )
    ]


# ---- labels without meaning ------------------------------------------------------------------------------------------


def _permuted(was: Dataset, fold: Fold, learned: Learned, how: Checks) -> list[float]:
    """The t-statistic of the rank IC of a model that learned labels without meaning, for each permutation."""
    rng = np.random.default_rng([how.seed, 1])
    found = []
    for _ in range(how.permutations):
        label = permuted(was.label, rng)
        try:
            scores = learned(msgspec.structs.replace(was, label=label), fold)
        except NothingLearnedError:  # as it should be
            found.append(math.nan)
            continue
        ic = spearman(scores[fold.test], label[fold.test])
        mean = mean_of(ic, lags=0)  # each slice is permuted by itself, so nothing is left to correlate
        certain = mean.error == 0 and mean.value != 0  # the same in each slice: 1 where the answers are known
        found.append(math.copysign(math.inf, mean.value) if certain else mean.t)
    return found


def permuted(label: Matrix, rng: np.random.Generator) -> Matrix:
    """(T, N) the known labels of each slice dealt out anew among the names that have one.

    >>> permuted(np.array([[1.0, np.nan, 2.0, 3.0]]), np.random.default_rng(0))
    array([[ 3., nan,  2.,  1.]])
    """
    known = np.isfinite(label)
    drawn = np.where(known, rng.random(label.shape), np.inf)
    out = label.copy()
    order = np.argsort(drawn, axis=1)
    for t, row in enumerate(known):
        out[t, row] = label[t, order[t, : np.count_nonzero(row)]]
    return out


def allowed(permutations: int) -> int:
    """How many t-statistics beyond two luck may give among so many; more happens once in fifty times at most.

    >>> allowed(20), allowed(5), allowed(1)
    (3, 1, 1)
    """
    left = 1.0
    for k in range(permutations):
        left -= math.comb(permutations, k) * _LUCK**k * (1 - _LUCK) ** (permutations - k)
        if left <= _SURPRISE:
            return k
    return permutations


def _judged(ts: list[float]) -> list[Leak]:
    """Too many t-statistics beyond two, or all a little to one side: their sum over sqrt(n) is normal too."""
    known = [t for t in ts if t == t]  # a model that tells no name from another has none
    beyond, together = sum(abs(t) > _BEYOND for t in known), sum(known) / max(1, len(known)) ** 0.5
    if beyond <= allowed(len(ts)) and abs(together) <= _TOGETHER:
        return []
    return [
        Leak(
            kind="permuted_labels",
            where="model",
            sentence=f"labels permuted among the names of each slice are predicted: {beyond} of {len(ts)} rank ICs "
            f"have a t-statistic beyond {_BEYOND:g} ({allowed(len(ts))} may by luck), all together have {together:.1f} "
            f"({_TOGETHER:g} may); something sees the labels of tested slices",
        )
    ]


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count > 1)}"


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
