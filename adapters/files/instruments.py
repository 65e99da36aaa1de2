"""What is fixed about each symbol, from a file: currency, multiplier, lot, tick, sector."""

from pathlib import Path

import msgspec
import numpy as np

from adapters.files.sheet import Sheet
from engine.errors import ConfigError, DataError
from engine.events import Vector
from engine.protocols import Issue
from engine.universe import Universe

_NUMBERS = ("multiplier", "lot", "tick")


class Instruments(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    universe: Universe
    sectors: tuple[str, ...]  # (N,) empty text where the file has none; no entry at all where it lacks the column
    issues: tuple[Issue, ...] = ()


def read_instruments(path: Path, universe: Universe, *, rates: bool) -> Instruments:
    """Rows symbol and any of currency, multiplier, lot, tick, sector. What is empty or not there stays as it is.

    The currencies are the feed's own first, the base, then the others by name. Symbols of the file that the universe
    does not have are left out. More than one currency needs a file of `rates`.
    """
    sheet = Sheet(path, ("symbol",), ("currency", *_NUMBERS, "sector"))
    issues = sheet.unread()
    row_of: dict[str, int] = {}
    for row, symbol in enumerate(sheet.required("symbol")):
        if symbol in row_of:
            raise DataError(f"{sheet.at(row)}: {symbol} stands twice; keep one row of it")
        row_of[symbol] = row
    rows = np.array([row_of.get(symbol, -1) for symbol in universe.symbols])
    if not (rows >= 0).any():
        raise DataError(f"{path}: it names none of the {len(universe)} symbols; check how they are spelled")
    numbers = {name: _numbers(sheet, name, rows, getattr(universe, name)) for name in _NUMBERS}
    base = universe.currencies[0]
    written = sheet.texts("currency") if sheet.has("currency") else [""] * len(sheet)
    own = [(written[row] or base) if row >= 0 else base for row in rows.tolist()]
    currencies = (base, *sorted({*own} - {base}))
    code = np.array([currencies.index(currency) for currency in own], np.int32)
    if len(currencies) > 1 and not rates:
        raise ConfigError(
            f"{path}: it names symbols in {currencies[1]}, and nothing says what that is worth in {base}; "
            "add exchange rates with rates: FILE"
        )
    found = sheet.texts("sector") if sheet.has("sector") else []
    return Instruments(
        universe=msgspec.structs.replace(universe, currencies=currencies, currency=code, **numbers),
        sectors=tuple(found[row] if row >= 0 else "" for row in rows.tolist()) if found else (),
        issues=issues,
    )


def _numbers(sheet: Sheet, name: str, rows: Vector, usual: Vector) -> Vector:
    values = sheet.number(name)
    least = 0.0 if name == "tick" else np.nextafter(0.0, 1.0)
    wrong = np.flatnonzero(~np.isnan(values) & ~((values >= least) & (values < np.inf)))
    if len(wrong):
        row, rule = int(wrong[0]), "0 or more" if name == "tick" else "above 0"
        raise DataError(f"{sheet.at(row)}: {name} is {values[row]:.10g}; it must be {rule}")
    named = values[rows]
    return np.where((rows >= 0) & ~np.isnan(named), named, usual)
