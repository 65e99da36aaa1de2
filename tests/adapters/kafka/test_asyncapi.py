"""The published document is a valid one, says what is written, and is the one in the repository.

The schema beside this file is that of the AsyncAPI Initiative for documents of version 3.0.0 (Apache-2.0).
"""

import copy
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator, Draft202012Validator

from adapters.kafka.asyncapi import document, json_schema
from adapters.kafka.topics import PUBLIC
from samewire.cli import main, version
from tests.adapters.kafka.test_codec import one_of_each

ROOT = Path(__file__).parents[3]
OFFICIAL = Draft7Validator(json.loads(Path(__file__).with_name("asyncapi-3.0.0.json").read_text()))
PARSER = ROOT / "tools" / "asyncapi"


def test_it_is_valid_by_the_official_schema() -> None:
    assert [error.message for error in OFFICIAL.iter_errors(document("1.2.3"))] == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("asyncapi",), "4"),
        (("info", "version"), None),
        (("channels", "bars", "address"), 5),
        (("operations", "send-signals", "action"), "publish"),
        (("operations", "send-signals", "channel"), {}),
        (("channels", "bars", "bindings", "kafka", "partitions"), 0),
        (("components", "schemas", "BarMessage", "type"), "thing"),
    ],
)  # fmt: skip
def test_the_official_schema_finds_what_is_wrong(path: tuple[str, ...], value: Any) -> None:
    said = copy.deepcopy(document("1.2.3"))
    place: Any = said
    for key in path[:-1]:
        place = place[key]
    assert path[-1] in place
    place[path[-1]] = value
    assert not OFFICIAL.is_valid(said)


@pytest.mark.parametrize("kind", PUBLIC)
def test_what_is_written_is_what_the_document_says(kind: str) -> None:
    said, record = document("1"), one_of_each()[kind]
    message = said["components"]["messages"][kind]
    whole = {"$ref": message["payload"]["$ref"], "components": said["components"]}
    Draft202012Validator(whole).validate(json.loads(record.value))
    Draft202012Validator(message["headers"]).validate({name: text.decode("ascii") for name, text in record.headers})
    parts = dict(zip(("env", PUBLIC[kind].named_by), record.topic.split(".")[::2], strict=True))
    assert said["channels"][kind]["address"].format(**parts) == record.topic
    assert sorted(said["channels"][kind]["parameters"]) == sorted(parts)


@pytest.mark.parametrize("kind", PUBLIC)
def test_a_body_that_lacks_what_it_must_have_is_not_what_the_schema_says(kind: str) -> None:
    schema = json_schema(kind)
    Draft202012Validator.check_schema(schema)
    body = json.loads(one_of_each()[kind].value)
    for name in body:
        less = {key: value for key, value in body.items() if key != name}
        definition = schema["$defs"][PUBLIC[kind].message.__name__]
        assert Draft202012Validator(schema).is_valid(less) == (name not in definition["required"]), name


def test_the_one_in_the_repository_is_this_one() -> None:
    kept = json.loads((ROOT / "docs" / "asyncapi.json").read_text())
    assert kept == document(version()), "write it anew: samewire asyncapi --out docs/asyncapi.json"


def test_the_command_prints_it_and_the_schema_of_one_kind(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["asyncapi", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == document(version())
    assert main(["asyncapi", "--schema", "signals"]) == 0
    assert json.loads(capsys.readouterr().out) == json_schema("signals")
    assert main(["asyncapi", "--schema", "signal"]) == 2
    assert "did you mean 'signals'?" in capsys.readouterr().err


def test_the_official_parser_finds_nothing() -> None:
    """Where it is installed; it reads references and rules that no schema states."""
    if not (PARSER / "node_modules" / "@asyncapi" / "parser").is_dir():
        lack = "the AsyncAPI parser is not installed: npm ci --prefix tools/asyncapi"
        if os.environ.get("SAMEWIRE_REQUIRE_ASYNCAPI") == "1":
            pytest.fail(lack)
        pytest.skip(lack)
    no_channel, astray = document(version()), document(version())
    no_channel["operations"]["send-signals"]["channel"] = {"$ref": "#/channels/none"}
    astray["operations"]["send-late"]["messages"] = [{"$ref": "#/components/messages/late"}]  # of no channel
    found, *wrong = asked(document(version()), no_channel, astray)
    assert [each for each in found if each["severity"] < 2] == []
    assert [any(each["severity"] == 0 for each in answer) for answer in wrong] == [True, True]


def asked(*said: dict[str, Any]) -> list[list[dict[str, Any]]]:
    done = subprocess.run(
        ["node", "check.js"], cwd=PARSER, input=json.dumps(said), capture_output=True, text=True, check=True
    )
    return list(json.loads(done.stdout))
