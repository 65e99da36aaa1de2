"""What of a run other services may read: events to the records of public topics."""

from collections.abc import Sequence

from adapters.kafka.codec import Codec, Record
from engine.events import Approved, Event, Fills, Late, Refusals, Signal, Target


class Outgoing:
    """Signals, targets, late bars, and, unless it is a shadow, orders, fills and refusals of the account."""

    def __init__(self, codec: Codec, account: str, *, shadow: bool) -> None:
        self._codec, self._account, self._shadow = codec, account, shadow

    def records(self, events: Sequence[Event]) -> list[Record]:
        """In bus order."""
        found: list[Record] = []
        codec, account = self._codec, self._account
        for event in events:
            if isinstance(event, Signal):
                found.append(codec.signal(event))
            elif isinstance(event, Target):
                found.append(codec.target(event))
            elif isinstance(event, Late):
                found += codec.late(event)
            elif self._shadow:
                continue
            elif isinstance(event, Approved):
                found += codec.orders(event, account)
            elif isinstance(event, Fills):
                found += codec.fills(event, account)
            elif isinstance(event, Refusals):
                found += codec.refusals(event, account)
        return found
