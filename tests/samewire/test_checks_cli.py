"""`samewire lookahead` and `samewire warmup` as a user meets them."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from samewire.commands.lookahead import Asked, lookahead
from samewire.commands.warmup import warmup
from tests.samewire.test_cli import samewire, started
from tests.samewire.test_other_futures import FEED, OWN, a_run

HONEST = a_run(session={"name": "check", "cash": 1_000_000, "start": "2018-09-04"})
PEEKS = HONEST | {"models": [{"name": "mine", "use": OWN + "FromFeed", "history": FEED}]}
SHORT = HONEST | {"models": [{"name": "mine", "use": OWN + "Average", "span": 5, "lookback": 2}]}


def written(folder: Path, run: dict[str, Any]) -> Path:
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump(run))
    return path


def called(command: Any, path: Path, capsys: pytest.CaptureFixture[str], **options: Any) -> tuple[int, str, str]:
    code = command(path, **options)
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.mark.parametrize("command", ["lookahead", "warmup"])
def test_an_honest_run_exits_with_zero_and_progress_is_on_stderr(command: str, tmp_path: Path) -> None:
    ran = started(command, written(tmp_path, HONEST), cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("run.yaml: ")
    assert "Traceback" not in ran.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["run.yaml"]


@pytest.mark.parametrize("command", ["lookahead", "warmup"])
def test_a_bad_run_file_exits_with_two(command: str, tmp_path: Path) -> None:
    ran = samewire(command, written(tmp_path, HONEST), "--set", "strategy.topk=0", "--format", "json")
    assert (ran.returncode, json.loads(ran.stdout)["exit_code"]) == (2, 2)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("lookahead", "--cuts", "0"), "--cuts must be at least 1, got 0"),
        (("lookahead", "--slices=-1"), "--slices must be at least 0, got -1"),
        (("warmup", "--slices", "0"), "--slices must be at least 1, got 0"),
        (("warmup", "--tolerance", "nan"), "--tolerance must be at least 0, got nan"),
    ],
)
def test_an_argument_that_makes_no_sense_exits_with_two(arguments: tuple[str, ...], said: str, tmp_path: Path) -> None:
    ran = samewire(arguments[0], written(tmp_path, HONEST), *arguments[1:])
    assert (ran.returncode, ran.stderr) == (2, said + "\n")


def test_what_peeks_exits_with_one_and_is_told_in_words(tmp_path: Path) -> None:
    ran = samewire("lookahead", written(tmp_path, PEEKS), "--quiet", "--cuts", "2", cwd=tmp_path)
    assert (ran.returncode, ran.stderr) == (1, "")
    head, *lines = ran.stdout.splitlines()
    assert head == "run.yaml: 1 component knew what was to come"
    said = dict(line.split(None, 1) for line in lines if line.startswith("  component"))
    assert said == {"component": f"mine (models[0], {OWN}FromFeed)"}
    assert "first moved     Signal of 2018-" in ran.stdout
    assert "known by        models[0].history: sample" in ran.stdout


def test_what_peeks_in_json(tmp_path: Path) -> None:
    ran = samewire("lookahead", written(tmp_path, PEEKS), "--format", "json", "--quiet", "--cuts", "1")
    said = json.loads(ran.stdout)
    assert (ran.returncode, said["ok"], len(said["cuts"])) == (1, False, 1)
    (found,) = said["findings"]
    assert (found["component"], found["event"], found["field"]) == ("mine", "Signal", "value")
    assert (found["through"]["place"], found["cut"]["ts"], found["repeatable"]) == (
        "models[0].history",
        said["cuts"][0],
        True,
    )


@pytest.mark.parametrize("command", ["lookahead", "warmup"])
def test_only_modules_that_are_allowed_are_imported(command: str, tmp_path: Path) -> None:
    """A module that leaves a mark when it is imported, named by a run file from a stranger."""
    (tmp_path / "stranger.py").write_text("import pathlib\npathlib.Path('imported').touch()\nclass Mine: ...\n")
    path = written(tmp_path, HONEST | {"models": [{"name": "mine", "use": "stranger:Mine"}]})
    ran = samewire(command, path, "--allow", "built-in", cwd=tmp_path)
    assert ran.returncode == 2
    assert "stranger" in ran.stderr
    assert not (tmp_path / "imported").exists()
    mine = written(tmp_path, PEEKS if command == "lookahead" else SHORT)
    ran = samewire(command, mine, "--allow", "tests.samewire.peeking", "--quiet", cwd=tmp_path)
    assert (ran.returncode, ran.stderr) == (1, "")


def unproven(folder: Path, run: dict[str, Any], *more: str) -> tuple[int, str, dict[str, Any]]:
    """Exit code, words and JSON of a run that cannot be looked at as a whole."""
    path = written(folder, run)
    ran = samewire("lookahead", path, "--quiet", "--cuts", "1", *more, cwd=folder)
    said = samewire("lookahead", path, "--quiet", "--cuts", "1", "--format", "json", *more, cwd=folder)
    assert said.returncode == ran.returncode
    assert ran.stderr == said.stderr == ""
    return ran.returncode, ran.stdout, json.loads(said.stdout)


def test_a_file_that_is_opened_and_stands_in_no_option_leaves_it_unproven(tmp_path: Path) -> None:
    (tmp_path / "known.csv").write_text("date,close\n2018-12-31,17.5\n")
    code, words, said = unproven(tmp_path, HONEST | {"models": [{"name": "mine", "use": OWN + "ByHeart"}]})
    note = "known.csv was opened and stands in no option: what it knows of the future was left as it is"
    assert (code, said["ok"], said["proven"], said["unproven"], said["findings"]) == (1, False, False, [note], [])
    head = "run.yaml: not proven: 1 input could not be altered, and nothing knew the others\n"
    assert words.startswith(head)
    assert f"note: {note}\nlook at these yourself, then say --accept-unproven\n" in words
    code, words, said = unproven(
        tmp_path, HONEST | {"models": [{"name": "mine", "use": OWN + "ByHeart"}]}, "--accept-unproven"
    )
    assert (code, said["ok"], said["proven"], said["unproven"]) == (0, True, False, [note])
    assert words.startswith(head)
    assert words.endswith(f"note: {note}\n")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", '[{"date": "2018-12-31", "close": 17.5}]'),
        ("a.csv", "symbol,close\nCO01,1.0\n"),
        ("a.csv", "date,close\n31/12/2018,1.0\n"),
    ],
)
def test_a_file_in_which_nothing_tells_when_leaves_it_unproven(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    run = HONEST | {"models": [{"name": "mine", "use": OWN + "ManyFiles", "paths": [str(tmp_path / name)]}]}
    code, words, said = unproven(tmp_path, run)
    assert (code, said["proven"]) == (1, False)
    assert f"nothing tells what is later in models[0].paths: {name}; it was left as it is" in words
    assert unproven(tmp_path, run, "--accept-unproven")[0] == 0


def test_what_knows_the_future_fails_whatever_is_accepted(tmp_path: Path) -> None:
    code, words, said = unproven(tmp_path, PEEKS, "--accept-unproven")
    assert (code, said["ok"], said["proven"]) == (1, False, True)
    assert words.startswith("run.yaml: 1 component knew")


def test_what_can_be_looked_at_as_a_whole_is_proven(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("when,close\n2018/12/30,1.5\n2018/12/31,17.5\n")
    run = HONEST | {"models": [{"name": "mine", "use": OWN + "ManyFiles", "paths": [str(tmp_path / "a.csv")]}]}
    code, words, said = unproven(tmp_path, run)
    assert (code, said["ok"], said["proven"], said["unproven"]) == (0, True, True, [])
    assert "note:" not in words
    assert "--accept" not in words


CACHED = """
import numpy as np
from samewire import DAY_NS, Bars, Feed, Signal

