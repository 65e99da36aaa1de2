"""A method's own objective within the constraints of a run file: the composed problem, asked by the method."""

from typing import Any

import numpy as np

from components.optimizers.methods.composed import Composed
from components.optimizers.methods.room import Room
from components.optimizers.problem import Box, Constraint, Decision, Linear, Piece, Rows, Situation, Variance
from components.optimizers.stating import marginal
from engine.events import Actions, Bars, Reference, Vector
from engine.universe import Universe, universe_of

_LARGEST = 4.0**30  # times the first guess, beyond which nothing is earned


class _Told:
    """A term that costs what the method says."""

    straight: bool = False  # a method bounds its weights itself

    def __init__(self) -> None:
        self.pieces: tuple[Piece, ...] = ()

    def cost(self, at: Situation, /) -> tuple[Piece, ...]:
        del at
        return self.pieces


class _Own:
    """A limit of the method's own."""

    soft: float | None = None

    def __init__(self, *, firm: bool) -> None:
        self.firm = firm
        self.pieces: tuple[Piece, ...] = ()

    def allows(self, at: Situation, /) -> tuple[Piece, ...]:
        del at
        return self.pieces


class Within:
    """Solves pieces of a method within constraints, on the routes and with the fallbacks of the composed problem."""

    def __init__(self, universe: Universe | None, constraints: tuple[Constraint, ...]) -> None:
        self._ready = universe is not None
        universe = (
            universe_of(("any",)) if universe is None else universe
        )  # to check what is said before a feed is read
        self._told, self._bounds, self._sum = _Told(), _Own(firm=True), _Own(firm=False)
        limits = (self._bounds, self._sum, *constraints)
        self._problem = Composed(universe=universe, objective=(self._told,), constraints=limits)
        self.needs = self._problem.needs
        self.needs_risk: bool = self._problem.needs_risk
        self.lookback: int = self._problem.lookback

    def on_bars(self, bars: Bars, /) -> None:
        self._problem.on_bars(bars)

    def on_actions(self, actions: Actions, /) -> None:
        self._problem.on_actions(actions)

    def on_reference(self, reference: Reference, /) -> None:
        self._problem.on_reference(reference)

    def weights(self, at: Situation, limits: tuple[Box, Rows], *pieces: Piece) -> Decision:
        """The least cost of the pieces. Where constraints leave nothing the sum gives way, the bounds never."""
        if not self._ready:
            raise ValueError("universe must be given beside constraints: they are limits of its symbols")
        self._told.pieces, self._bounds.pieces, self._sum.pieces = pieces, limits[:1], limits[1:]
        return self._problem.weights(at)

    def save(self) -> bytes:
        return self._problem.save()

    def load(self, state: bytes, /) -> None:
        self._problem.load(state)


def within_of(method: Any, universe: Universe | None, constraints: tuple[Constraint, ...]) -> Within | None:
    """None without constraints. Else the method hears, saves and declares what they need."""
    if not constraints:
        return None
    within = Within(universe, constraints)
    for name in ("needs", "lookback", "on_bars", "on_actions", "on_reference", "save", "load"):
        setattr(method, name, getattr(within, name))
    return within


def bounds(at: Situation, room: Room, low: Vector, high: Vector, *, full: bool = True) -> tuple[Box, Rows]:
    """The method's own limits: low and high (n,) of the room's names, 0 of other free ones, and the sum of all."""
    lower, upper = (np.where(at.free, 0.0, limit) for limit in (-np.inf, np.inf))
    lower[room.rows], upper[room.rows] = low, high
    pinned = float(room.pinned.sum())
    most = pinned + (min(room.total, float(high.sum())) if full else room.total)
    row = Rows(
        name="total",
        A=np.ones((1, len(at.w0))),
        low=np.array([most if full else -np.inf]),
        high=np.array([most]),
        labels=("sum",),
    )
    return Box(name="max_weight", lower=lower, upper=upper), row


def best_ratio(within: Within, at: Situation, gains: Vector, limits: tuple[Box, Rows]) -> Decision:
    """The weights of the highest gains'w / sqrt(w'Sw) within all limits; no weights where none earn more than 0.

    They minimise variance / 2 - t gains'w at the t where t times what they earn is their variance; that difference is a
    line in t from corner to corner of the frontier, so that few t are tried.
    """
    from scipy.optimize import brentq

    risk, decisions = at.risk, dict[float, Decision]()
    assert risk is not None

    def off(t: float) -> float:
        found = within.weights(
            at,
            limits,
            Variance(name="variance", aversion=1.0, about=np.zeros(len(gains))),
            Linear(name="gains", cost=-t * gains),
        )
        decisions[t] = found
        if found.weights is None or any(remark.kind.startswith("fallback") for remark in found.remarks):
            raise _NoAnswerError
        w: Vector = found.weights
        return t * float(gains @ w) - float(w @ marginal(risk, w))

    try:
        least = -off(0.0)
        start = top = least**0.5 / max(float(np.abs(gains).max()), 1e-300)
        while off(top) <= 0.0:
            top *= 4.0
            if top > start * _LARGEST:
                return Decision(
                    weights=None, reason="no weights within the constraints have an expected return above 0"
                )
        root: Any = brentq(off, 0.0, top, xtol=1e-15 * top, rtol=1e-13, maxiter=200)
        off(float(root))
    except _NoAnswerError:
        pass
    return next(reversed(decisions.values()))


class _NoAnswerError(Exception):
    """The constraints cannot be met, or no solver answered: the decision says so itself."""
