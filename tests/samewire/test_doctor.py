"""What is wrong is found, named, and told with what mends it and the exit code of its kind."""

import datetime as dt
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from engine.errors import ConfigError
from engine.events import DAY_NS
from samewire import doctor as checks
from samewire.cli import main
from samewire.doctor import Finding, broker, calendar, exit_code, packages

ROOT = Path(__file__).parents[2]
NOW = 1_514_926_800_000_000_000
RUN = """\
schema: 1
session: {{name: quick, cash: 1_000_000{days}}}
feed: {feed}
models: [{{use: momentum, window: 5}}]
strategy: {{use: topk_dropout, topk: 10, n_drop: 2}}
optimizer: direct
broker: {{use: simulated, fill: next_open, costs: {{commission_bps: 5}}}}
"""


@pytest.fixture(autouse=True)
def _nothing_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("SAMEWIRE_KAFKA", "SAMEWIRE_DATA", "SAMEWIRE_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SAMEWIRE_KAFKA_DIR", str(tmp_path / "none"))


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Finding]]:
    code = main(["doctor", *arguments, "--format", "json"])
    answer = json.loads(capsys.readouterr().out)
    assert answer["exit_code"] == code
    assert answer["ok"] == (code == 0)
    return code, {each["what"]: Finding(**each) for each in answer["findings"]}


def written(folder: Path, feed: str, days: str = "") -> str:
    (folder / "run.yaml").write_text(RUN.format(feed=feed, days=days))
    return str(folder / "run.yaml")


def closed_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


def test_a_machine_that_runs_these_tests_is_well(capsys: pytest.CaptureFixture[str]) -> None:
    code, found = said(capsys)
    assert [each for each in found.values() if each.state == "wrong"] == []
    assert code == 0
    assert list(found) == ["python", "packages", "openmp", "cache", "calendar", "data", "kafka"]
    assert found["kafka"].state == "not needed"
    assert found["kafka"].mend.endswith("python tools/kafka/broker.py start")


def test_people_are_told_line_by_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMEWIRE_KAFKA", closed_port())
    assert main(["doctor"]) == 5
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2].startswith("wrong       kafka     kafka: no broker answers: 127.0.0.1:")
    assert lines[-1].strip() == "look at SAMEWIRE_KAFKA, and whether the broker runs"


@pytest.mark.parametrize(
    ("line", "version", "wrong"),
    [
        ("numpy>=2.0", "2.0", ""),
        ("numpy>=2.0", "2.0.0", ""),
        ("numpy>=2.0", "2.10.1", ""),
        ("numpy>=2.10", "2.9", "numpy is 2.9, needed is >=2.10"),
        ("cvxpy<1.10,>=1.9", "1.10.0", "cvxpy is 1.10.0, needed is <1.10,>=1.9"),
        ("cvxpy<1.10,>=1.9", "1.9.3rc1", ""),
        ("tzdata>=2025.2", "2026.1", ""),
        ("x==1.0", "1.0.1", "x is 1.0.1, needed is ==1.0"),
        ("aiokafka>=0.14; extra == 'kafka'", "0.1", ""),
        ("numba>=0.66; python_version >= '3.11'", "0.1", "numba is 0.1, needed is >=0.66"),
        ("pandas[performance]>=2.3", "2.2", "pandas is 2.2, needed is >=2.3"),
    ],
)
def test_versions_are_compared_as_numbers(line: str, version: str, wrong: str) -> None:
    found = packages([line], lambda name: version)
    assert (found.state, found.said if wrong else "") == ("wrong" if wrong else "ok", wrong)
    assert found.exit_code == (1 if wrong else 0)


def test_a_package_that_is_not_there_is_named() -> None:
    found = packages(["numpy>=2.0", "no-such-package-of-ours>=1"])
    assert found.said == "no-such-package-of-ours is not installed, needed is >=1"
    assert found.mend == f"{sys.executable} -m pip install --upgrade samewire"


def test_a_library_of_the_system_that_is_missing_is_named() -> None:
    found = checks._openmp("libnone.so.9")
    if sys.platform != "linux":
        assert found.state == "not needed"
        return
    assert (found.state, found.mend, found.exit_code) == ("wrong", "apt-get install -y libgomp1", 1)


