"""Hierarchical risk parity."""

from typing import Literal

import numpy as np

from components.optimizers.methods.room import (
    NO_HISTORY,
    NO_VARIANCE,
    cannot,
    capped,
    decided,
    moving,
    positive,
    room_of,
    variances,
)
from components.optimizers.problem import Decision, Situation
from components.optimizers.stating import exposures
from engine.events import Matrix, Vector
from engine.universe import Universe

_LINKAGES = ("single", "complete", "average", "ward")


class Hrp:
    """Weights by recursive bisection of a tree of correlations.

        distance   d_ij = sqrt((1 - rho_ij) / 2);  with `of: columns` the tree is of |d_i. - d_j.|, as in the paper,
                   with `of: pairs` of d_ij itself
        order      the leaves of the tree from left to right
        split      a list is cut in halves (the left one the shorter) that share its weight inversely to their
                   variances; the variance of a half is that of its weights inverse to variance

    No covariance is inverted. Names that cannot be traded take no part; a name of no variance gets no weight (remark
    `no_variance`). What `max_weight` cuts goes to the others in proportion. Names are taken in the order of their
    symbols, so that ties between distances do not depend on the order of the universe. O(n^2) memory.

    Source: Lopez de Prado (2016), Building diversified portfolios that outperform out of sample, J. Portfolio
    Management 42(4), snippets 1 to 4.
    """

    needs_risk: bool = True

    def __init__(
        self,
        *,
        universe: Universe,
        linkage: Literal["single", "complete", "average", "ward"] = "single",
        of: Literal["columns", "pairs"] = "columns",
        max_weight: float = 1.0,
        max_invest: float = 1.0,
    ) -> None:
        positive({"max_weight": max_weight, "max_invest": max_invest})
        if linkage not in _LINKAGES:
            raise ValueError(f"linkage must be one of {', '.join(_LINKAGES)}, got {linkage!r}")
        if of not in ("columns", "pairs"):
            raise ValueError(f"of must be columns or pairs, got {of!r}")
        self._place = np.argsort(np.argsort(np.array(universe.symbols), kind="stable"), kind="stable")
        self._linkage, self._of = linkage, of
        self._max_weight, self._max_invest = max_weight, max_invest

    def weights(self, at: Situation, /) -> Decision:
        room = room_of(at, self._max_invest, self._max_weight)
        if at.risk is None:
            return cannot(NO_HISTORY)
        room, _, remarks = moving(room, variances(at.risk, room.rows))
        if remarks and not len(room.rows):
            return cannot(NO_VARIANCE)
        w = np.zeros(len(room.rows))
        order = np.argsort(self._place[room.rows])
        rows = room.rows[order]
        R = exposures(at.risk)[rows]
        S = R @ R.T
        S[np.diag_indices(len(S))] += at.risk.specific[rows]
        w[order] = bisected(S, self._leaves(S))
        return decided(at, room, capped(w, room.total, self._max_weight), remarks)

    def _leaves(self, S: Matrix) -> list[int]:
        """Names in the order of the tree."""
        if len(S) < 3:
            return list(range(len(S)))
        from scipy.cluster.hierarchy import leaves_list, linkage
        from scipy.spatial.distance import pdist, squareform

        sigma = np.sqrt(np.diag(S))
        # Rounded, so that correlations which are equal but for rounding tie.
        rho = np.clip(np.round(S / np.outer(sigma, sigma), 12), -1.0, 1.0)
        np.fill_diagonal(rho, 1.0)
        d = np.sqrt((1.0 - (rho + rho.T) / 2) / 2)
        pairs = squareform(d, checks=False) if self._of == "pairs" else pdist(d)
        return [int(i) for i in leaves_list(linkage(pairs, self._linkage))]


def bisected(S: Matrix, leaves: list[int]) -> Vector:
    """(n,) weights of sum 1."""
    w = np.ones(len(S))
    lists = [leaves] if len(leaves) > 1 else []
    while lists:
        cut = lists.pop()
        left, right = cut[: len(cut) // 2], cut[len(cut) // 2 :]
        one, other = _variance(S, left), _variance(S, right)
        share = other / (one + other)
        w[left] *= share
        w[right] *= 1.0 - share
        lists += [half for half in (left, right) if len(half) > 1]
    return w


def _variance(S: Matrix, rows: list[int]) -> float:
    """Of the rows' weights inverse to variance."""
    own = S[np.ix_(rows, rows)]
    w = 1.0 / np.diag(own)
    w /= w.sum()
    return float(w @ own @ w)
