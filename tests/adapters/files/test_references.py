"""Exchange rates, shortable shares and instruments from files."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from adapters.files.parquet import ParquetFeed
from engine.errors import ConfigError, DataError
from engine.events import INPUT_ORDER, Bars, Event, Reference
from tests.adapters.files.made import CLOSE, parquet, plains, row

RANK = {kind: k for k, kind in enumerate(INPUT_ORDER)}
THREE = [row(k, s, 10.0) for k in range(5) for s in ("A", "B", "C")]
MONEY = "symbol,currency,multiplier,lot,tick,sector\nA,EUR,,10,0.05,Steel\nB,USD,50,,,\nC,JPY,1,100,1,Ships\n"
RATES = "date,currency,rate\n2018-03-02,EUR,1.25\n2018-03-05,JPY,0.01\n2018-03-07,EUR,1.5\n2018-03-07,GBP,1.3\n"


def feed(folder: Path, **files: Any) -> ParquetFeed:
    """Bars with these texts as files beside them."""
    folder.mkdir(parents=True, exist_ok=True)
    options: dict[str, Any] = {}
    for name, text in files.items():
        if name in ("instruments", "rates", "shortable", "own"):
            (folder / f"{name}.csv").write_text(text)
            if name in ("shortable", "own"):
                options.setdefault("reference", {})[name] = folder / f"{name}.csv"
            else:
                options[name] = folder / f"{name}.csv"
        else:
            options[name] = text
    return ParquetFeed(path=parquet(folder / "bars.parquet", THREE), close=CLOSE, **options)


def of(found: ParquetFeed, name: str, **bounds: Any) -> list[tuple[str, list[Any]]]:
    return [
        (
            str(np.datetime64(event.ts, "ns"))[:16],
            event.value.T.tolist() if name == "own" else event.value[:, 0].tolist(),
        )
        for event in found.events(**bounds)
        if isinstance(event, Reference) and event.name == name
    ]


def in_order(events: list[Event]) -> bool:
    order = [(event.ts, RANK[type(event)]) for event in events]
    return order == sorted(order)


def test_instruments_say_currency_multiplier_lot_tick_and_sector(tmp_path: Path) -> None:
    found = feed(tmp_path, instruments=MONEY, rates=RATES, lot=5.0, tick=0.01)
    universe = found.universe
    assert universe.currencies == ("USD", "EUR", "JPY")
    assert universe.currency.tolist() == [1, 0, 2]
    assert universe.multiplier.tolist() == [1.0, 50.0, 1.0]
    assert universe.lot.tolist() == [10.0, 5.0, 100.0]
    assert universe.tick.tolist() == [0.05, 0.01, 1.0]
    assert found.sectors == ("Steel", "", "Ships")
    (sectors,) = (e for e in found.events() if isinstance(e, Reference) and e.name == "sectors")
    assert sectors.columns == ("Ships", "Steel")


def test_rates_enter_when_their_day_ends_and_hold_until_the_next(tmp_path: Path) -> None:
    found = feed(tmp_path, instruments=MONEY, rates=RATES)
    assert of(found, "rates") == [
        ("2018-03-05T21:00", [1.0, 1.25, 0.01]),  # as of the first slice, before its bars
        ("2018-03-07T21:00", [1.0, 1.5, 0.01]),
    ]
    events = list(found.events())
    assert in_order(events)
    (first,) = (k for k, event in enumerate(events) if isinstance(event, Bars) and k < 4 and event.ts == events[0].ts)
    assert all(isinstance(event, Reference) for event in events[:first])


def test_a_walk_that_starts_later_begins_with_the_rate_of_then(tmp_path: Path) -> None:
    found = feed(tmp_path, instruments=MONEY, rates=RATES)
    closes = [event.ts for event in found.events() if isinstance(event, Bars)]
    assert of(found, "rates", start=closes[3]) == [("2018-03-08T21:00", [1.0, 1.5, 0.01])]


def test_rates_with_a_time_enter_at_that_time(tmp_path: Path) -> None:
    text = (
        "ts,currency,rate\n2018-03-01T00:00:00Z,EUR,1.25\n2018-03-01T00:00:00Z,JPY,0.01\n2018-03-07T12:30:00Z,EUR,1.5\n"
    )
    found = feed(tmp_path, instruments=MONEY, rates=text)
    assert of(found, "rates")[1] == ("2018-03-07T12:30", [1.0, 1.5, 0.01])


def test_a_rate_that_does_not_change_is_no_event(tmp_path: Path) -> None:
    found = feed(tmp_path, instruments=MONEY, rates=RATES + "2018-03-08,EUR,1.5\n2018-03-08,EUR,1.5\n")
    assert len(of(found, "rates")) == 2


def test_a_currency_without_a_rate_at_the_first_slice_is_an_error(tmp_path: Path) -> None:
    late = RATES.replace("2018-03-05,JPY", "2018-03-06,JPY")
    with pytest.raises(
        DataError, match=r"rates.csv: it has no rate of JPY at or before the first slice, 2018-03-05T21"
    ):
        list(feed(tmp_path, instruments=MONEY, rates=late).events())


def test_several_currencies_without_rates_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"names symbols in EUR.*worth in USD; add exchange rates with rates: FILE"):
        feed(tmp_path, instruments=MONEY)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("2018-03-07,JPY,0", "line 6: the rate of JPY is 0.0; it must be above 0"),
        ("2018-03-07,JPY,", "the rate of JPY is nan"),
        ("2018-03-07,JPY,inf", "the rate of JPY is inf"),
        ("2018-03-07,EUR,1.6", "line 6: EUR of 2018-03-07 is 1.6 here and .* in line [345]; keep one of them"),
        ("2018-03-07,USD,1.1", "USD is the base currency, so its rate is 1, not 1.1"),
        (",JPY,0.01", "line 6: it has no date"),
        ("2018-03-07,,0.01", "line 6: it has no currency"),
    ],
)
def test_a_rate_that_cannot_be_meant_names_its_line(tmp_path: Path, line: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        feed(tmp_path, instruments=MONEY, rates=RATES + line + "\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("symbol,lot\nA,0\n", "line 2: lot is 0; it must be above 0"),
        ("symbol,multiplier\nA,-1\n", "multiplier is -1; it must be above 0"),
        ("symbol,tick\nA,-1\n", "tick is -1; it must be 0 or more"),
        ("symbol,lot\nA,1\nA,2\n", "line 3: A stands twice"),
        ("symbol,lot\nZ,1\n", "it names none of the 3 symbols"),
        ("name_of_it,lot\nZ,1\n", "it has no column symbol"),
    ],
)
def test_instruments_that_cannot_be_meant_say_why(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        feed(tmp_path, instruments=text)


def test_shortable_shares_keep_until_a_later_row_of_their_symbol(tmp_path: Path) -> None:
    text = (
        "date,symbol,shortable\n2018-03-05,A,100\n2018-03-06,B,0\n2018-03-06,ZZZ,5\n2018-03-07,A,inf\n2018-03-07,C,\n"
    )
    found = feed(tmp_path, shortable=text)
    shown = [(ts, [str(v) for v in value]) for ts, value in of(found, "shortable")]
    assert shown == [
        ("2018-03-05T21:00", ["100.0", "nan", "nan"]),
        ("2018-03-06T21:00", ["100.0", "0.0", "nan"]),
        ("2018-03-07T21:00", ["inf", "0.0", "nan"]),
    ]
    assert in_order(list(found.events()))


def test_a_reference_may_have_columns_of_ones_own_and_nothing_before_its_first_row(tmp_path: Path) -> None:
    text = "date,symbol,value,size\n2018-03-07,A,1,2\n2018-03-07,C,3,4\n"
    found = feed(tmp_path, own=text)
    ((ts, value),) = of(found, "own")
    assert ts == "2018-03-07T21:00"
    assert np.array_equal(value, [[1.0, np.nan, 3.0], [2.0, np.nan, 4.0]], equal_nan=True)
    (event,) = (e for e in found.events() if isinstance(e, Reference))
    assert event.columns == ("value", "size")
    assert not event.value.flags.writeable


def test_a_matrix_of_factors_has_a_row_and_a_column_for_each(tmp_path: Path) -> None:
    text = "date,factor,market,value\n2018-03-05,value,1,9\n2018-03-05,market,4,1\n2018-03-07,market,5,1\n"
    found = feed(tmp_path, own=text)
    assert of(found, "own") == [
        ("2018-03-05T21:00", [[4.0, 1.0], [1.0, 9.0]]),
        ("2018-03-07T21:00", [[5.0, 1.0], [1.0, 9.0]]),
    ]
    events = [e for e in found.events() if isinstance(e, Reference)]
    assert [(e.rows, e.columns) for e in events] == [("factor", ("market", "value"))] * 2
    with pytest.raises(DataError, match="line 2: factor size has no column; the columns are market: each factor is"):
        feed(tmp_path, own="date,factor,market\n2018-03-05,size,1\n")


def test_names_that_have_an_option_of_their_own_are_refused(tmp_path: Path) -> None:
    bars = parquet(tmp_path / "bars.parquet", THREE)
    with pytest.raises(ValueError, match="reference names rates, which has an option of its own"):
        ParquetFeed(path=bars, close=CLOSE, reference={"rates": tmp_path / "r.csv"})


def test_files_are_hashed_under_their_names_even_if_two_are_called_the_same(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "a.csv").write_text(RATES)
    (tmp_path / "b" / "a.csv").write_text(MONEY)
    bars = parquet(tmp_path / "bars.parquet", THREE)
    found = ParquetFeed(path=bars, close=CLOSE, rates=tmp_path / "a.csv", instruments=tmp_path / "b" / "a.csv")
    assert set(found.hashes()) == {"bars.parquet", "a.csv", "rates/a.csv"}
    assert len(set(found.hashes().values())) == 3


def test_parquet_and_csv_files_say_the_same(tmp_path: Path) -> None:
    one = feed(tmp_path, instruments=MONEY, rates=RATES)
    table = {
        "date": pa.array(np.array(["2018-03-02", "2018-03-05", "2018-03-07"], "datetime64[ns]")),  # as pandas writes it
        "currency": ["EUR", "JPY", "EUR"],
        "rate": [1.25, 0.01, 1.5],
    }
    pq.write_table(pa.table(table), tmp_path / "rates.parquet")
    two = ParquetFeed(
        path=tmp_path / "bars.parquet",
        close=CLOSE,
        rates=tmp_path / "rates.parquet",
        instruments=tmp_path / "instruments.csv",
    )
    assert plains(one.events()) == plains(two.events())
