"""Events to records and back: to the last bit, refused with a reason, and readable by whoever knows only JSON."""

import json
import math
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from adapters.kafka.asyncapi import json_schema
from adapters.kafka.codec import Codec, Origin, Record, decoded, exact_text
from adapters.kafka.messages import ControlMessage
from adapters.kafka.topics import PUBLIC, Topic, parse_topic
from engine.cuts import Bar
from engine.errors import DataError, SamewireError
from engine.events import Approved, Fills, Signal, Target, TargetKind
from engine.universe import universe_of
from tests.adapters.kafka.said import NAN, T, dead, late, refused, status

SYMBOLS = ("AAA", "BRK.B", "ÖL")
UNIVERSE = universe_of(SYMBOLS)
CODEC = Codec("dev", UNIVERSE, Origin(daemon="quick", run_id="r1", code_version="0.1", config_hash="c"))

numbers = st.floats(allow_infinity=False)
columns = st.lists(numbers, min_size=3, max_size=3).map(lambda v: np.array(v, np.float64))
stamps = st.integers(-(2**63), 2**63 - 1)
ids = st.integers(1, 2**64 - 1)


def bits(values: object) -> bytes:
    """Equal for NaN and apart for -0.0."""
    array = np.array(values, np.float64)
    return np.where(np.isnan(array), np.nan, array).tobytes()


def headers(record: Record) -> dict[str, str]:
    return {name: value.decode("ascii") for name, value in record.headers}


def valid(record: Record) -> bool:
    """Whether the body is what the published schema says."""
    return bool(Draft202012Validator(json_schema(parse_topic(record.topic).kind)).is_valid(json.loads(record.value)))


def signal(value: object = (0.25, NAN, -0.0), **more: object) -> Signal:
    said = {"ts": T, "source": "gbdt", "asof": T - 5, "horizon_ns": 7, "model_hash": "abc"}
    return Signal(value=np.array(value, np.float64), **(said | more))  # type: ignore[arg-type]


def approved(count: int = 3) -> Approved:
    return Approved(
        ts=T,
        action=np.array([0, 1, 2][:count], np.int32),
        ids=np.array([2**64 - 1, 5, 2**53 + 1][:count], np.uint64),
        ref=np.array([0, 2**64 - 1, 5][:count], np.uint64),
        symbol=np.array([2, 0, 1][:count], np.int32),
        qty=np.array([-100.0, 0.0, 0.1][:count]),
        kind=np.array([0, 0, 4][:count], np.int32),
        limit=np.array([NAN, NAN, 10.1][:count]),
        stop=np.array([NAN, NAN, 9.0][:count]),
        tif=np.array([0, 1, 2][:count], np.int32),
        expires=np.array([0, 0, T + 1][:count], np.int64),
        trail=np.array([NAN, NAN, 0.3][:count]),
    )


def fills(settles: bool = True) -> Fills:
    return Fills(
        ts=T,
        exec_ids=np.array([2**64 - 2, 7], np.uint64),
        order_ids=np.array([2**64 - 1, 5], np.uint64),
        symbol=np.array([0, 2], np.int32),
        qty=np.array([1.5, -2.0]),
        price=np.array([0.1 + 0.2, 1e-300]),
        reference=np.array([NAN, 1.0]),
        fees=np.array([[0.1, 0.2, 0.3], [0.0, 0.0, 0.0]]),
        at=np.array([T - 1, T], np.int64),
        settles=np.array([T + 1, T + 2], np.int64) if settles else None,
    )


def one_of_each() -> dict[str, Record]:
    bar = Bar(symbol=1, ts=T, interval_ns=60 * 10**9, open=1.0, high=2.0, low=0.5, close=1.5, volume=NAN)
    target = Target(
        ts=T,
        source="topk",
        kind=TargetKind.WEIGHT,
        value=np.array([0.5, NAN, -0.5]),
        alpha=np.array([NAN, 0.1, 0.2]),
        limit=np.array([NAN, 1.0, NAN]),
        stop=np.full(3, NAN),
    )
    return {
        "bars": CODEC.bar(bar),
        "signals": CODEC.signal(signal()),
        "targets": CODEC.target(target),
        "orders": CODEC.orders(approved(), "main")[2],
        "fills": CODEC.fills(fills(), "main")[0],
        "refusals": CODEC.refusals(refused(), "main")[1],
        "late": CODEC.late(late())[0],
        "deadletter": CODEC.deadletter(dead()),
        "control": CODEC.control(
            ControlMessage(id="", ts=T, action="swap_model", by="jo", component="m", artefact="a")
        ),
        "status": CODEC.status(status()),
    }


