"""Secrets that a component puts into its events, and secrets that cannot be read: each ends in an error by name."""

import inspect
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.models.artefact import artefact_of
from engine.clock import SystemClock
from engine.errors import ComponentError, ConfigError
from engine.events import DAY_NS, EVENT_TYPES, Bars, Book, Features, Matrix, Note, Refusals, Signal
from engine.protocols import Artefact, Dataset, Table
from engine.secret import Secret
from engine.state import pack
from engine.universe import Universe
from samewire import load_run, run
from samewire.hiding import Hider
from samewire.secret_guard import Guard
from samewire.training import How, train
from tests.samewire.test_secrets import FIRST, MARK, guarded, project

__all__ = ["project"]  # the fixture

TOLD = "sw0rdfish-77"


class Leaks:
    """A model that takes its password for the hash of what it was trained to."""

    lookback = 1

    def __init__(self, *, universe: Universe, name: str, password: Secret, kind: str = "float64") -> None:
        self._n, self._name, self._kind, self._password = len(universe), name, kind, password

    def on_bars(self, bars: Bars, /) -> Signal:
        leaked = self._password.reveal() if self._kind == "float64" else ""
        value: Any = np.ones(self._n, self._kind) if self._kind != "list" else [1.0] * self._n
        return Signal(ts=bars.ts, asof=bars.ts, source=self._name, value=value, horizon_ns=DAY_NS, model_hash=leaked)


class Remembers(Leaks):
    """A model that saves what it was handed."""

    def on_bars(self, bars: Bars, /) -> Signal:
        value = np.ones(self._n)
        return Signal(ts=bars.ts, asof=bars.ts, source=self._name, value=value, horizon_ns=DAY_NS)

    def save(self) -> bytes:
        clear = self._password.reveal()
        return pack("mine", 1, login=np.array([clear]) if self._kind == "array" else {"as": clear})

    def load(self, state: bytes, /) -> None: ...


class Learns:
    """A model that keeps its password beside what it learned."""

    lookback = 0

    def __init__(self, *, name: str, password: Secret) -> None:
        self._name, self._password = name, password

    def on_features(self, features: Features, /) -> Signal:
        value = features.value[:, 0].astype(float)
        return Signal(ts=features.ts, asof=features.ts, source=self._name, value=value, horizon_ns=DAY_NS)

    def fit(self, dataset: Dataset, /) -> Artefact:
        return artefact_of({"model.json": b"{}", "login.txt": f"as {self._password.reveal()}".encode()})

    def predict(self, dataset: Dataset, /) -> Matrix:
        return np.zeros(dataset.label.shape)

    def swap(self, artefact: Artefact, /) -> None: ...


class Labelled:
    """A strategy whose labels are a mapping of texts."""

    interval_ns = 0

    def __init__(self, *, password: Secret, labels: dict[str, str]) -> None:
        self._labels = labels

    def on_signals(self, signals: tuple[Signal, ...], book: Book, /) -> None:
        return None


class Optional:
    """A model that may be handed a table."""

    lookback = 1

    def __init__(self, *, universe: Universe, name: str, table: Table | None = None) -> None:
        assert not isinstance(table, Path)
        self._n, self._name, self._rows = len(universe), name, 0 if table is None else len(table.ts)

    def on_bars(self, bars: Bars, /) -> Signal:
        value = np.full(self._n, float(self._rows))
        return Signal(ts=bars.ts, asof=bars.ts, source=self._name, value=value, horizon_ns=DAY_NS)


def leaking(kind: str = "float64") -> dict[str, Any]:
    model = {"use": "tests.samewire.test_secret_guard:Leaks", "name": "leaks", "kind": kind}
    return guarded() | {"models": [model | {"password": "${env:GUARDED_PASSWORD}"}]}


def test_a_secret_in_the_hash_of_a_signal_ends_the_session(project: Path) -> None:
    with pytest.raises(ComponentError, match="leaks: failed on Signal .* a secret stands in its text") as caught:
        run(leaking(), out=project / "out")
    assert FIRST not in str(caught.value)
    assert not (project / "out").exists()


@pytest.mark.parametrize("kind", ["text", "array"])
def test_a_secret_in_what_a_component_saves_ends_the_session(project: Path, kind: str) -> None:
    said = leaking()
    said["session"]["snapshot_every"] = 10
    said["models"][0] |= {"use": "momentum", "window": 2}
    del said["models"][0]["kind"], said["models"][0]["password"]
    run(said, out=project / "harmless")  # it saves nothing
    assert len(list((project / "harmless").rglob("*.sws"))) == 3
    said["models"] = leaking(kind)["models"]
    said["models"][0]["use"] = "tests.samewire.test_secret_guard:Remembers"
    with pytest.raises(ComponentError, match=r"leaks: failed on Bars .* what it saves holds a secret") as caught:
        run(said, out=project / "out")
    assert FIRST not in str(caught.value)
    assert [path for path in project.rglob("*") if path.is_file() and "harmless" not in str(path)] != []
    kept = [path for path in (project / "out.failed").rglob("*") if path.is_file()]
    assert [path.name for path in kept if path.suffix == ".sws"] == []
    assert [path.name for path in kept if MARK in path.read_bytes()] == []


