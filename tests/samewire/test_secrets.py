"""Secrets of run files: where they may come from, and that nothing that is written holds one."""

import copy
import io
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from adapters.files.journal_file import read_blocks
from engine.errors import ComponentError, ConfigError
from engine.secret import HIDDEN, Secret
from engine.state import pack
from samewire import load_run, open_session, run
from samewire.build import Given, construct
from samewire.diagnostics import RunFileErrors
from samewire.hiding import Hider, hider, hiding
from samewire.json_schema import json_schema
from samewire.schema import config_hash, dump_run, resolved
from samewire.scrubbing import scrub
from samewire.secret_text import SecretRef, referred
from tests.samewire.forked import called
from tests.samewire.own import Guarded

ROOT = Path(__file__).parent.parent.parent
# Quotes, a backslash, a percent sign and a letter that JSON may escape: each form of writing has its own way with them.
FIRST, SECOND, THIRD = 'sw0rd"fish\\one%ü', "sw0rdfish-two", "-----BEGIN KEY-----\nsw0rdfishline3sw0rdfish\n-----END"
MARK = b"sw0rd"  # in all of them


def guarded(**options: Any) -> dict[str, Any]:
    strategy = {
        "use": "tests.samewire.own:Guarded",
        "password": "${env:GUARDED_PASSWORD}",
        "keys": {"one": "${file:keys/one.txt}"},
        "spare": "${file:keys/three.pem}",
    }
    return {
        "schema": 1,
        "session": {"name": "guarded", "cash": 1_000_000},
        "feed": {"use": "tests.samewire.own:Walk"},
        "models": [{"use": "momentum", "window": 5}],
        "strategy": strategy | options,
        "optimizer": "direct",
        "broker": {"use": "simulated", "fill": "next_open", "costs": "bps"},
    }


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a run file and its secrets."""
    folder = tmp_path / "project"
    (folder / "keys").mkdir(parents=True)
    (folder / "keys" / "one.txt").write_text(SECOND + "\n")
    (folder / "keys" / "three.pem").write_text(THIRD + "\n")
    (folder / "run.yaml").write_text(json.dumps(guarded()))
    monkeypatch.setenv("GUARDED_PASSWORD", FIRST)
    monkeypatch.chdir(folder)
    return folder


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """The command line in a process of its own, with everything that it says."""
    environment = os.environ | {"GUARDED_PASSWORD": FIRST, "PYTHONPATH": str(ROOT), "SAMEWIRE_LOG": "debug"}
    done = called(list(arguments), folder, environment)
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.encode(), done.stderr.encode())


def written_in(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Everything that files hold: as bytes, and unpacked where they are packed."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path.name, path.read_bytes()
            if path.suffix == ".parquet":
                yield path.name, str(pq.read_table(path).to_pydict()).encode()
            if path.parent.name == "journal":
                yield path.name, b"".join(read_blocks(path.parent))


# ---- in memory -------------------------------------------------------------------------------------------------------


def test_a_secret_shows_itself_to_nobody_who_does_not_ask() -> None:
    secret = Secret("hunter22")
    shown = [str(secret), repr(secret), f"{secret}", "%s" % secret, f"{[secret]}", str({"a": secret})]  # noqa: UP031
    assert [text for text in shown if "hunter" in text] == []
    assert secret.reveal() == "hunter22"
    assert secret == Secret("hunter22")
    assert secret != Secret("hunter23")
    assert secret != "hunter22"


def test_a_secret_is_neither_saved_nor_copied_nor_sorted_by() -> None:
    secret = Secret("hunter22")
    for attempt in (
        lambda: pack("x", 1, secret=secret),
        lambda: copy.deepcopy(secret),
        lambda: json.dumps({"secret": secret}),
        lambda: hash(secret),
        lambda: sorted([secret, secret]),  # type: ignore[type-var]
    ):
        with pytest.raises(TypeError):
            attempt()


# ---- where they come from --------------------------------------------------------------------------------------------


def test_they_come_from_the_environment_and_from_files_seen_from_the_run_file(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = load_run(project / "run.yaml")
    monkeypatch.chdir(tmp_path)
    with hiding():
        made: Guarded = construct(loaded.strategies[0], Given(session="s", seed=0))
    password, keys, spare = made.given
    assert (password.reveal(), keys["one"].reveal(), spare.reveal() if spare else "") == (FIRST, SECOND, THIRD)


def test_the_run_file_written_back_has_the_references_and_reads_the_same(project: Path) -> None:
    loaded = load_run(project / "run.yaml")
    said = resolved(loaded)["strategy"][0]
    assert said["password"] == "${env:GUARDED_PASSWORD}"
    assert said["keys"] == {"one": "${file:keys/one.txt}"}
    (project / "again.yaml").write_text(dump_run(loaded, project))
    (project / "keys" / "again.yaml").write_text(dump_run(loaded, project / "keys"))
    assert load_run(project / "again.yaml") == load_run(project / "keys" / "again.yaml") == loaded


def test_another_secret_is_the_same_configuration_and_another_place_of_it_is_not(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = config_hash(load_run(project / "run.yaml"))
    monkeypatch.setenv("GUARDED_PASSWORD", "a new one")
    assert config_hash(load_run(project / "run.yaml")) == before
    assert config_hash(load_run(project / "run.yaml", ["strategy.password=${env:OTHER}"])) != before


def test_to_check_a_run_file_no_secret_is_read(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GUARDED_PASSWORD")
    (project / "keys" / "one.txt").unlink()
    assert load_run(project / "run.yaml").strategies[0].options["password"] == SecretRef("env", "GUARDED_PASSWORD")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"password": "${env:NOT_THERE}"}, r"password: \$\{env:NOT_THERE\}: the environment has no NOT_THERE; set it"),
        ({"spare": "${file:nowhere.txt}"}, "nowhere.txt}: No such file or directory; check the path"),
        ({"spare": "${file:keys}"}, "keys}: Is a directory; check the path"),
        ({"spare": "${file:empty.txt}"}, "the file is empty; write the secret into it"),
        ({"spare": "${file:short.txt}"}, "fewer than 6 characters"),
        ({"spare": "${file:long.txt}"}, "more than 65536 bytes"),
        ({"spare": "${file:odd.txt}"}, "no text in UTF-8"),
    ],
)
def test_one_that_is_not_there_is_told_with_its_place_before_anything_runs(
    project: Path, change: dict[str, Any], said: str
) -> None:
    (project / "empty.txt").write_text("\n")
    (project / "short.txt").write_text("abc")
    (project / "long.txt").write_text("x" * 65_537)
    (project / "odd.txt").write_bytes(b"\xff\xfe\xfd\xfc")
    (project / "run.yaml").write_text(json.dumps(guarded(**change)))
    with pytest.raises(ConfigError, match=said) as caught:
        run(project / "run.yaml", out=project / "out")
    assert "run.yaml:1:" in str(caught.value)
    assert not (project / "out").exists()


@pytest.mark.parametrize(
    "text", ["hunter22", "${env:}", "${env:A B}", "${env:1A}", "${vault:a}", "${env:A}x", "x${env:A}", "$A", "${file:}"]
)
def test_what_is_no_reference_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises(ValueError, match="not a reference to a secret") as caught:
        referred(text)
    assert text not in str(caught.value)


class Quiet:
    """A sink that logs in and says nothing."""

    def __init__(self, *, password: Secret) -> None:
        self.password = password

    async def write(self, event: Any, /) -> None:
        """Nothing."""

    async def aclose(self) -> None:
        """Nothing."""


class Careless:
    """A sink whose author typed a key as text."""

    def __init__(self, *, api_key: str, tokenizer: str = "", max_tokens: int = 1) -> None:
        self.api_key = api_key

    async def write(self, event: Any, /) -> None:
        """Nothing."""

    async def aclose(self) -> None:
        """Nothing."""


def test_an_option_with_the_name_of_a_secret_that_is_typed_as_text_is_refused() -> None:
    said = guarded() | {"sinks": [{"use": "tests.samewire.test_secrets:Careless", "api_key": "${env:A}"}]}
    with pytest.raises(RunFileErrors, match="its parameter api_key has the name of a secret and is typed as text"):
        load_run(said)


def test_the_json_schema_of_run_files_is_made_with_no_secret_in_the_environment() -> None:
    assert json_schema()["title"] == "Samewire run file"


# ---- that none is written --------------------------------------------------------------------------------------------


def test_no_file_of_a_session_and_nothing_that_it_says_holds_a_secret(project: Path) -> None:
    for form in ("json", "console"):
        done = command(project, "replay", "run.yaml", "--out", f"out-{form}", "--log-format", form)
        assert done.returncode == 0, done.stderr.decode()
        assert b"lost the line" in done.stderr  # it did log, and it did fail inside
        assert HIDDEN.encode() in done.stderr
        assert MARK not in done.stdout + done.stderr
        names = set()
        for name, content in written_in(project / f"out-{form}"):
            names.add(name)
            assert MARK not in content, name
        assert names >= {"manifest.json", "run.yaml", "summary.json", "events.swj", "report.html", "orders.parquet"}
        noted = b"".join(content for name, content in written_in(project / f"out-{form}") if name == "events.swj")
        assert f"as {HIDDEN}".encode() in noted  # what the component wrote of its password


@pytest.mark.parametrize("debug", [(), ("--debug",)])
@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("fail", ["start", "slice", "note"])
def test_no_error_and_no_traceback_holds_a_secret(project: Path, fail: str, form: str, debug: tuple[str, ...]) -> None:
    arguments = ("--set", f"strategy.fail={fail}", "--out", "out", "--format", form, *debug)
    done = command(project, "replay", "run.yaml", *arguments)
    assert done.returncode == {"start": 2, "slice": 1, "note": 1}[fail], done.stderr.decode()
    told = done.stdout + done.stderr
    assert MARK not in told
    assert {"start": b"login as", "slice": b"expired", "note": b"a secret stands in its text"}[fail] in told
    assert (b"Traceback" in done.stderr) == bool(debug) or fail != "start"
    assert not (project / "out").exists()
    kept = dict(written_in(project / "out.failed"))  # what a session recorded before it failed is kept
    assert ("audit.jsonl" in kept) == (fail != "start")
    assert [name for name, content in kept.items() if MARK in content] == []
    assert fail != "slice" or (HIDDEN.encode() in kept["manifest.json"] and HIDDEN.encode() in kept["audit.jsonl"])


@pytest.mark.parametrize("arguments", [("check",), ("replay", "--out", "out"), ("check", "--format", "json")])
def test_one_that_was_written_out_is_not_repeated(project: Path, arguments: tuple[str, ...]) -> None:
    (project / "run.yaml").write_text(json.dumps(guarded(password=SECOND), indent=1))
    name, *more = arguments
    done = command(project, name, "run.yaml", *more, "--debug")
    assert done.returncode == 2
    assert b"E115" in done.stdout + done.stderr
    assert MARK not in done.stdout + done.stderr
    for change in (f"strategy.password={SECOND}", f"broker.token={SECOND}", f"strategy.password[0]={SECOND}"):
        (project / "run.yaml").write_text(json.dumps(guarded()))
        done = command(project, name, "run.yaml", *more, "--set", change)
        assert done.returncode == 2
        assert MARK not in done.stdout + done.stderr


def test_one_in_a_file_that_is_not_even_yaml_is_not_repeated(project: Path) -> None:
    (project / "run.yaml").write_text(f"schema: 1\nbroker: {{password: {SECOND}: x, api-key: '{SECOND}'\n")
    done = command(project, "check", "run.yaml")
    assert done.returncode == 2
    assert b"E101" in done.stderr
    assert MARK not in done.stderr


def test_python_is_told_without_it_too(project: Path) -> None:
    with pytest.raises(ConfigError) as start:
        run(project / "run.yaml", overrides=["strategy.fail=start"])
    with pytest.raises(ComponentError) as caught:
        run(project / "run.yaml", overrides=["strategy.fail=slice"])
    for error in (start.value, caught.value):
        for at in (error, error.__cause__, error.__context__):
            assert MARK.decode() not in f"{at} {at.args if at else ''} {vars(at) if at else ''}"
    assert caught.value.cause == f"RuntimeError: gateway: {HIDDEN} expired"


def test_the_log_of_python_knows_the_secrets_of_its_run(project: Path) -> None:
    import logging

    from engine.clock import SystemClock
    from samewire.logs import configure

    root, stream = logging.getLogger(), io.StringIO()
    before = list(root.handlers), root.level
    with hiding() as hide:
        configure("json", clock=SystemClock(), stream=stream)
        hide.add(SECOND)
        logging.getLogger("any").warning("sent %s", {"to": [SECOND]})
    root.handlers[:], root.level = before
    assert MARK.decode() not in stream.getvalue()
    assert HIDDEN in stream.getvalue()


# ---- hiding ----------------------------------------------------------------------------------------------------------


def test_it_is_found_however_it_was_quoted_and_line_by_line() -> None:
    hide = Hider()
    hide.add(FIRST)
    hide.add(THIRD)
    for text in (FIRST, repr(FIRST), json.dumps(FIRST), json.dumps(FIRST, ensure_ascii=False), THIRD, repr(THIRD)):
        assert MARK.decode() not in hide(f"before {text} after")
    assert hide(f"   {THIRD.splitlines()[1]}") == f"   {HIDDEN}"
    assert hide.inside({"a": [(FIRST, 1)], "n": None}) == {"a": [(HIDDEN, 1)], "n": None}


def test_a_weak_secret_spoils_no_record(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = run(project / "run.yaml", out=project / "plain")
    for weak in ("password", "1000000.0", plain.summary["digest"][3:11]):
        monkeypatch.setenv("GUARDED_PASSWORD", weak)
        result = run(project / "run.yaml", out=project / "out", overwrite=True)
        manifest = json.loads((project / "out" / "manifest.json").read_text())
        assert manifest["digest"] == result.summary["digest"] == plain.summary["digest"]
        assert load_run(project / "out" / "run.yaml") == load_run(project / "run.yaml")


@pytest.mark.parametrize(
    ("secret", "path"), [("topk_dropout", "strategy[0].use"), ("random", "models[0].name"), ("guarded", "session.name")]
)
def test_a_secret_that_stands_in_the_run_file_besides_is_refused_before_anything_runs(
    project: Path, monkeypatch: pytest.MonkeyPatch, secret: str, path: str
) -> None:
    monkeypatch.setenv("GUARDED_PASSWORD", secret)
    said = guarded() | {"models": [{"name": "random-walk", "use": "momentum", "window": 5}]}
    if secret == "topk_dropout":
        said["sinks"] = [{"use": "tests.samewire.test_secrets:Quiet", "password": "${env:GUARDED_PASSWORD}"}]
        said["strategy"] = {"use": "topk_dropout", "topk": 2, "n_drop": 1}
    (project / "run.yaml").write_text(json.dumps(said))
    with pytest.raises(ConfigError, match="the value is, or holds, a secret that the run file refers to") as caught:
        run(project / "run.yaml", out=project / "out")
    assert path in str(caught.value)
    assert secret not in str(caught.value)
    assert not (project / "out").exists()


def test_of_two_secrets_that_begin_alike_the_longer_is_hidden_whole() -> None:
    hide = Hider()
    hide.add("hunter")
    hide.add("hunter22")
    assert hide("hunter22") == HIDDEN


def test_with_nothing_to_hide_everything_stays_as_it_is() -> None:
    value = {"a": ["b"]}
    assert Hider().inside(value) is value
    assert not Hider()


def test_what_a_command_read_is_forgotten_after_it() -> None:
    with hiding() as hide:
        hide.add("hunter22")
        assert hider() is hide
    assert hider()("hunter22") == "hunter22"


def test_errors_that_go_round_in_a_circle_are_scrubbed_once() -> None:
    hide = Hider()
    hide.add("hunter22")
    first, second = ValueError("hunter22"), ExceptionGroup("hunter22", [KeyError("hunter22")])
    first.__context__, second.__context__ = second, first
    first.add_note("hunter22")
    assert scrub(first, hide) is first
    assert first.args == (HIDDEN,)
    assert first.__notes__ == [HIDDEN]
    told = first.__context__
    assert isinstance(told, ExceptionGroup)  # a group cannot be said otherwise, so another stands in its place
    assert (told.message, told.exceptions[0].args, told.__context__) == (HIDDEN, (HIDDEN,), first)


@pytest.mark.parametrize("word", ["a", "a-", "secret", "a://", "x:"])
def test_a_line_of_any_length_is_told_of_at_once(word: str, tmp_path: Path) -> None:
    """Whatever looks for secrets goes over a text once: twice would not come to its end here."""
    line = word * (100_000 // len(word))
    whole = {"schema": 1, "session": {"name": line, "cash": line}, "feed": line, "models": line, "broker": line}
    (tmp_path / "run.yaml").write_text(json.dumps(whole))
    with pytest.raises(RunFileErrors) as caught:
        load_run(tmp_path / "run.yaml")
    assert len(caught.value.problems) >= 3


def test_a_secret_of_one_run_is_none_of_the_next_in_the_same_process(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GUARDED_PASSWORD", "topk_dropout")
    open_session(project / "run.yaml")
    assert hider()("topk_dropout") == HIDDEN
    plain = guarded() | {"strategy": {"use": "topk_dropout", "topk": 2, "n_drop": 1}}
    assert run(plain).summary["slices"] > 20
    open_session(plain)
    assert hider()("topk_dropout") == "topk_dropout"