# ---- there and back --------------------------------------------------------------------------------------------------


@given(columns, stamps, stamps)
def test_a_signal_survives_to_the_last_bit(value: np.ndarray, ts: int, asof: int) -> None:
    record = CODEC.signal(signal(value, ts=ts, asof=asof))
    back = CODEC.signal_of(record.value)
    assert (back.ts, back.asof, back.source, back.horizon_ns, back.model_hash) == (ts, asof, "gbdt", 7, "abc")
    assert bits(back.value) == bits(value)
    assert not back.value.flags.writeable
    assert CODEC.signal(back).value == record.value
    assert valid(record)


@given(columns, columns, columns, columns, st.sampled_from(TargetKind))
def test_a_target_survives_to_the_last_bit(
    value: np.ndarray, alpha: np.ndarray, limit: np.ndarray, stop: np.ndarray, kind: TargetKind
) -> None:
    target = Target(ts=T, source="topk", kind=kind, value=value, alpha=alpha, limit=limit, stop=stop)
    record = CODEC.target(target)
    back = CODEC.target_of(record.value)
    assert back.kind is kind
    for name in ("value", "alpha", "limit", "stop"):
        assert bits(getattr(back, name)) == bits(getattr(target, name)), name
    assert valid(record)


@given(st.lists(numbers, min_size=6, max_size=6), st.integers(0, 2), stamps, st.integers(0, 2**31 - 1), st.booleans())
def test_a_bar_survives_to_the_last_bit(prices: list[float], symbol: int, ts: int, version: int, halted: bool) -> None:
    codec = Codec("dev", universe_of(SYMBOLS), Origin(daemon="quick"))
    names = ("open", "high", "low", "close", "volume", "vwap")
    said = dict(zip(names, prices, strict=True))
    bar = Bar(symbol=symbol, ts=ts, interval_ns=60 * 10**9, version=version, halted=halted, **said)
    record = codec.bar(bar)
    back = codec.bar_of(record.value)
    assert (back.symbol, back.ts, back.interval_ns, back.version, back.halted) == (
        symbol,
        ts,
        60 * 10**9,
        version,
        halted,
    )
    assert [bits(getattr(back, name)) for name in names] == [bits(price) for price in prices]
    assert (record.topic, record.key) == ("dev.bars.1m.v1", SYMBOLS[symbol].encode())
    assert valid(record)


def test_extra_columns_of_a_bar_go_by_name() -> None:
    wide = msgspec.structs.replace(UNIVERSE, extra=("bid", "ask"))
    codec = Codec("dev", wide, Origin(daemon="quick"))
    bar = Bar(symbol=0, ts=T, interval_ns=5, open=1, high=1, low=1, close=1, volume=1, extra=(0.9, NAN))
    record = codec.bar(bar)
    assert json.loads(record.value)["extra"] == {"bid": 0.9, "ask": None}
    assert bits(codec.bar_of(record.value).extra) == bits((0.9, NAN))
    turned = Codec("dev", msgspec.structs.replace(UNIVERSE, extra=("ask", "mid", "bid")), Origin(daemon="quick"))
    assert bits(turned.bar_of(record.value).extra) == bits((NAN, NAN, 0.9))


def test_legs_survive_with_ids_that_no_double_can_hold() -> None:
    records = CODEC.orders(approved(), "main")
    assert [record.key for record in records] == [b"ffffffffffffffff", b"0000000000000005", b"0020000000000001"]
    assert all(map(valid, records))
    back = CODEC.orders_of([record.value for record in records])
    for name in Approved.__struct_fields__:
        there, here = getattr(back, name), getattr(approved(), name)
        assert np.array_equal(there, here, equal_nan=name in ("qty", "limit", "stop", "trail")), name
        assert name == "ts" or there.dtype == here.dtype, name


@pytest.mark.parametrize("settles", [True, False])
def test_fills_survive(settles: bool) -> None:
    records = CODEC.fills(fills(settles), "main")
    assert all(map(valid, records))
    back = CODEC.fills_of([record.value for record in records])
    for name in Fills.__struct_fields__:
        there, here = getattr(back, name), getattr(fills(settles), name)
        if here is None:
            assert there is None
        else:
            assert np.array_equal(there, here, equal_nan=name == "reference"), name


def test_what_has_no_number_is_null_and_never_the_word_nan() -> None:
    body = CODEC.signal(signal((math.inf, -math.inf, NAN))).value
    assert json.loads(body, parse_constant=pytest.fail)["values"] == [None, None, None]
    assert np.isnan(CODEC.signal_of(body).value).all()


