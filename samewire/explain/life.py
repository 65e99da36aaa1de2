"""What became of the orders of one symbol: legs, verdicts, reports and fills, by order id."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from engine.events import (
    Approved,
    Bars,
    Children,
    Fills,
    LegAction,
    OrderKind,
    Orders,
    OrderState,
    Refusals,
    Reports,
    TimeInForce,
)
from engine.ids import id_text
from engine.journal_reading import Entry
from engine.universe import Universe

Facts = dict[str, Any]
_ENDED = ("cancelled", "expired", "finished")


@dataclass
class Life:
    """One order leg. `said` is every event of it in the order of the journal."""

    id: int
    legs: list[Facts] = field(default_factory=list)  # as the optimizer, the execution policy and the gate sent it
    said: list[Facts] = field(default_factory=list)  # refused, report, fill

    @property
    def first(self) -> int:
        """Sequence of the first record of it."""
        return int((self.legs or self.said)[0]["seq"])

    def of(self, what: str) -> list[Facts]:
        return [fact for fact in self.said if fact["what"] == what]

    @property
    def leg(self) -> Facts:
        """As it was first sent; an empty leg for an order that only a broker knows."""
        return self.legs[0] if self.legs else {}

    @property
    def filled(self) -> float:
        return float(sum(fact["qty"] for fact in self.of("fill")))

    @property
    def state(self) -> str:
        """refused, finished, cancelled, expired, working, approved, or sent where nothing more is known."""
        if self.of("refused"):
            return "refused"
        reports = self.of("report")
        if reports:
            last = str(reports[-1]["state"])
            return last if last in _ENDED else "working"
        if self.of("fill"):
            return "filled"
        return "approved" if any(leg["event"] == "approved" for leg in self.legs) else "sent"

    @property
    def left(self) -> float:
        """Signed shares that can still trade."""
        if self.state in (*_ENDED, "refused"):
            return 0.0
        reports, sent = self.of("report"), float(self.leg.get("qty", np.nan))
        return float(reports[-1]["left"]) if reports else sent - self.filled


class Lives:
    """Follows the orders of one symbol through a journal."""

    def __init__(self, universe: Universe, symbol: int, interval_ns: int) -> None:
        self._universe, self._symbol, self._interval_ns = universe, symbol, interval_ns
        self._bars: Bars | None = None
        self.by_id: dict[int, Life] = {}
        self.ranges: list[tuple[int, float, float]] = []  # ts, low and high of every bar that the symbol had

    def take(self, entry: Entry) -> list[int]:
        """Ids of the legs of the symbol in this record."""
        event = entry.event
        if isinstance(event, Bars) and event.interval_ns == self._interval_ns:
            self._bars = event
            if event.status[self._symbol] == 0:
                low, high = float(event.low[self._symbol]), float(event.high[self._symbol])
                self.ranges.append((event.ts, low, high))
        if not isinstance(event, Orders | Children | Approved | Refusals | Reports | Fills):
            return []
        rows = np.flatnonzero(event.symbol == self._symbol).tolist()
        ids = event.order_ids if isinstance(event, Fills) else event.ids
        found = []
        for row in rows:
            found.append(int(ids[row]))
            life = self.by_id.setdefault(found[-1], Life(found[-1]))
            if isinstance(event, Orders | Children | Approved):
                life.legs.append(_leg(entry, event, row))
            else:
                life.said.append(self._fact(entry, event, row))
        return found

    def _fact(self, entry: Entry, event: Refusals | Reports | Fills, row: int) -> Facts:
        at = {"ts": event.ts, "seq": entry.seq, "origin": entry.origin}
        if isinstance(event, Refusals):
            said = {"by": event.by, "rule": event.rule[row]}
            limits = {"value": float(event.value[row]), "threshold": float(event.threshold[row])}
            return {"what": "refused", **at, **said, "qty": float(event.qty[row]), **limits}
        if isinstance(event, Reports):
            state = OrderState(int(event.state[row])).name.lower()
            return {"what": "report", **at, "state": state, "left": float(event.left[row])}
        return {"what": "fill", **at, **self._fill(event, row)}

    def _fill(self, fills: Fills, row: int) -> Facts:
        qty, price, reference = (float(c[row]) for c in (fills.qty, fills.price, fills.reference))
        worse = (price - reference) * np.sign(qty) + 0.0
        volume = np.nan if self._bars is None else float(self._bars.volume[self._symbol])
        return {
            "at": int(fills.at[row]),
            "exec": id_text(int(fills.exec_ids[row])),
            "qty": qty,
            "price": price,
            "reference": reference,
            "slippage": float(worse * abs(qty) * self._universe.multiplier[self._symbol]),
            "slippage_bps": float(worse / reference * 1e4) if reference else np.nan,
            "fees": float(fills.fees[row].sum()),
            "participation": abs(qty) / volume if volume > 0 else np.nan,
        }


def _leg(entry: Entry, legs: Any, row: int) -> Facts:
    """One leg as it was sent; ids as text, nothing where there is none."""
    ref = int(legs.ref[row])
    parent = int(legs.parent[row]) if isinstance(legs, Children) else 0
    names = {Orders: "orders", Children: "children", Approved: "approved"}
    return {
        "event": names[legs.__class__],
        "seq": entry.seq,
        "ts": legs.ts,
        "by": entry.origin,
        "action": LegAction(int(legs.action[row])).name.lower(),
        "qty": float(legs.qty[row]),
        "kind": OrderKind(int(legs.kind[row])).name.lower(),
        "limit": float(legs.limit[row]),
        "stop": float(legs.stop[row]),
        "trail": float(legs.trail[row]),
        "time_in_force": TimeInForce(int(legs.tif[row])).name.lower(),
        "ref": id_text(ref) if ref else "",
        "parent": id_text(parent) if parent else "",
    }


def children_of(lives: Iterable[Life], parents: Iterable[Life]) -> list[Life]:
    """The orders that an execution policy sent for one of these."""
    ids = {id_text(parent.id) for parent in parents}
    return [life for life in lives if any(leg["parent"] in ids for leg in life.legs)]


def family(lives: dict[int, Life], of: int) -> list[Life]:
    """The orders that are one with this: parents and children, and what cancels or replaces one of them; by time."""
    links: dict[int, set[int]] = {}
    for life in lives.values():
        for leg in life.legs:
            for other in (leg["ref"], leg["parent"]):
                if other:
                    links.setdefault(life.id, set()).add(int(other, 16))
                    links.setdefault(int(other, 16), set()).add(life.id)
    found, todo = {of}, [of]
    while todo:
        for other in links.get(todo.pop(), ()):
            if other not in found:
                found.add(other)
                todo.append(other)
    members = [lives[each] for each in found if each in lives]
    return sorted(members, key=lambda life: life.first)
