"""The portfolio problem of a layout in cvxpy: stated once, everything numeric a parameter.

What makes it fast to solve (measured in `benchmarks/optimizer_program.py`): factors of risk are one variable `v`, used
in risk and in exposure limits alike; diagonal risk stays on the diagonal of the quadratic form; a limit of a dense row
is a bound on one variable that equals it; bounds are constraints, since a variable with bounds that are parameters
would make the program one that cvxpy has to state again at every solve.
"""

from dataclasses import dataclass
from typing import Any

import cvxpy as cp

from components.optimizers.program_layout import Layout
from components.optimizers.program_matrices import GROUPS, PRICED


@dataclass(frozen=True, slots=True)
class Statement:
    """A program and its parts by name, as `program_layout` names the figures for them."""

    program: Any  # cvxpy's Problem
    parameters: dict[str, Any]
    variables: dict[str, Any]
    constraints: dict[str, Any]  # those whose multipliers are asked for


class _Draft:
    """What is stated so far."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.parameters: dict[str, Any] = {}
        self.variables: dict[str, Any] = {}
        self.constraints: dict[str, Any] = {}
        self.others: list[Any] = []
        self.cost: Any = 0.0

    def given(self, name: str, *shape: int) -> Any:
        self.parameters[name] = cp.Parameter(shape)
        return self.parameters[name]

    def priced(self, name: str, count: int) -> Any:
        """(count,) a parameter that is at least 0."""
        self.parameters[name] = cp.Parameter(count, nonneg=True)
        return self.parameters[name]

    def variable(self, name: str, count: int) -> Any:
        self.variables[name] = cp.Variable(count)
        return self.variables[name]

    def excess(self, name: str, count: int) -> Any:
        """(count,) a variable that is at least 0."""
        beyond = self.variable(name, count)
        self.others.append(beyond >= 0)
        return beyond


def state(layout: Layout) -> Statement:
    """The program of this layout; its optimum times 1 / scale is that of the problem, up to a constant."""
    draft = _Draft(layout)
    n = layout.slots
    w = draft.variable("w", n)
    draft.cost += draft.given("q", n) @ w
    draft.constraints["lower"] = w >= draft.given("lower", n)
    draft.constraints["upper"] = w <= draft.given("upper", n)
    if layout.quadratic:
        draft.cost += 0.5 * cp.quad_form(w, cp.psd_wrap(cp.diag(draft.priced("d", n))))
    if layout.factors:
        _state_factors(draft)
    _state_rows(draft)
    _state_caps(draft)
    if layout.impact:
        _state_impact(draft)
    for i, count in enumerate(layout.tails):
        _state_tail(draft, i, count)
    program = cp.Problem(cp.Minimize(draft.cost), [*draft.constraints.values(), *draft.others])
    return Statement(program, draft.parameters, draft.variables, draft.constraints)


def _state_factors(draft: _Draft) -> None:
    layout, w = draft.layout, draft.variables["w"]
    K = layout.factors
    v = draft.variable("v", K)
    draft.others.append(v == draft.given("F", layout.slots, K).T @ w + draft.given("v_fixed", K))
    if layout.quadratic:
        draft.cost += 0.5 * cp.quad_form(v, cp.psd_wrap(draft.given("Om", K, K)))
    for i, soft in enumerate(layout.risk_caps):
        about = draft.given(f"risk_root{i}", K, K) @ v - draft.given(f"risk_about{i}", K)
        own = cp.multiply(draft.given(f"risk_specific{i}", layout.slots), w) - draft.given(f"risk_own{i}", layout.slots)
        deviation = cp.norm(cp.hstack([about, own, draft.given(f"risk_rest{i}", 1)]))
        draft.constraints[f"risk{i}"] = deviation <= draft.given(f"risk_limit{i}", 1) + _slack(draft, f"risk{i}", soft)


def _slack(draft: _Draft, name: str, soft: bool) -> Any:
    """What a cap may be exceeded by, at its price; 0 where it must hold."""
    if not soft:
        return 0.0
    kind = name.rstrip("0123456789")
    beyond = draft.excess(f"slack_{name}", 1)
    draft.cost += draft.priced(f"{kind}_price{name[len(kind) :]}", 1) @ beyond
    return beyond


def _state_rows(draft: _Draft) -> None:
    layout, w = draft.layout, draft.variables["w"]
    counts = (*layout.dense, *(len(places) for places in layout.factored))
    for name, count, places in zip(GROUPS, counts, ((), (), *layout.factored), strict=True):
        if not count:
            continue
        if places:
            value = draft.variables["v"][list(places)]
        else:
            value = draft.variable(name, count)
            draft.others.append(value == draft.given(f"{name}_A", count, layout.slots) @ w)
        slack: Any = 0.0
        if name in PRICED:
            slack = draft.excess(f"slack_{name}", count)
            draft.cost += draft.priced(f"{name}_price", count) @ slack
        draft.constraints[f"{name}_low"] = value + slack >= draft.given(f"{name}_low", count)
        draft.constraints[f"{name}_high"] = value - slack <= draft.given(f"{name}_high", count)


def _state_caps(draft: _Draft) -> None:
    """Costs with a kink, and turnover and gross: |x| = x + 2 (-x)+, so one part for each point is enough."""
    layout, w = draft.layout, draft.variables["w"]
    n = layout.slots
    for i, over in enumerate(layout.splits):
        beyond, at = draft.excess(f"beyond{i}", n), draft.given(f"at{i}", n)
        draft.others.append(beyond - w >= -at if over else beyond + w >= at)
        draft.cost += draft.priced(f"cost{i}", n) @ beyond
    for name, split, caps in (
        ("turnover", layout.traded, layout.turnover),
        ("gross", layout.shorted, layout.gross),
    ):
        if not caps:
            continue
        total = draft.variable(f"{name}", 1)
        draft.others.append(total == cp.sum(w) + 2.0 * cp.sum(draft.variables[f"beyond{split}"]))
        for i, soft in enumerate(caps):
            slack = _slack(draft, f"{name}{i}", soft)
            draft.constraints[f"{name}{i}"] = total - slack <= draft.given(f"{name}_limit{i}", 1)


def _state_impact(draft: _Draft) -> None:
    """z >= |w - w0|^(3/2) as u >= |w - w0|, u^2 <= z s, s^2 <= u; solvers stop short more often at one power cone.

    Source: Lobo, Vandenberghe, Boyd, Lebret (1998), Applications of second-order cone programming, Linear Algebra and
    its Applications 284 (hyperbolic constraints).
    """
    n = draft.layout.slots
    z = draft.variable("impact", n)
    moved = cp.multiply(draft.given("impact_on", n), draft.variables["w"]) - draft.given("impact_at", n)
    u, s = draft.variable("moved", n), draft.variable("root", n)
    draft.others += [u >= moved, u >= -moved, z <= draft.given("impact_most", n)]
    draft.others += [cp.SOC(z + s, cp.vstack([2 * u, z - s])), cp.SOC(u + 1, cp.vstack([2 * s, u - 1]))]
    draft.cost += draft.priced("impact", n) @ z


def _state_tail(draft: _Draft, i: int, count: int) -> None:
    """The mean of the worst losses as a minimum over the loss they begin at.

    Source: Rockafellar, Uryasev (2000), Optimization of conditional value-at-risk, Journal of Risk 2(3), (17).
    """
    edge, excess = draft.variable(f"edge{i}", 1), draft.excess(f"excess{i}", count)
    gains = draft.given(f"returns{i}", count, draft.layout.slots) @ draft.variables["w"]
    draft.constraints[f"tail{i}"] = excess + edge + gains >= draft.given(f"floor{i}", count)
    draft.cost += draft.given(f"tail{i}", 1) @ edge + draft.priced(f"worse{i}", count) @ excess
