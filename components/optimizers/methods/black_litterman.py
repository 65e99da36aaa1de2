"""Views blended with what the market expects, then mean-variance weights."""

from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from components.optimizers.methods.boxed import Curve, curve_of, least, unbounded
from components.optimizers.methods.opinion import checked_alpha, expected_of
from components.optimizers.methods.room import NO_HISTORY, Room, cannot, decided, positive, room_of, variances
from components.optimizers.methods.routes import SolverName
from components.optimizers.methods.within import TOLERANCE, Asked, Within, bounds, within_of
from components.optimizers.problem import Constraint, Decision, Linear, Situation, Variance
from components.optimizers.stating import exposures, marginal
from engine.events import Matrix, Vector
from engine.protocols import Risk
from engine.universe import Universe

_CERTAIN = 1e-12  # of a variance: the noise of a certain view, since views that repeat each other have no inverse
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
    have the posterior that correlations give them. O(N K^2 + k^3) for k views that are listed; alphas as views cost no
    more than the risk model does. With `constraints` it is O(N (K + m)^2), m the names that listed views speak of.

    Source: Black, Litterman (1992), Global portfolio optimization, Financial Analysts J. 48(5); He, Litterman (1999),
    The intuition behind Black-Litterman model portfolios, appendix B; confidence: Walters (2014), The Black-Litterman
    model in detail, section on Idzorek's extension.
    """

    needs_risk: bool = True

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
        constraints: tuple[Constraint, ...] = (),
        solver: SolverName = "auto",
        tolerance: float = TOLERANCE,
    ) -> None:
        positive({"risk_aversion": risk_aversion, "tau": tau, "view_slices": view_slices, "max_invest": max_invest})
        positive({"max_weight": 1.0 if max_weight is None else max_weight})
        cap = np.inf if max_weight is None else max_weight
        asked = Asked(0.0 if long_only else -cap, cap, solver, tolerance)
        self._within = within_of(self, universe, constraints, asked)
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
        room = room_of(at, self._max_invest, self._max_weight, shorts=not self._long_only)
        if at.risk is None:
            return cannot(NO_HISTORY)
        market = at.benchmark if self._market is None else self._market
        if not market.any():
            return cannot(_NO_MARKET)
        mu, posterior = self._posterior(at, at.risk, market)
        if self._within is not None and len(room.rows):
            return self._limited(self._within, at, room, mu, posterior.risk())
        return decided(at, room, self._best(room, mu, posterior.curve()))

    def _limited(self, within: Within, at: Situation, room: Room, mu: Vector, risk: Risk) -> Decision:
        """The same within constraints, the composed problem of the posterior."""
        n = len(room.rows)
        high = np.full(n, np.inf if self._max_weight is None else self._max_weight)
        limits = bounds(at, room, np.zeros(n) if self._long_only else -high, high, full=self._full)
        variance = Variance(name="variance", aversion=self._delta, about=np.zeros(len(mu)))
        return within.weights(replace(at, risk=risk), limits, variance, Linear(name="returns", cost=-mu))

    def _posterior(self, at: Situation, risk: Risk, market: Vector) -> tuple[Vector, "_Posterior"]:
        """Expected returns (N,) over one slice and the covariance to weigh them against."""
        R, d = exposures(risk), risk.specific
        mu = self._delta * marginal(risk, market)
        unsure = curve_of(np.sqrt(self._tau) * R, self._tau * d)  # how expected returns may differ from these
        shared: float | None = self._tau
        alpha = self._opinions(at, risk)
        if alpha is not None:
            confidence = self._alpha_confidence
            noise = unsure.diagonal() * max((1.0 - confidence) / confidence, _CERTAIN)
            mu, unsure = _by_name(unsure, mu, alpha, noise)
            shared = None
        own = self._P @ unsure.times_all(self._P.T)  # (k, k)
        told = np.diag(own) > 0  # a view of what does not move says nothing
        P, Q, confidence_of = self._P[told], self._Q[told], self._confidence[told]
        G = np.zeros((len(d), 0))
        if len(Q):
            moved = unsure.times_all(P.T)  # (N, k)
            own = own[np.ix_(told, told)]
            prior = self._tau * np.einsum("kn,nk->k", P, curve_of(R, d).times_all(P.T))
            own[np.diag_indices(len(Q))] += prior * (1.0 - confidence_of) / confidence_of + _CERTAIN * own.max()
            mu = mu + moved @ np.linalg.solve(own, Q - P @ mu)
            G = np.linalg.solve(np.linalg.cholesky(own), P).T
        if not self._posterior_risk:
            return mu, _Posterior(R, d, curve_of(np.zeros((len(d), 0)), np.zeros(len(d))), G[:, :0], None)
        return mu, _Posterior(R, d, unsure, G, shared)

    def _opinions(self, at: Situation, risk: Risk) -> Vector | None:
        """(N,) what alphas expect of each name, NaN = nothing; None where they are no views, or say nothing."""
        if not self._as_views:
            return None
        rows = np.arange(len(at.alpha))
        expected = expected_of(at, rows, variances(risk, rows), self._ic)
        return None if isinstance(expected, str) else expected

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


@dataclass(frozen=True, slots=True)
class _Posterior:
    """S* = R R' + diag(d) + U - U G G' U: U says how expected returns may differ, G (N, k) what views say of them."""

    R: Matrix
    d: Vector
    unsure: Curve
    G: Matrix
    shared: float | None  # U is this times R R' + diag(d), None = it has factors of its own

    def curve(self) -> Curve:
        known = self.unsure.times_all(self.G)  # (N, k) what views take from the uncertainty
        own = [self.R, self.unsure.R] if self.shared is None else [np.sqrt(1.0 + self.shared) * self.R]
        R = np.concatenate([*own, known], axis=1)
        sign = np.where(np.arange(R.shape[1]) < R.shape[1] - known.shape[1], 1.0, -1.0)
        return Curve(R, self.d + self.unsure.d, sign)

    def risk(self) -> Risk:
        """The same as an estimate, whose covariance of factors has no negative part.

        Views tell of U's factors and of the own part of the m names they speak of, each of which is a factor here; of
        other names' own part they tell nothing. So there are K + m factors and no matrix of N x N.
        """
        U, n, told = self.unsure, len(self.d), np.flatnonzero(self.G.any(axis=1))
        m, k = len(told), U.R.shape[1]
        X = np.concatenate([U.R.T @ self.G, U.d[told, None] * self.G[told]])
        Q = np.diag(np.concatenate([np.ones(k), U.d[told]])) - X @ X.T  # (k + m, k + m)
        single = np.zeros((n, m))
        single[told, np.arange(m)] = 1.0
        plain = self.R.shape[1]
        if self.shared is None:
            columns, C = [self.R, U.R, single], np.zeros((plain + k + m, plain + k + m))
            C[plain:, plain:] = Q
        else:
            scale = np.concatenate([np.full(k, np.sqrt(self.shared)), np.ones(m)])
            columns, C = [self.R, single], scale[:, None] * Q * scale
        C[np.arange(plain), np.arange(plain)] += 1.0
        specific = self.d + U.d
        specific[told] = self.d[told]
        return Risk(factors=np.concatenate(columns, axis=1), covariance=C, specific=specific)


def _by_name(unsure: Curve, mu: Vector, view: Vector, noise: Vector) -> tuple[Vector, Curve]:
    """Mean and uncertainty of expected returns after a view of each name where `view` (N,) is not NaN.

    With the factors f given, names are independent, so no matrix of N x N is needed: for mu + R f + e, e of variance d,

        k = d / (d + noise),  F = (I + R' (d + noise)^-1 R)^-1,  f = F R' (d + noise)^-1 (view - mu)
        mean mu + k (view - mu) + (1 - k) R f,   covariance (1 - k) R F R' (1 - k) + diag(k noise)

    k is 0 and 1 / (d + noise) left out where there is no view.
    """
    whole = unsure.d + noise
    seen = np.isfinite(view) & (whole > 0)
    weight = np.divide(1.0, whole, out=np.zeros(len(mu)), where=seen)
    off = np.where(seen, view, mu) - mu
    k = unsure.d * weight
    scaled = weight[:, None] * unsure.R
    core = unsure.R.T @ scaled
    core[np.diag_indices(len(core))] += 1.0
    root = np.linalg.inv(np.linalg.cholesky(core))  # F = root' root
    left = (1.0 - k)[:, None] * unsure.R
    mean = mu + k * off + left @ (root.T @ (root @ (scaled.T @ off)))
    return mean, curve_of(left @ root.T, np.where(seen, k * noise, unsure.d))


def _placed(universe: Universe, weights: dict[str, float], option: str) -> Vector:
    """(N,) weights by symbol, 0 for the others."""
    result = np.zeros(len(universe))
    for symbol, weight in weights.items():
        if symbol not in universe.symbols:
            raise ValueError(f"{option}: {symbol!r} is no symbol of the universe; leave it out or add it to the feed")
        if not np.isfinite(weight):
            raise ValueError(f"{option} must be finite weights, got {weight} for {symbol}")
        result[universe.symbols.index(symbol)] = weight
    return result


def _checked_confidence(option: str, value: float) -> None:
    if not 0 < value <= 1:
        raise ValueError(f"{option} must be above 0 and at most 1, got {value}")
