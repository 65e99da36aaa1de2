"""A method's own objective within the constraints of a run file: the composed problem, asked by the method."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from components.optimizers.methods.composed import Composed, Search
from components.optimizers.methods.room import Room
from components.optimizers.methods.routes import SolverName
from components.optimizers.methods.tangency import NothingEarnedError
from components.optimizers.problem import Box, Constraint, Decision, Piece, Rows, Situation, Variance
from engine.events import Actions, Bars, Reference, Vector
from engine.universe import Universe, universe_of

TOLERANCE = 1e-7  # of an answer's optimality conditions, as of the composed problem


@dataclass(frozen=True, slots=True)
class Asked:
    """What a method says of itself: the bounds of each weight, how it is solved, and whether it has a tail."""

    low: float = 0.0
    high: float = np.inf
    solver: SolverName = "auto"
    tolerance: float = TOLERANCE
    tail: bool = False


_BOUNDS = "max_weight"


class _Told:
    """A term that costs what the method says."""

    straight: bool = False  # a method bounds its weights itself

    def __init__(self, *, tail: bool) -> None:
        self.tail = tail
        self.pieces: tuple[Piece, ...] = ()

    def cost(self, at: Situation, /) -> tuple[Piece, ...]:
        del at
        return self.pieces


class _Own:
    """A limit of the method's own: bounds that never give, of which `pieces` are told at start, or a sum that does."""

    soft: float | None = None

    def __init__(self, *, firm: bool, pieces: tuple[Piece, ...] = ()) -> None:
        self.firm, self.yields, self.always = firm, not firm, bool(pieces)
        self.pieces = pieces

    def allows(self, at: Situation, /) -> tuple[Piece, ...]:
        del at
        return self.pieces


class Within:
    """Solves pieces of a method within constraints, on the routes and with the fallbacks of the composed problem."""

    def __init__(self, universe: Universe | None, constraints: tuple[Constraint, ...], asked: Asked) -> None:
        self._ready = universe is not None
        universe = (
            universe_of(("any",)) if universe is None else universe
        )  # to check what is said before a feed is read
        whole = np.ones(len(universe))
        box = Box(name=_BOUNDS, lower=asked.low * whole, upper=asked.high * whole)
        self._told, self._bounds, self._sum = _Told(tail=asked.tail), _Own(firm=True, pieces=(box,)), _Own(firm=False)
        self._problem = Composed(
            universe=universe,
            objective=(self._told,),
            constraints=(self._bounds, self._sum, *constraints),
            solver=asked.solver,
            tolerance=asked.tolerance,
        )
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
        """The least cost of the pieces. Where constraints leave nothing less is invested, then constraints give way.

        The method's bounds never do.
        """
        self._state(limits, pieces)
        return self._problem.weights(at)

    def by(self, at: Situation, limits: tuple[Box, Rows], search: Search, *pieces: Piece) -> Decision:
        """The same, of a route that answers the problem of the pieces in its own way."""
        self._state(limits, pieces)
        return self._problem.by(at, search)

    def best_ratio(self, at: Situation, limits: tuple[Box, Rows], gains: Vector) -> Decision:
        """The weights of the highest gains'w / sqrt(w'Sw) within all limits; none where nothing earns more than 0."""
        self._state(limits, (Variance(name="variance", aversion=1.0, about=np.zeros(len(gains))),))
        try:
            return self._problem.tangency(at, gains)
        except NothingEarnedError as nothing:
            return Decision(weights=None, reason=str(nothing))

    def _state(self, limits: tuple[Box, Rows], pieces: tuple[Piece, ...]) -> None:
        if not self._ready:
            raise ValueError("universe must be given beside constraints: they are limits of its symbols")
        self._told.pieces, self._bounds.pieces, self._sum.pieces = pieces, limits[:1], limits[1:]

    def save(self) -> bytes:
        return self._problem.save()

    def load(self, state: bytes, /) -> None:
        self._problem.load(state)


def limited(universe: Universe | None, constraints: tuple[Constraint, ...], asked: Asked) -> Within | None:
    """None without constraints, which then must not be spoken of."""
    if constraints:
        return Within(universe, constraints, asked)
    for name, value, usual in (("solver", asked.solver, "auto"), ("tolerance", asked.tolerance, TOLERANCE)):
        if value != usual:
            raise ValueError(f"{name} is of a method with constraints, got {value!r} without any; leave it out")
    return None


def within_of(
    method: Any, universe: Universe | None, constraints: tuple[Constraint, ...], asked: Asked
) -> Within | None:
    """None without constraints. Else the method hears, saves and declares what they need."""
    within = limited(universe, constraints, asked)
    if within is None:
        return None
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
    return Box(name=_BOUNDS, lower=lower, upper=upper), row
