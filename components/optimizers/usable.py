"""What of an estimate, of targets and of weights can be traded on, and why the rest cannot."""

from typing import Any

import numpy as np

from components.optimizers.problem import Decision, Remark, Situation
from engine.events import Matrix, Target, Vector
from engine.nested import risk_model_of
from engine.protocols import Risk, RiskModel
from engine.sealing import users_own

_ABSURD = 100.0  # of equity, beyond which weights are those of a problem without bounds that has no sense
_LIFT = 1e-9  # of the largest variance: what rounding may leave below 0


class Estimate:
    """The estimates of a risk model, each looked at once. Ours are covariances; one of the user's own may be none.

    Trading on what is no covariance would be wrong in a way that nobody sees: a method finds weights of no risk in it.
    """

    def __init__(self, model: RiskModel | None) -> None:
        self.model: Any = None if model is None else risk_model_of(model)
        self._own = model is not None and users_own(model)
        self._seen: Risk | None = None
        self._flaw = ""

    def risk(self) -> tuple[Risk | None, str]:
        """The estimate, None while there is too little history; or None and what is wrong with it."""
        risk: Risk | None = None if self.model is None else self.model.risk()
        if risk is not None and risk is not self._seen:
            self._seen, self._flaw = risk, _flaw(risk, self._own)
        return (None, self._flaw) if risk is not None and self._flaw else (risk, "")


def _flaw(risk: Risk, own: bool) -> str:
    parts = (("factors", risk.factors), ("covariance", risk.covariance), ("specific", risk.specific))
    for name, array in parts:
        odd = int(array.size - np.count_nonzero(np.isfinite(array)))
        if odd:
            return f"the risk estimate has {odd} figures in its {name} that are not finite"
    if own and not _is_covariance(risk.covariance):
        return "the risk estimate's covariance of factors is not symmetric and positive semidefinite"
    return ""


def _is_covariance(C: Matrix) -> bool:
    largest = float(np.abs(C).max(initial=0.0))
    if not len(C) or largest == 0.0:
        return True
    C = C / largest
    if np.abs(C - C.T).max() > _LIFT:
        return False
    try:
        np.linalg.cholesky(C + _LIFT * len(C) * np.eye(len(C)))
    except np.linalg.LinAlgError:
        return False
    return True


def senseless(weights: Vector) -> str:
    """Why weights are not to be traded, empty = they are. NaN counts as no weight."""
    gross = float(np.add.reduce(np.abs(weights)))
    if gross != gross:
        gross = float(np.nansum(np.abs(weights)))
    if gross <= _ABSURD:
        return ""
    return f"the weights add up to {gross:.3g} times equity, unsigned: bound them, or mind the units of alpha and risk"


def sensible(decision: Decision, at: Situation) -> Decision:
    """The decision, or none where its weights of names that may move are senseless."""
    reason = "" if decision.weights is None else senseless(decision.weights[at.free])
    return Decision(weights=None, reason=reason, remarks=decision.remarks) if reason else decision


def endless(targets: tuple[Target, ...]) -> tuple[Remark, ...]:
    """A remark on the names whose target is infinite: they are left alone."""
    if not any(np.count_nonzero(np.isinf(target.value)) for target in targets):
        return ()
    rows = np.flatnonzero(np.any([np.isinf(target.value) for target in targets], axis=0)).astype(np.int32)
    value = np.sum([target.value for target in targets], axis=0)[rows]
    return (Remark(kind="infinite", text=f"{len(rows)} targets are infinite: left alone", symbol=rows, value=value),)
