"""Short ways to say what is to be remembered."""

import numpy as np

from components.optimizers.problem import Problem, Remark


def plain(kind: str, text: str, value: float) -> Remark:
    """A remark of no symbol with one number."""
    return Remark(kind=kind, text=text, symbol=np.empty(0, np.int32), value=np.array([float(value)]))


def amount(problem: Problem, name: str, value: float) -> str:
    """A figure of a limit, of one on risk for a slice and for a year."""
    for cap in problem.risk_caps:
        if cap.name == name:
            return f"{value:.4g} a slice ({value * cap.slices_per_year**0.5:.4g} a year)"
    return f"{value:.4g}"