def test_a_secret_in_what_a_model_learned_ends_the_run(project: Path) -> None:
    model = {
        "use": "tests.samewire.test_secret_guard:Learns",
        "name": "learns",
        "features": "rolling",
        "password": "${env:GUARDED_PASSWORD}",
        "train": {"until": "2018-01-20", "least": 5},
    }
    said = guarded() | {"features": [{"name": "rolling", "use": "rolling", "windows": [2]}], "models": [model]}
    said["session"]["start"] = "2018-01-22"
    with pytest.raises(ConfigError, match=r"learns: login.txt of what it learned holds a secret"):
        run(said, out=project / "out")
    assert list(project.rglob("login.txt")) == []


def test_a_secret_in_what_a_planned_training_learned_is_kept_nowhere(project: Path) -> None:
    model = {"use": "tests.samewire.test_secret_guard:Learns", "name": "learns", "features": "rolling"}
    section = {"split": {"use": "walk_forward", "every": 20, "window": 40}, "store": str(project / "store")}
    said = guarded() | {
        "feed": {"use": "tests.samewire.own:Walk", "symbols": 5, "slices": 100},
        "features": [{"name": "rolling", "use": "rolling", "windows": [2]}],
        "models": [model | {"password": "${env:GUARDED_PASSWORD}"}],
        "training": section,
    }
    done = train(load_run(said), How(clock=SystemClock()))
    assert len(done.tasks) > 1
    for task in done.tasks:
        assert "learns: login.txt of what it learned holds a secret" in task.error
        assert FIRST not in task.error
    kept = [path for path in (project / "store").rglob("*") if path.is_file()]
    assert kept
    assert [path.name for path in kept if MARK in path.read_bytes()] == []


def test_a_secret_that_is_a_key_of_the_run_file_is_refused(project: Path) -> None:
    strategy = {"use": "tests.samewire.test_secret_guard:Labelled", "password": "${env:GUARDED_PASSWORD}"}
    said = guarded() | {"strategy": strategy | {"labels": {"desk": "one"}}}
    run(said, out=project / "harmless")
    said = guarded() | {"strategy": strategy | {"labels": {f"as {FIRST}": "one"}}}
    with pytest.raises(ConfigError, match=r"a key of strategy.labels: the value is, or holds, a secret") as caught:
        run(said, out=project / "out")
    assert FIRST not in str(caught.value)
    assert not (project / "out").exists()


def texts_of(kind: type[Any]) -> list[str]:
    """Fields of an event that hold text, read from how they are declared."""
    declared = inspect.get_annotations(kind)
    return [name for name, said in declared.items() if said in (str, "str", tuple[str, ...], "tuple[str, ...]")]


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind in EVENT_TYPES for name in texts_of(kind)], ids=lambda at: str(at)
)
def test_every_text_of_every_event_is_watched(kind: type[Any], name: str) -> None:
    hide = Hider()
    hide.add(TOLD)
    fields: dict[str, Any] = {each: None for each in kind.__struct_fields__} | dict.fromkeys(texts_of(kind), "")
    several = "tuple" in str(inspect.get_annotations(kind)[name])
    clean = kind(**fields | {"ts": 1, name: ("a",) if several else "a"})
    Guard(hide).append(["who"], [clean])
    event = kind(**fields | {"ts": 1, name: ("a", f"x {TOLD}") if several else f"x {TOLD}"})
    with pytest.raises(ComponentError, match=r"who: failed on .* a secret stands in its text"):
        Guard(hide).append(["who"], [clean, event][1:])


def test_the_hash_of_a_signal_and_the_words_of_a_note_are_among_them() -> None:
    assert {"source", "model_hash"} <= set(texts_of(Signal))
    assert {"source", "kind", "text"} <= set(texts_of(Note))
    assert "rule" in texts_of(Refusals)


def test_events_without_one_pass_however_often_they_come() -> None:
    hide = Hider()
    hide.add(TOLD)
    guard = Guard(hide)
    for ts in range(1, 10_000):
        guard.append(["who"], [Note(ts=ts, source="s", kind="k", text=f"text {ts}")])
    with pytest.raises(ComponentError, match="a secret stands in its text"):
        guard.append(["who"], [Note(ts=10_000, source="s", kind="k", text=f"text {TOLD}")])


@pytest.mark.parametrize(
    ("kind", "said"), [("int64", "int64"), ("float32", "float32"), ("bool", "bool"), ("list", "list")]
)
def test_a_signal_of_another_type_is_the_fault_of_its_model(project: Path, kind: str, said: str) -> None:
    with pytest.raises(ComponentError, match=rf"leaks: failed on Bars .* its signal has values of {said}, not float64"):
        run(leaking(kind))


def test_a_secret_of_the_environment_that_is_no_text_is_told(project: Path) -> None:
    os.environb[b"GUARDED_PASSWORD"] = b"sw0rd\xff\xfefish"
    with pytest.raises(ConfigError, match=r"password: \$\{env:GUARDED_PASSWORD\}: it is no text in UTF-8; write"):
        run(guarded())


def test_an_option_that_may_be_a_table_is_handed_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_text(
        "ts,symbol,value\n" + "".join(f"1970-01-0{d}T00:00:00Z,S0,1.0\n" for d in range(1, 4))
    )
    model = {"use": "tests.samewire.test_secret_guard:Optional"}
    said = guarded() | {"strategy": "sign"}
    for options in ({"table": "t.csv"}, {}):
        done = run(said | {"models": [model | options]})
        assert done.summary["slices"] > 20
