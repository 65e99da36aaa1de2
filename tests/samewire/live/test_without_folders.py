"""A trained model named by folder or registry: once a session has begun, no start and no reader needs either."""

import asyncio
import shutil
from pathlib import Path

import pytest

from engine.errors import ConfigError
from samewire.cli import main
from samewire.live.manner import Manner
from samewire.recorded import open_recorded
from tests.samewire.live.sessions import Ground, events_of, first_apart
from tests.samewire.livened import RUN


def trained(folder: Path) -> None:
    """A replay of the run file; its model stands in `artefacts` and, as `lin`, in `registry`."""
    (folder / "first.yaml").write_text(RUN.replace("start: 2018-03-01,", "start: 2018-03-01, end: 2018-03-02,"))
    assert main(["replay", str(folder / "first.yaml"), "--out", str(folder / "first"), "--quiet"]) == 0
    shutil.copytree(folder / "first" / "models" / "lin", folder / "artefacts")
    there = ["--registry", str(folder / "registry"), "--actor", "ann"]
    assert main(["models", "register", "lin", str(folder / "artefacts"), *there]) == 0
    hash_ = open_recorded(folder / "first").manifest["models"]["lin"]
    assert main(["models", "promote", "lin", hash_, "production", *there, "--reason", "x"]) == 0


@pytest.mark.parametrize("named", ["artefacts", '"registry:lin@production"'])
def test_a_session_goes_on_and_is_read_where_what_it_was_trained_as_is_gone(
    kafka: str, topic_prefix: str, tmp_path: Path, named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    trained(tmp_path)
    run_file = tmp_path / "run.yaml"
    run = RUN.replace("train: {until: 2018-02-20, least: 20}", f"artefact: {named}")
    run_file.write_text(run.replace("start: 2018-03-01,", "start: 2018-03-01, end: 2018-03-21,"))
    ground = Ground(run_file, kafka, topic_prefix, "live.snapshot_every=4")
    asyncio.run(ground.feed())
    assert main(["replay", str(run_file), "--out", str(tmp_path / "replayed"), "--quiet"]) == 0
    asyncio.run(ground.live(until=6, kill=True))
    shutil.rmtree(tmp_path / "artefacts")
    shutil.rmtree(tmp_path / "registry")

    def said(*command: str) -> tuple[int, str]:
        capsys.readouterr()
        return asyncio.run(ground.command(*command)), capsys.readouterr().err

    code, words = said("check")
    assert (code, "models[0].artefact" in words) == (2, True), words
    with pytest.raises(ConfigError, match=r"run\.yaml:\d+.*models\.lin\.artefact: got .*; expected "):
        asyncio.run(ground.live(manner=Manner(new=True)))
    assert ground.process("live").returncode == 0
    assert said("status")[0] == 0
    assert said("fetch", "--out", str(tmp_path / "fetched"))[0] == 0
    one, other = (list(events_of(tmp_path / name)) for name in ("replayed", "fetched"))
    assert first_apart(one, other) == ""
    assert said("replay", "--as-final", "--out", str(tmp_path / "final"))[0] == 0
    assert (tmp_path / "final" / "models" / "lin" / "MANIFEST.json").is_file()
