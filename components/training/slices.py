"""Some slices of a dataset: the one place that knows which of its fields go slice by slice."""

import msgspec
import numpy as np

from engine.errors import ConfigError
from engine.events import Mask
from engine.protocols import Dataset

_SLICED = ("ts", "features", "label", "label_from", "label_to", "weight")


def sliced(dataset: Dataset, where: slice | Mask) -> Dataset:
    """These slices of it alone; what is held out stays. A view where they are in a row, a copy where there are gaps."""
    if not isinstance(where, slice):
        found = runs(where)
        where = slice(*found[0]) if len(found) == 1 else where
    fields = {name: getattr(dataset, name) for name in _SLICED}
    kept = {name: value[where] for name, value in fields.items() if value is not None}
    return msgspec.structs.replace(dataset, **kept)


def shut(dataset: Dataset) -> None:
    """Nobody may write into any of its arrays from now on, nor into what is cut out of them."""
    for name in _SLICED:
        array = getattr(dataset, name)
        if array is not None:
            array.flags.writeable = False


def runs(where: Mask) -> list[tuple[int, int]]:
    """The ranges [low, high) of slices in a row.

    >>> runs(np.array([True, True, False, True]))
    [(0, 2), (3, 4)]
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[False], where, [False]]).astype(np.int8)))
    return [(int(low), int(high)) for low, high in zip(edges[::2], edges[1::2], strict=True)]


def taught(dataset: Dataset, where: Mask, remembered: int) -> Dataset:
    """The slices to learn from. Where they have gaps, a model that remembers slices finds those between in their place
    without their label: it learns nothing from them, and takes no slices for neighbours that are none. Any other is
    shown none of them.
    """
    if remembered <= 1 or len(runs(where)) <= 1:
        return sliced(dataset, where)
    places = np.flatnonzero(where)
    whole = slice(int(places[0]), int(places[-1]) + 1)
    part = sliced(dataset, whole)
    return msgspec.structs.replace(part, label=np.where(where[whole, None], part.label, np.nan))


def check_neighbours(where: Mask, remembered: int, whose: str, instead: str) -> None:
    """Raises ConfigError where a model that remembers slices would take some for neighbours that are none."""
    if remembered > 1 and len(runs(where)) > 1:
        (_, low), (high, _) = runs(where)[:2]
        raise ConfigError(
            f"{whose}: a model that remembers {remembered} slices cannot learn from slices with gaps, and those from "
            f"slice {low} to slice {high - 1} are left out; {instead}"
        )
