"""Records of a bars topic that are no bars of its session, and what must be said of each."""

import math

import msgspec

from adapters.kafka.codec import Record
from engine.cuts import Bar
from engine.events import MINUTE_NS
from tests.chaos.live.ground import bars_topic, records_of
from tests.chaos.live.market import DAY, Market

_CENTURY = (2100 - DAY.year) * 31_556_952_000_000_000  # ns


def poison(market: Market, env: str, like: Bar) -> list[tuple[Record, str]]:
    """Each kind once, beside a good bar, with the reason under which it must be among the dead letters."""
    replace = msgspec.structs.replace
    (good,) = records_of(market, [like], env)
    bars = {
        "future": replace(like, ts=like.ts + _CENTURY),
        "unfit": replace(like, open=math.nan, close=math.nan),
        "unfit, below zero": replace(like, low=-1.0),
        "unfit, high below low": replace(like, high=like.low / 2),
        "unknown_interval": replace(like, interval_ns=60 * MINUTE_NS),
    }
    found = [(records_of(market, [bar], env)[0], why.partition(",")[0]) for why, bar in bars.items()]
    found += [
        (replace(good, value=b"\x00\xff no JSON"), "undecodable"),
        (replace(good, value=b'{"instrument": "S00"}'), "undecodable"),
        (replace(good, value=None), "undecodable"),
        (replace(good, value=(good.value or b"") + b" " * 1_100_000), "oversized"),
        (
            replace(good, value=(good.value or b"").replace(market.names[like.symbol].encode(), b"NOBODY")),
            "unknown_symbol",
        ),
    ]
    topic = bars_topic(env)
    alike = {"topic": topic, "key": good.key, "timestamp_ms": good.timestamp_ms}  # a broker refuses a stamp far ahead
    return [(replace(record, **alike), why) for record, why in found]
