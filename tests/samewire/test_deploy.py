"""What `deploy/` holds agrees with the program, as far as that can be seen without starting it."""

import configparser
from pathlib import Path
from typing import Any

import yaml

from adapters.kafka.address import KafkaError
from adapters.kafka.transport import FencedError
from engine.errors import ConfigError, DataError
from samewire.cli import COMMANDS
from samewire.connection import settings_of
from samewire.schema import load_run

ROOT = Path(__file__).parent.parent.parent
DEPLOY = ROOT / "deploy"


def unit() -> configparser.ConfigParser:
    found = configparser.ConfigParser(strict=False, interpolation=None, delimiters=("=",))
    found.optionxform = str  # type: ignore[assignment,method-assign]
    found.read_string((DEPLOY / "samewire.service").read_text())
    return found


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return found


def test_a_session_that_was_fenced_or_told_nonsense_is_not_started_again() -> None:
    service = unit()["Service"]
    assert service["Restart"] == "on-failure"
    codes = {int(code) for code in service["RestartPreventExitStatus"].split()}
    assert codes == {ConfigError.exit_code, DataError.exit_code, FencedError.exit_code}
    assert KafkaError.exit_code not in codes
    assert service["KillSignal"] == "SIGTERM"
    # A transaction may take ten seconds, and writing all state another one.
    assert 20 < int(service["TimeoutStopSec"]) < 90


def test_the_unit_runs_a_command_that_there_is_as_nobody_in_particular() -> None:
    service = unit()["Service"]
    program, command, *rest = service["ExecStart"].split()
    assert Path(program).name == "samewire"
    assert command in {name for name, _, _ in COMMANDS}
    assert rest[1:] == ["--log-format", "json"]
    assert service["User"] != "root"
    assert {service[name] for name in ("NoNewPrivileges", "ProtectHome", "PrivateTmp")} == {"yes"}
    assert service["ProtectSystem"] == "strict"


def test_compose_has_one_broker_of_the_version_that_is_tested_on_the_loopback_alone() -> None:
    services = compose()["services"]
    kafka = services["kafka"]
    version = kafka["image"].removeprefix("apache/kafka:")
    assert f"<kafka.version>{version}</kafka.version>" in (ROOT / "tools" / "kafka" / "pom.xml").read_text()
    assert all(port.startswith("127.0.0.1:") for port in kafka["ports"])
    assert kafka["environment"]["KAFKA_ADVERTISED_LISTENERS"] == "PLAINTEXT://127.0.0.1:9092"
    assert [name for name, each in services.items() if name != "kafka" and "ports" in each] == []
    ours = [each for name, each in services.items() if name != "kafka"]
    assert {each["network_mode"] for each in ours} == {"service:kafka"}
    for each in ours:
        program, command, run_file, *_ = each["command"]
        assert program == "samewire"
        assert command in {name for name, _, _ in COMMANDS}
        settings = settings_of(load_run(ROOT / run_file))
        assert settings.dev
        assert each["environment"]["SAMEWIRE_KAFKA"] == "127.0.0.1:9092"


def test_everything_that_may_be_asked_of_a_session_is_on_its_page() -> None:
    from samewire.cli import OPERATING

    page = (ROOT / "docs" / "live.md").read_text()
    assert [name for name, _, _ in OPERATING if f"`samewire {name} " not in page] == []
    assert "deploy/samewire.service" in page
