"""Random sessions through the gate: a plain oracle judges every order again, and a twin restarts before every event."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from components.gates.limits import Limits
from engine.events import (
    SECOND_NS,
    SESSION_OPENED,
    Approved,
    Control,
    ControlAction,
    Fills,
    LegAction,
    Note,
    OrderState,
    Reference,
    Refusals,
    Reports,
    Status,
    Timer,
)
from engine.ids import OrderIds
from engine.ledger import Ledger
from engine.universe import universe_of
from tests.components.gates.plain_gate import SPARED, STRICT, Batch, Plain
from tests.conformance.streams import same
from tests.make import START_NS, bars, legs

NAMES = ("A", "B", "C", "D")
OPTIONS: dict[str, Any] = {  # each as often set as not, each tight enough to refuse now and then
    "max_order_value": 6_000.0,
    "max_order_qty": 400.0,
    "price_collar": 0.1,
    "max_position": 500.0,
    "max_weight": 0.3,
    "max_gross": 0.9,
    "max_net": 0.6,
    "max_sector_gross": 0.5,
    "max_sector_net": 0.4,
    "max_participation": 0.2,
    "max_orders_per_minute": 4,
    "max_open_orders": 5,
    "max_bar_age": "40h",
    "restricted": ("B",),
    "banned": ("D",),
    "max_daily_loss": 0.004,
    "max_drawdown": 0.008,
}
SEEDS = st.integers(0, 2**32 - 1)


class GateSession(RuleBasedStateMachine):
    """A market that trades what it likes of the orders, an operator, and timers; equity of the real ledger."""

    @initialize(seed=SEEDS, timed=st.booleans())
    def begin(self, seed: int, timed: bool) -> None:
        """Few limits at a time, so that each comes to refuse what no other did before it."""
        rng = np.random.default_rng(seed)
        names = list(OPTIONS)
        losses = rng.random() < 0.5
        chosen = {names[i] for i in rng.permutation(len(names) - 2)[: rng.integers(1, 4)]}
        chosen |= {"max_daily_loss", "max_drawdown"} if losses else set()
        options: dict[str, Any] = {name: OPTIONS[name] for name in sorted(chosen)} | {"volume_slices": 3}
        options |= {option: str(rng.choice(list(STRICT))) for option in ("on_daily_loss", "on_drawdown")}
        universe = universe_of(NAMES)
        self.make = lambda: Limits(universe=universe, ids=OrderIds("s", "risk"), name="risk", **options)
        self.gate, self.twin = self.make(), self.make()
        self.ledger = Ledger(universe=universe, cash=50_000.0, gate="risk")
        self.plain = Plain(options, [1.0] * 4)
        self.thresholds = {n: 40 * 3600.0 if n == "max_bar_age" else OPTIONS[n] for n in chosen}
        self.thresholds |= dict.fromkeys(chosen & {"restricted", "banned"}, 0.0)
        self.options, self.timed = options, timed
        self.ts, self.next, self.close = START_NS, 1, np.array([20.0, 40.0, 10.0, 30.0])
        self.open: dict[int, tuple[int, float]] = {}
        if timed:
            self.timer()
        for s, held in enumerate((300.0, -150.0, 200.0, 50.0)):  # as approved by another gate, before
            self.exchange(legs(Approved, self.ts, symbol=[s], qty=[held], ids=np.array([900 + s], np.uint64)))
        self.slice(0, 1.0, 0)

    # ---- one event to both gates -------------------------------------------------------------------------------------

    def ask(self, method: str, event: Any) -> list[Any]:
        """What the gate says, and that a copy which has just been restored says the same."""
        fresh = self.make()
        fresh.load(self.twin.save())
        assert fresh.save() == self.twin.save()
        self.twin = fresh
        if not hasattr(self.gate, method):
            return []
        answers = [getattr(gate, method)(event) for gate in (self.gate, self.twin)]
        assert same(*answers)
        answer = answers[0]
        return [] if answer is None else list(answer) if isinstance(answer, tuple) else [answer]

    def hear(self, said: list[Any]) -> None:
        """What follows from what the gate said by itself."""
        for event in said:
            if isinstance(event, Control):
                assert event.latch in ("max_daily_loss", "max_drawdown")
                assert self.ask("on_control", event) == []  # set when it was said
                self.ledger.on_control(event)
            elif isinstance(event, Approved):
                sent = {NAMES[s] for s, action in zip(event.symbol, event.action, strict=True) if action == 0}
                assert not sent & set(self.options.get("banned", ()))
                self.plain.approved(event)
                self.plain.own |= set(event.ids[event.action == LegAction.NEW].tolist())
                self.exchange(event)

    def exchange(self, approved: Approved) -> None:
        self.ledger.on_approved(approved)
        for i, action in enumerate(approved.action.tolist()):
            ref, symbol, qty = int(approved.ref[i]), int(approved.symbol[i]), float(approved.qty[i])
            if action == LegAction.NEW:
                self.open[int(approved.ids[i])] = (symbol, qty)
            elif ref in self.open:
                kept = action == LegAction.REPLACE
                left = (self.open[ref][1] if math.isnan(qty) else qty) if kept else 0.0
                self.report(ref, OrderState.REPLACED if kept else OrderState.CANCELLED, left)

    def report(self, order: int, state: OrderState, left: float) -> None:
        symbol, _ = self.open.pop(order)
        if left:
            self.open[order] = (symbol, left)
        columns = {"symbol": np.array([symbol], np.int32), "state": np.array([state], np.int32)}
        self.ledger.on_reports(Reports(ts=self.ts, ids=np.array([order], np.uint64), left=np.array([left]), **columns))

    # ---- what happens ------------------------------------------------------------------------------------------------

    def timer(self) -> None:
        self.plain.timers += 1
        assert self.ask("on_timer", Timer(ts=self.ts, name=SESSION_OPENED, due=self.ts)) == []

    @rule(seed=SEEDS, share=st.sampled_from([0.0, 0.5, 1.0]), shock=st.sampled_from([0, 0, -4, 4]))
    def slice(self, seed: int, share: float, shock: int) -> None:
        rng = np.random.default_rng(seed)
        step = int(rng.choice([1, 20, 61, 3_600, 86_400, 86_400]))
        moves = rng.integers(-2, 3, 4) + shock
        status = rng.choice([0, 0, 0, 0, 0, 0, 1, 2], 4).tolist()
        volume = rng.choice([0.0, 500.0, 1_000.0, 3_000.0, 3_000.0], 4)
        if rng.random() < 0.3:
            self.sectors(rng.choice([0.0, 1.0, math.nan], 4))
        self.ts += step * SECOND_NS
        if self.timed and rng.random() < 0.2:  # the days of this feed are not those of the calendar
            self.timer()
        self.close = self.close * (1.0 + moves / 100.0)
        close = np.where(np.array(status) == Status.FRESH, self.close, np.nan)
        event = bars(ts=self.ts, close=close, status=status, volume=volume)
        self.ledger.on_bars(event)
        self.plain.on_bars(event)
        assert self.ask("on_bars", event) == []
        book = self.ledger.on_fills(self.fills(share, status))
        expected = self.plain.on_book(book)
        said = self.ask("on_book", book)
        controls = [event for event in said if isinstance(event, Control)]
        assert {control.latch for control in controls} == expected
        for control in controls:
            option = self.options["on_" + control.latch.removeprefix("max_")]
            assert (control.action, control.actor) == (ControlAction(option), "risk")
            self.plain.latches[control.latch] = option
        self.hear(said)

    def fills(self, share: float, status: list[int]) -> Fills:
        done = [(order, s, round(left * share)) for order, (s, left) in self.open.items() if not status[s]]
        done = [row for row in done if row[2]]
        ids, symbol, qty = (np.array([row[k] for row in done]) for k in range(3))
        for order, s, size in done:
            left = self.open.pop(order)[1] - size
            if left:
                self.open[order] = (s, left)
        price = self.close[symbol.astype(int)] if done else np.empty(0)
        return Fills(
            ts=self.ts,
            exec_ids=ids.astype(np.uint64),
            order_ids=ids.astype(np.uint64),
            symbol=symbol.astype(np.int32),
            qty=qty.astype(float),
            price=price,
            reference=price,
            fees=np.zeros((len(done), 3)),
            at=np.full(len(done), self.ts, np.int64),
        )

    def sectors(self, known: Any) -> None:
        self.plain.sectors = known.tolist()
        value = known[:, None]
        assert self.ask("on_reference", Reference(ts=self.ts, name="sectors", rows="symbol", value=value)) == []
        assert self.ask("on_reference", Reference(ts=self.ts, name="other", rows="symbol", value=-value)) == []

    @rule(seed=SEEDS)
    def operator(self, seed: int) -> None:
        """Most often he releases something that is set."""
        rng, latches = np.random.default_rng(seed), list(self.plain.latches)
        action, latch = "resume", str(rng.choice(latches or [""]))
        if rng.random() < (0.2 if latches else 0.5):
            action = str(rng.choice(["halt", "reduce_only", "reduce_only", "flatten", "resume"]))
            latch = str(rng.choice(["", "max_daily_loss", "max_drawdown", "x"]))
        actor = str(rng.choice(["", " ", "risk"])) if rng.random() < 0.1 else "jo"
        control = Control(ts=self.ts, action=ControlAction(action), latch=latch, actor=actor)
        said = self.ask("on_control", control)
        self.ledger.on_control(control)
        latches, told = self.plain.latches, False
        if action != "resume":
            told = STRICT[latches.get(latch, action)] > STRICT[action]
            latches[latch] = latches[latch] if told else action
        elif latch in latches and actor == "jo":
            del latches[latch]
            self.plain.release(latch)
            told = bool(latches)
        else:
            told = True
        notes = [event.text for event in said if isinstance(event, Note)]
        assert any("banned symbols stay" not in text for text in notes) is told
        self.hear(said)

    @rule(seed=SEEDS, usual=st.booleans())
    def orders(self, seed: int, usual: bool) -> None:
        """`usual` batches are of new orders alone, each of another symbol."""
        rng = np.random.default_rng(seed)
        self.ts += int(rng.choice([0, 0, 5, 50])) * SECOND_NS
        count = int(rng.integers(1, 5))
        known = [*self.open, 999]
        symbol = (rng.permutation(4)[:count] if usual else rng.integers(0, 4, count)).tolist()
        qty = rng.integers(-40, 41, count) * rng.choice([1.0, 10.0], count)
        action = [0] * count if usual else rng.choice([0, 0, 0, 1, 2], count).tolist()
        kind = rng.choice([0, 0, 0, 1, 2, 3], count)
        share = rng.choice([math.nan, 0.8, 0.95, 1.0, 1.05, 1.2], count)
        ids = np.arange(self.next, self.next + count, dtype=np.uint64)
        self.next += count
        refs = [known[int(rng.integers(len(known)))] if a else 0 for a in action]
        named = {order: s for order, (s, _) in self.open.items()} | {999: 2}  # of 999, which is none, always the same
        symbol = [named.get(ref, s) for ref, s in zip(refs, symbol, strict=True)]
        sizes = [
            0.0 if a == 1 else math.nan if a == 2 and not q else q or 10.0 for a, q in zip(action, qty, strict=True)
        ]
        price = self.close[symbol] * share
        kinds = kind.astype(np.int32)
        made = legs(
            ts=self.ts,
            symbol=symbol,
            qty=sizes,
            ids=ids,
            action=np.array(action, np.int32),
            ref=np.array(refs, np.uint64),
            kind=kinds,
            limit=np.where(kinds % 2 == 1, price, np.nan),
            stop=np.where(kinds >= 2, price, np.nan),
        )
        said = self.ask("on_orders", made)
        self.check(made, said)

    # ---- what must hold ----------------------------------------------------------------------------------------------

    def check(self, made: Any, said: list[Any]) -> None:
        """Every leg is judged once, and as the oracle judges it."""
        passed = {i for event in said if isinstance(event, Approved) for i in event.ids.tolist()}
        refused = {
            i: (r, v, t)
            for event in said
            if isinstance(event, Refusals)
            for i, r, v, t in zip(event.ids.tolist(), event.rule, event.value, event.threshold, strict=True)
        }
        assert passed | set(refused) == set(made.ids.tolist())
        assert not passed & set(refused)
        batch = None if self.plain.book is None else Batch(self.plain, NAMES)
        for i, order in enumerate(made.ids.tolist()):
            if made.action[i] == LegAction.CANCEL:
                stands = "flatten" in self.plain.latches.values() and int(made.ref[i]) in self.plain.own
                assert refused.get(order, ("",))[0] == ("gate_order" if stands else "")
            elif batch is None:
                assert refused[order][0] == "no_book"
            else:
                self.judge(made, i, batch, refused.get(order))
        for event in said:
            if isinstance(event, Approved):
                self.plain.approved(event)
                self.plain.sent(event)
                self.exchange(event)

    def judge(self, made: Any, i: int, batch: Batch, found: Any) -> None:
        value, leaves, qty = self.plain.values(made, i, batch)
        mode, unit, equity = self.plain.mode, self.plain.unit(int(made.symbol[i])), float(self.plain.book.equity)
        if mode == 2 or (mode == 1 and not leaves):
            assert found == ("halted" if mode == 2 else "reduce_only", float(mode), 0.0)
            return
        if not (math.isfinite(unit) and unit > 0):
            assert found[0] == "price"
            return
        if not (leaves or equity > 0):
            assert found[0] == "equity"
            return
        broken = [
            name
            for name, threshold in self.thresholds.items()
            if name in value and not value[name] <= threshold * (1 + 1e-9) and not (leaves and SPARED.get(name, True))
        ]
        if found is None:
            assert broken == [], (value, leaves)
            batch.take(self.plain, made, i, qty)
        else:
            name, was, threshold = found
            assert name in broken
            assert threshold == self.thresholds[name]
            assert was == pytest.approx(value[name], nan_ok=True)
            finite_where_known = math.isfinite(was) or name in ("max_participation", "max_bar_age", "price_collar")
            assert finite_where_known or (name.startswith("max_") and not math.isfinite(value[name]))

    @invariant()
    def ledger_and_gate_are_in_one_mode(self) -> None:
        if hasattr(self, "ledger"):
            assert self.ledger.book(self.ts).mode == self.plain.mode

    @invariant()
    def every_position_can_be_left(self) -> None:
        """At the market, with nothing else working, whatever the gate has seen; a halt and a ban are what forbid it."""
        if not hasattr(self, "gate") or self.plain.book is None or self.plain.mode == 2:
            return
        high, low = self.plain.worst()
        for s, held in enumerate(self.plain.book.qty.tolist()):
            room = low[s] if held > 0 else high[s]
            banned = NAMES[s] in self.options.get("banned", ())
            if not held or room * held <= 0 or banned or not math.isfinite(self.plain.unit(s)):
                continue
            fresh = self.make()
            fresh.load(self.gate.save())
            (answer,) = fresh.on_orders(legs(ts=self.ts, symbol=[s], qty=[-room], ids=np.array([10**6], np.uint64)))
            assert isinstance(answer, Approved)

    @invariant()
    def nothing_that_works_could_add_to_a_position_while_it_is_not_active(self) -> None:
        if not hasattr(self, "plain") or not self.plain.mode or self.plain.book is None:
            return
        qty = self.ledger.book(self.ts).qty.tolist()
        for s in range(4):
            lefts = [left for symbol, left in self.open.values() if symbol == s]
            reach = qty[s] + sum(lefts)
            assert not any(left * qty[s] >= 0 for left in lefts)
            assert reach * qty[s] >= 0


TestGateSession = GateSession.TestCase
TestGateSession.settings = settings(
    max_examples=30, stateful_step_count=25, deadline=None, phases=set(Phase) - {Phase.shrink}
)


@pytest.mark.parametrize("seed", range(60))
def test_rule_46_no_limit_is_exceeded_in_long_sessions(seed: int) -> None:
    """Rules 45 and 46: what hypothesis tries in short sessions, for longer and from seeds that are spread evenly."""
    rng = np.random.default_rng([seed, 46])
    machine = GateSession()
    machine.begin(seed=int(rng.integers(2**32)), timed=bool(seed % 2))
    for step in rng.choice(["slice", "orders", "orders", "operator"], 80, p=[0.35, 0.25, 0.2, 0.2]):
        draw = int(rng.integers(2**32))
        if step == "slice":
            machine.slice(draw, float(rng.choice([0.0, 0.5, 1.0])), int(rng.choice([0, 0, -4, 4])))
        elif step == "orders":
            machine.orders(draw, bool(rng.random() < 0.5))
        else:
            machine.operator(draw)
        machine.ledger_and_gate_are_in_one_mode()
        machine.every_position_can_be_left()
        machine.nothing_that_works_could_add_to_a_position_while_it_is_not_active()
