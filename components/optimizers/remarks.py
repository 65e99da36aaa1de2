"""Short ways to say what is to be remembered."""

import numpy as np

from components.optimizers.problem import Remark


def plain(kind: str, text: str, value: float) -> Remark:
    """A remark of no symbol with one number."""
    return Remark(kind=kind, text=text, symbol=np.empty(0, np.int32), value=np.array([float(value)]))
