"""What operators and those on call read and write: refusals, late bars, dead letters, requests, health."""

import base64
import json

import msgspec
import numpy as np
import pytest

from adapters.kafka.asyncapi import document
from adapters.kafka.codec import Codec, Origin, control_event, control_of, decoded
from adapters.kafka.envelope import DEAD_BODY_MAX, Envelope
from adapters.kafka.messages import CONTROL_ACTIONS, ControlMessage, DeadLetterMessage, LateMessage, RefusalMessage
from adapters.kafka.topics import KINDS, PUBLIC
from engine.errors import DataError
from engine.events import ControlAction
from engine.universe import universe_of
from tests.adapters.kafka.said import T, dead, late, refused, status
from tests.adapters.kafka.test_codec import CODEC, UNIVERSE, bits, headers


def test_refused_legs_of_one_id_are_two_messages() -> None:
    records = CODEC.refusals(refused(), "main")
    said = [decoded(record.value, RefusalMessage) for record in records]
    assert [(each.id, each.quantity, each.limit, each.by) for each in said] == [
        ("0000000000000005", 1.0, "duplicate_id", "risk"),
        ("0000000000000005", 2.0, "duplicate_id", "risk"),
    ]
    assert (said[0].value, said[1].value) == (None, 0.1 + 0.2)
    assert [(record.topic, record.key) for record in records] == [("dev.refusals.main.v1", b"0000000000000005")] * 2
    assert len({headers(record)["ce_id"] for record in records}) == 2


def test_an_order_for_no_symbol_at_all_is_refused_without_one() -> None:
    for place in (-1, len(UNIVERSE)):
        odd = msgspec.structs.replace(refused(), symbol=np.array([0, place], np.int32))
        assert [decoded(each.value, RefusalMessage).instrument for each in CODEC.refusals(odd, "main")] == ["AAA", ""]


def test_a_bar_that_is_late_in_two_revisions_is_two_messages() -> None:
    records = CODEC.late(late())
    said = [decoded(record.value, LateMessage) for record in records]
    assert [(each.instrument, each.ts, each.slice_ts, each.close) for each in said] == [
        ("BRK.B", T, T - 5, 1.5),
        ("BRK.B", T, T - 5, 1.25),
    ]
    assert bits([np.nan if each.volume is None else each.volume for each in said]) == bits(late().volume)
    assert {record.topic for record in records} == {"dev.late.1m.v1"}
    assert len({headers(record)["ce_id"] for record in records}) == 2


@pytest.mark.parametrize("kind", ["refusals", "late", "deadletter", "control", "status"])
def test_what_is_sent_again_after_a_crash_has_the_same_id(kind: str) -> None:
    def written(codec: Codec) -> list[str]:
        asked = ControlMessage(id="", ts=T, action="halt", by="jo")
        said = {
            "refusals": codec.refusals(refused(), "main"),
            "late": codec.late(late()),
            "deadletter": [codec.deadletter(dead())],
            "control": [codec.control(asked)],
            "status": [codec.status(status())],
        }
        return [headers(record)["ce_id"] for record in said[kind]]

    other = Codec("dev", UNIVERSE, Origin(daemon="quick", run_id="another", code_version="0.2"))
    assert written(CODEC) == written(other)


@pytest.mark.parametrize("value", [b"", b"\xff" * DEAD_BODY_MAX, b"x" * (DEAD_BODY_MAX + 1), b"y" * 5_000_000, None])
def test_a_dead_letter_keeps_the_bytes_as_they_were_up_to_a_limit(value: bytes | None) -> None:
    record = CODEC.deadletter(dead(value=value, text="long " * 10_000))
    said = decoded(record.value, DeadLetterMessage)
    assert said.value == (None if value is None else value[:65_536])
    assert said.size == len(value or b"")
    plain = json.loads(record.value)["value"]
    assert plain is None or base64.b64decode(plain) == said.value
    assert len(record.value) < 100_000  # far below what a broker takes
    assert (record.topic, record.key) == ("dev.deadletter.quick.v1", b"dev.bars.1m.v1")
    assert headers(record)["ce_id"] == f"quick:dev.bars.1m.v1:3:{2**40}:{T}"


