"""Group BT: indicators of backtrader at three bars of a year, by shipped components and by those of the cases."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from components.features.rolling import Rolling
from components.models.momentum import Momentum
from samewire import Bars, universe_of
from tests.oracles import markets
from tests.oracles.crosses import AboveMean, Bands
from tests.oracles.expected import WEEKLY_MEAN, printed
from tests.oracles.lean import Ema, Macd
from tests.oracles.tape import Tape, write
from tests.oracles.zipline import Means

pytestmark = pytest.mark.data
INDEX = universe_of(("SX5E",))


def answers(model: Any, bars: list[Bars]) -> np.ndarray[Any, Any]:
    return np.array([model.on_bars(bar).value[0] for bar in bars])


def feature(name: str, window: int, bars: list[Bars]) -> np.ndarray[Any, Any]:
    rolling = Rolling(universe=INDEX, windows=(window,))
    place = rolling.names.index(name)
    return np.array([rolling.on_bars(bar).value[0, place] for bar in bars])


def closes(bars: list[Bars]) -> np.ndarray[Any, Any]:
    return np.array([bar.close[0] for bar in bars])


def mean_of(bars: list[Bars]) -> np.ndarray[Any, Any]:
    return closes(bars) - answers(AboveMean(name="above", window=30), bars)


def seeded(bars: list[Bars], *spans: int) -> list[np.ndarray[Any, Any]]:
    means = [Ema(span) for span in spans]
    return [np.array([mean.of(close) for close in closes(bars).tolist()]) for mean in means]


def band(bars: list[Bars], width: float) -> np.ndarray[Any, Any]:
    """The bands from how far the close lies outside of them: z = (close - mean) / deviation."""
    close, above = closes(bars), answers(AboveMean(name="above", window=20), bars)
    deviation = above / answers(Bands(name="bands", window=20), bars)
    return close - above + width * deviation


LINES: dict[tuple[str, int], Callable[[list[Bars]], Any]] = {
    ("Oscillator", 0): lambda bars: answers(AboveMean(name="above", window=30), bars),
    ("SMAEnvelope", 0): mean_of,
    ("SMAEnvelope", 1): lambda bars: mean_of(bars) * 1.025,
    ("SMAEnvelope", 2): lambda bars: mean_of(bars) * 0.975,
    ("EMAEnvelope", 0): lambda bars: seeded(bars, 30)[0],
    ("EMAEnvelope", 2): lambda bars: seeded(bars, 30)[0] * 0.975,
    ("MACDHisto", 1): lambda bars: signal_line(bars, *seeded(bars, 12, 26)),
    ("PriceOsc", 0): lambda bars: np.subtract(*seeded(bars, 12, 26)),
    ("BBands", 0): lambda bars: band(bars, 0.0),
    ("BBands", 2): lambda bars: band(bars, -2.0),
    # Shipped ones, which speak in logarithms of what these say in points or shares.
    ("ROC", 0): lambda bars: np.expm1(feature("return_12", 12, bars)),
    ("Momentum", 0): lambda bars: closes(bars) * -np.expm1(-answers(momentum(), bars)),
    ("Envelope", 0): lambda bars: closes(bars) * np.exp(-from_bar(30, feature("distance_30", 30, bars))),
}


def signal_line(bars: list[Bars], fast: Any, slow: Any) -> Any:
    return fast - slow - fast * answers(Macd(name="macd"), bars)


def from_bar(count: int, value: Any) -> Any:
    """The feature begins with half its window; the indicator waits for all of it."""
    return np.where(np.arange(len(value)) < count - 1, np.nan, value)


def momentum() -> Momentum:
    return Momentum(universe=INDEX, name="momentum", window=12)


def played(folder: Path, name: str, scratch: Path) -> list[Bars]:
    tape = Tape(path=write(markets.backtrader_daily(folder, name), scratch / "tape.npz"))
    return [event for event in tape.events() if isinstance(event, Bars)]


@pytest.fixture(scope="module")
def year(oracles: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Bars]:
    return played(oracles, "2006_day_001.csv", tmp_path_factory.mktemp("year"))


@pytest.mark.parametrize("line", LINES, ids=lambda line: f"{line[0]}_{line[1]}")
def test_an_indicator_has_backtraders_value_at_the_first_the_middle_and_the_last_bar(
    line: tuple[str, int], year: list[Bars], oracles: Path
) -> None:
    table = pd.read_csv(oracles / "backtrader" / "indicator_expected.csv")
    row = table[(table["indicator"] == line[0]) & (table["line"] == line[1])].iloc[0]
    first = int(row["min_period_bars"]) - 1
    last = len(year) - 1
    middle = last + math.floor((first - last) / 2)
    value = LINES[line](year)
    assert math.isnan(value[first - 1])
    columns = {"at_last_bar": last, "at_first_valid_bar": first, "at_middle_bar": middle}
    assert {name: round(float(value[place]), 6) for name, place in columns.items()} == {
        name: round(float(row[name]), 6) for name in columns
    }


def test_a_mean_of_weekly_closes(oracles: Path, tmp_path: Path) -> None:
    mean = mean_of(played(oracles, "2006_week_001.csv", tmp_path))
    first = int(np.flatnonzero(np.isfinite(mean))[0])
    assert first == 29
    value = {"first": mean[first], "last": mean[-1]}
    assert {name: printed(number, WEEKLY_MEAN[name]) for name, number in value.items()} == WEEKLY_MEAN


def test_a_difference_of_means_is_that_of_two_plain_means(year: list[Bars]) -> None:
    close = closes(year)
    value = answers(Means(name="means", short=10, long=30), year)
    for t in range(29, len(close)):
        assert value[t] == pytest.approx(close[t - 9 : t + 1].mean() - close[t - 29 : t + 1].mean(), rel=1e-9, abs=1e-9)
