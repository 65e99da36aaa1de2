"""What docs/reinforcement-training.md says of registries puts an agent to work."""

import re
import shlex
from pathlib import Path

import pytest

from components.models.artefact import restore_artefact
from components.rl.acting import Categorical
from components.rl.observing import Compact
from components.rl.trainer_options import Mlp
from engine.events import MINUTE_NS
from samewire.build import read_option
from samewire.cli import main
from tests.components.rl.agents import card_of, drawn

PAGE = Path(__file__).parents[2] / "docs" / "reinforcement-training.md"


def test_its_commands_register_and_promote_an_agent_that_a_run_file_then_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = drawn(card_of(Compact(), Categorical(4), Mlp((4,)), interval_ns=MINUTE_NS, bars=390))
    restore_artefact(made, tmp_path / "runs" / "agents" / "artefacts" / made.hash)
    monkeypatch.chdir(tmp_path)
    commands = re.findall(r"^samewire (models .*)$", PAGE.read_text(), re.MULTILINE)
    assert [command.split()[1] for command in commands] == ["register", "promote"]
    for command in commands:
        assert main(shlex.split(command.replace("HASH", made.hash))) == 0
    found = read_option("execution", tmp_path / "configs" / "registry:desk@production")
    assert found.hash == made.hash
