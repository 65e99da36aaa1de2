"""The command line as a user meets it: real processes, their output and exit codes."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from samewire.cli import COMMANDS, main
from samewire.commands.demo import RUN_FILE, verdict
from samewire.ownership import stranger
from samewire.schema import load_run
from tests.samewire.forked import called

ROOT = Path(__file__).parent.parent.parent
HEAVY = (
    "pandas",
    "pyarrow",
    "lightgbm",
    "cvxpy",
    "torch",
    "numba",
    "scipy",
    "exchange_calendars",
    "sklearn",
)
RUN = {
    "schema": 1,
    "session": {"name": "quick", "cash": 1_000_000},
    "feed": {"use": "tests.samewire.own:Walk", "slices": 40},
    "models": [{"use": "momentum", "window": 5}],
    "strategy": {"use": "topk_dropout", "topk": 2, "n_drop": 1},
    "optimizer": "direct",
    "broker": {"use": "simulated", "fill": "next_open", "costs": {"commission_bps": 5}},
}


def samewire(*arguments: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None) -> Any:
    """A process of its own."""
    return called(list(map(str, arguments)), cwd, environment(env))


def started(*arguments: str | Path, cwd: Path | None = None) -> Any:
    """An interpreter of its own, which has to find and to import all it needs."""
    return called(list(map(str, arguments)), cwd, environment(None), started=True)


def environment(more: dict[str, str] | None) -> dict[str, str]:
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": path, "COLUMNS": "100", "TERM": "dumb", **(more or {})}


@pytest.fixture
def run_file(tmp_path: Path) -> Path:
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(RUN))
    return path


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a finished session."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "run.yaml").write_text(yaml.safe_dump(RUN))
    ran = started("replay", "run.yaml", "--out", "runs/quick", cwd=folder)
    assert ran.returncode == 0, ran.stderr
    return folder / "runs" / "quick"


# ---- start -----------------------------------------------------------------------------------------------------------


def cpu_of(*arguments: str | Path) -> float:
    """CPU seconds of one call, the best of three: a machine may be busy."""
    spent = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert started(*arguments).returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(spent)


def test_help_starts_in_seven_tenths_of_a_cpu_second() -> None:
    started("--help")  # compiles what has no byte code yet
    assert cpu_of("--help") < 0.7


def test_check_takes_less_than_a_cpu_second() -> None:
    started("check", RUN_FILE)
    assert cpu_of("check", RUN_FILE) < 1.0


def test_check_imports_nothing_heavy() -> None:
    code = (
        "import sys; from samewire.cli import main; code = main(sys.argv[1:]);"
        f"print('heavy:', sorted(set(sys.modules) & set({HEAVY!r})), file=sys.stderr); sys.exit(code)"
    )
    command = [sys.executable, "-c", code, "check", str(RUN_FILE)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr.strip()) == (0, "heavy: []")


def test_no_registered_component_imports_anything_heavy_when_it_is_read_as_a_schema() -> None:
    code = (
        "import sys; from samewire.registry import BUILT_IN, resolve; from samewire.signatures import schema_of;"
        "[schema_of(resolve(group, name), group) for group in BUILT_IN for name in BUILT_IN[group]];"
        f"print(sorted(set(sys.modules) & set({HEAVY!r})))"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ran.stdout, ran.stderr) == ("[]\n", "")


def test_help_names_every_command_and_imports_none() -> None:
    said = started("--help").stdout
    for name, _, _ in COMMANDS:
        assert name in said


@pytest.mark.parametrize("command", [name for name, _, _ in COMMANDS] + ["config schema"])
def test_every_command_has_help_and_takes_a_format(command: str) -> None:
    ran = started(*command.split(), "--help")
    assert ran.returncode == 0
    assert "--format" in ran.stdout


def test_version_is_one_line() -> None:
    assert started("--version").stdout == "0.1.0\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("chek", "run.yaml"), 'Did you mean "check"?'),
        (("check", "run.yaml", "--fromat", "json"), "Did you mean --format?"),
        (("check",), "RUN-FILE"),
        (("check", "run.yaml", "--format", "xml"), "xml"),
    ],
)
def test_a_wrong_argument_exits_with_two(arguments: tuple[str, ...], said: str) -> None:
    ran = started(*arguments)
    assert ran.returncode == 2
    assert said.replace("-", "") in (ran.stdout + ran.stderr).replace("_", "").replace("-", "")


# ---- check -----------------------------------------------------------------------------------------------------------


def test_check_says_that_a_good_file_is_good(run_file: Path) -> None:
    ran = started("check", "run.yaml", cwd=run_file.parent)
    assert ran.returncode == 0
    assert ran.stdout.startswith("run.yaml: no problem found\n")


def test_check_in_json(run_file: Path) -> None:
    said = json.loads(samewire("check", run_file, "--format", "json").stdout)
    assert (said["ok"], said["feed"], len(said["config_hash"])) == (True, "tests.samewire.own:Walk", 64)


@pytest.mark.parametrize(
    ("execution", "text"),
    [
        (None, "none"),
        ({"use": "twap", "horizon": 20}, "twap over 20 slices"),
        ({"use": "immediate"}, "immediate over 1 slice"),
        ({"use": "tests.samewire.scripted:Halves"}, "tests.samewire.scripted:Halves"),
    ],
)
def test_check_tells_who_works_the_orders(
    run_file: Path, capsys: pytest.CaptureFixture[str], execution: dict[str, Any] | None, text: str
) -> None:
    whole = yaml.safe_load(run_file.read_text()) | {"execution": execution}
    run_file.write_text(yaml.safe_dump(whole))
    assert main(["check", str(run_file)]) == 0
    rows = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()[1:]]
    assert rows[5:8] == [["optimizer", "direct"], ["execution", text], ["risk", "limits"]]
    assert main(["check", str(run_file), "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["execution"] == text


def test_check_shows_all_problems_on_stderr_and_exits_with_two(run_file: Path) -> None:
    ran = samewire("check", "run.yaml", "--set", "strategy.topk=0", "--set", "feed.slises=3", cwd=run_file.parent)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith("2 problems in run.yaml - nothing was started\n")
    assert 'did you mean "slices"?' in ran.stderr
    assert "Traceback" not in ran.stderr


def test_problems_in_json_are_one_document_on_stdout(run_file: Path) -> None:
    ran = samewire("check", run_file, "--set", "strategy.topk=0", "--format=json")
    said = json.loads(ran.stdout)
    assert (ran.returncode, ran.stderr) == (2, "")
    assert (said["ok"], said["exit_code"], said["problems"][0]["path"]) == (False, 2, "strategy.topk")


def test_debug_shows_the_traceback(run_file: Path) -> None:
    assert "Traceback" in samewire("check", run_file, "--set", "a=1", "--debug").stderr


def test_wrong_arguments_in_json_are_one_document_too() -> None:
    ran = samewire("check", "--format", "json")
    assert (ran.returncode, json.loads(ran.stdout)["exit_code"]) == (2, 2)


def test_a_place_that_cannot_be_written_is_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ran = samewire("config", "schema", "--out", tmp_path / "file" / "run.schema.json")
    assert (ran.returncode, "Traceback" in ran.stderr) == (2, False)
    assert "choose another place" in ran.stderr


def test_a_users_module_is_found_where_the_command_is_called(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text((ROOT / "tests" / "samewire" / "own.py").read_text())
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(RUN | {"feed": "mine:Walk"}))
    program = shutil.which("samewire", path=str(Path(sys.executable).parent))
    if program is None:
        pytest.skip("samewire is not installed as a program here")
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    ran = subprocess.run([program, "check", "run.yaml"], cwd=tmp_path, env=environ, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr


# ---- replay, report, tap ---------------------------------------------------------------------------------------------


def test_replay_without_out_writes_nothing_and_says_how_to_keep_it(run_file: Path) -> None:
    ran = samewire("replay", "run.yaml", cwd=run_file.parent)
    assert ran.returncode == 0, ran.stderr
    assert "--out runs/quick" in ran.stdout
    assert "100 %" in ran.stderr
    assert [path.name for path in run_file.parent.iterdir()] == ["run.yaml"]


def test_replay_in_json_is_one_document_and_progress_is_not_in_it(run_file: Path) -> None:
    ran = samewire("replay", run_file, "--format", "json", "--quiet")
    said = json.loads(ran.stdout)
    assert (ran.stderr, said["ok"], said["summary"]["slices"]) == ("", True, 40)


def test_replay_writes_a_session_directory_that_its_run_file_repeats(session: Path) -> None:
    assert {"manifest.json", "summary.json", "run.yaml", "report.html", "journal"} <= {
        p.name for p in session.iterdir()
    }
    again = samewire("replay", session / "run.yaml", "--format", "json", "--quiet")
    assert json.loads(again.stdout)["summary"]["digest"] == json.loads((session / "summary.json").read_text())["digest"]


def test_replay_refuses_to_replace_a_session_unless_told_so(session: Path) -> None:
    folder = session.parent.parent
    assert samewire("replay", "run.yaml", "--out", session, cwd=folder).returncode == 2
    assert samewire("replay", "run.yaml", "--out", session, "--overwrite", cwd=folder).returncode == 0


def test_bad_market_data_exits_with_three_and_leaves_no_directory(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(RUN | {"feed": {"use": "parquet", "path": "nothing.parquet"}}))
    ran = samewire("replay", "run.yaml", "--out", "out", cwd=tmp_path)
    assert (ran.returncode, "Traceback" in ran.stderr) == (3, False), ran.stderr
    assert "nothing.parquet" in ran.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["run.yaml"]


def test_report_is_rendered_again_where_asked(session: Path, tmp_path: Path) -> None:
    ran = started("report", session, "--out", tmp_path / "again.html", "--format", "json")
    assert json.loads(ran.stdout) == {"ok": True, "report": str(tmp_path / "again.html")}
    assert (tmp_path / "again.html").read_text().lower().startswith("<!doctype html>")


def test_report_of_no_session_exits_with_three(tmp_path: Path) -> None:
    ran = samewire("report", tmp_path)
    assert ran.returncode == 3
    assert "no manifest.json" in ran.stderr


def rows(session: Path, *arguments: str) -> list[dict[str, Any]]:
    ran = samewire("tap", *arguments, "--dir", session, "--format", "json")
    assert ran.returncode == 0, ran.stderr
    return [json.loads(line) for line in ran.stdout.splitlines()]


def test_tap_prints_fills_with_names_and_times(session: Path) -> None:
    first = rows(session, "fills")[0]
    assert first["symbol"] in ("S0", "S1", "S2")
    assert first["ts"].endswith("Z")
    assert (len(first["order_ids"]), first["price"] > 0) == (16, True)


def test_tap_filters_by_symbol_source_and_time(session: Path) -> None:
    bars = rows(session, "bars", "--symbol", "S1", "--since", "2018-01-10", "--until", "2018-01-12")
    assert [(row["ts"][:10], row["symbol"], row["status"]) for row in bars] == [
        ("2018-01-10", "S1", "fresh"),
        ("2018-01-11", "S1", "fresh"),
    ]
    assert {row["source"] for row in rows(session, "signals", "--source", "momentum", "--limit", "4")} == {"momentum"}
    assert rows(session, "signals", "--source", "other") == []


def test_tap_all_keeps_the_order_of_the_bus_and_skips_what_is_not_stored(session: Path) -> None:
    said = rows(session, "all", "--limit", "200")
    assert [row["seq"] for row in said] == sorted(row["seq"] for row in said)
    assert {"Bars", "Book", "Signal", "Orders", "Approved"} <= {row["event"] for row in said}


@pytest.mark.parametrize(
    "topic", ["actions", "approved", "books", "controls", "notes", "orders", "refusals", "reports"]
)
def test_tap_knows_every_topic(topic: str, session: Path) -> None:
    assert samewire("tap", topic, "--dir", session, "--limit", "3").returncode == 0


def test_tap_in_text_has_a_head_and_columns(session: Path) -> None:
    head, *lines = started("tap", "books", "--dir", session, "--limit", "2").stdout.splitlines()
    assert head.split() == ["ts", "equity", "cash", "unsettled", "positions", "open_orders", "mode"]
    assert len(lines) == 2


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("fils",), 2, "did you mean 'fills'?"),
        (("fills", "--symbol", "S9"), 2, "S0, S1, S2"),
        (("fills", "--since", "soon"), 2, "no instant"),
    ],
)
def test_tap_tells_what_is_wrong(arguments: tuple[str, ...], code: int, said: str, session: Path) -> None:
    ran = samewire("tap", *arguments, "--dir", session)
    assert (ran.returncode, said in ran.stderr) == (code, True), ran.stderr


def test_tap_of_no_session_exits_with_three(tmp_path: Path) -> None:
    assert samewire("tap", "fills", "--dir", tmp_path).returncode == 3


def test_a_reader_that_goes_away_is_no_error(session: Path) -> None:
    command = f'"{sys.executable}" -m samewire tap bars --dir "{session}" --format json | head -1'
    ran = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, "")


# ---- signals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_a_replay_and_leaves_no_directory(number: int, code: int, tmp_path: Path) -> None:
    slow = RUN | {"feed": {"use": "tests.samewire.own:Walk", "slices": 30_000, "symbols": 3}}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(slow))
    command = [sys.executable, "-m", "samewire", "replay", "run.yaml", "--out", "out"]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    child = subprocess.Popen(
        command, cwd=tmp_path, env=environ, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stderr is not None
    line = child.stderr.readline()
    assert "10 %" in line, line
    child.send_signal(number)
    _, said = child.communicate(timeout=600)
    assert child.returncode == code, said
    assert "Traceback" not in said
    assert [path.name for path in tmp_path.iterdir()] == ["run.yaml"]


def test_a_session_that_was_killed_can_be_read_from_its_part_folder(tmp_path: Path) -> None:
    slow = RUN | {"feed": {"use": "tests.samewire.own:Walk", "slices": 12_000, "symbols": 3}}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(slow))
    command = [sys.executable, "-m", "samewire", "replay", "run.yaml", "--out", "out"]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    child = subprocess.Popen(command, cwd=tmp_path, env=environ, stderr=subprocess.PIPE, text=True)
    assert child.stderr is not None
    assert "10 %" in child.stderr.readline()
    child.kill()
    child.communicate(timeout=600)
    (left,) = (path for path in tmp_path.iterdir() if path.name != "run.yaml")
    assert left.name == f".out.{child.pid}.part"
    orders = [
        json.loads(line) for line in started("tap", "approved", "--dir", left, "--format", "json").stdout.splitlines()
    ]
    assert len(orders) > 10
    why = started("why", orders[0]["ids"], "--dir", left)
    assert (why.returncode, "feature" in why.stdout or "signal" in why.stdout) == (0, True), why.stderr
    verified = started("verify", left)
    assert verified.returncode == 0, verified.stdout
    assert "the session did not come to its end" in verified.stdout
    audited = started("audit", "verify", left)
    assert audited.returncode == 0, audited.stdout + audited.stderr
    assert audited.stdout.startswith("intact beside its journal; compared with no head: ")
    assert "its session has not ended" in audited.stdout
    again = started("replay", left / "run.yaml", "--set", "feed.slices=100", "--out", tmp_path / "out")
    assert again.returncode == 0, again.stderr
    assert left.is_dir()


# ---- packages of the same name ---------------------------------------------------------------------------------------


def test_a_local_folder_that_hides_a_package_is_told_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "engine").mkdir()
    (tmp_path / "engine" / "__init__.py").write_text("")
    environ = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-m", "samewire", "--version"]
    ran = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert f"{tmp_path / 'engine'} hides its own package 'engine'" in ran.stderr
    assert ran.stderr.count("\n") == 1


def test_a_local_file_that_hides_a_package_is_told_too(tmp_path: Path) -> None:
    (tmp_path / "adapters.py").write_text("")
    found = {"adapters": tmp_path / "adapters.py"}
    own = {name: ROOT / name / "__init__.py" for name in ("engine", "components", "adapters")}
    assert "adapters.py hides" in stranger(lambda name: (own | found)[name])
    assert "is not installed" in stranger(lambda name: None)
    assert stranger(lambda name: own[name]) == ""


# ---- demo ------------------------------------------------------------------------------------------------------------


def test_the_shipped_demo_is_the_one_in_configs() -> None:
    assert RUN_FILE.read_text() == (ROOT / "configs" / "demo.yaml").read_text()
    assert load_run(RUN_FILE).session.name == "demo"


@pytest.mark.parametrize(
    ("measured", "t", "found"),
    [(0.05, 6.0, True), (0.05, 2.9, False), (-0.05, -6.0, False), (None, None, False), (0.0, 0.0, False)],
)
def test_the_signal_counts_as_found_above_three_standard_errors(measured: Any, t: Any, found: bool) -> None:
    said = verdict(0.07, {"rank_ic": measured, "rank_ic_t": t, "models": {"gbdt": {"slices": 500}}})
    assert said.found is found
    assert ("did not find it" in said.text()) is not found


@pytest.mark.slow
def test_the_demo_finds_what_was_planted(tmp_path: Path) -> None:
    ran = started("demo", cwd=tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "found it" in ran.stdout
    assert (tmp_path / "runs" / "demo" / "report.html").is_file()


@pytest.mark.slow
def test_the_demo_with_its_signal_permuted_reports_that_it_did_not_find_it(tmp_path: Path) -> None:
    ran = started("demo", "--permuted", cwd=tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "did not find it" in ran.stdout
    # Once more: its own directory is replaced.
    said = json.loads(started("demo", "--permuted", "--format", "json", cwd=tmp_path).stdout)
    assert (said["ok"], said["found"], said["permuted"]) == (True, False, True)


def test_main_may_be_called_from_python(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    began = time.process_time()
    assert main(["check", str(RUN_FILE)]) == 0
    assert time.process_time() - began < 5
    assert "no problem found" in capsys.readouterr().out
