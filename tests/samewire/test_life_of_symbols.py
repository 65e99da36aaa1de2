"""Splits, dividends, delistings, renames, currencies and membership from files, through whole runs.

The money is counted a second time by a plain loop over the rows of the files and the fills, one day after the other.
"""

import csv
import datetime as dt
import json
import math
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from adapters.files.parquet import ParquetFeed
from components.features.rolling import Rolling
from components.training.panel import walk
from engine.events import Actions, Bars, Book, Signal, Target, TargetKind, Vector
from engine.state import encode_hook
from engine.universe import Universe
from samewire import run
from samewire.recorded import open_recorded
from tests.adapters.files.made import CLOSE

NAMES = ("AAA", "BBB", "CCC", "DDD", "EEE")
START = dt.date(2018, 3, 5)
Table = list[dict[str, Any]]


class Wish:
    """Wants weights that are drawn anew every few slices; nothing of a name without a bar or outside of the index."""

    interval_ns = 0

    def __init__(self, *, universe: Universe, name: str, every: int = 3, seed: int = 1, gross: float = 0.9) -> None:
        self._n, self._name, self._every, self._seed, self._gross = len(universe), name, every, seed, gross
        self._slice, self._usable = 0, np.zeros(self._n, bool)

    def on_bars(self, bars: Bars, /) -> None:
        self._slice += 1
        self._usable = (bars.status == 0) & bars.member

    def on_signals(self, signals: tuple[Signal, ...], book: Book, /) -> Target | None:
        if self._slice % self._every != 1 and self._every > 1:
            return None
        drawn = np.random.default_rng([self._seed, self._slice]).random(self._n) * self._usable
        weight: Vector = self._gross * drawn / max(drawn.sum(), 1e-9)
        none = np.full(self._n, np.nan)
        return Target(
            ts=book.ts, source=self._name, kind=TargetKind.WEIGHT, value=weight, alpha=none, limit=none, stop=none
        )


class Keep:
    """Buys the same number of shares of some names on its first slice and never decides again."""

    interval_ns = 0

    def __init__(self, *, universe: Universe, name: str, symbols: list[str], shares: float) -> None:
        self._name, self._bought = name, False
        self._value = np.array([shares if symbol in symbols else 0.0 for symbol in universe.symbols])

    def on_signals(self, signals: tuple[Signal, ...], book: Book, /) -> Target | None:
        if self._bought:
            return None
        self._bought = True
        none = np.full(len(self._value), np.nan)
        quantity = TargetKind.QUANTITY
        return Target(
            ts=book.ts, source=self._name, kind=quantity, value=self._value, alpha=none, limit=none, stop=none
        )


# ---- a market in files -----------------------------------------------------------------------------------------------


def weekdays(count: int) -> list[dt.date]:
    days = (START + dt.timedelta(days=k) for k in range(2 * count))
    return [day for day in days if day.weekday() < 5][:count]


def drawn_bars(seed: int, count: int = 40, *, holes: float = 0.05) -> Table:
    """Raw prices that know nothing of the actions: the accounts must balance whatever these are."""
    rng = np.random.default_rng(seed)
    close = rng.uniform(20, 200, len(NAMES)) * np.exp(np.cumsum(rng.normal(0, 0.02, (count, len(NAMES))), axis=0))
    rows = []
    for t, day in enumerate(weekdays(count)):
        for k, symbol in enumerate(NAMES):
            if t and rng.random() < holes:
                continue
            c = round(float(close[t, k]), 2)
            o = round(c * float(1 + rng.normal(0, 0.005)), 2)
            high, low = round(max(o, c) * 1.01, 2), round(min(o, c) * 0.99, 2)
            bar = {"open": o, "high": high, "low": low, "close": c, "volume": 1e6}
            rows.append({"date": day, "symbol": symbol} | bar)
    return rows


