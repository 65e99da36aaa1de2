"""The section `live` by itself: what it says to Kafka's client, and what it refuses."""

from pathlib import Path
from typing import Any

import pytest

from adapters.kafka.address import KafkaError
from adapters.kafka.settings import Kafka
from engine.secret import Secret

SASL: dict[str, Any] = {"security": "sasl_ssl", "username": "jane", "password": Secret("opensesame")}
OAUTH: dict[str, Any] = {"security": "sasl_ssl", "mechanism": "oauthbearer"}


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"env": "a.b"}, "env"),
        ({"account": ""}, "account"),
        ({"servers": "kafka-1"}, "servers"),
        ({"servers": "kafka-1:9092,"}, "servers"),
        ({"transactional_id": "a b"}, "transactional_id"),
        ({"transactional_id": "quick-0f8fad5b-d9cb-469f-a165-70867728950e"}, "transactional_id"),
        ({"ca_file": Path("ca.pem")}, "ca_file"),
        ({"security": "sasl_plaintext", "key_password": Secret("opensesame")}, "key_password"),
        ({"security": "ssl", "key_file": Path("key.pem")}, "cert_file"),
        ({"security": "ssl", "username": "jane"}, "username"),
        ({"password": Secret("opensesame")}, "password"),
        (SASL | {"username": ""}, "username"),
        (SASL | {"password": None}, "password"),
        (SASL | {"token_file": Path("token")}, "token_file"),
        (SASL | OAUTH | {"token_file": Path("token")}, "username"),
        (OAUTH, "token_command"),
        (OAUTH | {"token_file": Path("token"), "token_command": ("say",)}, "token_command"),
        (OAUTH | {"token_command": ()}, "token_command"),
        ({"deadline_s": float("nan")}, "deadline_s"),
        ({"deadline_s": 1e9}, "deadline_s"),
        ({"quorum": 1.5}, "quorum"),
        ({"deadline_s": 2.0, "patience_s": 1.0}, "patience_s"),
        ({"ahead_s": 0.0}, "ahead_s"),
        ({"snapshot_every": 0}, "snapshot_every"),
        ({"batch_ms": 60_000}, "batch_ms"),
    ],
)
def test_what_contradicts_itself_is_refused_by_the_name_of_the_option(options: dict[str, Any], name: str) -> None:
    with pytest.raises(ValueError, match=f"^{name} ") as caught:
        Kafka(**options)
    assert "opensesame" not in str(caught.value)


def test_the_rules_of_slices_are_those_that_were_said() -> None:
    rules = Kafka(deadline_s=0.25, quorum=0.9, patience_s=5.0, absent_after=0, skew_s=0.001).cut_rules()
    said = (rules.deadline_ns, rules.quorum, rules.patience_ns, rules.absent_after, rules.skew_ns, rules.early)
    assert said == (250_000_000, 0.9, 5_000_000_000, 0, 1_000_000, True)


@pytest.mark.parametrize(
    ("servers", "here"),
    [
        ("localhost:1", True),
        ("127.0.0.1:1,127.1.2.3:1", True),
        ("[::1]:1", True),
        ("127.0.0.1:1,kafka-1:1", False),
        ("localhost.example.com:1", False),
        ("127.0.0.1.example.com:1", False),
        ("10.0.0.1:1", False),
    ],
)
def test_loopback_is_when_every_server_is(servers: str, here: bool) -> None:
    assert Kafka(servers=servers).loopback is here


def test_servers_are_those_of_the_file_then_of_the_environment_then_the_local_broker(tmp_path: Path) -> None:
    local = {"SAMEWIRE_KAFKA_DIR": str(tmp_path)}
    with pytest.raises(KafkaError, match=r"live\.servers .* SAMEWIRE_KAFKA"):
        Kafka().where(local)
    (tmp_path / "address").write_text("127.0.0.1:7\n")
    assert Kafka().where(local).address == "127.0.0.1:7"
    assert Kafka().where(local | {"SAMEWIRE_KAFKA": "kafka-1:9"}).address == "kafka-1:9"
    assert Kafka(servers="kafka-2:9").where({"SAMEWIRE_KAFKA": "kafka-1:9"}).address == "kafka-2:9"


def test_the_client_is_told_what_the_file_says() -> None:
    plain = Kafka(servers="a:1, b:2").client_options()
    assert plain == {"bootstrap_servers": ["a:1", "b:2"], "security_protocol": "PLAINTEXT", "ssl_context": None}
    said = Kafka(servers="a:1", **SASL | {"mechanism": "scram-sha-256"}).client_options()
    context = said.pop("ssl_context")
    assert (context.check_hostname, context.verify_mode.name) == (True, "CERT_REQUIRED")
    assert said == {
        "bootstrap_servers": ["a:1"],
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-256",
        "sasl_plain_username": "jane",
        "sasl_plain_password": "opensesame",
    }


def test_the_transactional_id_is_the_same_at_every_start() -> None:
    assert Kafka(env="prod").transaction_name("quick") == "samewire.prod.quick"
    assert Kafka(transactional_id="mine").transaction_name("quick") == "mine"
