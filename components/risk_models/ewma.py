"""The exponentially weighted covariance of slice returns."""

from dataclasses import replace

from components.risk_models.history import History
from components.risk_models.late import sampled
from components.risk_models.weighing import checked_lags, memory
from engine.events import Actions, Bars
from engine.protocols import Risk
from engine.universe import Universe

_KIND, _VERSION = "ewma", 1


class Ewma:
    """Covariance of slice returns whose weights halve every `half_life` slices, over a window.

        Sigma_ij = s_i s_j rho_ij,   w_t ~ 2^(-age / half_life) for s, 2^(-age / correlation_half_life) for rho

    With one half-life (the default) Sigma = sum_t w_t x_t x_t'. Each part is a Gram matrix, so Sigma is never
    indefinite, with `lags` (Newey and West, `weighing.summed`) neither. Weights beyond the window are 0 and the others
    add up to 1, so nothing older than the window counts, whenever a session began; with a window of 4 half-lives that
    leaves out 6 %. RiskMetrics is `half_life: 11.2, demean: false`.

    Returns, missing ones and names without history: `history.History`, `weighing.centred`, `late.completed`. `risk` is
    None until one symbol has `min_slices` returns.

    Source: J.P. Morgan (1996), RiskMetrics technical document, section 5.2; for two half-lives Menchero, Orr, Wang
    (2011), The Barra US equity model (USE4), section 4.1.
    """

    def __init__(  # noqa: PLR0913 - the schema of a run file's block
        self,
        *,
        universe: Universe,
        window: int = 252,
        min_slices: int = 40,
        late_quantile: float = 0.9,
        half_life: float = 60.0,
        correlation_half_life: float | None = None,
        lags: int = 0,
        demean: bool = True,
    ) -> None:
        self._history = History(universe, window, min_slices, late_quantile)
        lags = checked_lags(lags, window)
        self._memory = replace(memory("", half_life, correlation_half_life, lags), demean=demean)
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
