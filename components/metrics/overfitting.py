"""How much of a good backtest is the search for it: probabilistic and deflated Sharpe ratios, overfitting by CSCV."""

import math
from collections.abc import Iterator
from itertools import combinations, islice
from statistics import NormalDist

import msgspec
import numpy as np

from components.metrics.signal import ranks
from engine.events import Matrix, Vector

_NORMAL = NormalDist()
_EULER = 0.5772156649015329  # the Euler-Mascheroni constant
_TOGETHER = 1024  # choices of blocks that are looked at together: a bound on memory
_BLOCKS_MAX = 20


class Track(msgspec.Struct, frozen=True, kw_only=True):
    """What the inference needs to know of a series of returns; the Sharpe ratio is that of one slice."""

    sharpe: float  # mean / standard deviation, not annualised
    slices: int
    skew: float = 0.0
    kurtosis: float = 0.0  # less 3, as in the summary of a session


def track_of(returns: Vector) -> Track:
    """From returns (T,) of slices, those that are not finite left out; NaN where there are fewer than two.

    >>> track_of(np.array([0.0, 0.01, 0.02])).sharpe
    1.0
    """
    r = returns[np.isfinite(returns)]
    if len(r) < 2 or r.max() == r.min():
        return Track(sharpe=math.nan, slices=len(r), skew=math.nan, kurtosis=math.nan)
    z = (r - r.mean()) / r.std()
    return Track(
        sharpe=float(r.mean()) / float(r.std(ddof=1)),
        slices=len(r),
        skew=float((z**3).mean()),
        kurtosis=float((z**4).mean()) - 3,
    )


def probabilistic_sharpe(track: Track, benchmark: float = 0.0) -> float:
    """Probability that the true Sharpe ratio of a slice is above `benchmark`, whatever the shape of the returns.

        PSR = Phi((s - s*) sqrt(T - 1) / sqrt(1 - skew s + (kurtosis + 2) / 4 s^2))

    NaN for fewer than two slices, or where the moments are those of no distribution.

    Source: Bailey, López de Prado (2012), The Sharpe ratio efficient frontier, Journal of Risk 15(2), equation 9.

    >>> round(probabilistic_sharpe(Track(sharpe=0.458, slices=24, skew=-2.448, kurtosis=7.164)), 3)
    0.913
    """
    spread = _spread(track)
    if track.slices < 2 or not spread > 0:
        return math.nan
    return _NORMAL.cdf((track.sharpe - benchmark) * math.sqrt((track.slices - 1) / spread))


def expected_best(trials: int, variance: float) -> float:
    """Sharpe ratio of the best of so many trials none of which is worth anything.

        sqrt(V) ((1 - g) Phi^-1(1 - 1 / N) + g Phi^-1(1 - 1 / (N e))),   g = 0.5772... (Euler, Mascheroni)

    `trials` N is the number of independent ones, `variance` V that of their Sharpe ratios of one slice. A store of runs
    knows both: count whatever was looked at, not what was kept. Zero for a single trial. ValueError for none.

    Source: Bailey, López de Prado (2014), The deflated Sharpe ratio, Journal of Portfolio Management 40(5), equation 1.

    >>> round(expected_best(100, 0.5 / 250), 4)
    0.1132
    """
    if trials < 1 or not variance >= 0:
        raise ValueError(
            f"trials must be at least 1 and their variance at least 0, got {trials} and {variance}; count every run "
            "whose result was looked at"
        )
    if trials == 1:
        return 0.0
    best = (1 - _EULER) * _NORMAL.inv_cdf(1 - 1 / trials) + _EULER * _NORMAL.inv_cdf(1 - 1 / (trials * math.e))
    return math.sqrt(variance) * best


def deflated_sharpe(track: Track, trials: int, variance: float) -> float:
    """Probability that the true Sharpe ratio is above zero, given that it is the best of so many trials.

    The probabilistic Sharpe ratio against `expected_best(trials, variance)`.

    >>> round(deflated_sharpe(Track(sharpe=2.5 / 250**0.5, slices=1250, skew=-3, kurtosis=7), 100, 0.5 / 250), 3)
    0.9
    """
    return probabilistic_sharpe(track, expected_best(trials, variance))


def minimum_track(track: Track, benchmark: float = 0.0, confidence: float = 0.95) -> float:
    """Slices that it takes to say with this confidence that the true Sharpe ratio of a slice is above `benchmark`.

        1 + (1 - skew s + (kurtosis + 2) / 4 s^2) (Phi^-1(confidence) / (s - s*))^2

    A fraction of a slice counts as one. Infinite where the ratio is not above the benchmark.

    Source: Bailey, López de Prado (2012), The Sharpe ratio efficient frontier, Journal of Risk 15(2), equation 11.

    >>> round(minimum_track(Track(sharpe=2 / 252**0.5, slices=0), 1 / 252**0.5) / 252, 2)  # years
    2.73
    """
    if not 0.5 < confidence < 1:
        raise ValueError(f"confidence must be above 0.5 and below 1, got {confidence}")
    if not track.sharpe > benchmark:
        return math.nan if math.isnan(track.sharpe) else math.inf
    return 1 + _spread(track) * (_NORMAL.inv_cdf(confidence) / (track.sharpe - benchmark)) ** 2


