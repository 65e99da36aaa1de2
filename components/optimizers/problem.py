"""The problem of one rebalance: what it is stated from, the pieces that a statement consists of, and what solves it.

Terms and constraints of a run file say pieces; a solver takes all pieces of a problem together (`stated`). The pieces
are a closed vocabulary: whatever is said in them can be solved by every route that has them, certified and explained.

Weights are shares of equity, money and returns are per one slice. The problem is a minimisation:

    minimise    q'w + aversion/2 (w - about)' S (w - about) + 1/2 sum ridge (w - rest)^2
                + sum over kinks of  buy'(w - at)+ + sell'(at - w)+   + sum impact |w - w0|^(3/2)
    subject to  lower <= w <= upper,   low <= A w <= high,
                |w - w0|_1 <= turnover,   |w|_1 <= gross,   sqrt((w - b)' S (w - b)) <= risk caps

A soft constraint is one whose violation has a price: its multiplier never exceeds that price.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from engine.events import Codes, Mask, Matrix, Vector
from engine.protocols import Risk
from engine.universe import Universe

HARD = float("inf")  # the price of violating a constraint that must hold


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What a rebalance knows, of all N symbols of the universe. Arrays are read-only to whoever gets them."""

    ts: int
    universe: Universe
    equity: float  # base money, above 0
    unit: Vector  # (N,) base money for one share at its mark, NaN = never seen
    w0: Vector  # (N,) weight of filled and working shares
    wanted: Vector  # (N,) weight that the targets ask for together, NaN = leave it as it is
    alpha: Vector  # (N,) the opinion behind the targets, NaN = none; a return over one slice only where so declared
    free: Mask  # (N,) wanted above or below 0, FRESH and priced: its weight may change
    leaving: Mask  # (N,) a wanted weight of exactly 0 that can be traded: sold whole
    risk: Risk | None  # None while there is too little history
    benchmark: Vector  # (N,) weights, zeros where there is none
    sector: Codes  # (N,) position in `sectors`, -1 = in none
    sectors: tuple[str, ...]
    traded: Vector  # (N,) base money that one slice trades, a mean over recent slices, NaN = unknown
    half_spread: Vector  # (N,) share of the price, NaN = unknown
    references: Mapping[str, Matrix]  # the latest value of each matrix that came as a Reference
    columns: Mapping[str, tuple[str, ...]]  # their column names
    invest: float  # sum of the wanted weights above 0
    rate: float  # one-way cost of a large trade as a share of its value, by the broker's own cost model
    payable: float = HARD  # what weights may add up to for their trades to be paid for, by what these may cost

    @property
    def reachable(self) -> Vector:
        """(N,) the benchmark, scaled down where it adds up to more than can be paid for: what deviations are from."""
        if self.payable == HARD:
            return self.benchmark
        total = float(self.benchmark.sum())
        return self.benchmark if total <= max(self.payable, 0.0) else self.benchmark * (max(self.payable, 0.0) / total)


# ---- pieces of the objective, all of them costs ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Linear:
    """cost' w; a return to be earned is a negative cost."""

    name: str
    cost: Vector  # (N,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Variance:
    """aversion/2 (w - about)' S (w - about), S the covariance of the situation's risk."""

    name: str
    aversion: float
    about: Vector  # (N,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ridge:
    """1/2 sum weight (w - about)^2."""

    name: str
    weight: Vector  # (N,) at least 0
    about: Vector  # (N,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kink:
    """up'(w - at)+ + down'(at - w)+, convex: up + down is at least 0."""

    name: str
    up: Vector  # (N,)
    down: Vector  # (N,)
    at: Vector  # (N,) w0 for a cost of trading, 0 for one of holding, a bound for one that is soft
    soft: float = HARD  # of a soft bound its price: it is no cost of trading


@dataclass(frozen=True, slots=True, kw_only=True)
class Impact:
    """sum k |w - w0|^(3/2)."""

    name: str
    k: Vector  # (N,) at least 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Tail:
    """weight * CVaR of -R w: the mean loss of the worst (1 - level) of the scenarios."""

    name: str
    returns: Matrix  # (T, N) scenarios of returns over one slice, no NaN
    level: float  # e.g. 0.95
    weight: float


# ---- pieces of what is allowed ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """lower <= w <= upper, +-inf = no bound. A soft box is a Kink at each bound."""

    name: str
    lower: Vector  # (N,)
    upper: Vector  # (N,)
    soft: float = HARD


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """low <= A w <= high."""

    name: str
    A: Matrix  # (m, N)
    low: Vector  # (m,) -inf = no bound
    high: Vector  # (m,) +inf = no bound
    labels: tuple[str, ...]  # (m,) e.g. the sectors
    soft: float = HARD


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnoverCap:
    """|w - w0|_1 <= limit: purchases and sales together."""

    name: str
    limit: float
    soft: float = HARD


@dataclass(frozen=True, slots=True, kw_only=True)
class GrossCap:
    """|w|_1 <= limit."""

    name: str
    limit: float
    soft: float = HARD


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskCap:
    """sqrt((w - about)' S (w - about)) <= limit, a standard deviation over one slice: a cone."""

    name: str
    limit: float
    about: Vector  # (N,)
    soft: float = HARD
    slices_per_year: float = 1.0  # for what is told of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """Limits that count names: a mixed-integer problem. None = no such limit."""

    name: str
    most: int | None = None  # names with a weight other than 0
    least_weight: Vector | None = None  # (N,) |w| is 0 or at least this
    least_trade: Vector | None = None  # (N,) |w - w0| is 0 or at least this