def test_symbols_that_a_message_does_not_speak_of_have_no_opinion() -> None:
    body = json.loads(CODEC.signal(signal()).value)
    body |= {"instruments": ["ÖL"], "values": [3]}
    assert bits(CODEC.signal_of(json.dumps(body).encode()).value) == bits([NAN, NAN, 3.0])


# ---- what is refused -------------------------------------------------------------------------------------------------


EVENTS: dict[str, Callable[[bytes | None], Any]] = {
    "bars": CODEC.bar_of,
    "signals": CODEC.signal_of,
    "targets": CODEC.target_of,
    "orders": lambda one: CODEC.orders_of([one or b""]),
    "fills": lambda one: CODEC.fills_of([one or b""]),
    "control": CODEC.control_of,
}


def broken(kind: str, /, **change: object) -> bytes:
    return json.dumps(json.loads(one_of_each()[kind].value) | change).encode()


@pytest.mark.parametrize(
    ("kind", "value", "why"),
    [
        ("bars", None, "has no body"),
        ("bars", b"", "Input data was truncated"),
        ("bars", b"\xff\xfe", "BarMessage: "),
        ("bars", b"[]", "Expected `object`, got `array`"),
        ("bars", b'{"instrument": "\xff"}', "BarMessage: "),
        ("bars", {"instrument": "ZZZ"}, "bar: 'ZZZ' is not in the universe of 3 symbols"),
        ("bars", {"open": "1"}, r"Expected `float \| null`, got `str` - at `\$.open`"),
        ("bars", {"ts": 2**63}, "Expected `int` <= 9223372036854775807"),
        ("bars", {"ts": 1.5}, "Expected `int`, got `float`"),
        ("bars", {"interval_ns": 0}, "Expected `int` >= 1"),
        ("bars", {"revision": -1}, "Expected `int` >= 0"),
        ("signals", {"instruments": ["AAA", "AAA", "ÖL"]}, "signal: 'AAA' stands twice"),
        ("signals", {"values": [1.0]}, "values: 1 values for 3 instruments"),
        ("signals", {"instruments": ["AAA", "BRK.B", "X"]}, "signal: 'X' is not in the universe"),
        ("targets", {"kind": "shares"}, "target: 'shares' is no kind; expected one of: weight, quantity, value"),
        ("orders", {"action": "buy"}, "order: 'buy' is no action; expected one of: new, cancel, replace"),
        ("orders", {"id": "5"}, "Expected `str` matching regex"),
        ("fills", {"price": None}, "Expected `float`, got `null`"),
        ("fills", {"fees": {"tip": 1.0}}, "no fee is called 'tip'; known are commission, exchange, tax"),
    ],
)
def test_what_is_no_message_is_refused_with_its_reason(kind: str, value: object, why: str) -> None:
    body = broken(kind, **value) if isinstance(value, dict) else value
    with pytest.raises(DataError, match=why):
        EVENTS[kind](body)


@given(st.binary(max_size=200))
def test_no_bytes_at_all_get_further_than_a_refusal(value: bytes) -> None:
    for read in (CODEC.bar_of, CODEC.signal_of, CODEC.target_of):
        with pytest.raises(DataError):
            read(value)


def test_legs_of_two_instants_are_no_batch() -> None:
    one = CODEC.orders(approved(1), "main")[0].value
    other = json.dumps(json.loads(one) | {"ts": T + 1}).encode()
    with pytest.raises(DataError, match="orders: 2 instants in what should be one batch"):
        CODEC.orders_of([one, other])


# ---- what others rely on ---------------------------------------------------------------------------------------------


def test_records_carry_cloud_events_and_what_made_them() -> None:
    record = CODEC.signal(signal())
    assert headers(record) == {
        "content-type": "application/json",
        "ce_specversion": "1.0",
        "ce_id": f"gbdt:{T - 5}:{T}",
        "ce_source": "/samewire/quick",
        "ce_type": "samewire.signals.slice.v1",
        "ce_time": "2018-01-02T21:00:00.000000123Z",
        "run-id": "r1",
        "code-version": "0.1",
        "config-hash": "c",
        "model-hash": "abc",
    }
    assert record.timestamp_ms == T // 1_000_000


def test_a_run_shows_in_headers_and_in_nothing_else() -> None:
    other = Codec("dev", UNIVERSE, Origin(daemon="quick", run_id="r2"))
    one, two = CODEC.signal(signal()), other.signal(signal())
    assert (one.topic, one.key, one.value, one.timestamp_ms) == (two.topic, two.key, two.value, two.timestamp_ms)
    assert headers(one)["ce_id"] == headers(two)["ce_id"]


