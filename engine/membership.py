"""Who is a member in slices that are cut from a stream: by a list where there is one, else from the first bar on."""

from collections.abc import Callable

import msgspec
import numpy as np

from engine.events import ActionKind, Actions, Bars, Late, Mask, Stamps, Status
from engine.open_orders import frozen
from engine.state import pack, unpack

_KIND, _VERSION = "membership", 1
_NEVER = np.iinfo(np.int64).max
_ENDS = (ActionKind.DELISTING, ActionKind.SYMBOL_CHANGE)
Standing = Callable[[int], Mask]  # (N,) who is a member at an instant


class Membership:
    """Whoever is `listed` (N,) and has not gone, as a feed from files has it.

    A symbol is listed from the slice of its first bar on, or from the one after a bar that came late; one that is
    delisted or renamed is gone from the next slice on. With `standing`, a list of members, that says who is listed.

    >>> members = Membership(np.array([True, False]))
    >>> members.of(bars(ts=1, close=[1.0, np.nan])).member, members.of(bars(ts=2, close=[1.0, 2.0])).member
    (array([ True, False]), array([ True,  True]))
    """

    def __init__(self, listed: Mask, standing: Standing | None = None) -> None:
        self._listed, self._standing = np.array(listed, bool), standing
        self._gone: Stamps = np.full(len(listed), _NEVER)  # from after which instant each one is
        self._latest: Mask = frozen(np.zeros(0, bool))

    def at(self, ts: int) -> Mask:
        """(N,) who is known to be a member of a slice that ends then, before any bar of it has come."""
        listed = self._listed if self._standing is None else self._standing(ts)
        member = listed & (self._gone >= ts)
        if not np.array_equal(member, self._latest):
            self._latest = frozen(member)
        return self._latest

    def of(self, bars: Bars) -> Bars:
        """The slice with its members."""
        if self._standing is None:
            self._listed |= bars.status != Status.MISSING
        member = self.at(bars.ts)
        return bars if np.array_equal(member, bars.member) else msgspec.structs.replace(bars, member=member)

    def hear(self, late: Late) -> None:
        self._listed[late.symbol] = True

    def act(self, actions: Actions) -> None:
        """Those that are delisted or renamed are no members behind this instant."""
        ended = actions.symbol[np.isin(actions.kind, _ENDS)]
        self._gone[ended] = np.minimum(self._gone[ended], actions.ts)

    def save(self) -> bytes:
        return pack(_KIND, _VERSION, listed=self._listed, gone=self._gone)

    def load(self, state: bytes, /) -> None:
        """Names appended to the universe since are as they are."""
        fields = unpack(state, _KIND, _VERSION)
        n = len(fields["listed"])
        self._listed[:n], self._gone[:n] = fields["listed"], fields["gone"]