Piece: TypeAlias = (
    Linear | Variance | Ridge | Kink | Impact | Tail | Box | Rows | TurnoverCap | GrossCap | RiskCap | Counted
)


class Term(Protocol):
    """A term of the objective. It may define `on_bars`, `on_actions`, `save` and `load` where it keeps estimates."""

    def cost(self, at: Situation, /) -> tuple[Piece, ...]: ...


class Constraint(Protocol):
    """What is allowed. `soft` is the price of a violation in return per unit of weight, None = it must hold.

    `firm`, if it has it, says whether it is never loosened where constraints contradict one another; `always` says that
    it allows the same at every rebalance, so that contradictions are found at start; `trades` that it counts from what
    is held, and `counts` that it counts names.
    """

    soft: float | None

    def allows(self, at: Situation, /) -> tuple[Piece, ...]: ...


# ---- a whole problem and its answer ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """All pieces together, as the head of this module writes it. Boxes are intersected, rows stacked."""

    risk: Risk | None  # None where no piece needs it
    q: Vector  # (N,)
    aversion: float
    about: Vector  # (N,)
    ridge: Vector  # (N,)
    rest: Vector  # (N,) where the ridge is 0
    kinks: tuple[Kink, ...]
    impact: Vector  # (N,) zeros = none
    w0: Vector  # (N,)
    lower: Vector  # (N,)
    upper: Vector  # (N,)
    lower_by: Codes  # (N,) position in `names` of the constraint that set the bound, -1 = none
    upper_by: Codes  # (N,)
    A: Matrix  # (m, N)
    low: Vector  # (m,)
    high: Vector  # (m,)
    row_by: Codes  # (m,) position in `names`
    row_soft: Vector  # (m,) price, inf = hard
    labels: tuple[str, ...]  # (m,)
    turnover: tuple[TurnoverCap, ...]
    gross: tuple[GrossCap, ...]
    risk_caps: tuple[RiskCap, ...]
    tails: tuple[Tail, ...]
    counted: tuple[Counted, ...]
    names: tuple[str, ...]  # of constraints
    # What was made of these arrays alone and is not made again, by name; one with other arrays begins without any.
    derived: dict[str, Any] = field(default_factory=dict, init=False, compare=False, repr=False)

    def __len__(self) -> int:
        return len(self.q)


@dataclass(frozen=True, slots=True, kw_only=True)
class Solution:
    """What a route answers. Multipliers are of the minimisation and not scaled: return per unit of weight.

    `box` is above 0 where the upper bound binds and below 0 where the lower does, `rows` likewise; `turnover`, `gross`
    and `risk_caps` are at least 0. So |multiplier| is what the objective would gain from a limit one unit looser.
    """

    status: str  # optimal, infeasible, unbounded, or what else the route says
    route: str  # kernel, or the solver that cvxpy's program was handed to
    w: Vector | None = None  # (N,) None unless optimal
    iterations: int = 0
    box: Vector | None = None  # (N,)
    rows: Vector | None = None  # (m,)
    turnover: tuple[float, ...] = ()
    gross: tuple[float, ...] = ()
    risk_caps: tuple[float, ...] = ()
    tails: tuple[Vector, ...] = ()  # (T,) of each tail: how much each scenario counts, together its weight
    residual: float = float("inf")  # of the optimality conditions, as `certificate.residual` defines it
    memory: Any = field(default=None, compare=False)  # what a next solve may start from; never shows in an answer


class Solver(Protocol):
    """One route. Its limits are counts of iterations, never seconds: an answer depends on its arguments alone."""

    name: str

    def fits(self, problem: Problem, /) -> bool:
        """Whether this route has every piece of the problem."""
        ...

    def solve(self, problem: Problem, /, start: Solution | None = None) -> Solution: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """What is to be remembered of a decision: a Note without its source and time."""

    kind: str
    text: str
    symbol: Codes
    value: Vector


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What must hold of weights, so that whole lots keep it too. Bounds of 0 and of infinity say no more than that."""

    lower: Vector  # (N,)
    upper: Vector  # (N,)
    A: Matrix  # (m, N), low <= A w <= high
    low: Vector  # (m,)
    high: Vector  # (m,)
    names: tuple[str, ...]  # of limits
    row_by: Codes  # (m,) position in `names`
    turnover: float = HARD  # |w - w0|_1
    gross: float = HARD  # |w|_1
    least_weight: Vector | None = None  # (N,) |w| is 0 or at least this
    least_trade: Vector | None = None  # (N,) |w - w0| is 0 or at least this


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Weights of all N symbols, NaN = leave it as it is; or None with the reason, whereupon positions are held.

    `limits` are what rounding to whole lots must not break, None = none.
    """

    weights: Vector | None
    reason: str = ""
    remarks: tuple[Remark, ...] = ()
    limits: Limits | None = None


class Method(Protocol):
    """How weights come about. It may define `on_bars`, `on_actions`, `on_reference`, `save`, `load` and `lookback`."""

    def weights(self, at: Situation, /) -> Decision: ...
