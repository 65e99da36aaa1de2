"""Features over history, by the very functions that compute them live, without an event for each slice."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.features.window import Window
from engine.events import Actions, Bars, Late, Reference
from engine.protocols import FeatureSet

_NAMES: dict[Any, str] = {Actions: "on_actions", Late: "on_late", Reference: "on_reference"}
_GROWTH = 8  # a full array grows by an eighth of itself


class History:
    """Takes the events of history for a feature set that has seen none yet, and keeps the features of chosen slices.

    A feature set with a `window` is asked for numbers alone, and those of slices that are not kept are never computed.
    Any other is asked by `on_bars`. Memory: one float32 array (T, N, F) that grows in place, up to an eighth too long.
    """

    def __init__(self, feature_set: FeatureSet) -> None:
        self._set = feature_set
        window = getattr(feature_set, "window", None)
        # A set that wraps another one may show the window of that one, and add to its numbers.
        whole = isinstance(window, Window) and window.schema == feature_set.schema
        self._window: Window | None = window if whole else None
        self._kept: NDArray[np.float32] = np.empty((0, 0, 0), np.float32)
        self._scratch: Any = None
        self._count = 0

    def on_bars(self, bars: Bars, keep: bool) -> None:
        if self._window is None:
            value = self._set.on_bars(bars).value
            if keep:
                self._next(value.shape)[:] = value
            return
        self._window.push(bars)
        if keep:
            if self._scratch is None:
                self._scratch = np.empty((len(bars.close), len(self._set.names)))
            self._window.into(self._scratch)
            self._next(self._scratch.shape)[:] = self._scratch

    def on_other(self, event: Any) -> None:
        """Corporate actions, late bars and reference tables, for a feature set that follows them."""
        handler = getattr(self._set, _NAMES.get(type(event), ""), None)
        if handler is not None:
            handler(event)

    def _next(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        if not self._count:
            self._kept = np.empty((0, *shape), np.float32)
        if self._count == len(self._kept):
            more = max(64, self._count // _GROWTH)
            # In place: the allocator moves pages, not bytes, and nothing else holds this array while it grows.
            self._kept.resize((self._count + more, *shape), refcheck=False)
        row: NDArray[np.float32] = self._kept[self._count]
        self._count += 1
        return row

    def features(self, count: int) -> NDArray[np.float32]:
        """Those of the first `count` kept slices, (count, N, F). What is kept from then on begins anew."""
        kept, self._kept = self._kept, np.empty((0, 0, 0), np.float32)
        kept.resize((count, *kept.shape[1:]), refcheck=False)
        self._count = 0
        return kept