WHOLE = {}


class Scaled:
    lookback = 1
    _mean = None

    def __init__(self, *, history: Feed, name: str, where: str) -> None:
        self._history, self._name, self._where = history, name, where

    def _whole(self):
        return np.nanmean([event.close for event in self._history.events() if isinstance(event, Bars)], axis=0)

    def on_bars(self, bars: Bars, /) -> Signal:
        if self._where == "class":
            if Scaled._mean is None:
                Scaled._mean = self._whole()
            mean = Scaled._mean
        elif self._where == "module":
            mean = WHOLE.setdefault("mean", None)
            if mean is None:
                mean = WHOLE["mean"] = self._whole()
        else:  # honest: all of it is kept, but nothing that is later than the slice is looked at
            if "rows" not in WHOLE:
                WHOLE["rows"] = [event for event in self._history.events() if isinstance(event, Bars)]
            mean = np.nanmean([event.close for event in WHOLE["rows"] if event.ts <= bars.ts], axis=0)
        value = bars.close / mean - 1
        return Signal(ts=bars.ts, asof=bars.ts, source=self._name, value=value, horizon_ns=DAY_NS)
"""


@pytest.mark.parametrize("where", ["class", "module"])
def test_a_cache_of_the_whole_range_is_found_in_a_fresh_process(where: str, tmp_path: Path) -> None:
    (tmp_path / "cached.py").write_text(CACHED)
    run = HONEST | {"models": [{"name": "mine", "use": "cached:Scaled", "history": FEED, "where": where}]}
    path = written(tmp_path, run)
    plain = samewire("lookahead", path, "--quiet", "--cuts", "2", cwd=tmp_path)
    assert (plain.returncode, plain.stderr) == (0, "")  # every run of that process reads the first one's cache
    ran = samewire("lookahead", path, "--quiet", "--cuts", "2", "--fresh", cwd=tmp_path)
    assert (ran.returncode, ran.stderr) == (1, "")
    assert ran.stdout.startswith("run.yaml: 1 component knew what was to come\n")
    assert "component       mine (models[0], cached:Scaled)" in ran.stdout
    assert "first moved     Signal of 2018-09-04T20:00:00Z, value of " in ran.stdout
    assert "known by        what an earlier run left in the process" in ran.stdout
    said = json.loads(samewire("lookahead", path, "--fresh", "--quiet", "--format", "json", cwd=tmp_path).stdout)
    (found,) = said["findings"]
    assert (found["component"], found["kept"], found["repeatable"], found["through"]) == ("mine", True, True, None)
    assert float(found["was"]) != float(found["now"])


def test_what_is_honest_is_so_in_a_fresh_process_and_chance_stays_chance(tmp_path: Path) -> None:
    (tmp_path / "cached.py").write_text(CACHED)
    mine = {"name": "mine", "use": "cached:Scaled", "history": FEED, "where": "past"}
    learner = {"name": "gbdt", "use": "lightgbm", "features": "rolling", "num_boost_round": 5, "min_data_in_leaf": 20}
    learner["train"] = {"until": "2018-06-29"}
    run = HONEST | {"features": [{"use": "rolling", "windows": [5]}], "models": [mine, learner]}
    run["strategy"] = HONEST["strategy"] | {"signal": "mine"}
    ran = samewire("lookahead", written(tmp_path, run), "--quiet", "--cuts", "2", "--fresh", cwd=tmp_path)
    assert (ran.returncode, ran.stderr) == (0, ""), ran.stdout
    dice = HONEST | {"models": [{"name": "mine", "use": OWN + "Dice"}]}
    ran = samewire("lookahead", written(tmp_path, dice), "--quiet", "--cuts", "1", "--fresh", cwd=tmp_path)
    assert ran.returncode == 1
    assert ran.stdout.startswith("run.yaml: 1 component said something else when asked twice\n")


def test_a_fresh_process_that_fails_says_so(tmp_path: Path) -> None:
    (tmp_path / "gone.py").write_text(CACHED + "\nimport os, pathlib\npathlib.Path(__file__).unlink()\n")
    run = HONEST | {"models": [{"name": "mine", "use": "gone:Scaled", "history": FEED, "where": "past"}]}
    ran = samewire("lookahead", written(tmp_path, run), "--quiet", "--cuts", "1", "--fresh", cwd=tmp_path)
    assert ran.returncode == 2
    assert ran.stderr.startswith("--fresh: the run in a fresh process failed; leave --fresh out, or mend it: ")
    assert "gone" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_the_seed_draws_other_cuts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from samewire.commands.common import Output

    output, path = Output(format="json", quiet=True), written(tmp_path, HONEST)
    drawn = [
        json.loads(called(lookahead, path, capsys, asked=Asked(seed=seed), output=output)[1])["cuts"]
        for seed in (0, 0, 1)
    ]
    assert drawn[0] == drawn[1] != drawn[2]


def test_what_declares_too_little_exits_with_one_and_is_told_in_words(tmp_path: Path) -> None:
    ran = samewire("warmup", written(tmp_path, SHORT), "--quiet", "--slices", "10", cwd=tmp_path)
    assert (ran.returncode, ran.stderr) == (1, "")
    assert ran.stdout.startswith("run.yaml: 1 component needs more history than declared\n")
    assert "TOO SHORT" in ran.stdout
    assert "model mine declares a lookback of 2 slices; " in ran.stdout
    assert "would be enough" in ran.stdout


def test_what_declares_too_little_in_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from samewire.commands.common import Output

    code, out, err = called(warmup, written(tmp_path, SHORT), capsys, output=Output(format="json", quiet=True))
    said = json.loads(out)
    assert (code, err, said["ok"], said["too_short"]) == (1, "", False, ["mine"])
    mine = next(each for each in said["components"] if each["component"] == "mine")
    assert mine["enough"] > 10
    assert mine["by_warmup"]["0"][0]["max"] > mine["by_warmup"]["2"][0]["max"] > 1e-6


def test_chance_is_called_chance_by_both(tmp_path: Path) -> None:
    path = written(tmp_path, HONEST | {"models": [{"name": "mine", "use": OWN + "Dice"}]})
    ran = samewire("lookahead", path, "--quiet", "--cuts", "1", cwd=tmp_path)
    assert ran.returncode == 1
    assert ran.stdout.startswith("run.yaml: 1 component said something else when asked twice\n")
    assert "it differs between two runs over one history too" in ran.stdout
    ran = samewire("warmup", path, "--quiet", "--slices", "5", cwd=tmp_path)
    assert ran.returncode == 1
    assert ran.stdout.startswith("run.yaml: 1 component said something else when asked twice\n")
    assert "CHANCE" in ran.stdout
    assert "mine declares a lookback of 1 slice; but it differs" in ran.stdout
