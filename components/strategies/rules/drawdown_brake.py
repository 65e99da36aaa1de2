"""Makes positions smaller the deeper the account is in a drawdown."""

from components.strategies.guards import View, share_of
from components.strategies.rules.steps import Steps
from engine.events import Vector
from engine.state import pack, unpack

_KIND, _VERSION = "drawdown_brake", 1


class DrawdownBrake:
    """Multiplies all that is wanted by a factor that falls from 1 to `floor` between two drawdowns of equity.

        d = 1 - equity / peak,   factor = 1 - (1 - floor) (d - start) / (full - start),   within floor and 1

    The peak is that of equity at the slices in which there was a target. With `latch` the factor never rises before a
    new peak; without, it rises as the drawdown shrinks. An account that a `floor` of 0 took out of the market makes
    neither a new peak nor a smaller drawdown, so it stays out: say a floor above 0 where it should come back by itself.
    The factor moves once it is off by more than `band` of itself.
    """

    kind = "drawdown_brake"

    def __init__(
        self, *, start: float, full: float, floor: float = 0.0, latch: bool = False, band: float = 0.1
    ) -> None:
        share_of("full", full, 1.0)
        if not 0 <= start < full:
            raise ValueError(f"start must be at least 0 and below full ({full}), got {start}")
        if not 0 <= floor < 1:
            raise ValueError(f"floor must be at least 0 and below 1, got {floor}")
        self._start, self._full, self._floor, self._latch = start, full, floor, latch
        self._steps = Steps(band=band, floor=floor)
        self._peak, self._least = 0.0, 1.0  # the highest equity, the lowest factor since then

    def scale(self, view: View, weights: Vector, /) -> float:
        equity = view.book.equity
        if equity > self._peak:
            self._peak, self._least = equity, 1.0
        drawdown = 1.0 - equity / self._peak if self._peak > 0 else 0.0
        depth = min(max((drawdown - self._start) / (self._full - self._start), 0.0), 1.0)
        wanted = self._floor if depth == 1.0 else 1.0 - (1.0 - self._floor) * depth
        self._least = min(self._least, wanted)
        return self._steps.toward(self._least if self._latch else wanted)

    def save(self) -> bytes:
        return pack(_KIND, _VERSION, peak=self._peak, least=self._least, now=self._steps.now)

    def load(self, state: bytes, /) -> None:
        fields = unpack(state, _KIND, _VERSION)
        self._peak, self._least, self._steps.now = fields["peak"], fields["least"], fields["now"]
