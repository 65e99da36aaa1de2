"""Windows over history, gathered when a batch asks for them: nothing is ever laid out window by window."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor


class Windows:
    """The `steps` newest rows of any name at any slice, out of one float32 array.

    The array is kept name by name, so that a window is one stretch of memory and a batch costs one copy of each.
    A value that is not finite counts as 0, which is the mean of features that were normalised. A row that is missing
    altogether (all NaN) is 0 too or, with `fill`, that of the latest row before it in the window, else of the first one
    after it. With `flat` a row of one slice holds `steps` values of each feature, feature by feature, oldest first.

    Memory: T N F float32 on `device`, beside the array that is given.
    """

    def __init__(
        self, features: NDArray[Any], *, steps: int, fill: bool = False, flat: bool = False, device: str = "cpu"
    ) -> None:
        """`features` (T, N, F)."""
        import torch

        self.count, self._names, width = features.shape
        self.steps, self._flat = steps, flat
        self.width = width // steps if flat else width
        self._rows = 1 if flat else steps  # that a window takes from the array
        by_name = np.ascontiguousarray(features.transpose(1, 0, 2), np.float32).reshape(-1, width)
        missing = np.isnan(by_name).all(axis=1) if fill and not flat else np.zeros(0, bool)
        by_name[~np.isfinite(by_name)] = 0.0
        self._array = torch.from_numpy(by_name).to(device)
        self._missing = torch.from_numpy(missing).to(device) if missing.any() else None
        starts = len(by_name) - self._rows + 1
        self._stretches = self._array.as_strided((starts, self._rows * width), (width, 1))

    def at(self, slices: NDArray[Any], names: NDArray[Any]) -> NDArray[Any]:
        """Where the windows of these names that end at these slices begin; all must lie within history."""
        if len(slices) and int(slices.min()) < self._rows - 1:
            raise ValueError(f"a window of {self._rows} slices cannot end at slice {int(slices.min())}")
        where: NDArray[Any] = names.astype(np.int64) * self.count + slices - (self._rows - 1)
        return where

    def take(self, where: "Tensor") -> "Tensor":
        """(B, steps, width) the windows that begin there."""
        import torch

        if self._missing is None:
            found = self._stretches.index_select(0, where)
        else:
            rows = where[:, None] + torch.arange(self._rows, device=where.device)
            lost = self._missing[rows]
            if lost.any():
                rows = where[:, None] + filled_from(lost)
            found = self._array.index_select(0, rows.view(-1))
        return shaped(found.view(len(where), self._rows, -1), self.steps, self._flat)


def filled_from(missing: "Tensor") -> "Tensor":
    """(B, steps) which row of its window each row is taken from: the latest known one, else the first known one.

    >>> import torch
    >>> filled_from(torch.tensor([[True, False, True, False, True]])).tolist()
    [[1, 1, 1, 3, 3]]
    """
    import torch

    place = torch.arange(missing.shape[1], device=missing.device).expand(missing.shape)
    before = torch.where(missing, -1, place).cummax(dim=1).values
    first = torch.where(missing, missing.shape[1] - 1, place).amin(dim=1, keepdim=True)
    return torch.where(before < 0, first, before)


def shaped(rows: "Tensor", steps: int, flat: bool) -> "Tensor":
    """(B, steps, width) of rows (B, 1, width * steps), feature by feature, if `flat`; else the rows themselves."""
    return rows.view(len(rows), -1, steps).transpose(1, 2) if flat else rows


def cleaned(rows: "Tensor", *, fill: bool) -> "Tensor":
    """Windows (B, steps, F) with holes as `Windows` would have given them without."""
    import torch

    if torch.isfinite(rows.sum()):  # of sums, one that is finite has finite terms only
        return rows
    missing = torch.isnan(rows).all(dim=2)
    if fill and rows.shape[1] > 1 and missing.any():
        rows = rows[torch.arange(len(rows), device=rows.device)[:, None], filled_from(missing)]
    return torch.where(torch.isfinite(rows), rows, 0.0)