def test_words_that_are_not_in_the_contract_never_reach_a_topic() -> None:
    with pytest.raises(ValueError, match="'odd' is no reason; expected one of: undecodable, oversized, future"):
        CODEC.deadletter(dead(reason="odd"))
    with pytest.raises(ValueError, match="'running' is no state; expected one of: starting, catching_up"):
        CODEC.status(status(state="running"))
    with pytest.raises(ValueError, match="'active' is no mode; expected one of: ACTIVE, REDUCE_ONLY, HALTED"):
        CODEC.status(status(mode="active"))
    with pytest.raises(ValueError, match="'stop' is no action"):
        CODEC.control(ControlMessage(id="", ts=T, action="stop", by="jo"))


def test_an_operator_needs_neither_universe_nor_codec() -> None:
    asked = ControlMessage(id="", ts=T, action="resume", by="jo", reason="checked", latch="max_drawdown")
    record = Envelope("prod", Origin(daemon="quick")).control(asked)
    assert (record.topic, record.key) == ("prod.control.quick.v1", b"quick")
    said = control_of(record.value)
    assert msgspec.structs.replace(said, id="") == asked
    event = control_event(said, T + 1)
    assert (event.ts, event.action, event.actor, event.latch) == (T + 1, ControlAction.RESUME, "jo", "max_drawdown")
    again = Envelope("prod", Origin(daemon="quick")).control(said)
    assert again == record  # the id it was given is kept
    later = Envelope("prod", Origin(daemon="quick")).control(msgspec.structs.replace(asked, ts=T + 1))
    assert control_of(later.value).id != said.id


def test_every_action_is_one_of_the_engine() -> None:
    said = {
        word: control_event(ControlMessage(id="", ts=T, action=word, by="jo"), T).action for word in CONTROL_ACTIONS
    }
    assert said["reduce"] is ControlAction.REDUCE_ONLY
    assert set(said.values()) == set(ControlAction) - {ControlAction.MODEL_NOT_READY}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"action": "HALT"}, "'HALT' is no action"),
        ({"by": " "}, "does not say who asks"),
        ({"by": ""}, "length >= 1"),
        ({"action": "swap_model", "component": "gbdt"}, "must name a component and the hash"),
        ({"id": "1"}, "matching regex"),
        ({"ts": None}, "Expected `int`"),
    ],
)
def test_a_request_that_cannot_be_followed_is_refused(change: dict[str, object], why: str) -> None:
    body = {"id": "00000000000000ff", "ts": 5, "action": "halt", "by": "jo"} | change
    with pytest.raises(DataError, match=why):
        CODEC.control_of(json.dumps(body).encode())


def test_a_status_is_stamped_with_the_moment_it_speaks_of() -> None:
    record = CODEC.status(status())
    assert record.timestamp_ms == (T + 1_500_000_000) // 1_000_000
    assert json.loads(record.value)["equity"] is None
    assert (record.topic, record.key) == ("dev.status.quick.v1", b"quick")
    changed = CODEC.status(status(slices=1))
    assert headers(changed)["ce_id"] != headers(record)["ce_id"]


def test_what_is_a_sessions_own_is_no_contract() -> None:
    assert set(KINDS) - set(PUBLIC) == {"journal", "snapshots"}
    said = json.dumps(document("1"))
    assert "journal" not in said
    assert "snapshots" not in said
    assert (KINDS["journal"].cleanup, KINDS["snapshots"].cleanup, KINDS["status"].cleanup) == (
        "delete",  # a compacted journal would lose slices
        "compact",
        "compact",
    )
    assert {name: kind.partitions for name, kind in KINDS.items() if kind.partitions != 1} == {"bars": 4}


def test_a_codec_of_any_universe_writes_to_the_sessions_topics() -> None:
    record = Codec("shadow", universe_of(("A",)), Origin(daemon="s-1")).deadletter(dead())
    assert record.topic == "shadow.deadletter.s-1.v1"
