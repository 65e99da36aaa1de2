"""Whatever run file is drawn: written back it loads equal, and what is wrong is told as a problem."""

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samewire.diagnostics import Origin, Problem
from samewire.plain import run_in_words
from samewire.schema import RunFile, RunFileErrors, config_hash, dump_run, load_run
from samewire.yaml_text import Entries, Items, Node, compose, written
from tests.samewire.said import GOOD, plain_run

TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=12)


@st.composite
def run_files(draw: st.DrawFn) -> dict[str, Any]:
    symbols = draw(st.lists(TEXTS, min_size=1, max_size=4, unique=True))
    feed = {
        "use": "tests.samewire.own:Tickers",
        "path": draw(st.sampled_from(["a b", "x/y.parquet", "/abs"])),
        "symbols": symbols,
        "close": draw(st.times().map(lambda t: t.replace(fold=0))),
        "since": draw(st.none() | st.dates()),
        "stamped": draw(st.sampled_from(["open", "close"])),
        "sectors": draw(st.none() | st.dictionaries(TEXTS, TEXTS, max_size=3)),
        "rate": draw(st.floats(allow_nan=False, allow_infinity=False)),
        "lots": draw(st.integers() | st.sampled_from(["round", "odd"])),
    }
    model = {
        "use": "momentum",
        "window": draw(st.integers(1, 100)),
        "lag": draw(st.integers(0, 5)),
        "ttl": f"{draw(st.integers(0, 36_500))}{draw(st.sampled_from(['ns', 'us', 'ms', 's', 'min', 'h', 'd']))}",
    }
    stops = {"loss": draw(st.floats(0, 1)), "kinds": draw(st.lists(TEXTS, max_size=3))}
    return plain_run(
        session={"name": "quick", "cash": draw(st.floats(1e-3, 1e12)), "benchmark": draw(TEXTS)},
        feed=feed,
        models=[model],
        strategy={"use": "tests.samewire.own:Equal", "stops": stops},
        risk={"max_weight": draw(st.none() | st.floats(0.01, 1))},
    )


@settings(max_examples=60, deadline=None)
@given(run_files())
def test_any_run_file_written_back_loads_equal(tmp_path_factory: pytest.TempPathFactory, said: dict[str, Any]) -> None:
    run = load_run(said)
    path = tmp_path_factory.mktemp("run") / "run.yaml"
    path.write_text(dump_run(run), encoding="utf-8")
    again = load_run(path)
    assert again == run
    assert run_in_words(again, 1, str) == run_in_words(run, 1, str)


@settings(max_examples=60, deadline=None)
@given(said=run_files(), place=st.randoms(use_true_random=False))
def test_the_text_of_a_mapping_says_the_same_as_the_mapping(said: dict[str, Any], place: Any) -> None:
    keys = list(said)
    place.shuffle(keys)
    run = load_run({key: said[key] for key in keys})
    assert run == load_run(said)
    assert config_hash(run) == config_hash(load_run(said))


WORDS = st.sampled_from(
    ["schema", "1", "session", "name", "cash", "feed", "use", "models", "features", "strategy", "optimizer", "broker"]
    + [
        "risk",
        "costs",
        "bps",
        "sinks",
        "tests.samewire.own:Walk",
        "momentum",
        "window",
        "~",
        "null",
        "",
        "[",
        "&a",
        "*a",
    ]
)
TREES = st.recursive(
    WORDS | st.none() | st.integers() | st.floats() | st.booleans() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS | TEXTS, inner, max_size=6),
    max_leaves=25,
)


@settings(max_examples=150, deadline=None)
@given(TREES, st.lists(st.text("abcdefgmodelstrategy.[]0=1{}", max_size=20), max_size=2))
def test_a_random_tree_is_told_its_problems_and_nothing_else_is_raised(tree: Any, overrides: list[str]) -> None:
    said = tree if isinstance(tree, dict) else {"session": tree}
    with pytest.raises(RunFileErrors) as error:
        load_run(said, overrides)
    assert str(error.value)
    json.dumps(error.value.as_json())


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=200) | st.binary(max_size=200))
def test_a_random_text_is_told_its_problems(tmp_path_factory: pytest.TempPathFactory, text: str | bytes) -> None:
    path = tmp_path_factory.mktemp("run") / "run.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    with pytest.raises(RunFileErrors):
        load_run(path)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_good_file_with_a_few_characters_changed_never_crashes(
    tmp_path_factory: pytest.TempPathFactory, draw: st.DataObject
) -> None:
    text = list(GOOD)
    for _ in range(draw.draw(st.integers(1, 4))):
        place = draw.draw(st.integers(0, len(text) - 1))
        text[place : place + draw.draw(st.integers(0, 2))] = draw.draw(st.text(":{}[],#&*!|>'\"% \n\tab0", max_size=3))
    path = tmp_path_factory.mktemp("run") / "run.yaml"
    path.write_text("".join(text))
    with contextlib.suppress(RunFileErrors):
        assert isinstance(load_run(path), RunFile)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(TEXTS, st.recursive(TEXTS, lambda i: st.lists(i) | st.dictionaries(TEXTS, i), max_leaves=9)))
def test_what_is_written_reads_back_as_the_same_texts(said: dict[str, Any]) -> None:
    found: list[Problem] = []
    read = compose(written(said), Origin("text", Path()), found)
    assert found == []
    assert read is None or texts(read) == said


def texts(node: Node) -> Any:
    if isinstance(node, Entries):
        return {key: texts(inner) for key, inner in node.values.items()}
    return [texts(inner) for inner in node.items] if isinstance(node, Items) else node.value
