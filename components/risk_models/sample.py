"""The sample covariance of slice returns over a sliding window."""

from components.risk_models.history import History
from components.risk_models.late import sampled
from components.risk_models.weighing import Memory, checked_lags
from engine.events import Actions, Bars
from engine.protocols import Risk
from engine.universe import Universe

_KIND, _VERSION = "sample", 1


class Sample:
    """Sample covariance of the last T slice returns, divisor T, after Newey and West with `lags` above 0.

        Sigma = X'X / T = F F',   F = X' / sqrt(T),   with lags as in `weighing.summed`

    The factored form is exact and never needs an N x N matrix, but Sigma is singular where names outnumber slices.
    `demean: false` takes the mean return as 0. Returns, missing ones and names without history: `history.History`,
    `weighing.centred`, `late.completed`. `risk` is None until one symbol has `min_slices` returns.

    >>> from engine.universe import universe_of
    >>> model = Sample(universe=universe_of(("A",)), window=4, min_slices=2)
    >>> for k, close in enumerate([100.0, 110.0, 99.0]):
    ...     model.on_bars(bars(ts=k, close=[close]))
    >>> risk = model.risk()
    >>> float((risk.factors @ risk.covariance @ risk.factors.T)[0, 0] + risk.specific[0])  # of +10 % and -10 %
    0.01...
    """

    def __init__(
        self,
        *,
        universe: Universe,
        window: int = 252,
        min_slices: int = 40,
        late_quantile: float = 0.9,
        lags: int = 0,
        demean: bool = True,
    ) -> None:
        self._history = History(universe, window, min_slices, late_quantile)
        self._memory = Memory(lags=checked_lags(lags, window), demean=demean)
        self.lookback: int = self._history.lookback

    def on_bars(self, bars: Bars, /) -> None:
        self._history.on_bars(bars)

    def on_actions(self, actions: Actions, /) -> None:
        self._history.on_actions(actions)

    def risk(self) -> Risk | None:
        return self._history.answer(lambda: sampled(self._history, self._memory))

    def save(self) -> bytes:
        return self._history.save(_KIND, _VERSION)

    def load(self, state: bytes, /) -> None:
        self._history.load(state, _KIND, _VERSION)