def drawn_actions(seed: int, count: int = 40) -> Table:
    rng = np.random.default_rng([seed, 1])
    rows: Table = []
    for _ in range(int(rng.integers(6, 16))):
        kind = str(rng.choice(["split", "cash_dividend", "cash_dividend"]))
        day = START + dt.timedelta(days=int(rng.integers(1, count * 7 // 5)))
        row = {"symbol": str(rng.choice(NAMES)), "ex_date": day, "kind": kind}
        if any({k: r[k] for k in row} == row for r in rows):
            continue
        if kind == "split":
            row["ratio"] = float(rng.choice([2.0, 3.0, 0.1, 1.5, 7.0]))
        else:
            row["amount"] = round(float(rng.uniform(0.1, 3)), 2)
            if rng.random() < 0.7:
                row["pay_date"] = day + dt.timedelta(days=int(rng.integers(0, 20)))
        rows.append(row)
    middle = START + dt.timedelta(days=count * 7 // 10)
    rows.append({"symbol": "DDD", "ex_date": middle, "kind": "symbol_change", "successor": "EEE", "ratio": 0.7})
    gone = {"symbol": "CCC", "ex_date": middle + dt.timedelta(days=3), "kind": "delisting"}
    rows.append(gone | ({"amount": round(float(rng.uniform(0, 50)), 2)} if rng.random() < 0.5 else {}))
    return [rows[k] for k in rng.permutation(len(rows))]


FIELDS = ("symbol", "ex_date", "kind", "ratio", "amount", "pay_date", "successor")


def write(path: Path, rows: Table, fields: tuple[str, ...]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, fields, restval="")
        writer.writeheader()
        writer.writerows(rows)
    return path


def file(folder: Path, bars: Table, actions: Table | None = None, **changed: Any) -> dict[str, Any]:
    """A run file over these rows."""
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(bars), folder / "bars.parquet")
    feed: dict[str, Any] = {"use": "parquet", "path": str(folder / "bars.parquet"), "close": CLOSE}
    if actions is not None:
        feed["actions"] = str(write(folder / "actions.csv", actions, FIELDS))
    feed |= changed.pop("feed", {})
    whole: dict[str, Any] = {
        "schema": 1,
        "session": {"name": "life", "cash": 100_000, "seed": 7, "benchmark": "none"},
        "feed": feed,
        "models": [{"name": "mom", "use": "momentum", "window": 3}],
        "strategy": {"use": f"{__name__}:Wish"},
        "optimizer": {"use": "direct"},
        "risk": {"max_weight": 5, "max_gross": 5},
        "broker": {"use": "simulated", "fill": "next_open", "costs": {"commission_bps": 3, "slippage_bps": 4}},
    }
    return whole | changed


# ---- the same money, counted by a plain loop -------------------------------------------------------------------------


class Count:
    """Cash by currency, shares and dividends owed; everything else is read from the rows."""

    def __init__(self, cash: float, money: dict[str, tuple[str, float]]) -> None:
        self.money = money  # symbol -> its currency and multiplier
        self.cash = {"USD": cash} | {currency: 0.0 for currency, _ in money.values() if currency != "USD"}
        self.shares, self.mark = dict.fromkeys(money, 0.0), dict.fromkeys(money, math.nan)
        self.owed: list[tuple[dt.date, str, float]] = []

    def act(self, row: dict[str, Any]) -> None:
        s, kind = row["symbol"], row["kind"]
        currency, multiplier = self.money[s]
        if kind == "cash_dividend":
            amount = self.shares[s] * row["amount"] * multiplier
            self.owed.append((row.get("pay_date") or row["ex_date"], currency, amount))
        elif kind == "split":
            self.shares[s] *= row["ratio"]
            self.mark[s] /= row["ratio"]
            self.sell(s, self.shares[s] - math.trunc(round(self.shares[s], 9)), self.mark[s])
        elif kind == "delisting":
            self.sell(s, self.shares[s], row.get("amount", self.mark[s]))
        else:
            heir, ratio = row["successor"], row.get("ratio", 1.0)
            if math.isnan(self.mark[heir]):
                self.mark[heir] = self.mark[s] / ratio
            if self.shares[s]:
                self.shares[heir] += self.shares[s] * ratio
                self.shares[s] = 0.0
                self.sell(heir, self.shares[heir] - math.trunc(round(self.shares[heir], 9)), self.mark[heir])

    def sell(self, s: str, shares: float, price: float) -> None:
        if shares:
            currency, multiplier = self.money[s]
            self.shares[s] -= shares
            self.cash[currency] += shares * price * multiplier

    def pay(self, day: dt.date) -> None:
        for when, currency, amount in [entry for entry in self.owed if entry[0] <= day]:
            self.cash[currency] += amount
            self.owed.remove((when, currency, amount))

    def equity(self, rate: dict[str, float]) -> float:
        total = sum(rate[currency] * amount for currency, amount in self.cash.items())
        total += sum(rate[currency] * amount for _, currency, amount in self.owed)
        for s, shares in self.shares.items():
            if shares:
                total += rate[self.money[s][0]] * shares * self.mark[s] * self.money[s][1]
        return total


def counted(
    bars: Table,
    actions: Table,
    fills: Table,
    *,
    money: dict[str, tuple[str, float]] | None = None,
    rates: Table = (),  # type: ignore[assignment]
) -> list[float]:
    """The equity at each close."""
    count = Count(100_000, money or {symbol: ("USD", 1.0) for symbol in NAMES})
    days = sorted({row["date"] for row in bars})
    rate = {"USD": 1.0}
    left = sorted((row for row in actions if row["ex_date"] > days[0]), key=lambda row: row["ex_date"])
    found = []
    for day in days:
        while left and left[0]["ex_date"] <= day:
            count.act(left.pop(0))
        count.pay(day)
        for fill in fills:
            if fill["ts"].date() == day:
                currency, multiplier = count.money[fill["symbol"]]
                count.shares[fill["symbol"]] += fill["quantity"]
                count.cash[currency] -= fill["quantity"] * fill["price"] * multiplier + fill["fee"]
        for row in bars:
            if row["date"] == day:
                count.mark[row["symbol"]] = row["close"]
        rate |= {row["currency"]: row["rate"] for row in rates if row["date"] <= day}
        found.append(count.equity(rate))
    return found


def in_order(actions: Table) -> Table:
    return sorted(actions, key=lambda row: row["ex_date"])


@pytest.mark.parametrize("seed", range(12))
def test_rules_25_and_26_whatever_the_actions_no_money_is_lost_or_invented(tmp_path: Path, seed: int) -> None:
    bars, actions = drawn_bars(seed), drawn_actions(seed)
    result = run(file(tmp_path, bars, actions, strategy={"use": f"{__name__}:Wish", "seed": seed}))
    fills, equity = result.fills.to_pylist(), result.equity["equity"].to_pylist()
    expected = counted(bars, actions, fills)
    assert len(fills) > 20
    assert np.abs(np.array(equity) - expected).max() < 1e-9 * 100_000
    opens = {(row["date"], row["symbol"]): row["open"] for row in bars}
    for fill in fills:
        assert fill["reference"] == opens[fill["ts"].date(), fill["symbol"]], "fills are at raw prices"


MONEY = {"AAA": ("USD", 1.0), "BBB": ("EUR", 1.0), "CCC": ("EUR", 5.0), "DDD": ("JPY", 1.0), "EEE": ("JPY", 10.0)}


@pytest.mark.parametrize("seed", range(6))
def test_rule_43_nor_in_several_currencies_with_rates_as_data(tmp_path: Path, seed: int) -> None:
    """A rename across currencies pays in the new one; the merger of DDD into EEE stays in yen."""
    bars = drawn_bars(seed)
    actions = [row for row in drawn_actions(seed) if row["kind"] != "symbol_change"]
    rng = np.random.default_rng([seed, 2])
    rates = [
        {"date": day, "currency": currency, "rate": round(float(mean * math.exp(rng.normal(0, 0.05))), 6)}
        for currency, mean in (("EUR", 1.2), ("JPY", 0.009))
        for day in weekdays(40)
        if day == START or rng.random() < 0.6
    ]
    instruments = [{"symbol": s, "currency": c, "multiplier": m} for s, (c, m) in MONEY.items()]
    feed = {
        "rates": str(write(tmp_path / "rates.csv", rates, ("date", "currency", "rate"))),
        "instruments": str(write(tmp_path / "instruments.csv", instruments, ("symbol", "currency", "multiplier"))),
    }
    result = run(file(tmp_path, bars, actions, feed=feed, strategy={"use": f"{__name__}:Wish", "seed": seed}))
    fills, equity = result.fills.to_pylist(), result.equity["equity"].to_pylist()
    assert len({fill["symbol"] for fill in fills}) > 2
    expected = counted(bars, actions, fills, money=MONEY, rates=rates)
    assert np.abs(np.array(equity) - expected).max() < 1e-9 * 100_000


def one_name(closes: list[float], opens: list[float] | None = None, symbol: str = "AAA") -> Table:
    return [
        {"date": day, "symbol": symbol, "open": o, "high": max(o, c), "low": min(o, c), "close": c, "volume": 1e6}
        for day, c, o in zip(weekdays(len(closes)), closes, opens or closes, strict=True)
    ]


def kept(folder: Path, bars: Table, actions: Table, shares: float = 101.0, **changed: Any) -> Any:
    """A run that buys once at the second open, without costs, and keeps what it has."""
    keep = {"use": f"{__name__}:Keep", "symbols": ["AAA"], "shares": shares}
    broker = {"use": "simulated", "fill": "next_open", "costs": {"commission_bps": 0, "slippage_bps": 0}}
    options = {"strategy": keep, "broker": broker} | changed
    return run(file(folder, bars, actions, **options))


def action(kind: str, day: int, symbol: str = "AAA", **more: Any) -> dict[str, Any]:
    return {"symbol": symbol, "ex_date": weekdays(40)[day], "kind": kind} | more


def test_rule_25_a_split_keeps_the_equity_and_pays_the_residue_in_cash(tmp_path: Path) -> None:
    bars = one_name([60.0, 60.0, 60.0, 40.0, 40.0])
    result = kept(tmp_path, bars, [action("split", 3, ratio=1.5)])
    assert result.equity["equity"].to_pylist() == [100_000.0] * 5
    assert result.equity["cash"].to_pylist()[-1] == 100_000.0 - 151 * 40.0  # 151.5 shares, the half was paid out
    assert len(result.fills) == 1


def test_rule_26_the_right_to_a_dividend_is_fixed_on_its_ex_date_and_the_cash_comes_later(tmp_path: Path) -> None:
    bars = one_name([10.0, 10.0, 9.0, 9.0, 9.0, 9.0])
    pay = weekdays(40)[4]
    result = kept(tmp_path / "held", bars, [action("cash_dividend", 2, amount=1.0, pay_date=pay)], 100.0)
    assert result.equity["equity"].to_pylist() == [100_000.0] * 6
    assert result.equity["cash"].to_pylist() == [100_000.0] + [99_000.0] * 3 + [99_100.0] * 2
    # Bought at the open of the ex-date itself: no right to it, and the price paid knows that.
    late = kept(tmp_path / "late", bars, [action("cash_dividend", 1, amount=1.0, pay_date=pay)], 100.0)
    assert late.equity["cash"].to_pylist() == [100_000.0] + [99_000.0] * 5


def test_rule_26_shorts_pay_dividends(tmp_path: Path) -> None:
    bars = one_name([10.0, 10.0, 9.0, 9.0])
    broker = {"use": "simulated", "fill": "next_open", "short": True, "leverage": 2}
    broker |= {"costs": {"commission_bps": 0, "slippage_bps": 0}}
    result = kept(tmp_path, bars, [action("cash_dividend", 2, amount=1.0)], -100.0, broker=broker)
    assert result.equity["equity"].to_pylist() == [100_000.0] * 4
    assert result.equity["cash"].to_pylist()[-1] == 100_000.0 + 1_000.0 - 100.0


def test_rule_23_a_dead_name_is_closed_at_its_stated_price_and_takes_no_order_afterwards(tmp_path: Path) -> None:
    bars = one_name([10.0, 10.0, 10.0]) + one_name([5.0] * 8, symbol="BBB")
    result = kept(tmp_path, bars, [action("delisting", 4, amount=2.0)], 100.0)
    assert result.equity["equity"].to_pylist() == [100_000.0] * 4 + [99_200.0] * 4
    assert result.equity["cash"].to_pylist()[-1] == 99_200.0


def test_rule_23_a_name_that_vanishes_keeps_its_mark_and_is_reported_or_is_closed_after_a_while(tmp_path: Path) -> None:
    bars = one_name([10.0, 10.0, 11.0]) + one_name([5.0] * 14, symbol="BBB")
    left = kept(tmp_path / "left", bars, [], 100.0, feed={"actions": None})
    assert left.equity["equity"].to_pylist()[-1] == 100_100.0
    assert left.equity["cash"].to_pylist()[-1] == 99_000.0
    assert [(issue["kind"], issue["examples"]) for issue in left.summary["issues"]] == [
        ("vanished", ["AAA 2018-03-07"])
    ]
    closed = kept(tmp_path / "closed", bars, [], 100.0, feed={"actions": None, "delist_after": 5})
    cash = closed.equity["cash"].to_pylist()
    assert cash == [100_000.0] + [99_000.0] * 7 + [100_100.0] * 6
    assert any("delisted in silence" in warning for warning in closed.warnings)


def test_a_rename_moves_the_position_to_the_new_name(tmp_path: Path) -> None:
    bars = one_name([10.0, 10.0, 10.0]) + one_name([0.0] * 3 + [20.0] * 3, symbol="NEW")[3:]
    result = kept(tmp_path, bars, [action("symbol_change", 3, successor="NEW", ratio=0.5)], 101.0)
    assert result.equity["equity"].to_pylist() == [100_000.0] * 6
    assert result.equity["cash"].to_pylist()[-1] == 100_000.0 - 50 * 20.0


def test_rule_22_leaving_the_index_is_no_order_to_sell(tmp_path: Path) -> None:
    bars = one_name([10.0] * 8) + one_name([5.0] * 8, symbol="BBB")
    members = [
        {"symbol": "AAA", "from": START, "to": weekdays(8)[3]},
        {"symbol": "BBB", "from": weekdays(8)[2]},
    ]
    feed = {"actions": None, "members": str(write(tmp_path / "members.csv", members, ("symbol", "from", "to")))}
    result = kept(tmp_path, bars, [], 100.0, feed=feed)
    assert len(result.fills) == 1
    assert result.equity["cash"].to_pylist()[-1] == 99_000.0
    wished = run(file(tmp_path / "wish", bars, feed=feed, strategy={"use": f"{__name__}:Wish", "every": 1}))
    bought = [fill for fill in wished.fills.to_pylist() if fill["quantity"] > 0]
    days = weekdays(8)
    assert {f["symbol"] for f in bought if f["ts"].date() <= days[2]} == {"AAA"}
    assert "AAA" not in {f["symbol"] for f in bought if f["ts"].date() > days[4]}


def test_the_manifest_has_the_hashes_and_the_report_the_issues(tmp_path: Path) -> None:
    actions = [*drawn_actions(1), action("spin_off", 5), action("split", 5, symbol="ZZZ", ratio=2.0)]
    result = run(file(tmp_path, drawn_bars(1), actions), out=tmp_path / "out")
    assert result.directory is not None
    manifest = json.loads((result.directory / "manifest.json").read_text())
    assert set(manifest["feed"]["hashes"]) == {"bars.parquet", "actions.csv"}
    kinds = {issue["kind"]: issue["count"] for issue in manifest["feed"]["issues"]}
    assert kinds["unknown_action"] == kinds["unknown_symbol"] == 1
    page = (result.directory / "report.html").read_text()
    assert "unknown action" in page
    assert "unknown symbol" in page
    changed = [*actions, action("cash_dividend", 9, amount=0.5)]
    other = run(file(tmp_path / "other", drawn_bars(1), changed), out=tmp_path / "two")
    assert other.directory is not None
    hashes = json.loads((other.directory / "manifest.json").read_text())["feed"]["hashes"]
    assert hashes["actions.csv"] != manifest["feed"]["hashes"]["actions.csv"]


def test_quotes_of_a_file_without_trades_are_what_orders_pay_at_the_close(tmp_path: Path) -> None:
    names = ("open_bid", "high_bid", "low_bid", "close_bid", "open_ask", "high_ask", "low_ask", "close_ask")
    rows = [
        {"date": day, "symbol": "AAA"} | dict(zip(names, [b, b + 2, b - 2, b, b + 1, b + 3, b - 1, b + 1], strict=True))
        for b, day in enumerate(weekdays(6), 100)
    ]
    whole = file(tmp_path, rows, feed={"prices": "mid", "volume": "unknown", "extra": ["bid", "ask"]})
    whole["strategy"] = {"use": f"{__name__}:Keep", "symbols": ["AAA"], "shares": 10}
    whole["broker"] = {"use": "simulated", "fill": "next_close", "costs": {"use": "half_spread"}}
    result = run(whole)
    (fill,) = result.fills.to_pylist()
    assert (fill["price"], fill["reference"]) == (102.0, 101.5)
    assert result.equity["equity"].to_pylist()[-1] == 100_000 + 10 * (105.5 - 102.0)


# ---- what models see -------------------------------------------------------------------------------------------------


def adjusted_closes(bars: Table, actions: Table, upto: dt.date) -> dict[tuple[dt.date, str], float]:
    """Closes in terms of the day `upto`: every price before an action that is known by then is multiplied."""
    closes = {(row["date"], row["symbol"]): row["close"] for row in bars if row["date"] <= upto}
    first = min(row["date"] for row in bars)
    for row in in_order(actions):
        s, ex = row["symbol"], row["ex_date"]
        before = [day for day, symbol in closes if symbol == s and day < ex]
        if not before or ex > upto or ex <= first or row["kind"] not in ("split", "cash_dividend"):
            continue
        factor = 1 / row["ratio"] if row["kind"] == "split" else 1 - row["amount"] / closes[max(before), s]
        for day in before:
            closes[day, s] *= factor
    return closes


@pytest.mark.parametrize("seed", range(4))
def test_rule_27_models_see_prices_adjusted_with_what_is_known_at_that_bar(tmp_path: Path, seed: int) -> None:
    bars, actions = drawn_bars(seed), drawn_actions(seed)
    models = [
        {"name": "mom", "use": "momentum", "window": 4},
        {"name": "cross", "use": "ema_cross", "fast": 2, "slow": 5},
    ]
    strategy = {"use": f"{__name__}:Wish"}
    signals = run(file(tmp_path, bars, actions, models=models, strategy=strategy)).signals.to_pylist()
    got = {(row["source"], row["ts"].date(), row["symbol"]): row["value"] for row in signals}
    days, checked = weekdays(40), 0
    for t, day in enumerate(days):
        closes = adjusted_closes(bars, actions, day)
        for s in NAMES:
            mine = [closes[d, s] for d in days[: t + 1] if (d, s) in closes]
            if t >= 4 and (day, s) in closes and (days[t - 4], s) in closes:
                assert got["mom", day, s] == pytest.approx(math.log(closes[day, s] / closes[days[t - 4], s]), abs=1e-12)
                checked += 1
            if (day, s) in closes and len(mine) >= 5:
                fast = slow = mine[0]
                for price in mine[1:]:
                    fast += 2 / 3 * (price - fast)
                    slow += 2 / 6 * (price - slow)
                assert got["cross", day, s] == pytest.approx(fast / slow - 1, abs=1e-12)
    assert checked > 100


def test_rule_27_an_action_of_the_future_changes_nothing_that_came_before_it(tmp_path: Path) -> None:
    bars, actions = drawn_bars(3), drawn_actions(3)
    cut = weekdays(40)[20]
    known = [row for row in actions if row["ex_date"] <= cut]
    assert 0 < len(known) < len(actions)
    for rows, folder in ((actions, "all"), (known, "known")):
        run(file(tmp_path / folder, bars, rows), out=tmp_path / folder / "out")
    upto = int(np.datetime64(cut + dt.timedelta(days=1), "ns").astype(np.int64))
    journals = [
        [
            msgspec.msgpack.encode(event, enc_hook=encode_hook)
            for entry in open_recorded(tmp_path / folder / "out").entries()
            if (event := entry.event) is not None and event.ts <= upto
        ]
        for folder in ("all", "known")
    ]
    assert len(journals[0]) > 100
    assert journals[0] == journals[1]


def test_features_over_history_are_those_of_the_stream_across_actions(tmp_path: Path) -> None:
    whole = file(tmp_path, drawn_bars(5, 60), drawn_actions(5, 60))["feed"]
    feed = ParquetFeed(path=Path(whole["path"]), close=CLOSE, actions=Path(whole["actions"]))
    batch = walk(feed.events(), Rolling(universe=feed.universe, windows=(3, 5)), 1, 2**62)
    live, rows = Rolling(universe=feed.universe, windows=(3, 5)), []
    for event in feed.events():
        if isinstance(event, Bars):
            rows.append(live.on_bars(event).value.astype(np.float32))
        elif isinstance(event, Actions):
            live.on_actions(event)
    assert np.array_equal(batch.features, np.stack(rows[: len(batch.ts)]), equal_nan=True)


def test_a_warm_up_sees_the_actions_of_its_days(tmp_path: Path) -> None:
    bars = one_name([100.0] * 6 + [50.0] * 10)
    changed = {"session": {"name": "warm", "cash": 1000, "start": weekdays(40)[8], "seed": 7, "benchmark": "none"}}
    for ex in (6, 8):  # within the warm-up; between its last slice and the first of the session
        prices = one_name([100.0] * ex + [50.0] * (16 - ex))
        del bars[:]
        bars += prices
        result = run(file(tmp_path / str(ex), bars, [action("split", ex, ratio=2.0)], **changed))
        values = [row["value"] for row in result.signals.to_pylist()]
        assert values[:4] == pytest.approx([0.0] * 4, abs=1e-12)
        assert len(values) == 8


# ---- real names ------------------------------------------------------------------------------------------------------


@pytest.mark.data
def test_two_years_of_raw_prices_with_their_actions(data_dir: Path, tmp_path: Path) -> None:
    """1,920 names, 203 of which end, their splits and dividends as the archives had them; the file as it stands."""
    path, listed = data_dir / "us_daily_pit_2015_2017.parquet", data_dir / "us_corporate_actions_2015_2017.parquet"
    feed = {"use": "parquet", "path": str(path), "close": CLOSE, "actions": str(listed), "delist_after": 20}
    whole = file(tmp_path, one_name([1.0]), None) | {"feed": feed}
    whole["session"] |= {"cash": 10_000_000}
    whole["models"] = [{"name": "mom", "use": "momentum", "window": 20}]
    whole["strategy"] = {"use": "topk_dropout", "topk": 50, "n_drop": 5}
    result = run(whole)
    issues = {issue["kind"]: issue for issue in result.summary["issues"]}
    assert issues["unknown_action"]["count"] == 16
    assert 150 < issues["delisted_in_silence"]["count"] < 250
    table = pq.read_table(path).to_pandas()
    symbols = sorted(set(table.symbol))
    close = table.pivot_table(index="date", columns="symbol", values="close").reindex(columns=symbols)
    days = list(close.index)
    actions = pq.read_table(listed).to_pandas()
    ours = actions[actions.kind.isin(["split", "cash_dividend"]) & (actions.ex_date > days[0])].sort_values(
        "ex_date", kind="stable"
    )
    rows = ours.to_dict("records")
    fills = result.fills.to_pandas()
    by_day = dict(list(fills.groupby(fills.ts.dt.date)))
    cash, shares, mark = 10_000_000.0, dict.fromkeys(symbols, 0.0), dict.fromkeys(symbols, math.nan)
    silent = dict.fromkeys(symbols, 0)
    equity = []
    for day in days:
        while rows and rows[0]["ex_date"] <= day:
            row = rows.pop(0)
            s = row["symbol"]
            if row["kind"] == "cash_dividend":
                cash += shares[s] * row["cash_amount"]
            else:
                new, old = row["split_new_for_old"].split(":")
                shares[s] *= float(new) / float(old)
                mark[s] /= float(new) / float(old)
                fraction = shares[s] - math.trunc(round(shares[s], 9))
                shares[s] -= fraction
                cash += fraction * mark[s] if fraction else 0.0
        for fill in by_day[day].itertuples() if day in by_day else ():
            shares[fill.symbol] += fill.quantity
            cash -= fill.quantity * fill.price + fill.fee
        for s, price in close.loc[day].items():
            here = not math.isnan(price)
            silent[s] = 0 if here else silent[s] + (not math.isnan(mark[s]))
            mark[s] = price if here else mark[s]
        equity.append(cash + sum(q * mark[s] for s, q in shares.items() if q))
        for s in symbols:
            if silent[s] == 20:
                cash, shares[s] = cash + shares[s] * mark[s] if shares[s] else cash, 0.0
    assert np.abs(np.array(equity) / np.array(result.equity["equity"].to_pylist()) - 1).max() < 1e-9
