"""Verification names what differs: one component, one model file, one value of the run file, one bar, one clock."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.samewire.forked import called

ROOT = Path(__file__).parent.parent.parent
MODEL = """
import numpy as np
from engine.events import Bars, Signal
{imports}

class Mine:
    lookback = 1
    def __init__(self, *, name: str) -> None:
        self._name, self._last = name, None
    def on_bars(self, bars: Bars, /) -> Signal:
        last, self._last = self._last, bars.close
        value = np.full(len(bars.close), np.nan) if last is None else {formula}
        return Signal(ts=bars.ts, asof=bars.ts, source=self._name, value=value, horizon_ns=0)
    def swap(self, artefact) -> None: ...
{more}
"""
STATE = """
    def save(self) -> bytes:
        from engine.state import pack
        return pack("mine", 1, last=self._last)
    def load(self, state: bytes, /) -> None:
        from engine.state import unpack
        self._last = unpack(state, "mine", 1)["last"]
"""


def model(folder: Path, formula: str = "bars.close / last - 1", imports: str = "", more: str = STATE) -> None:
    (folder / "mine.py").write_text(MODEL.format(imports=imports, formula=formula, more=more))


def prices(folder: Path, change: Callable[[dict[str, Any]], None] | None = None) -> Path:
    """Eight names over 160 weekdays."""
    rng = np.random.default_rng(5)
    days = np.arange("2019-01-02", "2019-12-31", dtype="datetime64[D]")
    days = days[np.is_busday(days)][:160]
    close = 50 * np.exp(np.cumsum(rng.normal(0, 0.02, (len(days), 8)), axis=0))
    opening = close * np.exp(rng.normal(0, 0.005, close.shape))
    columns = {
        "date": np.repeat(days, 8),
        "symbol": np.tile([f"S{i}" for i in range(8)], len(days)),
        "open": opening.ravel(),
        "high": np.maximum(opening, close).ravel() * 1.01,
        "low": np.minimum(opening, close).ravel() * 0.99,
        "close": close.ravel(),
        "volume": rng.uniform(1e5, 1e6, close.size),
    }
    if change is not None:
        change(columns)
    path = folder / "bars.parquet"
    pq.write_table(pa.table(columns), path)
    return path


def spec(folder: Path, **changed: Any) -> dict[str, Any]:
    whole: dict[str, Any] = {
        "schema": 1,
        "session": {"name": "proof", "start": "2019-03-01", "cash": 1_000_000, "snapshot_every": 40},
        "feed": {"use": "parquet", "path": str(folder / "bars.parquet"), "close": "16:00 America/New_York"},
        "models": [{"name": "mine", "use": "mine:Mine"}],
        "strategy": {"use": "topk_dropout", "topk": 3, "n_drop": 1},
        "optimizer": {"use": "direct"},
        "risk": {"max_weight": 0.5},
        "broker": {"use": "simulated", "fill": "next_open", "costs": {"commission_bps": 5, "slippage_bps": 5}},
    }
    return whole | changed


TRAINED = {
    "features": [{"name": "rolling", "use": "rolling", "windows": [5]}],
    "models": [
        {
            "name": "gbdt",
            "use": "lightgbm",
            "features": "rolling",
            "num_boost_round": 5,
            "min_data_in_leaf": 20,
            "train": {"until": "2019-06-28"},
        }
    ],
    "session": {"name": "proof", "start": "2019-06-03", "cash": 1_000_000, "snapshot_every": 20},
}


def samewire(folder: Path, *arguments: str, started: bool = False) -> subprocess.CompletedProcess[str]:
    """A process of its own; `started`: one that has to import all it needs."""
    environ = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{folder}"}
    return called(list(arguments), folder, environ, started=started)


def recorded(folder: Path, **changed: Any) -> Path:
    (folder / "run.json").write_text(json.dumps(spec(folder, **changed)))
    (folder / "run.yaml").write_text(json.dumps(spec(folder, **changed)))
    done = samewire(folder, "replay", "run.yaml", "--out", "out", "--quiet")
    assert done.returncode == 0, done.stderr
    return folder / "out"


def verified(folder: Path, *more: str) -> dict[str, Any]:
    done = samewire(folder, "verify", "out", "--format", "json", *more)
    assert done.returncode in (0, 1), done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == (0 if found["identical"] else 1)
    return found


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("proof")
    model(folder)
    prices(folder)
    recorded(folder)
    return folder


@pytest.fixture
def copy(session: Path, tmp_path: Path) -> Path:
    """A copy of the session with its data and code, to be changed."""
    folder = tmp_path / "copy"
    shutil.copytree(session, folder)
    for path in (folder / "out" / "run.yaml", folder / "out" / "manifest.json"):
        path.write_text(path.read_text().replace(str(session), str(folder)))
    return folder


def test_a_session_is_identical_to_itself_in_a_fresh_process(session: Path) -> None:
    found = json.loads(samewire(session, "verify", "out", "--format", "json", started=True).stdout)
    assert found["identical"]
    assert found["ended"]
    assert not found["findings"]
    manifest = json.loads((session / "out" / "manifest.json").read_text())
    assert found["digest"] == manifest["digest"]
    assert found["events"] > 700
    said = samewire(session, "verify", "out", started=True)
    assert said.stdout.startswith(f"identical, {found['events']:,} events, digest {found['digest']}")


def test_from_the_middle_the_rest_is_identical_too(session: Path) -> None:
    whole, found = verified(session), verified(session, "--from", "last")
    assert found["identical"]
    assert 0 < found["since"] < found["events"] == whole["events"]
    assert found["digest"] == whole["digest"]
    earlier = verified(session, "--from", "2019-06-01")
    assert earlier["identical"]
    assert 0 < earlier["since"] < found["since"]
    refused = samewire(session, "verify", "out", "--from", "2019-01-01")
    assert refused.returncode == 3
    assert "no snapshot of this session is that old" in refused.stderr


def test_another_component_is_named(copy: Path) -> None:
    model(copy, formula="np.where(np.arange(8) == 5, 0.5, bars.close / last - 1)")
    found = verified(copy)
    first = found["difference"]
    assert (first["component"], first["event"], first["field"], first["symbol"]) == ("mine", "Signal", "value", "S5")
    assert first["found"] == 0.5
    assert abs(first["recorded"]) < 0.2
    assert found["cause"] == "code"
    assert any(f["what"] == "mine (mine:Mine)" for f in found["findings"])


def test_a_changed_value_of_the_run_file_is_named(copy: Path) -> None:
    path = copy / "out" / "run.yaml"
    text = path.read_text()
    assert "max_weight: 0.5" in text
    path.write_text(text.replace("max_weight: 0.5", "max_weight: 0.1"))
    found = verified(copy)
    assert found["cause"] == "configuration"
    assert {"cause": "configuration", "what": "risk.max_weight", "recorded": 0.5, "found": 0.1} in found["findings"]
    assert found["difference"]["component"] == "risk"


def test_an_order_that_is_refused_now_is_named_by_its_symbol_and_rule(copy: Path) -> None:
    path = copy / "out" / "run.yaml"
    text = path.read_text()
    assert "restricted: []" in text
    path.write_text(text.replace("restricted: []", "restricted: [S0, S1, S2, S3, S4, S5, S6]"))
    found = verified(copy)
    first = found["difference"]
    assert (first["component"], first["event"], first["recorded"]) == ("risk", "Approved", "approved")
    assert first["found"] == "refused by restricted"
    assert re.fullmatch(r"S[0-6]", first["symbol"])
    assert found["cause"] == "configuration"


def test_another_option_of_the_feed_is_configuration_though_its_hashes_are_others_too(tmp_path: Path) -> None:
    model(tmp_path)
    sample = {"use": "sample", "symbols": 8, "years": 1, "seed": 7}
    session = {"name": "proof", "start": "2018-03-01", "end": "2018-03-29", "cash": 1_000_000}
    recorded(tmp_path, feed=sample, session=session)
    path = tmp_path / "out" / "run.yaml"
    text = path.read_text()
    assert "seed: 7" in text
    path.write_text(text.replace("seed: 7", "seed: 8"))
    found = verified(tmp_path)
    assert found["difference"]["event"] == "Bars"
    assert {each["cause"] for each in found["findings"]} == {"configuration", "data revision"}
    assert found["cause"] == "configuration"


@pytest.mark.parametrize("field", ["close", "open", "volume"])
def test_a_changed_bar_is_named(copy: Path, field: str) -> None:
    def change(columns: dict[str, Any]) -> None:
        columns[field][8 * 100 + 3] *= 1.001
        changed.append(float(columns[field][8 * 100 + 3]))

    changed: list[float] = []
    prices(copy, change)
    found = verified(copy)
    first = found["difference"]
    assert (first["component"], first["event"], first["field"], first["symbol"]) == ("input", "Bars", field, "S3")
    assert first["found"] == changed[0]
    if field == "close":  # the book was marked at it
        assert first["recorded"] == pytest.approx(changed[0] / 1.001)
    assert found["cause"] == "data revision"
    assert [f["what"] for f in found["findings"]] == ["bars.parquet"]


def test_a_bar_that_is_gone_and_a_day_that_is_new_are_named(copy: Path) -> None:
    def change(columns: dict[str, Any]) -> None:
        keep = np.ones(len(columns["date"]), bool)
        keep[8 * 90 + 2] = False
        for name, values in columns.items():
            columns[name] = values[keep]

    prices(copy, change)
    first = verified(copy)["difference"]
    assert (first["event"], first["symbol"]) == ("Bars", "S2")
    assert first["found"] == "nan"


def test_a_changed_model_file_is_named_and_not_loaded(tmp_path: Path) -> None:
    prices(tmp_path)
    out = recorded(tmp_path, **TRAINED)
    assert verified(tmp_path)["identical"]
    assert verified(tmp_path, "--from", "last")["identical"]
    path = out / "models" / "gbdt" / "model.txt"
    text = path.read_text()
    path.write_text(re.sub(r"leaf_value=(-?)\d", r"leaf_value=\g<1>9", text, count=1))
    assert path.read_text() != text
    found = verified(tmp_path)
    first = found["difference"]
    assert (first["component"], first["event"], first["field"]) == ("gbdt", "Control", "artefact")
    assert found["cause"] == "model file"
    assert "model.txt is not the file that was written" in found["findings"][0]["found"]


def test_a_component_that_reads_a_clock_is_named(tmp_path: Path) -> None:
    prices(tmp_path)
    model(tmp_path, formula="bars.close / last - 1 + time.time_ns() % 1000 * 1e-9", imports="import time")
    recorded(tmp_path)
    found = verified(tmp_path)
    first = found["difference"]
    assert (first["component"], first["event"], first["field"]) == ("mine", "Signal", "value")
    assert found["cause"] == "clock"
    assert not found["findings"]


def test_a_component_that_fails_now_is_named(copy: Path) -> None:
    model(copy, formula="1 / 0")
    found = verified(copy)
    assert found["difference"]["component"] == "mine"
    assert "ZeroDivisionError" in found["difference"]["found"]
    assert found["cause"] == "code"


def test_without_save_and_load_there_is_no_middle(tmp_path: Path) -> None:
    prices(tmp_path)
    model(tmp_path, more="")
    recorded(tmp_path)
    assert verified(tmp_path)["identical"]
    refused = samewire(tmp_path, "verify", "out", "--from", "last")
    assert refused.returncode == 2
    assert "mine: it has no save and load" in refused.stderr


def test_bars_kept_by_value_are_fed_as_they_were_though_the_file_was_revised(copy: Path) -> None:
    def change(columns: dict[str, Any]) -> None:
        columns["close"][8 * 100 :] *= 1.0001

    shutil.rmtree(copy / "out")
    recorded(copy, session={"name": "proof", "start": "2019-03-01", "cash": 1_000_000, "record": "values"})
    prices(copy, change)
    found = verified(copy)
    assert found["identical"]
    assert [(f["cause"], f["what"]) for f in found["findings"]] == [("data revision", "bars.parquet")]


FEED = """
import msgspec
import numpy as np
from engine.events import DAY_NS, Late, Status
from tests.make import market
from engine.universe import universe_of

