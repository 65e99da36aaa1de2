"""Run files: what is read, what survives, what is written back."""

import datetime as dt
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from engine.errors import ConfigError
from samewire.json_schema import json_schema
from samewire.registry import BUILT_IN, resolve
from samewire.schema import Component, RunFileErrors, config_hash, dump_run, load_run, resolved
from samewire.signatures import schema_of
from tests.samewire.own import Stops
from tests.samewire.said import GOOD, ROOT, plain_run, problems


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "run.yaml"
    path.write_text(GOOD)
    return path


# ---- scalars ---------------------------------------------------------------------------------------------------------


def test_tickers_survive_as_they_were_written(good: Path) -> None:
    symbols = load_run(good).feed.options["symbols"]
    assert symbols == ["ON", "NO", "TRUE", "NULL", "000001", "1e3", "null", "~tilde", "2018-01-02", "16:00"]


def test_16_00_is_a_time_and_numbers_are_read_by_their_type(good: Path) -> None:
    run = load_run(good)
    assert run.feed.options["close"] == dt.time(16)
    assert run.session.cash == 1_000_000.0
    assert run.session.start == dt.date(2018, 1, 2)
    assert run.optimizer.options["risk_aversion"] == 10.0


@pytest.mark.parametrize("text", ["", "~", "null"])
def test_none_is_read_only_where_none_may_be(text: str, good: Path) -> None:
    assert load_run(good, [f"session.end={text}"]).session.end is None
    assert [p.code for p in caught(good, f"session.cash={text}")] == ["E107" if text == "null" else "E106"]


def caught(path: Path, *overrides: str) -> Any:
    with pytest.raises(RunFileErrors) as error:
        load_run(path, overrides)
    return error.value.problems


def test_a_benchmark_may_be_a_ticker_called_null(good: Path) -> None:
    assert load_run(good, ["session.benchmark=NULL"]).session.benchmark == "NULL"


def test_a_union_takes_the_number_before_the_text(good: Path) -> None:
    assert load_run(good, ["feed.lots=100"]).feed.options["lots"] == 100
    assert load_run(good, ["feed.lots=round"]).feed.options["lots"] == "round"


def test_nested_options_become_their_dataclass() -> None:
    run = load_run(plain_run(strategy={"use": "tests.samewire.own:Equal", "stops": {"loss": "0.2", "kinds": ["a"]}}))
    assert run.strategies[0].options["stops"] == Stops(loss=0.2, kinds=("a",))


@pytest.mark.parametrize("cash", ["inf", "nan", "-1", "0", "1e400"])
def test_cash_is_positive_and_finite(cash: str) -> None:
    assert problems(plain_run(session={"name": "a", "cash": cash})) == [("E108", "session.cash")]


