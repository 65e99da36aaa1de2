"""What is said in the topics of operators, one of each, odd where it may be."""

import numpy as np

from adapters.kafka.codec import DeadLetter
from adapters.kafka.messages import StatusMessage
from engine.events import Late, Refusals

T = 1_514_926_800_000_000_123
NAN = float("nan")


def refused() -> Refusals:
    """Two legs of one id: an id that is there already is a reason to be refused."""
    return Refusals(
        ts=T,
        by="risk",
        ids=np.array([5, 5], np.uint64),
        symbol=np.array([0, 0], np.int32),
        qty=np.array([1.0, 2.0]),
        rule=("duplicate_id", "duplicate_id"),
        value=np.array([NAN, 0.1 + 0.2]),
        threshold=np.array([0.0, 0.0]),
    )


def late() -> Late:
    """One bar in two revisions."""
    one, other = np.array([1.0, 1.0]), np.array([1.5, 1.25])
    at = {"ts": T, "interval_ns": 60 * 10**9, "slice_ts": T - 5, "symbol": np.array([1, 1], np.int32)}
    return Late(open=one, high=other, low=one, close=other, volume=np.array([NAN, 7.0]), **at)  # type: ignore[arg-type]


def dead(**more: object) -> DeadLetter:
    said = {"topic": "dev.bars.1m.v1", "partition": 3, "offset": 2**40, "ts": T, "reason": "undecodable", "text": "no"}
    return DeadLetter(**(said | {"value": b"\xff{", "key": b"\x00"} | more))  # type: ignore[arg-type]


def status(**more: object) -> StatusMessage:
    said = {
        "session": "quick",
        "run_id": "r1",
        "state": "live",
        "mode": "REDUCE_ONLY",
        "started_at": T,
        "uptime_s": 1.5,
    }
    return StatusMessage(**(said | {"equity": NAN, "lag": 0} | more))  # type: ignore[arg-type]
