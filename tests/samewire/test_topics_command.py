"""`samewire topics`, `doctor` and `feed` on a run file with a section `live`, against a real broker."""

import json
from pathlib import Path
from typing import Any

import pytest

from adapters.kafka.settings import Kafka
from adapters.kafka.topics import KINDS
from samewire import load_run
from samewire.cli import main
from samewire.connection import secret_files, settings_of, start_of, topics_of
from samewire.prepare import feed_of
from tests.samewire.said import plain_run

RUN = """\
schema: 1
session: {{name: quick, cash: 1_000_000, start: 2018-01-02, end: 2018-01-10}}
feed: {{use: aggregate, of: {{use: sample, symbols: 8, years: 1}}, to: [1w]}}
models: [{{use: momentum, window: 5}}, {{name: slow, use: momentum, window: 9}}]
strategy: [{{name: one, use: topk_dropout, topk: 4, n_drop: 1, signal: slow}}, {{name: two, use: sign, signal: slow}}]
optimizer: direct
broker: {{use: simulated, fill: next_open, costs: {{commission_bps: 5}}}}
live: {live}
"""
OF_THIS = [
    *("bars.1d", "bars.7d", "signals.momentum", "signals.slow", "targets.one", "targets.two", "orders.acc1"),
    *("fills.acc1", "refusals.acc1", "late.1d", "late.7d", "deadletter.quick", "control.quick", "status.quick"),
    *("journal.quick", "snapshots.quick"),
]


def written(folder: Path, **live: Any) -> str:
    (folder / "run.yaml").write_text(RUN.format(live=json.dumps({"account": "acc1", **live})))
    return str(folder / "run.yaml")


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    code = main([*arguments, "--format", "json"])
    return code, json.loads(capsys.readouterr().out)


# ---- without a broker ------------------------------------------------------------------------------------------------


def test_the_topics_of_a_session_follow_from_its_run_file(tmp_path: Path) -> None:
    run = load_run(written(tmp_path, env="prod"))
    found = topics_of(run, feed_of(run), settings_of(run))
    assert [each.topic for each in found] == [f"prod.{name}.v1" for name in OF_THIS]
    assert {each.kind for each in found} == set(KINDS)
    shadow = [each.topic for each in topics_of(run, feed_of(run), settings_of(run), shadow=True)]
    kept = [name for name in OF_THIS if name.split(".")[0] not in ("orders", "fills", "refusals")]
    assert shadow == [f"prod{'' if name.startswith('bars') else '.shadow'}.{name}.v1" for name in kept]


@pytest.mark.parametrize(("env", "session"), [("prod", "quick-shadow"), ("prod-shadow", "quick"), ("prod", "shadow")])
def test_no_session_can_have_what_the_shadow_of_another_has(env: str, session: str, tmp_path: Path) -> None:
    """Else a shadow would shut a session out that sends orders, or write into its journal."""
    run = load_run(written(tmp_path, env="prod"))
    other = load_run(written(tmp_path, env=env), [f"session.name={session}"])
    feed, own, theirs = feed_of(run), settings_of(run), settings_of(other)
    assert own.transaction_name("quick", shadow=True) != theirs.transaction_name(session)
    mine = {each.topic for each in topics_of(run, feed, own, shadow=True) if each.kind != "bars"}
    assert not mine & {each.topic for each in topics_of(other, feed, theirs)}


@pytest.mark.parametrize("given", [{"env": "prod.shadow"}, {"transactional_id": "a.shadow"}])
def test_a_run_file_cannot_take_the_names_of_a_shadow(given: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(given))} must"):
        Kafka(**given)


def test_bars_and_journal_are_kept_for_what_a_restart_may_need(tmp_path: Path) -> None:
    run = load_run(written(tmp_path), ["live.snapshot_every=10"])
    kept = {each.kind: each.least_ms for each in topics_of(run, feed_of(run), settings_of(run))}
    assert (kept["bars"], kept["journal"], kept["orders"]) == (25 * 86_400_000, 25 * 86_400_000, 0)


def test_files_of_secrets_are_those_that_live_refers_to(tmp_path: Path) -> None:
    given = {"security": "sasl_ssl", "username": "jane", "password": "${file:keys/password}"}
    run = load_run(written(tmp_path, **given))
    assert secret_files(run) == (tmp_path / "keys" / "password",)
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "password").write_text("opensesame\n")
    assert start_of(run, feed_of(run), settings_of(run)).secrets == secret_files(run)
    assert secret_files(load_run(plain_run())) == ()


