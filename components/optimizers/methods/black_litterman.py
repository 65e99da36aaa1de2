"""Views blended with what the market expects, then mean-variance weights."""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from components.optimizers.methods.boxed import Curve, least, unbounded
from components.optimizers.methods.opinion import checked_alpha, expected_of
from components.optimizers.methods.room import NO_HISTORY, Room, cannot, decided, positive, room_of, variances
from components.optimizers.problem import Decision, Situation
from components.optimizers.stating import exposures, marginal
from engine.events import Matrix, Vector
from engine.protocols import Risk
from engine.universe import Universe

_NO_MARKET = "the benchmark has no weights: give `market` weights, or the portfolio a benchmark"


@dataclass(frozen=True)
class View:
    """The portfolio of these weights earns `expected`: {A: 1} is absolute, {A: 1, B: -1} says A beats B by it."""

    weights: dict[str, float] = field(default_factory=dict)
    expected: float = 0.0  # over `view_slices`
    confidence: float = 0.5  # above 0, 1 = certain


class BlackLitterman:
    """Equilibrium returns, moved by views in proportion to their confidence, and the mean-variance weights of them.

        prior      pi = risk_aversion S m,   m the `market` weights (the benchmark's, unless given)
        views      P mu = Q + noise of variance Omega,   Omega_k = tau p_k' S p_k (1 - c_k) / c_k
        posterior  mu = pi + tau S P' (tau P S P' + Omega)^-1 (Q - P pi)
                   S* = S + tau S - tau S P' (tau P S P' + Omega)^-1 P tau S
        weights    maximise mu'w - risk_aversion / 2 (w + p)' S* (w + p)
                   subject to sum w <= total (= with `fully_invested`), 0 <= w <= max_weight

    c_k is the view's confidence: 0.5 is He and Litterman's Omega = tau diag(P S P'), 1 is certain. `expected` of a view
    is over `view_slices` slices (252 where views are a year's and slices days). With `alpha` every name with an alpha
    is an absolute view too: `raw`, a return over one slice; `grinold`, ic * volatility * score; at `alpha_confidence`.
    p is what is held and cannot be traded. With `long_only: false` weights lie between -max_weight and max_weight;
    without a `max_weight` they have no bounds. `posterior_risk: false` weighs by S instead of S*. Names without a view
    have the posterior that correlations give them. O(k^3) for k views.

    Source: Black, Litterman (1992), Global portfolio optimization, Financial Analysts J. 48(5); He, Litterman (1999),
    The intuition behind Black-Litterman model portfolios, appendix B; confidence: Walters (2014), The Black-Litterman
    model in detail, section on Idzorek's extension.
    """

    def __init__(  # noqa: PLR0913 - the schema of a run file's block
        self,
        *,
        universe: Universe,
        views: tuple[View, ...] = (),
        market: dict[str, float] | None = None,
        risk_aversion: float = 2.5,
        tau: float = 0.05,
        view_slices: float = 1.0,
        alpha: Literal["none", "raw", "grinold"] = "none",
        ic: float = 0.05,
        alpha_confidence: float = 0.5,
        posterior_risk: bool = True,
        long_only: bool = True,
        max_weight: float | None = None,
        max_invest: float = 1.0,
        fully_invested: bool = False,
    ) -> None:
        positive({"risk_aversion": risk_aversion, "tau": tau, "view_slices": view_slices, "max_invest": max_invest})
        positive({"max_weight": 1.0 if max_weight is None else max_weight})
        _checked_confidence("alpha_confidence", alpha_confidence)
        self._delta, self._tau = risk_aversion, tau
        self._posterior_risk, self._long_only, self._full = posterior_risk, long_only, fully_invested
        self._max_weight, self._max_invest = max_weight, max_invest
        self._as_views = alpha != "none"
        self._ic = checked_alpha("raw" if alpha == "none" else alpha, ic)
        self._alpha_confidence = alpha_confidence
        self._market = None if market is None else _placed(universe, market, "market")
        for view in views:
            _checked_confidence("views confidence", view.confidence)
            if not any(view.weights.values()) or not np.isfinite(view.expected):
                raise ValueError(f"views must each have weights and a finite expected, got {view}")
        n = len(universe)
        self._P = np.array([_placed(universe, view.weights, "views") for view in views]).reshape(-1, n)
        self._Q = np.array([view.expected / view_slices for view in views])
        self._confidence = np.array([view.confidence for view in views])

    def weights(self, at: Situation, /) -> Decision:
        room = room_of(at, self._max_invest, shorts=not self._long_only)
        if at.risk is None:
            return cannot(NO_HISTORY)
        market = at.benchmark if self._market is None else self._market
        if not market.any():
            return cannot(_NO_MARKET)
        mu, S = self._posterior(at, at.risk, market)
        return decided(at, room, self._best(room, mu, S))

    def _posterior(self, at: Situation, risk: Risk, market: Vector) -> tuple[Vector, Curve]:
        """Expected returns (N,) over one slice and the covariance to weigh them against."""
        R, d = exposures(risk), risk.specific
        pi = self._delta * marginal(risk, market)
        P, Q, confidence = self._views(at, risk)
        prior = Curve(R, d, np.ones(R.shape[1]))
        if not len(Q):
            return pi, prior.scaled(1.0 + self._tau) if self._posterior_risk else prior
        moved = self._tau * (R @ (P @ R).T + d[:, None] * P.T)  # (N, k) tau S P'
        own = P @ moved  # (k, k)
        told = np.diag(own) > 0  # a view of what does not move says nothing
        P, Q, moved, own, confidence = P[told], Q[told], moved[:, told], own[np.ix_(told, told)], confidence[told]
        noise = np.diag(own) * (1.0 - confidence) / confidence
        own[np.diag_indices(len(Q))] += noise + 1e-12 * np.diag(own).max(
            initial=0.0
        )  # certain views that repeat each other
        mu = pi + moved @ np.linalg.solve(own, Q - P @ pi)
        if not self._posterior_risk:
            return mu, prior
        known = np.linalg.solve(np.linalg.cholesky(own), moved.T).T  # (N, k) what views take from the uncertainty
        both = np.concatenate([np.sqrt(1.0 + self._tau) * R, known], axis=1)
        sign = np.concatenate([np.ones(R.shape[1]), -np.ones(len(Q))])
        return mu, Curve(both, (1.0 + self._tau) * d, sign)

    def _views(self, at: Situation, risk: Risk) -> tuple[Matrix, Vector, Vector]:
        """P (k, N), Q (k,) and the confidences (k,)."""
        if not self._as_views:
            return self._P, self._Q, self._confidence
        rows = np.flatnonzero(np.isfinite(at.alpha))
        expected = expected_of(at, rows, variances(risk, rows), self._ic)
        if isinstance(expected, str):
            return self._P, self._Q, self._confidence
        one = np.zeros((len(rows), len(at.alpha)))
        one[np.arange(len(rows)), rows] = 1.0
        confidence = np.concatenate([self._confidence, np.full(len(rows), self._alpha_confidence)])
        return np.concatenate([self._P, one]), np.concatenate([self._Q, expected]), confidence

    def _best(self, room: Room, mu: Vector, S: Curve) -> Vector:
        n = len(room.rows)
        if not n:
            return np.zeros(0)
        S = S.scaled(self._delta)
        q = S.times(room.pinned)[room.rows] - mu[room.rows]
        S = Curve(S.R[room.rows], S.d[room.rows], S.sign)
        if self._max_weight is None and not self._long_only:
            w = unbounded(S, q, room.total if self._full else None)
            return w if self._full or w.sum() <= room.total else unbounded(S, q, room.total)
        cap = room.total if self._max_weight is None else self._max_weight
        high = np.full(n, cap)
        bounds = (np.zeros(n) if self._long_only else -high, high)
        w = least(S, q, bounds, room.total if self._full else None)
        return w if self._full or w.sum() <= room.total else least(S, q, bounds, room.total)


def _placed(universe: Universe, weights: dict[str, float], option: str) -> Vector:
    """(N,) weights by symbol, 0 for the others."""
    result = np.zeros(len(universe))
    for symbol, weight in weights.items():
        if symbol not in universe.symbols:
            raise ValueError(f"{option} name {symbol!r}, which is no symbol of the universe; leave it out or add it")
        if not np.isfinite(weight):
            raise ValueError(f"{option} must be finite weights, got {weight} for {symbol}")
        result[universe.symbols.index(symbol)] = weight
    return result


def _checked_confidence(option: str, value: float) -> None:
    if not 0 < value <= 1:
        raise ValueError(f"{option} must be above 0 and at most 1, got {value}")
