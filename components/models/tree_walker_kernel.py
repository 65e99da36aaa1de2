"""The compiled loops behind `tree_walker`. They are compiled at the first call, for about 2 CPU s, and kept by numba.

Values are compared as integers: a float32's bits, the negative ones turned over, sort as the numbers do. So a whole
node is one word, and what a missing value does is decided once for each row and column, not at each node.
"""

import numpy as np
from numba import njit

LANES = 8  # rows walked in lock-step: enough independent loads to hide how long each takes
_TURN = np.int32(0x7FFFFFFF)
_INFINITE = np.int32(0x7F800000)  # bits of the magnitude of infinity; above it lie the NaN
_TINY = np.int32(np.float32(1e-35).view(np.int32))  # LightGBM reads what is not larger than this as zero
_LEAF = np.int64(0x7FFFFFFF) << np.int64(32)  # no key is above it: a leaf steps to itself


@njit(nogil=True, cache=True)
def packed(leaves, left, right, slot, threshold, leaf_value):  # type: ignore[no-untyped-def]
    """Nodes of all trees, siblings side by side, root first: (nodes, values, first node of each tree, depth of each).

    Node: threshold key << 32 | slot << 16 | left child; its right child is the next one. `left`, `right`, `slot`,
    `threshold` are those of all inner nodes in the file's order, a child below 0 is leaf ~child. An empty `depth` says
    that some tree is none.
    """
    trees = leaves.shape[0]
    total = 0
    for t in range(trees):
        total += 2 * leaves[t] - 1
    nodes, values = np.zeros(total, np.int64), np.zeros(total)
    first, depth = np.zeros(trees, np.int64), np.zeros(trees, np.int64)
    origin, level = np.zeros(total + 2, np.int64), np.zeros(total + 2, np.int64)
    at = inner = leaf = 0
    for t in range(trees):
        first[t] = at
        size, seen = 2 * leaves[t] - 1, 1
        origin[0], level[0] = (0 if leaves[t] > 1 else -1), 0
        p = 0
        while p < seen:
            node = origin[p]
            depth[t] = max(depth[t], level[p])
            if node < 0:
                if ~node >= leaves[t]:
                    return nodes, values, first, depth[:0]
                nodes[at + p] = _LEAF | np.int64(p)
                values[at + p] = leaf_value[leaf + ~node]
            else:
                if node >= leaves[t] - 1 or seen + 2 > size:
                    return nodes, values, first, depth[:0]
                i = inner + node
                nodes[at + p] = (threshold[i] << np.int64(32)) | (slot[i] << np.int64(16)) | np.int64(seen)
                origin[seen], origin[seen + 1] = left[i], right[i]
                level[seen] = level[seen + 1] = level[p] + 1
                seen += 2
            p += 1
        if seen != size:
            return nodes, values, first, depth[:0]
        at, inner, leaf = at + size, inner + leaves[t] - 1, leaf + leaves[t]
    return nodes, values, first, depth


@njit(nogil=True, cache=True)
def keyed(bits, feature, of_nan, of_zero):  # type: ignore[no-untyped-def]
    """Rows (R, F) of float32 bits as keys (blocks, S * LANES), slot by slot; of the last block the rest is zero."""
    rows, slots = bits.shape[0], feature.shape[0]
    out = np.zeros(((rows + LANES - 1) // LANES, slots * LANES), np.int32)
    for r in range(rows):
        block, lane = r // LANES, r % LANES
        for s in range(slots):
            x = bits[r, feature[s]]
            size = x & _TURN
            if size > _INFINITE:
                key = of_nan[s]
            elif size <= _TINY:
                key = of_zero[s]
            else:
                key = x if x >= 0 else x ^ _TURN
            out[block, s * LANES + lane] = key
    return out


@njit(inline="always")
def _step(nodes, o, keys, n, lane):  # type: ignore[no-untyped-def]
    """The child that a row goes to: the left one unless its key is above the node's."""
    node = nodes[o + n]
    word = np.uint64(node)
    at = ((word >> np.uint64(13)) & np.uint64(0x7FFF8)) + lane
    return (word & np.uint64(0xFFFF)) + np.uint64(np.int64(keys[at]) > (node >> np.int64(32)))


@njit(nogil=True, cache=True)
def walked(keys, nodes, values, first, depth, together):  # type: ignore[no-untyped-def]
    """Sums of leaf values (blocks * LANES,), added tree by tree; `together` trees at a time stay in the cache."""
    blocks, trees = keys.shape[0], depth.shape[0]
    out = np.zeros((blocks, LANES))
    for start in range(0, trees, together):
        for b in range(blocks):
            k, sums = keys[b], out[b]
            for t in range(start, min(start + together, trees)):
                o = np.uint64(first[t])
                n0 = n1 = n2 = n3 = n4 = n5 = n6 = n7 = np.uint64(0)
                for _ in range(depth[t]):
                    n0 = _step(nodes, o, k, n0, np.uint64(0))
                    n1 = _step(nodes, o, k, n1, np.uint64(1))
                    n2 = _step(nodes, o, k, n2, np.uint64(2))
                    n3 = _step(nodes, o, k, n3, np.uint64(3))
                    n4 = _step(nodes, o, k, n4, np.uint64(4))
                    n5 = _step(nodes, o, k, n5, np.uint64(5))
                    n6 = _step(nodes, o, k, n6, np.uint64(6))
                    n7 = _step(nodes, o, k, n7, np.uint64(7))
                sums[0] += values[o + n0]
                sums[1] += values[o + n1]
                sums[2] += values[o + n2]
                sums[3] += values[o + n3]
                sums[4] += values[o + n4]
                sums[5] += values[o + n5]
                sums[6] += values[o + n6]
                sums[7] += values[o + n7]
    return out.ravel()
