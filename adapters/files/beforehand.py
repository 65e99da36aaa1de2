"""What the files of a feed say of days that they hold no bars of yet."""

from collections.abc import Callable

import msgspec

from adapters.files.members import Members, Standing
from engine.events import Mask, Stamps


class Beforehand(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """Who is known when, and when days begin: what a live session needs of its feed beside a calendar."""

    listed: Stamps  # (N,) UTC ns, the end of the first bar of each symbol in the files
    members: Members | None = None  # of a file of members; None = a symbol is one from its first bar on
    open_seconds: int | None = None  # since local midnight, where bars with a date declare when they begin

    def standing(self) -> Callable[[int], Mask] | None:
        """(N,) who is a member at an instant by the file of members, None = there is none."""
        members = self.members
        if members is None:
            return None
        walk, last = Standing(members), -(1 << 62)

        def at(ts: int) -> Mask:
            nonlocal walk, last
            if ts < last:
                walk = Standing(members)
            last = ts
            return walk.at(ts)

        return at