def test_ids_tell_messages_apart() -> None:
    bar = Bar(symbol=2, ts=T, interval_ns=5, open=1, high=1, low=1, close=1, volume=1)
    records = [
        CODEC.bar(bar),
        CODEC.bar(msgspec.structs.replace(bar, version=1)),
        CODEC.bar(msgspec.structs.replace(bar, symbol=0)),
        CODEC.bar(msgspec.structs.replace(bar, ts=T + 1)),
        CODEC.signal(signal()),
        CODEC.signal(signal(asof=T)),
        *CODEC.orders(approved(), "main"),
        *CODEC.fills(fills(), "main"),
    ]
    assert len({headers(record)["ce_id"] for record in records}) == len(records)


@pytest.mark.parametrize("kind", PUBLIC)
def test_readers_of_version_1_go_on_when_fields_are_added(kind: str) -> None:
    body = broken(kind, a_field_of_tomorrow={"x": [1]})
    assert decoded(body, PUBLIC[kind].message)
    if kind in EVENTS:
        assert EVENTS[kind](body)
    assert Draft202012Validator(json_schema(kind)).is_valid(json.loads(body))


SAMPLES = {
    "bars": b'{"instrument":"AAA","ts":1514926800000000000,"interval_ns":60000000000,"open":1,"high":2,"low":0.5,'
    b'"close":1.5,"volume":null}',
    "signals": b'{"source":"m","ts":5,"asof":5,"horizon_ns":0,"instruments":["AAA"],"values":[null]}',
    "targets": b'{"source":"s","ts":5,"kind":"weight","instruments":[],"values":[],"alpha":[],"limit":[],"stop":[]}',
    "orders": b'{"id":"00000000000000ff","ts":5,"action":"new","instrument":"AAA","quantity":1,"kind":"market",'
    b'"time_in_force":"day"}',
    "fills": b'{"id":"00000000000000ff","order_id":"0000000000000001","ts":5,"instrument":"AAA","quantity":1,"price":2,'
    b'"at":5}',
    "refusals": b'{"id":"00000000000000ff","ts":5,"instrument":"AAA","quantity":1,"limit":"max_weight","value":null,'
    b'"threshold":0.2,"by":"risk"}',
    "late": b'{"instrument":"AAA","ts":5,"slice_ts":4,"interval_ns":60,"open":1,"high":1,"low":1,"close":1,"volume":1}',
    "deadletter": b'{"topic":"t","partition":0,"offset":1,"ts":5,"reason":"unfit","text":"","size":1,"value":"e30="}',
    "control": b'{"id":"00000000000000ff","ts":5,"action":"halt","by":"jo"}',
    "status": b'{"session":"s","run_id":"r","state":"live","mode":"ACTIVE","started_at":5}',
}


@pytest.mark.parametrize("kind", PUBLIC)
def test_messages_as_version_1_began_are_read_for_ever(kind: str) -> None:
    body = SAMPLES[kind]
    assert Draft202012Validator(json_schema(kind)).is_valid(json.loads(body))
    said = decoded(body, PUBLIC[kind].message)
    assert said.started_at == 5 if kind == "status" else said.ts in (5, 1_514_926_800_000_000_000)
    if kind in EVENTS:
        assert EVENTS[kind](body).ts == said.ts


@pytest.mark.parametrize(
    ("env", "kind", "name", "why"),
    [
        ("a.b", "bars", "1m", "'a.b' cannot be its environment"),
        ("dev", "bars", "", "'' cannot be its name"),
        ("dev", "bars", "x" * 65, "cannot be its name"),
        ("dev", "bras", "1m", "no kind is called 'bras'; expected one of: bars, signals"),
    ],
)
def test_a_topic_that_kafka_or_a_reader_would_mistake_is_refused(env: str, kind: str, name: str, why: str) -> None:
    with pytest.raises(SamewireError, match=why):
        Topic(env, kind, name)


@pytest.mark.parametrize("text", ["", "bars", "dev.bars.1m", "dev.bars.1m.v0", "dev.bars.1m.v1.x", "dev..1m.v1"])
def test_what_is_no_public_topic_is_told(text: str) -> None:
    with pytest.raises(SamewireError):
        parse_topic(text)


def test_instants_are_exact_in_headers() -> None:
    assert exact_text(0) == "1970-01-01T00:00:00Z"
    assert exact_text(-1) == "1969-12-31T23:59:59.999999999Z"
