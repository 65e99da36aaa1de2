"""Variance: of the weights, or of what they differ from the benchmark."""

from typing import Literal, TypeAlias

import numpy as np

from components.optimizers.needs import BENCHMARK, Need
from components.optimizers.problem import Piece, Situation, Variance
from components.optimizers.terms.checked import above
from engine.events import Vector

AboutName: TypeAlias = Literal["zero", "benchmark", "targets"]
ABOUT: tuple[AboutName, ...] = ("zero", "benchmark", "targets")


class RiskOf:
    """aversion/2 (w - b)' S (w - b), S the covariance of returns over one slice.

    b is 0 (total risk), the `benchmark` (tracking error), or the `targets` of the strategy.
    """

    needs_risk = True

    def __init__(self, *, aversion: float = 5.0, about: AboutName = "zero") -> None:
        self._aversion = above("aversion", aversion)
        self._about = checked_about(about)
        self.needs = needs_about(about)

    def cost(self, at: Situation, /) -> tuple[Piece, ...]:
        return (Variance(name="variance", aversion=self._aversion, about=centre(self._about, at)),)


def checked_about(about: AboutName) -> AboutName:
    """Raises ValueError for a name that `centre` does not know."""
    if about not in ABOUT:
        raise ValueError(f"about must be one of {', '.join(ABOUT)}, got {about!r}")
    return about


def needs_about(about: AboutName) -> tuple[Need, ...]:
    """What weights that are counted from there need."""
    return (BENCHMARK,) if about == "benchmark" else ()


def centre(about: AboutName, at: Situation) -> Vector:
    """(N,) the weights that others are counted from."""
    if about == "zero":
        return np.zeros(len(at.w0))
    return at.benchmark if about == "benchmark" else np.where(np.isnan(at.wanted), at.w0, at.wanted)
