"""LightGBM's trees as flat arrays, walked by a compiled loop: the same doubles as the library's, sooner.

Which trees it can walk is decided when they are loaded; all others are answered by the library.
"""

import math
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.events import Vector

_CATEGORICAL, _DEFAULT_LEFT, _MISSING_SHIFT = 1, 2, 2  # bits of a node's decision_type
_NONE, _ZERO, _NAN = 0, 1, 2  # what a node takes for missing
_LOWEST, _HIGHEST = -(2**31), 2**31 - 1  # keys that go left, or right, at every node
_PLAIN = frozenset({"regression", "regression_l1", "huber", "fair", "quantile", "mape", "lambdarank", "rank_xendcg"})
_NODES_MAX, _SLOTS_MAX = 1 << 16, 1 << 16  # each has 16 bits of a node's word
_TOGETHER = 1 << 14  # nodes, of 16 bytes, that one pass over the rows reads: they stay in the second-level cache
_ROWS_MAX = 2048  # rows keyed at a time: bounds memory over long histories
_CHECKED_ROWS = 96
_EXP_MAX = 709.782712893384  # beyond it lies infinity
_FIELDS = ("split_feature", "threshold", "decision_type", "left_child", "right_child")


class Walker(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """Trees ready to be walked. Memory: 16 bytes a node."""

    width: int  # F
    nodes: Any
    values: Vector
    first: Any
    depth: Any
    feature: Any  # (S,) the column of each slot: a column once for each way in which nodes treat what is missing in it
    of_nan: Any  # (S,) the key of a NaN there
    of_zero: Any
    together: int  # trees in one pass over the rows
    sigmoid: float | None  # answers are 1 / (1 + exp(-sigmoid x)); None = x itself

    def predict(self, rows: NDArray[Any]) -> Vector:
        """Answers (R,) to rows (R, F) float32: bit for bit those of `Booster.predict`, each row on its own."""
        from components.models.tree_walker_kernel import keyed, walked

        if rows.dtype != np.float32 or rows.ndim != 2 or rows.shape[1] != self.width:
            raise ValueError(f"rows must be float32 of {self.width} columns, got {rows.dtype} of shape {rows.shape}")
        bits = np.ascontiguousarray(rows).view(np.int32)
        out = np.empty(len(rows))
        for start in range(0, len(rows), _ROWS_MAX):
            part = bits[start : start + _ROWS_MAX]
            keys = keyed(part, self.feature, self.of_nan, self.of_zero)
            sums = walked(keys, self.nodes, self.values, self.first, self.depth, self.together)
            out[start : start + len(part)] = sums[: len(part)]
        return out if self.sigmoid is None else self._squashed(out)

    def _squashed(self, x: Vector) -> Vector:
        # One at a time through the C library, as LightGBM does: numpy's own exp may differ in the last bit.
        powers = (-(self.sigmoid or 0.0) * x).tolist()
        return np.array([1.0 / (1.0 + (math.exp(v) if v < _EXP_MAX else math.inf)) for v in powers])


def walker_of(text: str, booster: Any) -> Walker | None:
    """A walker of this model text, or None where it cannot give the very numbers of `booster`, the same model.

    Categorical splits, linear trees, several classes, averaged output and objectives that transform their sum are left
    to the library, and so is any model whose answers to rows drawn around its own thresholds differ in one bit.
    """
    walker = _read(text)
    if walker is None:
        return None
    rows = _probes(walker)
    wanted = booster.predict(rows, num_threads=1)
    return walker if np.array_equal(walker.predict(rows).view(np.int64), wanted.view(np.int64)) else None


def _probes(walker: Walker) -> NDArray[Any]:
    """Rows that stand at thresholds, beside them, far from them, at nothing, and nowhere."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(_CHECKED_ROWS, walker.width)).astype(np.float32)
    picked = rng.integers(0, len(walker.nodes), 4 * rows.size)
    node = walker.nodes[picked]
    inner = node >> 32 < _HIGHEST
    column, key = walker.feature[(node[inner] >> 16) & 0xFFFF], node[inner] >> 32
    at = np.where(key >= 0, key, key ^ _HIGHEST).astype(np.int32).view(np.float32)
    away = rng.choice(np.array([-np.inf, np.nan, np.inf], np.float32), len(at))  # to NaN: not at all
    at = np.where(np.isnan(away), at, np.nextafter(at, away))
    rows[rng.integers(0, _CHECKED_ROWS, len(at)), column] = at
    for value, share in ((0.0, 0.05), (-0.0, 0.02), (1e-38, 0.02), (np.inf, 0.01), (-np.inf, 0.01), (np.nan, 0.1)):
        rows[rng.random(rows.shape) < share] = value
    rows[0] = np.nan
    return rows


def _read(text: str) -> Walker | None:
    head, *trees = text.partition("\nend of trees")[0].split("\nTree=")
    facts = dict(line.split("=", 1) for line in head.splitlines() if "=" in line)
    plain, sigmoid = _objective(facts.get("objective", "regression"))
    single = facts.get("num_class") == "1" and facts.get("num_tree_per_iteration") == "1"
    if not (plain and single and trees) or "average_output" in head.splitlines():
        return None
    fields = [dict(line.split("=", 1) for line in tree.splitlines() if "=" in line) for tree in trees]
    if any(tree.get("num_cat", "0") != "0" or tree.get("is_linear", "0") != "0" for tree in fields):
        return None
    leaves = np.array([int(tree["num_leaves"]) for tree in fields], np.int64)
    columns = {name: _numbers([t.get(name, "") for t in fields], name == "threshold") for name in _FIELDS}
    value = _numbers([t["leaf_value"] for t in fields], True)
    if any(len(column) != (leaves - 1).sum() for column in columns.values()) or len(value) != leaves.sum():
        return None
    return _packed(int(facts["max_feature_idx"]) + 1, leaves, columns, value, sigmoid)


def _objective(said: str) -> tuple[bool, float | None]:
    """Whether the sum is the answer, or its logistic function with this rate."""
    name, *options = said.split()
    if name == "binary" and len(options) == 1 and options[0].startswith("sigmoid:"):
        return True, float(options[0].partition(":")[2])
    return name in _PLAIN and (not options or name == "lambdarank" or name == "rank_xendcg"), None


def _numbers(texts: list[str], exact: bool) -> NDArray[Any]:
    """What stands in all of them, one after another."""
    return np.array(" ".join(texts).split(), np.float64 if exact else np.int64)


def _packed(
    width: int, leaves: NDArray[Any], columns: dict[str, NDArray[Any]], value: Vector, sigmoid: float | None
) -> Walker | None:
    from components.models.tree_walker_kernel import packed

    feature, threshold, decision = columns["split_feature"], columns["threshold"], columns["decision_type"]
    missing = decision >> _MISSING_SHIFT
    if (decision & _CATEGORICAL).any() or (missing > _NAN).any() or np.isnan(threshold).any():
        return None
    if ((feature < 0) | (feature >= width)).any() or 2 * leaves.max() > _NODES_MAX:
        return None
    # A missing value is told by a key of its own, so a column is keyed once for each way it is treated.
    way = np.where(missing == _NONE, 0, missing * 2 - ((decision & _DEFAULT_LEFT) > 0))
    slots = np.unique(np.append(feature * 5 + way, 0))  # a leaf reads the first
    if len(slots) > _SLOTS_MAX:
        return None
    slot, way = np.searchsorted(slots, feature * 5 + way), slots % 5
    side = np.array([0, _LOWEST, _HIGHEST, _LOWEST, _HIGHEST], np.int32)[way]
    nodes, values, first, depth = packed(
        leaves, columns["left_child"], columns["right_child"], slot, _keys(threshold), value
    )
    if not len(depth):
        return None
    return Walker(
        width=width,
        nodes=nodes,
        values=values,
        first=first,
        depth=depth,
        feature=slots // 5,
        of_nan=side,
        of_zero=np.where(way <= _ZERO * 2, side, 0).astype(np.int32),
        together=max(1, _TOGETHER * len(leaves) // len(nodes)),
        sigmoid=sigmoid,
    )


def _keys(threshold: Vector) -> NDArray[Any]:
    """Keys of the largest float32 not above each: a float32 is at most a threshold just when it is at most that."""
    with np.errstate(over="ignore"):
        below = threshold.astype(np.float32)
    below = np.where(below > threshold, np.nextafter(below, np.float32(-np.inf)), below) + np.float32(0)  # no -0
    bits = below.view(np.int32)
    return np.where(bits >= 0, bits, bits ^ np.int32(_HIGHEST)).astype(np.int64)
