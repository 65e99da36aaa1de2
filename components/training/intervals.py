"""What a slice knows and what its label looks at, as intervals of time: which slices may teach what is tested."""

import numpy as np

from engine.events import Mask, Stamps

NEVER = 2**63 - 1  # when a label is known that looks beyond the end of the history


def spans(ts: Stamps, label_from: Stamps, label_to: Stamps, whose: str = "splitter") -> tuple[Stamps, Stamps]:
    """(T,) where each slice begins and ends to matter: from its decision to the end of its label, both counting.

    A label that begins before its decision begins there. ValueError where slices are out of order or a label ends
    before it begins.
    """
    if not len(ts) == len(label_from) == len(label_to):
        raise ValueError(
            f"{whose}: ts, label_from and label_to must be of one length, got {len(ts)}, {len(label_from)} and "
            f"{len(label_to)}; take all three from one dataset"
        )
    back = np.flatnonzero(np.diff(ts) <= 0)
    if len(back):
        k = int(back[0]) + 1
        raise ValueError(f"{whose}: ts must rise, but slice {k} at {ts[k]} ns follows {ts[k - 1]}; sort the slices")
    bad = np.flatnonzero((label_to < label_from) | (label_to < ts))
    if len(bad):
        k = int(bad[0])
        raise ValueError(
            f"{whose}: the label of slice {k} ends at {label_to[k]} ns, before it begins ({label_from[k]}) or before "
            f"its decision ({ts[k]}); a label of the past teaches nothing about the future"
        )
    return np.minimum(ts, label_from), label_to


def touched(begins: Stamps, ends: Stamps, test: Mask) -> Mask:
    """(T,) the slices whose interval touches that of any slice of `test`; one shared instant is enough.

    Time O(T log T). A slice that begins after every tested one that began by its end had ended shares nothing: so the
    count of tested slices that began by then, less those that were over before, tells.
    """
    began = np.searchsorted(np.sort(begins[test]), ends, side="right")
    over = np.searchsorted(np.sort(ends[test]), begins, side="left")
    found: Mask = began > over
    return found


def embargoed(ts: Stamps, ends: Stamps, test: Mask, slices: int) -> Mask:
    """(T,) the slices after a tested one whose last `slices` bars reach back to its label.

    The bars of slice s and of the slices - 1 before it all began after the label ended if slice s - slices had closed
    by then. With zero slices there is no embargo.
    """
    count = len(ts)
    if slices == 0 or not test.any():
        return np.zeros(count, bool)
    floor = np.iinfo(np.int64).min
    latest = np.maximum.accumulate(np.where(test, ends, floor))
    before = np.concatenate([[floor], latest[:-1]])  # the latest end among tested slices before each
    closed = np.full(count, floor)
    closed[slices:] = ts[: max(0, count - slices)]
    found: Mask = (before > floor) & (closed < before)
    return found