def test_a_broker_that_is_not_there_is_told_whoever_names_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAMEWIRE_KAFKA", "127.0.0.1:2")
    path = written(tmp_path)
    code, said = told(capsys, "topics", path, "--set", "live=null")
    assert (code, "127.0.0.1:2 connection refused" in said["message"]) == (5, True)
    code, said = told(capsys, "topics", path, "--set", "live.servers=127.0.0.1:1")
    assert (code, "127.0.0.1:1 connection refused" in said["message"]) == (5, True)
    code, said = told(capsys, "topics", path, "--partitions=-1")
    assert (code, "--partitions -1" in said["message"]) == (2, True)


def test_doctor_names_a_way_of_speaking_that_a_session_refuses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "token").write_text("opensesame")
    (tmp_path / "token").chmod(0o666)
    path = written(
        tmp_path, servers="kafka-1:9092", security="sasl_plaintext", mechanism="oauthbearer", token_file="token"
    )
    code, said = told(capsys, "doctor", path)
    wrong = [each for each in said["findings"] if each["what"] == "kafka"]
    assert (code, [each["state"] for each in wrong]) == (5, ["wrong", "wrong"])
    assert wrong[0]["mend"] == "say security: ssl or sasl_ssl"
    assert wrong[1]["mend"] == f"chmod 600 {tmp_path / 'token'}"


# ---- with one --------------------------------------------------------------------------------------------------------


def test_topics_are_listed_made_and_held_against_what_was_asked(
    kafka: str, topic_prefix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, env=topic_prefix, servers=kafka, dev=True)
    code, said = told(capsys, "topics", path)
    assert (code, said["ok"], {each["state"] for each in said["topics"]}) == (1, False, {"missing"})
    code, said = told(capsys, "doctor", path)
    lacks = [each for each in said["findings"] if each["what"] == "topics"]
    assert (code, [each["said"][:14] for each in lacks]) == (5, ["16 are missing"])
    code, said = told(capsys, "topics", path, "--create", "--partitions", "2")
    assert (code, said["ok"], {each["state"] for each in said["topics"]}) == (0, True, {"made"})
    assert [each["topic"] for each in said["topics"]] == [f"{topic_prefix}.{name}.v1" for name in OF_THIS]
    assert {each["kind"]: each["partitions"] for each in said["topics"]} == dict.fromkeys(KINDS, 1) | {"bars": 2}
    assert {each["settings"]["retention.ms"] for each in said["topics"] if each["cleanup"] == "delete"} == {"-1"}
    code, said = told(capsys, "topics", path, "--partitions", "3")
    assert (code, [each["kind"] for each in said["topics"] if each["state"] == "wrong"]) == (1, ["bars", "bars"])
    assert main(["topics", path, "--set", "live.dev=false"]) == 1
    shown = capsys.readouterr().out
    assert f"wrong     {topic_prefix}.orders.acc1.v1  1 partition, 1 replica, delete\n" in shown
    assert "          it has a replication factor of 1, needed are 3" in shown
    code, said = told(capsys, "doctor", path)
    assert [each["state"] for each in said["findings"] if each["what"] in ("kafka", "topics")] == ["ok", "ok"]


def test_topics_that_orders_would_not_survive_in_are_not_made(
    kafka: str, topic_prefix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, env=topic_prefix, servers=kafka)
    code, said = told(capsys, "topics", path, "--create")
    assert (code, "1 of the 3 brokers" in said["message"]) == (5, True)
    assert {each["state"] for each in told(capsys, "topics", path)[1]["topics"]} == {"missing"}


def test_a_feed_publishes_where_the_section_says_unless_told_otherwise(
    kafka: str, topic_prefix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAMEWIRE_KAFKA", "127.0.0.1:1")
    path = written(tmp_path, env=topic_prefix, servers=kafka)
    code, said = told(capsys, "feed", path, "--set", "feed={use: sample, symbols: 8, years: 1}")
    assert (code, list(said["topics"])) == (0, [f"{topic_prefix}.bars.1d.v1"])
    other = ["feed", path, "--set", "feed={use: sample, symbols: 8, years: 1}", "--env", f"{topic_prefix}-b"]
    code, said = told(capsys, *other)
    assert (code, list(said["topics"])) == (0, [f"{topic_prefix}-b.bars.1d.v1"])
    code, said = told(capsys, *other, "--kafka", "127.0.0.1:2")
    assert (code, "127.0.0.1:2 connection refused" in said["message"]) == (5, True)
    assert Kafka().where().address == "127.0.0.1:1"
