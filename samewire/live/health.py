"""How a live session is: the record that others read, and the same in words."""

from adapters.kafka.messages import StatusMessage
from engine.instants import instant_text
from samewire.live.loop import Loop
from samewire.live.writing import Names

_SHOWN = ("slices", "orders", "fills", "refusals", "missing", "late", "dead_letters")


def status_of(loop: Loop, names: Names, state: str, began: int, now: int) -> StatusMessage:
    """`began` and `now`: UTC ns of this process."""
    core, standing, counts = loop.core, loop.standing, loop.core.slicer.counts
    return StatusMessage(
        session=names.session,
        run_id=names.run_id,
        state=state,
        mode=core.mode.name,
        started_at=began,
        uptime_s=(now - began) / 1e9,
        ts=core.tally.at or None,
        slices=standing.slices,
        placed=counts.placed,
        late=counts.late,
        missing=core.tally.missing,
        duplicates=counts.duplicates,
        conflicts=counts.conflicts,
        revised=counts.revised,
        unfit=counts.unfit,
        ahead=counts.ahead,
        dead_letters=standing.dead,
        orders=core.tally.orders,
        fills=core.tally.fills,
        refusals=core.tally.refusals,
        equity=None if core.book is None else float(core.book.equity),
        lag=loop.source.lag,
    )


def in_words(said: StatusMessage) -> str:
    """
    >>> in_words(StatusMessage(session="quick", run_id="", state="live", mode="HALTED", started_at=0, slices=2, late=1))
    'live, HALTED, no slice yet; 2 slices, 1 late'
    """
    stands = "no slice yet" if said.ts is None else f"up to {instant_text(said.ts)}"
    counted = [f"{count:,} {name.replace('_', ' ')}" for name in _SHOWN if (count := getattr(said, name))]
    worth = [] if said.equity is None else [f"equity {said.equity:,.2f}"]
    waiting = [f"{said.lag:,} records wait"] if said.lag else []
    return "; ".join(filter(None, [f"{said.state}, {said.mode}, {stands}", ", ".join(counted + worth + waiting)]))