def _spread(track: Track) -> float:
    s = track.sharpe
    return 1 - track.skew * s + (track.kurtosis + 2) / 4 * s * s


class Overfitting(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """What became, out of sample, of the trial that was best in sample."""

    probability: float  # that it was below the median: PBO
    loss: float  # that its Sharpe ratio was below zero
    slope: float  # of its Sharpe ratio out of sample on that in sample; below 0 = the better, the worse
    logits: Vector  # (choices,) log(w / (1 - w)), w = its rank out of sample / (trials + 1)
    choices: int


def overfitting(returns: Matrix, blocks: int = 16) -> Overfitting:
    """Combinatorially symmetric cross-validation of (T, M) returns of M trials over the same slices.

    The slices are cut into `blocks`, an even number; each half of them serves once as the sample by which the trial
    with the best Sharpe ratio is chosen, the other half says what it was worth. A trial that does not move has a ratio
    of zero. ValueError for fewer than two trials, unknown returns or fewer slices than two a block.

    Time O(C(blocks, blocks / 2) M blocks); memory 1024 rows of M.

    Source: Bailey, Borwein, López de Prado, Zhu (2017), The probability of backtest overfitting, Journal of
    Computational Finance 20(4).

    >>> overfitting(np.array([[0.1, 0.0], [0.2, -0.1]] * 8), blocks=4).probability
    0.0
    """
    _check(returns, blocks)
    count, trials = returns.shape
    size, more = divmod(count, blocks)
    sizes = np.full(blocks, size) + (np.arange(blocks) < more)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    centre = returns.mean(axis=0)
    moved = returns - centre  # sums of squares lose no digits to the mean
    sums, squares = np.add.reduceat(moved, starts), np.add.reduceat(moved**2, starts)
    logits, inside, outside = [], [], []
    for chosen in _choices(blocks):
        within = _sharpe(chosen @ sums, chosen @ squares, chosen @ sizes, centre)
        without = _sharpe((1 - chosen) @ sums, (1 - chosen) @ squares, (1 - chosen) @ sizes, centre)
        row, best = np.arange(len(chosen)), within.argmax(axis=1)
        share = ranks(without)[row, best] / (trials + 1)
        logits.append(np.log(share / (1 - share)))
        inside.append(within[row, best])
        outside.append(without[row, best])
    logit, x, y = np.concatenate(logits), np.concatenate(inside), np.concatenate(outside)
    spread = float(((x - x.mean()) ** 2).sum())
    return Overfitting(
        probability=float((logit < 0).mean()),
        loss=float((y < 0).mean()),
        slope=float((x - x.mean()) @ y) / spread if spread > 0 else math.nan,
        logits=logit,
        choices=len(logit),
    )


def _check(returns: Matrix, blocks: int) -> None:
    if blocks < 2 or blocks % 2 or blocks > _BLOCKS_MAX:
        raise ValueError(f"blocks must be an even number from 2 to {_BLOCKS_MAX}, got {blocks}")
    if returns.ndim != 2 or returns.shape[1] < 2:
        raise ValueError(f"overfitting: returns must be (T, M) of at least two trials, got {returns.shape}")
    if len(returns) < 2 * blocks:
        raise ValueError(f"overfitting: {len(returns)} slices are too few for {blocks} blocks of at least two each")
    if not np.isfinite(returns).all():
        t, m = np.argwhere(~np.isfinite(returns))[0].tolist()
        raise ValueError(f"overfitting: the return of trial {m} in slice {t} is not known; use slices that all have")


def _choices(blocks: int) -> Iterator[Matrix]:
    """Every half of the blocks, as rows (C, blocks) of ones and zeros, some at a time; out of sample comes first."""
    halves = combinations(range(blocks), blocks // 2)
    while rows := list(islice(halves, _TOGETHER)):
        chosen = np.ones((len(rows), blocks))
        np.put_along_axis(chosen, np.array(rows), 0.0, axis=1)
        yield chosen


def _sharpe(total: Matrix, squares: Matrix, n: Vector, centre: Vector) -> Matrix:
    """(C, M) mean over standard deviation (n - 1), from sums of what differs from the centre (M,)."""
    mean = total / n[:, None]
    variance = (squares - mean * total) / (n[:, None] - 1)
    still = variance <= 1e-15 * np.maximum(squares / n[:, None], centre**2)
    return np.where(still, 0.0, (mean + centre) / np.sqrt(np.where(still, 1.0, variance)))
