"""Presets fill in what a run file does not say, show it, and change nothing else."""

import re
from pathlib import Path
from typing import Any

import pytest

from samewire.compat import PRESETS
from samewire.diagnostics import RunFileErrors
from samewire.schema import dump_run, load_run

PLAIN: dict[str, Any] = {
    "schema": 1,
    "session": {"name": "short", "cash": 1_000_000},
    "feed": "sample",
    "models": ["momentum", {"name": "slow", "use": "momentum", "window": 60}],
    "strategy": {"use": "sign", "signal": "slow"},
}
PAGE = (Path(__file__).parents[2] / "docs" / "compat.md").read_text()


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_makes_a_whole_run_file_of_one_without_broker_and_optimizer(name: str, tmp_path: Path) -> None:
    run = load_run(PLAIN | {"compat": name})
    assert run.compat == name
    assert run.broker.options["fill"] == PRESETS[name]["broker"]["fill"]
    again = tmp_path / "run.yaml"
    again.write_text(dump_run(run))
    assert load_run(again) == run


def test_what_the_file_says_wins_over_the_preset() -> None:
    own = {"use": "simulated", "fill": "next_open", "costs": {"buy_bps": 1, "use": "by_side"}}
    run = load_run(PLAIN | {"compat": "qlib", "broker": own}, ["models[0].lag=3"])
    assert run.broker.options["fill"] == "next_open"
    costs = run.broker.options["costs"].options
    assert (costs["buy_bps"], costs["sell_bps"], costs["minimum"]) == (1.0, 15.0, 5.0)
    assert [spec.lag for spec in run.models] == [3, 1]


def test_options_of_a_preset_are_not_given_to_another_component() -> None:
    run = load_run(PLAIN | {"compat": "qlib", "optimizer": {"use": "mean_variance", "risk_model": "ledoit_wolf"}})
    assert run.optimizer.use == "mean_variance"
    assert run.optimizer.options["reserve_bps"] != 0
    assert run.broker.options["fill"] == "same_close"


def test_a_bare_name_takes_the_options_too() -> None:
    run = load_run(PLAIN | {"compat": "zipline", "optimizer": "direct", "broker": "simulated"})
    assert run.optimizer.options["time_in_force"] == "gtc"
    assert run.broker.options["participation"] == 0.025


@pytest.mark.parametrize("nothing", [None, "~"])
def test_no_preset_is_none(nothing: str | None) -> None:
    given = PLAIN | {"compat": nothing, "optimizer": "direct", "broker": {"use": "simulated", "fill": "next_open"}}
    given["broker"] |= {"costs": "bps"}
    if nothing == "~":
        given.pop("compat")
    run = load_run(given)
    assert run.compat == ""
    assert "compat" not in dump_run(run)


def test_an_unknown_preset_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(RunFileErrors) as caught:
        load_run(PLAIN | {"compat": "zipeline"})
    assert 'did you mean "zipline"?' in str(caught.value)
    assert "qlib, zipline, backtrader, lean" in str(caught.value)


def flat(section: str, value: Any) -> list[tuple[str, str, str]]:
    """Rows of (section, option, value) as the page of presets writes them."""
    rows = []
    for key, inner in value.items():
        if isinstance(inner, dict):
            rows += flat(f"{section}.{key}", inner)
        elif isinstance(inner, list):
            rows += [row for i, item in enumerate(inner) for row in flat(f"{section}.{key}[{i}]", item)]
        else:
            rows.append((section, key, str(inner).lower() if isinstance(inner, bool) else f"{inner}"))
    return rows


@pytest.mark.parametrize("name", PRESETS)
def test_the_page_of_presets_shows_every_option_of_each_and_no_other(name: str) -> None:
    chapter = PAGE.split(f"### {name}\n")[1].split("\n## ")[0].split("\n### ")[0]
    told = re.findall(r"^\| (\S+) \| (\S+) \| (\S+) \|$", chapter, re.M)
    assert [row for row in told if row[0] not in ("section", "---", "---|---|---")] == [
        row for section, options in PRESETS[name].items() for row in flat(section, options)
    ]
