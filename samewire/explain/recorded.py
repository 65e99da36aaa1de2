"""A recorded session as it is read: its directory, symbols, journal, and the run file where it can be read."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import ConfigError, DataError, SamewireError
from engine.journal import Entry
from engine.universe import Universe
from samewire.instruments import universe_from

if TYPE_CHECKING:
    from samewire.run_file import RunFile


@dataclass(frozen=True)
class Recorded:
    """A session directory. `run` is None where its run.yaml cannot be read here, and `unread` says why."""

    directory: Path
    universe: Universe
    interval_ns: int  # of the slices
    digest: str
    run: "RunFile | None"
    unread: str

    def entries(self) -> Iterator[Entry]:
        """Every record of the journal, checked against its digest."""
        from adapters.files.journal_file import read_journal

        return read_journal(self.directory / "journal", self.digest)

    def place(self, symbol: str) -> int:
        """The symbol's position in the universe; ConfigError names the nearest one."""
        from samewire.closest import closest, listed

        symbols = self.universe.symbols
        if symbol in symbols:
            return symbols.index(symbol)
        near = closest(symbol, symbols)
        meant = f"; did you mean {near!r}?" if near else ""
        raise ConfigError(f"why-not: {symbol!r} is not in the universe; expected one of: {listed(symbols)}{meant}")


def recorded(directory: Path) -> Recorded:
    try:
        manifest: dict[str, Any] = json.loads((directory / "manifest.json").read_text())
        universe = universe_from(manifest["universe"])
        interval, digest = int(manifest["interval_ns"]), str(manifest["digest"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{directory}: no session directory ({error}); name one that replay --out or demo wrote"
        ) from None
    run, unread = _run_of(directory / "run.yaml")
    return Recorded(directory, universe, interval, digest, run, unread)


def _run_of(path: Path) -> tuple["RunFile | None", str]:
    """The run file, or why it is not to be had: a class of the user's own that is not here, a later version."""
    from samewire.schema import load_run

    if not path.is_file():
        return None, "the session directory has no run.yaml"
    try:
        return load_run(path), ""
    except SamewireError as error:
        return None, f"its run.yaml cannot be read here: {str(error).splitlines()[0]}"