def test_python_without_assertions_is_told() -> None:
    done = subprocess.run(
        [sys.executable, "-O", "-m", "samewire", "doctor", "--format", "json"],
        cwd=ROOT,
        env=os.environ | {"PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "run with -O" in json.loads(done.stdout)["findings"][0]["said"]


def test_a_cache_that_cannot_be_written_is_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SAMEWIRE_CACHE", str(tmp_path / "file"))
    code, found = said(capsys)
    assert code == 1
    assert found["cache"].said.startswith(f"{tmp_path / 'file'} cannot be written: ")
    assert found["cache"].mend == "export SAMEWIRE_CACHE=/a/folder/with/room"


def test_a_calendar_that_ends_too_early_or_cannot_be_had_is_told() -> None:
    def ends(days: int) -> Finding:
        return calendar(lambda first, last: ("exchange_calendars 1.0", NOW + days * DAY_NS), NOW)

    def fails(first: dt.date, last: dt.date) -> tuple[str, int]:
        assert last - first == dt.timedelta(days=30)
        raise ConfigError("calendar XNYS: none")

    assert ends(30).state == "ok"
    assert (ends(10).state, ends(10).exit_code) == ("wrong", 3)
    assert "of exchange_calendars 1.0 ends with " in ends(10).said
    assert calendar(fails, NOW).said == "calendar XNYS: none"
    assert calendar(fails, NOW).mend.endswith("-m pip install --upgrade exchange_calendars tzdata")


@pytest.mark.parametrize("what", ["missing", "empty"])
def test_a_data_folder_without_data_is_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, what: str
) -> None:
    folder = tmp_path / "data"
    if what == "empty":
        folder.mkdir()
    monkeypatch.setenv("SAMEWIRE_DATA", str(folder))
    code, found = said(capsys)
    assert code == 3
    assert found["data"].said.startswith(f"SAMEWIRE_DATA names {folder}, which ")


def test_the_feed_of_a_run_file_is_opened(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, found = said(capsys, written(tmp_path, "{use: sample}"))
    assert (code, found["data"].said) == (0, "feed sample: 50 symbols, first slice 2018-01-02")


def test_a_feed_that_cannot_be_opened_or_has_nothing_to_say_is_told(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    missing = written(tmp_path, f"{{use: parquet, path: {tmp_path}/none.parquet, stamped: close}}")
    code, found = said(capsys, missing)
    assert code == found["data"].exit_code > 0
    assert "none.parquet" in found["data"].said
    code, found = said(capsys, written(tmp_path, "{use: sample}", ", start: 2035-01-01"))
    assert code == 3
    assert found["data"].said.startswith("sample: it has no event in the range; it covers 2018-01-02T21:00:00Z to ")
    assert main(["doctor", written(tmp_path, "{use: samples}")]) == 2
    assert "did you mean" in capsys.readouterr().err


def test_a_broker_that_does_not_answer_is_told_with_who_named_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    port = closed_port()
    named = broker({"SAMEWIRE_KAFKA": port})
    assert (named.state, named.exit_code) == ("wrong", 5)
    assert named.said == f"kafka: no broker answers: {port} connection refused (named by SAMEWIRE_KAFKA)"
    (tmp_path / "address").write_text(port)
    local = broker({"SAMEWIRE_KAFKA_DIR": str(tmp_path)})
    assert local.said.endswith(f"(named by {tmp_path})")
    assert local.mend == "python tools/kafka/broker.py start"
    assert broker({"SAMEWIRE_KAFKA": "nonsense"}).said.startswith("kafka: 'nonsense' is no HOST:PORT")
    monkeypatch.setattr(checks.importlib.util, "find_spec", lambda name: None)
    assert broker({"SAMEWIRE_KAFKA": port}).mend.endswith("pip install 'samewire[kafka]'")


def test_what_a_first_broker_needs_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    mend = broker({"SAMEWIRE_KAFKA_DIR": str(tmp_path)}).mend
    assert mend == (
        "apt-get install -y --no-install-recommends default-jre-headless maven && python tools/kafka/broker.py start"
    )


def test_a_broker_that_answers_is_well(kafka: str) -> None:
    found = broker({"SAMEWIRE_KAFKA": kafka})
    assert found.state == "ok"
    assert found.said.startswith(f"{kafka.split(',')[0]} answers, ")


def test_the_first_thing_that_is_wrong_gives_the_exit_code() -> None:
    well = Finding(what="a", state="ok", said="")
    data, kafka = (Finding(what="b", state="wrong", said="", exit_code=code) for code in (3, 5))
    assert [exit_code(found) for found in ([], [well], [well, kafka], [data, kafka])] == [0, 0, 5, 3]
