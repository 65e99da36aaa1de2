"""`samewire tap` of topics on a real broker: rows, filters, and what comes while it looks."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from adapters.kafka.codec import decoded
from adapters.kafka.topics import PUBLIC
from samewire.cli import main
from samewire.message_rows import rows
from tests.adapters.kafka.test_codec import one_of_each
from tests.adapters.kafka.wire import made, signal, written

ROOT = Path(__file__).parents[2]
MS = 1_000_000


def published(kafka: str, env: str) -> str:
    """Three signals of two symbols, one without an opinion of the first, and something that is none."""
    topic = f"{env}.signals.m.v1"
    silent = json.loads((last := signal(env, 7 * MS)).value) | {"values": [None, 0.5]}
    odd = msgspec.structs.replace(last, value=b"{}", headers=())
    said = [signal(env, 5 * MS), signal(env, 6 * MS), msgspec.structs.replace(last, value=json.dumps(silent).encode())]
    asyncio.run(made(kafka, topic))
    asyncio.run(written(kafka, (True, [*said[:2], odd, said[2]]), (False, [signal(env, 8 * MS)])))
    return topic


def tapped(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, list[dict[str, Any]], str]:
    code = main(["tap", *arguments, "--format", "json"])
    said = capsys.readouterr()
    return code, [json.loads(line) for line in said.out.splitlines()], said.err


def test_it_prints_what_was_committed_with_the_filters_of_sessions(
    kafka: str, topic_prefix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    topic = published(kafka, topic_prefix)
    code, found, told = tapped(capsys, topic, "--kafka", kafka)
    assert code == 0
    assert [(row["ts"], row["instrument"], row["source"]) for row in found] == [
        ("1970-01-01T00:00:00.005000000Z", "AAA", "m"),
        ("1970-01-01T00:00:00.005000000Z", "BBB", "m"),
        ("1970-01-01T00:00:00.006000000Z", "AAA", "m"),
        ("1970-01-01T00:00:00.006000000Z", "BBB", "m"),
        ("1970-01-01T00:00:00.007000000Z", "BBB", "m"),
    ]
    assert found[-1]["value"] == 0.5
    assert told == f"{topic}: 1 records are no messages of it and were passed over\n"
    kept = ["--since", "1970-01-01T00:00:00.006", "--symbol", "BBB", "--kafka", kafka]
    assert [row["ts"][-10:] for row in tapped(capsys, topic, *kept)[1]] == ["006000000Z", "007000000Z"]
    assert len(tapped(capsys, topic, *kept, "--until", "1970-01-01T00:00:00.007")[1]) == 1
    assert len(tapped(capsys, topic, "--kafka", kafka, "--limit", "3")[1]) == 3
    assert tapped(capsys, topic, "--kafka", kafka, "--source", "other")[1] == []
    assert tapped(capsys, topic, "--kafka", kafka, "--since", "latest")[1] == []


def test_it_follows_what_comes(kafka: str, topic_prefix: str) -> None:
    topic = published(kafka, topic_prefix)
    command = [sys.executable, "-m", "samewire", "tap", topic, "--kafka", kafka, "--follow", "--symbol", "BBB"]
    with subprocess.Popen(
        [*command, "--limit", "4", "--format", "json"], cwd=ROOT, stdout=subprocess.PIPE
    ) as following:
        assert following.stdout is not None
        before = [json.loads(following.stdout.readline())["ts"] for _ in range(3)]
        assert following.poll() is None
        asyncio.run(written(kafka, (True, [signal(topic_prefix, 9 * MS), signal(topic_prefix, 10 * MS)])))
        after = json.loads(following.stdout.readline())["ts"]
        assert [*before, after] == sorted([*before, after])
        assert (following.wait(10), after[-10:]) == (0, "009000000Z")


@pytest.mark.parametrize("kind", one_of_each())
def test_every_kind_of_message_is_rows_of_plain_values(kind: str) -> None:
    message = decoded(one_of_each()[kind].value, PUBLIC[kind].message)
    found = list(rows(message))
    assert found
    for row in found:
        assert next(iter(row)) == "ts"
        json.dumps(row, allow_nan=False)
        assert all(value is None or isinstance(value, str | int | float) for value in row.values())
    named = getattr(message, "instrument", "ÖL")
    assert len(list(rows(message, named))) == (kind not in ("deadletter", "control", "status"))
    assert list(rows(message, "nobody")) == []


@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [
        (
            ["fills"],
            2,
            "say --dir DIR and neither --kafka nor --follow, or take one of Kafka such as dev.fills.NAME.v1",
        ),
        (["fills", "--dir", ".", "--follow"], 2, "neither --kafka nor --follow"),
        (["dev.fills.main.v1", "--dir", "."], 2, "is a topic of Kafka, leave out --dir"),
        (["dev.journal.quick.v1"], 2, "what stands in journal is no contract"),
        (["dev.fills.main.v1", "--since", "soon"], 2, "'soon' is no instant"),
        (["dev.fills.main.v1", "--kafka", "127.0.0.1:1"], 5, "kafka: topic dev.fills.main.v1: "),
    ],
)
def test_what_cannot_be_is_told_with_its_exit_code(
    arguments: list[str], code: int, why: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAMEWIRE_KAFKA", "127.0.0.1:1")
    got, (said,), _ = tapped(capsys, *arguments)
    assert (got, said["exit_code"]) == (code, code)
    assert why in said["message"]
