"""The section `live` within a run file: read, told, written back, and of no weight in what is decided."""

import json
import re
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from adapters.kafka.settings import Kafka
from samewire.build import Given, construct
from samewire.cli import main
from samewire.json_schema import json_schema
from samewire.schema import config_hash, dump_run, hash_of_words, load_run, resolved
from samewire.signatures import schema_of
from tests.samewire.said import GOOD, ROOT, plain_run, problems

LIVE = {
    "env": "prod",
    "servers": "kafka-1:9093",
    "security": "sasl_ssl",
    "mechanism": "scram-sha-512",
    "username": "jane",
    "password": "${env:LIVE_PASSWORD}",
    "ca_file": "keys/ca.pem",
    "deadline_s": "0.5",
}


def test_a_run_without_the_section_is_not_live_and_an_empty_one_takes_the_defaults() -> None:
    assert load_run(plain_run()).live is None
    assert load_run(plain_run(live=None)).live is None
    bare = load_run(plain_run(live={})).live
    assert bare is not None
    assert (bare.group, bare.use, bare.options["env"]) == ("live", "kafka", "dev")
    assert load_run(plain_run(live="kafka")).live == bare
    changed = load_run(plain_run(), ["live.env=shadow"]).live
    assert changed is not None
    assert changed.options["env"] == "shadow"


def test_it_becomes_the_settings_with_the_secret_read_last(monkeypatch: pytest.MonkeyPatch) -> None:
    run = load_run(plain_run(live=LIVE))  # no LIVE_PASSWORD yet: check reads none
    assert run.live is not None
    monkeypatch.setenv("LIVE_PASSWORD", "opensesame")
    made = construct(run.live, Given(session="quick", seed=0))
    assert (made.password.reveal(), made.ca_file, made.deadline_s) == ("opensesame", Path.cwd() / "keys/ca.pem", 0.5)
    assert "opensesame" not in repr(made)


def test_it_is_written_back_and_read_again_and_decides_nothing(tmp_path: Path) -> None:
    run = load_run(plain_run(live=LIVE))
    (tmp_path / "again.yaml").write_text(dump_run(run))
    assert load_run(tmp_path / "again.yaml") == run
    assert resolved(run)["live"]["password"] == "${env:LIVE_PASSWORD}"
    assert config_hash(run) == config_hash(load_run(plain_run())) == hash_of_words(resolved(run))
    assert config_hash(run) != config_hash(load_run(plain_run(), ["session.seed=1"]))


def test_what_is_wrong_is_told_at_its_place() -> None:
    wrong = {"env": "a.b", "quorum": 2, "security": "tls", "late": "later", "deadlin_s": 1}
    assert sorted(problems(plain_run(live=wrong))) == [
        ("E104", "live.deadlin_s"),
        ("E108", "live.late"),
        ("E108", "live.security"),
    ]
    contradicting = {"env": "a.b", "deadline_s": -1, "username": "jane"}
    assert sorted(problems(plain_run(live=contradicting))) == [
        ("E108", "live.deadline_s"),
        ("E108", "live.env"),
        ("E108", "live.username"),
    ]
    assert problems(plain_run(live=LIVE | {"password": "opensesame"})) == [("E115", "live.password")]
    assert problems(plain_run(live=[LIVE])) == [("E107", "live")]
    assert problems(plain_run(live={"use": "kafk"})) == [("E109", "live.use")]


def test_check_points_at_the_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(GOOD + "live:\n  env: prod\n  security: ssl\n  username: jane\n")
    assert main(["check", str(path)]) == 2
    said = capsys.readouterr().err
    assert f"run.yaml:{len(GOOD.splitlines()) + 4}" in said
    assert "username is for a login" in said
    assert "  username: jane\n" in said
    assert "^^^^" in said


def test_the_page_lists_every_option_in_its_order() -> None:
    text = (ROOT / "docs" / "kafka-connection.md").read_text().partition("## Options\n")[2].partition("\n## ")[0]
    first = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    assert [name for cell in first for name in re.findall(r"`(\w+)`", cell)] == schema_of(Kafka, "live").keys


def test_the_json_schema_takes_what_is_read_and_nothing_else() -> None:
    schema = Draft202012Validator(json_schema())
    base = plain_run(feed={"use": "tests.samewire.own:Walk"})
    for live in (LIVE | {"deadline_s": 0.5}, {}, None, "kafka", {"use": "kafka", "late": "stop"}):
        assert list(schema.iter_errors(json.loads(json.dumps(base | {"live": live})))) == []
    for live in ({"late": "later"}, {"password": "opensesame"}, {"deadlin_s": 1}):
        assert list(schema.iter_errors(base | {"live": live})) != []


def test_a_replay_needs_no_secret_of_it_and_verify_is_blind_to_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LIVE_PASSWORD", raising=False)
    feed = {"use": "sample", "symbols": 8, "years": 1}
    strategy = {"use": "topk_dropout", "topk": 3, "n_drop": 1}
    session = {"name": "quick", "cash": 1e6, "start": "2018-03-01", "end": "2018-03-29"}
    (tmp_path / "run.yaml").write_text(json.dumps(plain_run(session=session, feed=feed, strategy=strategy, live=LIVE)))
    kept = tmp_path / "session"
    assert main(["replay", str(tmp_path / "run.yaml"), "--out", str(kept), "--quiet"]) == 0
    assert "${env:LIVE_PASSWORD}" in (kept / "run.yaml").read_text()
    changed = (kept / "run.yaml").read_text().replace("env: prod", "env: shadow")
    assert "env: shadow" in changed
    (kept / "run.yaml").write_text(changed)
    capsys.readouterr()
    assert main(["verify", str(kept), "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["ok"] is True
