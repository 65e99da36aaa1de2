"""Names of some sectors only."""

from typing import Literal

import numpy as np

from components.strategies.guards import View, exit_of
from engine.events import Mask, Reference
from engine.state import pack, placed, unpack
from engine.universe import Universe

_KIND, _VERSION = "sector", 1


class Sector:
    """Passes names whose sector is one of `allow`, or none of `deny`.

    Sectors are those of the feed, which tells them as a Reference `sectors`: (N, 1) positions in its `columns`. A name
    without a sector passes unless `allow` is given. A sector that there is not is an error, with those that there are.

    >>> from components.strategies.guards import view_of
    >>> from engine.universe import universe_of
    >>> two = universe_of(("A", "B"))
    >>> clean = Sector(deny=("oil",), universe=two)
    >>> clean.on_reference(Reference(ts=1, name="sectors", rows="symbol", value=np.array([[1.0], [0.0]]),
    ...     columns=("banks", "oil")))
    >>> clean.passes(view_of(two, bars(ts=1, close=[1.0, 1.0]), book(1, [1.0, 1.0])))
    array([False,  True])
    """

    kind = "sector"

    def __init__(
        self,
        *,
        universe: Universe,
        allow: tuple[str, ...] = (),
        deny: tuple[str, ...] = (),
        exit: Literal["hold", "sell"] = "hold",
    ) -> None:
        if bool(allow) == bool(deny):
            raise ValueError("allow or deny must name sectors, one of the two, got " + ("both" if allow else "none"))
        self.exit, self._symbols = exit_of(exit), universe.symbols
        self._allow, self._named = bool(allow), allow or deny
        self._among: Mask | None = None  # (N,) in one of those named

    def on_reference(self, reference: Reference, /) -> None:
        if reference.name != "sectors":
            return
        code = {name: k for k, name in enumerate(reference.columns)}
        for name in self._named:
            if name not in code:
                known = ", ".join(reference.columns) or "none with a name"
                raise ValueError(f"sector: there is no sector {name!r}; the feed has {known}")
        self._among = np.isin(reference.value[:, 0], [code[name] for name in self._named])

    def passes(self, view: View, /) -> Mask:
        if self._among is None:
            raise ValueError(
                "sector: the feed tells no sectors; give it `sectors`, a file of symbols and their sectors"
            )
        return self._among if self._allow else ~self._among

    def save(self) -> bytes:
        return pack(_KIND, _VERSION, symbols=self._symbols, among=self._among)

    def load(self, state: bytes, /) -> None:
        """Restores by symbol: names appended to the universe since are in no sector until the feed tells."""
        fields = unpack(state, _KIND, _VERSION)
        before = fields["symbols"]
        self._among = None if fields["among"] is None else placed(fields["among"], before, self._symbols, False)
        placed(np.zeros(len(before)), before, self._symbols, 0.0)  # says where a symbol is gone or moved
