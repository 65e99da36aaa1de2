"""A factor that moves in steps, so that not every slice trades."""


class Steps:
    """The factor that holds: it follows the one that is wanted once that is off by more than `band` of it.

    1 and `floor`, the ends of what is wanted, are taken at once.

    >>> steps = Steps(band=0.1)
    >>> [steps.toward(wanted) for wanted in (1.0, 0.95, 0.85, 0.8, 0.0)]
    [1.0, 1.0, 0.85, 0.85, 0.0]
    """

    def __init__(self, *, band: float, floor: float = 0.0) -> None:
        if not 0 <= band < 1:
            raise ValueError(f"band must be at least 0 and below 1 (a share of the factor), got {band}")
        self._band, self._floor = band, floor
        self.now = 1.0

    def toward(self, wanted: float) -> float:
        if wanted in (1.0, self._floor) or abs(wanted - self.now) > self._band * self.now:
            self.now = wanted
        return self.now