def test_anchors_and_aliases_are_read(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(
        GOOD.replace("window: 5}", "window: &w 7}\n  - {name: slow, use: momentum, window: *w}")
    )
    assert [spec.component.options["window"] for spec in load_run(tmp_path / "run.yaml").models] == [7, 7]


def test_a_byte_order_mark_is_skipped(good: Path) -> None:
    good.write_bytes(b"\xef\xbb\xbf" + good.read_bytes())
    assert load_run(good).session.name == "quick"


# ---- paths -----------------------------------------------------------------------------------------------------------


def test_paths_start_from_the_folder_of_the_run_file(good: Path) -> None:
    assert load_run(good).feed.options["path"] == good.parent / "prices" / "daily"


def test_paths_after_set_start_from_the_working_directory(good: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere"
    other.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(other)
        run = load_run(good, ["feed.path=mine", "feed.more=[a, /b]"])
    assert run.feed.options["path"] == other / "mine"
    assert run.feed.options["more"] == (other / "a", Path("/b"))


def test_paths_of_a_mapping_start_from_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = load_run(plain_run(models=[{"use": "tests.samewire.own:Tabled", "table": Path("scores.parquet")}]))
    assert run.models[0].component.options["table"] == tmp_path / "scores.parquet"


# ---- components ------------------------------------------------------------------------------------------------------


def test_defaults_are_filled_in_so_that_the_resolved_file_is_whole(good: Path) -> None:
    options = load_run(good).strategies[0].options
    assert options["risk_degree"] == 0.95
    assert "universe" not in options
    assert "name" not in options


def test_a_slot_takes_a_name_a_mapping_or_a_class() -> None:
    optimizer = {"use": "mean_variance", "risk_model": "ledoit_wolf"}
    by_name = load_run(plain_run(optimizer=optimizer)).optimizer.options["risk_model"]
    by_use = load_run(plain_run(optimizer=optimizer | {"risk_model": {"use": "ledoit_wolf"}})).optimizer
    own = {"use": "components.risk_models.ledoit_wolf:LedoitWolf", "window": 60}
    by_class = load_run(plain_run(optimizer=optimizer | {"risk_model": own})).optimizer.options["risk_model"]
    assert isinstance(by_name, Component)
    assert by_name == by_use.options["risk_model"]
    assert (by_name.group, by_class.options["window"]) == ("risk_models", 60)


def test_costs_without_use_are_bps() -> None:
    run = load_run(plain_run(broker={"use": "simulated", "fill": "next_open", "costs": {"slippage_bps": 3}}))
    costs = run.broker.options["costs"]
    assert (costs.group, costs.use, costs.options["slippage_bps"]) == ("costs", "bps", 3.0)


def test_an_optional_slot_may_stay_empty() -> None:
    run = load_run(plain_run(models=[{"use": "tests.samewire.own:Tabled", "table": "t.csv"}]))
    assert run.models[0].component.options["risk"] is None


def test_what_a_component_is_handed_may_not_be_written() -> None:
    for key in ("universe", "name", "ids", "costs"):
        assert ("E104", f"optimizer.{key}") in problems(plain_run(optimizer={"use": "direct", key: "x"}))


def test_a_feature_set_that_is_only_named_is_made() -> None:
    run = load_run(plain_run(models=[{"use": "tests.samewire.own:Reads", "features": "rolling"}]))
    assert [(c.name, c.use) for c in run.features] == [("rolling", "rolling")]
    assert run == load_run(
        plain_run(features=["rolling"], models=[{"use": "tests.samewire.own:Reads", "features": "rolling"}])
    )


def test_a_problem_in_a_feature_set_is_not_told_again_at_the_model() -> None:
    features = [{"name": "fast", "use": "rolling", "windoes": [5]}]
    models = [{"use": "tests.samewire.own:Reads", "features": "fast"}]
    assert problems(plain_run(features=features, models=models)) == [("E104", "features[0].windoes")]


def test_several_strategies_stand_in_a_list() -> None:
    sleeves = [{"name": "one", "use": "tests.samewire.own:Equal"}, {"name": "two", "use": "sign"}]
    assert [c.name for c in load_run(plain_run(strategy=sleeves)).strategies] == ["one", "two"]


def test_risk_and_sinks_have_defaults_and_sinks_may_be_none() -> None:
    run = load_run(plain_run())
    assert (run.risk.use, [sink.use for sink in run.sinks]) == ("limits", ["session_dir"])
    assert load_run(plain_run(sinks=[])).sinks == ()


def test_warmup_is_a_number_of_slices_or_none_and_survives_being_written_back(good: Path, tmp_path: Path) -> None:
    assert load_run(good).session.warmup is None
    for text, slices in (("0", 0), ("60", 60), ("null", None), ("~", None)):
        run = load_run(good, [f"session.warmup={text}"])
        assert run.session.warmup == slices
        (tmp_path / "again.yaml").write_text(dump_run(run))
        assert load_run(tmp_path / "again.yaml") == run
    assert len({config_hash(load_run(good, [f"session.warmup={n}"])) for n in ("null", "0", "60")}) == 3
    for text in ("-1", "1.5", "none", "2d"):
        with pytest.raises(RunFileErrors, match=r"session\.warmup"):
            load_run(good, [f"session.warmup={text}"])
    said = json_schema()["properties"]["session"]["properties"]["warmup"]
    assert said["anyOf"] == [{"minimum": 0, "type": "integer"}, {"type": "null"}]


def test_latency_and_ttl_are_durations() -> None:
    model = {"use": "momentum", "window": 5, "latency": "250ms", "ttl": "2d"}
    spec = load_run(plain_run(models=[model])).models[0]
    assert (spec.latency_ns, spec.ttl_ns) == (250_000_000, 2 * 86_400 * 10**9)


def test_a_duration_has_a_bound_that_is_told_as_one() -> None:
    with pytest.raises(RunFileErrors, match="at most 36500d"):
        load_run(plain_run(models=[{"use": "momentum", "window": 5, "ttl": "40000d"}]))


def test_constructors_tell_all_their_problems_that_a_default_can_step_in_for() -> None:
    broker = {"use": "simulated", "fill": "next_open", "costs": {"commission_bps": -1, "slippage_bps": -2}}
    expected = [("E108", "broker.costs.commission_bps"), ("E108", "broker.costs.slippage_bps")]
    assert problems(plain_run(broker=broker)) == expected


def test_a_users_class_that_needs_a_universe_is_not_constructed_by_check() -> None:
    assert load_run(plain_run(models=["tests.samewire.own:Last"])).models[0].component.name == "Last"


@pytest.mark.parametrize("group", BUILT_IN)
def test_every_registered_component_imports_and_is_a_schema(group: str) -> None:
    for name in BUILT_IN[group]:
        assert schema_of(resolve(group, name), group).name


def test_the_registry_imports_no_component() -> None:
    heavy = "('components', 'adapters', 'numpy', 'pydantic')"
    code = f"import sys, samewire.registry; print([m for m in sys.modules if m.startswith({heavy})])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert ran.stdout == "[]\n"


def test_a_users_module_that_fails_while_it_is_imported_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_module_of_a_user.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(RunFileErrors, match="ZeroDivisionError while broken_module_of_a_user is imported"):
        load_run(plain_run(feed="broken_module_of_a_user:Feed"))


# ---- overrides -------------------------------------------------------------------------------------------------------


def test_set_changes_one_value_and_later_ones_win(good: Path) -> None:
    run = load_run(good, ["strategy.topk=5", "models[0].window=9", "strategy.topk=6", "session.seed=3"])
    assert (run.strategies[0].options["topk"], run.models[0].component.options["window"], run.session.seed) == (6, 9, 3)


def test_set_makes_what_is_missing_and_opens_a_bare_name(good: Path) -> None:
    run = load_run(good, ["risk.max_weight=0.1", "optimizer.risk_model.window=60"])
    assert run.risk.options["max_weight"] == 0.1
    assert run.optimizer.options["risk_model"].options["window"] == 60


def test_set_takes_lists_and_mappings_in_flow_style(good: Path) -> None:
    run = load_run(good, ["feed.symbols=[A, NO]", "broker.costs={use: bps, slippage_bps: 2}"])
    assert run.feed.options["symbols"] == ["A", "NO"]
    assert run.broker.options["costs"].options["slippage_bps"] == 2.0


def test_set_may_hold_an_equals_sign(good: Path) -> None:
    assert load_run(good, ["session.benchmark=A=B"]).session.benchmark == "A=B"


def test_set_knows_a_single_strategy_as_the_first(good: Path) -> None:
    assert load_run(good, ["strategy[0].topk=7"]).strategies[0].options["topk"] == 7


@pytest.mark.parametrize(
    ("expression", "code", "said"),
    [
        ("strategy.topp=5", "E104", 'did you mean "topk"?'),
        ("strategi.topk=5", "E104", 'did you mean "strategy"?'),
        ("strategy.topk", "E120", "PATH=VALUE"),
        ("=5", "E120", "PATH=VALUE"),
        (".a=5", "E120", "PATH=VALUE"),
        ("a..b=5", "E120", "PATH=VALUE"),
        ("models[x].a=5", "E120", "PATH=VALUE"),
        ("models[3].window=5", "E120", "an index from 0 to 0"),
        ("session[0]=5", "E120", "a path without an index"),
        ("session.cash.more=5", "E120", "session.cash is no mapping"),
        ("models.window=5", "E120", "models is no mapping"),
        ("strategy.topk=[1", "E101", "not YAML"),
        ("strategy.topk=!!int 1", "E103", "no tags"),
        ("strategy.topk=many", "E107", "an integer"),
    ],
)
def test_a_wrong_set_is_told_with_its_place(expression: str, code: str, said: str, good: Path) -> None:
    with pytest.raises(RunFileErrors) as error:
        load_run(good, [expression])
    assert code in [problem.code for problem in error.value.problems]
    assert said in str(error.value)
    assert f"set | {expression}" in str(error.value)


# ---- from Python, and back -------------------------------------------------------------------------------------------


def test_a_mapping_may_hold_python_values() -> None:
    session = {"name": "quick", "cash": np.float64(1e6), "start": dt.date(2020, 1, 2), "end": None, "seed": np.int64(4)}
    run = load_run(plain_run(session=session))
    assert (run.session.start, run.session.end, run.session.seed) == (dt.date(2020, 1, 2), None, 4)


def test_a_problem_in_a_mapping_is_told_by_its_path() -> None:
    with pytest.raises(RunFileErrors, match="1 problem in the run - nothing was started(?s:.)*models\\[0\\].windw"):
        load_run(plain_run(models=[{"use": "momentum", "windw": 5}]))


def test_a_mapping_that_holds_itself_is_refused() -> None:
    run = plain_run()
    run["feed"] = {"use": "tests.samewire.own:Walk", "seed": run}
    with pytest.raises(RunFileErrors, match="nested too deep"):
        load_run(run)


def test_a_bad_run_file_is_a_config_error() -> None:
    with pytest.raises(ConfigError) as error:
        load_run({})
    assert error.value.exit_code == 2


def test_the_resolved_file_loads_back_equal(good: Path, tmp_path: Path) -> None:
    run = load_run(good)
    (tmp_path / "deep").mkdir()
    again = tmp_path / "deep" / "resolved.yaml"
    again.write_text(dump_run(run))
    assert load_run(again) == run
    assert dump_run(load_run(again)) == dump_run(run)


def test_the_resolved_file_is_plain_yaml(good: Path) -> None:
    said = resolved(load_run(good))
    assert json.loads(json.dumps(said)) == said
    assert set(yaml.safe_load(dump_run(load_run(good)))) == set(said)


def test_the_hash_knows_neither_the_folder_nor_the_order_of_keys(good: Path, tmp_path: Path) -> None:
    other = tmp_path / "other place"
    other.mkdir()
    lines = GOOD.replace("{use: momentum, window: 5}", "{window: 5, use: momentum}")
    (other / "another name.yaml").write_text(lines)
    assert config_hash(load_run(good)) == config_hash(load_run(other / "another name.yaml"))


def test_the_hash_knows_every_value_and_a_default_is_a_value(good: Path) -> None:
    plain = config_hash(load_run(good))
    assert config_hash(load_run(good, ["strategy.risk_degree=0.95"])) == plain
    for change in ("strategy.risk_degree=0.9", "feed.path=elsewhere", "models[0].lag=1", "session.seed=1"):
        assert config_hash(load_run(good, [change])) != plain


# ---- JSON Schema -----------------------------------------------------------------------------------------------------


def test_the_json_schema_knows_every_section_and_component() -> None:
    schema = json_schema()
    assert json.loads(json.dumps(schema, default=str)) is not None
    assert set(schema["properties"]) >= {"schema", "session", "feed", "models", "strategy", "broker"}
    for group in BUILT_IN:
        titles = [choice.get("title") for choice in schema["$defs"][group].get("anyOf", [])]
        assert set(BUILT_IN[group]) <= set(titles)


def test_every_reference_of_the_json_schema_leads_somewhere() -> None:
    schema = json_schema()

    def references(value: Any) -> list[str]:
        if isinstance(value, dict):
            own = [value["$ref"]] if "$ref" in value else []
            return own + [r for inner in value.values() for r in references(inner)]
        return [r for inner in value for r in references(inner)] if isinstance(value, list) else []

    assert {r.removeprefix("#/$defs/") for r in references(schema)} <= set(schema["$defs"])