class Arrivals:
    def __init__(self) -> None:
        self.universe = universe_of(("S0", "S1", "S2"))
        self.interval_ns, self.sectors = DAY_NS, ()
        self._bars = market(3, 30, seed=1, holes=0.0, late=0)
        self.span = (self._bars[0].ts, self._bars[-1].ts)
    def events(self, start=None, end=None):
        late = None
        for k, bars in enumerate(self._bars):
            if late is not None:
                yield late
                late = None
            if k == 20 and not {in_time}:
                gone = {{}}
                for name in ("open", "high", "low", "close", "volume", "vwap"):
                    gone[name] = getattr(bars, name).copy()
                    gone[name][1] = np.nan
                status = bars.status.copy()
                status[1] = Status.MISSING
                was = {{name: getattr(bars, name)[1:2] for name in ("open", "high", "low", "close", "volume")}}
                late = Late(ts=bars.ts + 1, interval_ns=DAY_NS, slice_ts=bars.ts, symbol=np.array([1], np.int32), **was)
                bars = msgspec.structs.replace(bars, status=status, **gone)
            yield bars
    def issues(self):
        return ()
    def hashes(self):
        return {{"arrivals": "the same"}}
"""


def test_a_bar_that_came_late_is_told_apart_from_a_revision(tmp_path: Path) -> None:
    model(tmp_path)
    (tmp_path / "arrivals.py").write_text(FEED.format(in_time=False))
    session = {"name": "late", "cash": 1_000_000}
    recorded(tmp_path, session=session, feed={"use": "arrivals:Arrivals"}, risk={})
    assert verified(tmp_path)["identical"]
    (tmp_path / "arrivals.py").write_text(FEED.format(in_time=True))
    found = verified(tmp_path)
    assert (found["difference"]["event"], found["difference"]["symbol"]) == ("Bars", "S1")
    assert found["cause"] == "late bar"


@pytest.mark.parametrize("cut", [200, 5_000, 60_000])
def test_a_journal_that_was_cut_is_not_identical(copy: Path, cut: int) -> None:
    path = copy / "out" / "journal" / "events.swj"
    path.write_bytes(path.read_bytes()[:-cut])
    found = verified(copy)
    assert not found["identical"]
    assert not found["ended"]
    assert (found["difference"]["component"], found["cause"]) == ("journal", "journal")
    assert found["difference"]["recorded"] == json.loads((copy / "out" / "manifest.json").read_text())["digest"]


def test_a_journal_of_another_session_or_none_at_all_is_not_identical(copy: Path) -> None:
    path = copy / "out" / "journal" / "events.swj"
    longer = path.read_bytes()
    shutil.rmtree(copy / "out")
    recorded(copy, session={"name": "proof", "start": "2019-03-01", "end": "2019-06-28", "cash": 1_000_000})
    path.write_bytes(longer)
    assert verified(copy)["cause"] in ("journal", "data revision")
    path.write_bytes(b"")
    assert verified(copy)["cause"] == "journal"


def test_a_snapshot_that_is_not_of_this_journal_is_refused(copy: Path) -> None:
    folder = copy / "out" / "journal" / "snapshots"
    kept = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
    journal = (copy / "out" / "journal" / "events.swj").read_bytes()
    shutil.rmtree(copy / "out")
    recorded(copy, risk={"max_weight": 0.3})
    for name, content in kept.items():
        (folder / name).write_bytes(content)
    refused = samewire(copy, "verify", "out", "--from", "last")
    assert refused.returncode == 3
    assert "is not of this journal; begin at the start" in refused.stderr
    (copy / "out" / "journal" / "events.swj").write_bytes(journal[: len(journal) // 2])
    assert samewire(copy, "verify", "out", "--from", "last").returncode in (1, 3)


def test_a_damaged_snapshot_is_named_and_in_the_way_of_none_before_it(copy: Path) -> None:
    *_, older, newest = sorted((copy / "out" / "journal" / "snapshots").iterdir())
    since = verified(copy, "--from", "2019-06-01")["since"]
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    found = verified(copy, "--from", "2019-06-01")
    assert (found["identical"], found["since"]) == (True, since)
    refused = samewire(copy, "verify", "out", "--from", "last")
    assert refused.returncode == 3
    assert f"{newest.name}: snapshot: saved state is damaged" in refused.stderr
    assert "name an earlier instant" in refused.stderr
    older.write_bytes(content)
    refused = samewire(copy, "verify", "out", "--from", "2019-06-01")
    assert refused.returncode == 3
    assert "begin at the start" in refused.stderr


@pytest.mark.parametrize("damage", ["a byte", "cut", "empty", "a folder"])
def test_one_that_stands_before_the_instant_that_was_asked_for_is_passed_over_and_named(
    damage: str, copy: Path
) -> None:
    *_, older, newest = sorted((copy / "out" / "journal" / "snapshots").iterdir())
    whole = verified(copy, "--from", "2030-01-01")
    assert (whole["since"], whole["passed_over"]) == (int(newest.stem), [])
    content = newest.read_bytes()
    half = len(content) // 2
    newest.unlink()
    if damage == "a folder":
        newest.mkdir()
    else:
        flipped = content[:half] + bytes([content[half] ^ 1]) + content[half + 1 :]
        newest.write_bytes({"a byte": flipped, "cut": content[:half], "empty": b""}[damage])
    found = verified(copy, "--from", "2030-01-01")
    assert (found["identical"], found["since"]) == (True, int(older.stem))
    assert found["digest"] == whole["digest"]
    assert [newest.name in said for said in found["passed_over"]] == [True]
    said = samewire(copy, "verify", "out", "--from", "2030-01-01").stdout
    assert f"since event {int(older.stem):,}" in said
    assert f"passed over: out/journal/snapshots/{newest.name}" in said


def test_the_files_that_the_journal_names_are_those_of_the_manifest(copy: Path) -> None:
    manifest = json.loads((copy / "out" / "manifest.json").read_text())
    manifest["feed"]["hashes"] = {"bars.parquet": "0" * 64}
    (copy / "out" / "manifest.json").write_text(json.dumps(manifest))
    found = verified(copy)
    assert found["difference"]["field"] == "bars.parquet"
    assert found["cause"] == "journal"


def test_several_values_that_differ_are_not_mixed_up(copy: Path) -> None:
    def change(columns: dict[str, Any]) -> None:
        columns["volume"][8 * 100 + 1] += 1
        columns["open"][8 * 100 + 6] *= 1.0001

    prices(copy, change)
    first = verified(copy)["difference"]
    assert (first["field"], first["symbol"], first["found"]) == ("open, volume", "S1, S6", "otherwise for 2 symbols")


def test_what_a_component_imports_of_its_folder_is_part_of_it(tmp_path: Path) -> None:
    prices(tmp_path)
    (tmp_path / "helping.py").write_text("FACTOR = 1.0\n")
    model(tmp_path, formula="(bars.close / last - 1) * helping.FACTOR", imports="import helping")
    recorded(tmp_path)
    assert verified(tmp_path)["identical"]
    (tmp_path / "helping.py").write_text("FACTOR = 2.0\n")
    found = verified(tmp_path)
    assert found["cause"] == "code"
    assert [f["what"] for f in found["findings"]] == ["mine (mine:Mine)"]
    assert "code: mine (mine:Mine) was" in samewire(tmp_path, "rerun", "out", "--quiet").stdout


def test_a_clock_is_told_from_what_changed_and_decides_nothing(tmp_path: Path) -> None:
    prices(tmp_path)
    model(tmp_path, formula="bars.close / last - 1 + time.time_ns() % 1000 * 1e-9", imports="import time")
    recorded(tmp_path)
    path = tmp_path / "out" / "run.yaml"
    path.write_text(path.read_text().replace("max_weight: 0.5", "max_weight: 0.49"))
    found = verified(tmp_path)
    assert found["difference"]["component"] == "mine"
    assert found["cause"] == "clock"


def test_a_session_that_begins_elsewhere_is_no_revision_of_data(copy: Path) -> None:
    path = copy / "out" / "run.yaml"
    path.write_text(path.read_text().replace("start: 2019-03-01", "start: 2019-03-05"))
    found = verified(copy)
    assert found["difference"]["event"] == "Bars"
    assert found["cause"] == "configuration"


def test_components_in_a_list_are_told_apart(tmp_path: Path) -> None:
    prices(tmp_path)
    model(tmp_path)
    parts = [
        {"use": "per_share", "rate": 0.01},
        {"use": "bps", "commission_bps": 2},
        {"use": "bps", "commission_bps": 3},
    ]
    recorded(tmp_path, broker={"use": "simulated", "fill": "next_open", "costs": parts})
    assert not verified(tmp_path)["findings"]
    assert samewire(tmp_path, "rerun", "out", "--quiet").returncode == 0


def test_rerun_names_a_model_that_was_exchanged(tmp_path: Path) -> None:
    for name, rounds in (("one", 5), ("two", 7)):
        folder = tmp_path / name
        folder.mkdir()
        prices(folder)
        models = [TRAINED["models"][0] | {"num_boost_round": rounds}]  # type: ignore[index]
        recorded(folder, **(TRAINED | {"models": models}))
    prices(tmp_path)
    art = tmp_path / "art"
    shutil.copytree(tmp_path / "one" / "out" / "models" / "gbdt", art)
    named = {"name": "gbdt", "use": "lightgbm", "features": "rolling", "artefact": str(art)}
    recorded(tmp_path, **(TRAINED | {"models": [named]}))
    assert samewire(tmp_path, "rerun", "out", "--quiet").returncode == 0
    shutil.rmtree(art)
    shutil.copytree(tmp_path / "two" / "out" / "models" / "gbdt", art)
    done = samewire(tmp_path, "rerun", "out", "--quiet")
    assert done.returncode == 1
    assert "not run: model file: gbdt was" in done.stdout


def test_rerun_names_the_first_hash_that_differs_and_does_not_run(copy: Path) -> None:
    same = samewire(copy, "rerun", "out", "--quiet", started=True)
    assert same.returncode == 0, same.stderr
    assert same.stdout.startswith("identical, digest ")
    prices(copy, lambda columns: columns.__setitem__("close", columns["close"] * 1.0001))
    done = samewire(copy, "rerun", "out", "--format", "json", "--quiet")
    assert done.returncode == 1
    told = json.loads(done.stdout)
    assert not told["ran"]
    assert (told["first"]["cause"], told["first"]["what"]) == ("data revision", "bars.parquet")
    anyway = samewire(copy, "rerun", "out", "--anyway", "--quiet")
    assert anyway.returncode == 1
    assert "differs: digest " in anyway.stdout
    model(copy, formula="bars.close - last")
    assert "code: mine (mine:Mine) was" in samewire(copy, "rerun", "out", "--quiet").stdout


def test_a_session_of_somebody_else_imports_nothing_that_is_not_allowed(copy: Path) -> None:
    (copy / "mine.py").write_text("raise SystemExit('imported')")
    for command in (["verify", "out"], ["rerun", "out"], ["tap", "bars", "--dir", "out"]):
        done = samewire(copy, *command, "--allow", "built-in", "--quiet")
        assert "imported" not in done.stdout + done.stderr
        assert done.returncode == (0 if command[0] == "tap" else 2), done.stderr
    assert samewire(copy, "tap", "fills", "--dir", "out", "--limit", "1").returncode == 0


def test_a_session_that_did_not_end_has_nothing_for_a_rerun_to_compare_with(copy: Path) -> None:
    path = copy / "out" / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"ended": False, "digest": ""}))
    said = samewire(copy, "rerun", "out", "--anyway", "--quiet")
    assert said.returncode == 1
    assert "the recorded session did not come to its end, so it has none to compare with" in said.stdout
