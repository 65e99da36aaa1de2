"""What SECURITY.md promises: no code out of files, no network, models by their hash, no tags."""

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.models.artefact import artefact_of, read_artefact, write_artefact
from engine.errors import StateError
from samewire import load_run, run
from samewire.diagnostics import RunFileErrors
from tests.samewire.test_execute import trained

ROOT = Path(__file__).parent.parent
SOURCES = sorted(
    path for package in ("engine", "components", "adapters", "samewire") for path in (ROOT / package).rglob("*.py")
)

# ---- no code out of files --------------------------------------------------------------------------------------------

BUILDERS = {
    "pickle",
    "_pickle",
    "cPickle",
    "cloudpickle",
    "dill",
    "joblib",
    "marshal",
    "shelve",
    "jsonpickle",
    "code",
    "codeop",
}
CALLS = {"eval", "exec", "compile", "__import__", "execfile"}
YAML_LOADERS = {"load", "load_all", "unsafe_load", "unsafe_load_all", "full_load", "full_load_all"}
LOADERS = {"Loader", "UnsafeLoader", "FullLoader", "CLoader", "CUnsafeLoader", "CFullLoader"}
SHELL = {"system", "popen", "Popen", "check_output", "check_call", "getoutput"}


CACHED = "keeps compiled code on disk"
# Kernels that take seconds to compile. Their code is kept beside Python's own byte code, and is trusted as that is.
KERNELS = {
    "components/features/alpha_kernel.py",
    "components/models/networks/gru_kernel.py",
    "components/models/tree_walker_kernel.py",
    "components/optimizers/judging_loops.py",
    "components/optimizers/kernel_ends.py",
    "components/optimizers/kernel_loops.py",
    "components/optimizers/kernel_newton.py",
    "components/optimizers/rounding_loops.py",
    "components/optimizers/stating_loops.py",
}


def unsafe(source: str) -> list[str]:
    """What of a module could turn bytes of a file into code."""
    return [said for node in ast.walk(ast.parse(source)) for said in _unsafe(node)]


def _unsafe(node: ast.AST) -> Iterator[str]:
    yield from _kept_code(node)
    modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
    if isinstance(node, ast.ImportFrom) and node.module:
        modules = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    yield from (f"imports {name}" for name in modules if BUILDERS & set(name.split(".")))
    yield from (
        f"imports {name}" for name in modules if name.split(".")[0] == "yaml" and name.split(".")[-1] in LOADERS
    )
    if isinstance(node, ast.Attribute) and node.attr in LOADERS:
        yield f"uses {node.attr}"
    if not isinstance(node, ast.Call):
        return
    words = {word.arg: word.value for word in node.keywords}
    said = ast.unparse(node.func)
    on, _, name = said.rpartition(".")
    if said in CALLS or said == "builtins.eval":
        yield f"calls {said}"
    if on.split(".")[-1] == "yaml" and name in YAML_LOADERS:
        yield f"calls {said}"
    if name == "load" and on.split(".")[-1] in ("np", "numpy") or name in ("read_pickle", "to_pickle"):
        allowed = words.get("allow_pickle")
        yield from [] if name == "load" and _is(allowed, False) else [f"calls {said}"]
    if said in ("torch.load", "torch.jit.load") and not _is(words.get("weights_only"), True):
        yield f"calls {said} without weights_only"
    if _is(words.get("allow_pickle"), True):
        yield f"calls {said} with a pickle on disk"
    if _is(words.get("shell"), True) or (name in SHELL and on in ("os", "subprocess")):
        yield f"runs a program: {said}"


def _kept_code(node: ast.AST) -> Iterator[str]:
    """A compiler that is told to keep what it made, in a call or in a mapping of keywords for one."""
    if isinstance(node, ast.Call) and any(word.arg == "cache" and _is(word.value, True) for word in node.keywords):
        yield CACHED
    if isinstance(node, ast.Dict):
        pairs = zip(node.keys, node.values, strict=True)
        if any(isinstance(key, ast.Constant) and key.value == "cache" and _is(value, True) for key, value in pairs):
            yield CACHED


def _is(node: ast.AST | None, value: bool) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


@pytest.mark.parametrize(
    "source",
    [
        "import pickle", "from pickle import loads", "import joblib as j", "import _pickle",
        "from torch import _pickle",
        "x = eval('1')", "exec(text)", "compile(text, 'f', 'exec')", "__import__(name)",
        "import yaml\nyaml.load(text)", "import yaml\nyaml.load(text, Loader=yaml.SafeLoader)",
        "import yaml\nyaml.unsafe_load(t)",
        "import yaml\nyaml.parse(t, Loader=yaml.FullLoader)", "from yaml import UnsafeLoader",
        "torch.load(path)", "torch.load(path, weights_only=False)", "np.load(path)", "np.load(path, allow_pickle=True)",
        "pd.read_pickle(path)", "frame.to_pickle(path)", "@numba.njit(cache=True)\ndef f(): ...",
        "HOW = {'cache': True}",
        "subprocess.run(line, shell=True)", "os.system('ls')", "subprocess.Popen(['ls'])",
    ],
)  # fmt: skip
def test_each_way_is_found(source: str) -> None:
    assert unsafe(source) != []


@pytest.mark.parametrize(
    "source",
    [
        "import re\nre.compile('a')", "model.eval()", "session.exec_(1)", "import json\njson.load(file)",
        "import yaml\nyaml.parse(t)",
        "torch.load(path, weights_only=True)", "np.load(path, allow_pickle=False)", "@numba.njit\ndef f(): ...",
        "from samewire import codes", "os.fsync(1)", "loader = Loaders()",
    ],
)  # fmt: skip
def test_what_is_only_near_it_passes(source: str) -> None:
    assert unsafe(source) == []


# Workers are this interpreter with a module of ours, started without a shell, and are told data only.
STARTED = {("adapters/scaleout/pool.py", "runs a program: subprocess.Popen")}


def test_no_module_of_ours_builds_code_or_objects_out_of_bytes() -> None:
    found = {(path.relative_to(ROOT).as_posix(), said) for path in SOURCES for said in unsafe(path.read_text())}
    assert found == {(path, CACHED) for path in KERNELS} | STARTED


def test_nothing_that_a_session_writes_is_a_pickle(tmp_path: Path) -> None:
    run(trained(), out=tmp_path / "run")
    for path in (tmp_path / "run").rglob("*"):
        if path.is_file():
            head = path.read_bytes()[:2]
            assert not (head[:1] == b"\x80" and head[1:] in b"\x02\x03\x04\x05"), path.name


@pytest.mark.parametrize(
    "tag",
    ["!!python/object/apply:os.system ['true']", "!!python/name:os.system", "!secret x", "!!float 1", "!<tag:x> 1"],
)
def test_a_tag_in_a_run_file_is_refused_with_its_line(tmp_path: Path, tag: str) -> None:
    (tmp_path / "run.yaml").write_text(f"schema: 1\nsession:\n  name: x\n  cash: {tag}\n")
    with pytest.raises(RunFileErrors, match=r"E103 \S*run.yaml:4:9  session.cash  not allowed in a run file") as caught:
        load_run(tmp_path / "run.yaml")
    assert "plain values: no tags" in str(caught.value)


# ---- models ----------------------------------------------------------------------------------------------------------

FILES = {"model.txt": b"tree\n" * 20, "model.json": b'{"kind": "x"}'}


def kept(folder: Path) -> Path:
    write_artefact(artefact_of(FILES), folder / "m")
    return folder / "m"


def test_a_file_that_the_manifest_does_not_name_is_refused(tmp_path: Path) -> None:
    folder = kept(tmp_path)
    for extra in ("more.txt", ".hidden", "sub"):
        path = folder / extra
        path.mkdir() if extra == "sub" else path.write_text("x")
        with pytest.raises(StateError, match=f"holds {extra}, which its MANIFEST.json does not name"):
            read_artefact(folder)
        path.rmdir() if extra == "sub" else path.unlink()
    assert read_artefact(folder).files == FILES


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "sub/x", "..", ".", "", "a\\b", "MANIFEST.json", "a\0b"])
def test_a_manifest_that_names_another_place_is_refused(tmp_path: Path, name: str) -> None:
    folder = kept(tmp_path)
    (tmp_path / "secret").write_text("x")
    manifest = json.loads((folder / "MANIFEST.json").read_text())
    manifest["files"][name] = "0" * 64
    (folder / "MANIFEST.json").write_text(json.dumps(manifest))
    with pytest.raises(StateError, match="outside the folder"):
        read_artefact(folder)


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    folder = kept(tmp_path)
    (tmp_path / "model.txt").write_bytes(FILES["model.txt"])
    (folder / "model.txt").unlink()
    (folder / "model.txt").symlink_to(tmp_path / "model.txt")
    with pytest.raises(StateError, match=r"model.txt is a link"):
        read_artefact(folder)


def test_a_session_does_not_start_with_a_model_that_is_not_what_it_was(tmp_path: Path) -> None:
    run(trained(), out=tmp_path / "run")
    path = tmp_path / "run" / "models" / "gbdt" / "model.txt"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    model = {"name": "gbdt", "use": "lightgbm", "features": "rolling", "artefact": str(path.parent)}
    with pytest.raises(StateError, match="model.txt is not the file that was written; copy or train it again"):
        run(trained() | {"models": [model]}, out=tmp_path / "second")
    assert not (tmp_path / "second").exists()


# ---- no network ------------------------------------------------------------------------------------------------------


def offline(program: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    """A program in a process of its own in which whatever opens a socket or looks a name up ends it.

    The event loop wakes itself through a pair of connected sockets that lead nowhere; those alone are let through.
    """
    blocked = """
import socket, sys
real = socket.socket
class Refused(real):
    def __init__(self, family=-1, type=-1, proto=-1, fileno=None):
        if fileno is None and family != socket.AF_UNIX:
            sys.stderr.write("the network was used\\n")
            raise SystemExit(99)
        super().__init__(family, type, proto, fileno)
    def connect(self, *_): sys.stderr.write("the network was used\\n"); raise SystemExit(99)
    connect_ex = bind = connect
socket.socket = Refused
def refuse(*_, **__): sys.stderr.write("the network was used\\n"); raise SystemExit(99)
socket.create_connection = socket.getaddrinfo = socket.gethostbyname = socket.create_server = refuse
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-c", blocked + program],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    "program",
    [
        "import socket; socket.create_connection(('127.0.0.1', 1))",
        "import socket; socket.socket()",
        "import urllib.request; urllib.request.urlopen('http://127.0.0.1:1/')",
        "import asyncio; asyncio.run(asyncio.open_connection('127.0.0.1', 1))",
    ],
)
def test_the_block_would_tell(program: str, tmp_path: Path) -> None:
    done = offline(program, tmp_path)
    assert done.returncode == 99
    assert "the network was used" in done.stderr


def test_to_import_every_module_no_network_is_used(tmp_path: Path) -> None:
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in SOURCES]
    wanted = [name for name in names if not name.endswith("__main__")]
    done = offline(f"import importlib\nfor name in {wanted!r}: importlib.import_module(name)\nprint('all')", tmp_path)
    assert (done.returncode, done.stdout) == (0, "all\n"), done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["config", "schema"],
        ["check", str(ROOT / "configs" / "demo.yaml")],
        [
            *("replay", str(ROOT / "configs" / "scores.yaml"), "--set", "session.end=2021-01-29"),
            *("--out", "out", "--quiet"),
        ],
        [
            *("train", str(ROOT / "configs" / "demo.yaml"), "--quiet", "--set", "models[0].num_boost_round=3"),
            *("--set", "feed.symbols=8", "--set", "training.split={use: fixed, until: 2020-12-31}"),
            *("--set", "training.executor=pool", "--store", "store"),
        ],
    ],
    ids=lambda arguments: arguments[0],
)
def test_commands_use_no_network(arguments: list[str], tmp_path: Path) -> None:
    done = offline(f"import sys\nfrom samewire.cli import main\nsys.exit(main({arguments!r}))", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "the network was used" not in done.stderr


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short session with orders, made in one process without network."""
    folder = tmp_path_factory.mktemp("offline")
    shorter = ("--set", "session.end=2021-01-29")
    done = command_offline(["replay", str(ROOT / "configs" / "scores.yaml"), *shorter, "--out", "run"], folder)
    assert done.returncode == 0, done.stderr
    return folder / "run"


def command_offline(arguments: list[str], folder: Path) -> "subprocess.CompletedProcess[str]":
    done = offline(f"import sys\nfrom samewire.cli import main\nsys.exit(main({arguments!r}))", folder)
    assert "the network was used" not in done.stderr
    return done


@pytest.mark.parametrize("command", ["verify", "rerun", "report"])
def test_what_is_done_with_a_session_uses_no_network(command: str, recorded: Path) -> None:
    done = command_offline([command, str(recorded), "--quiet"], recorded.parent)
    assert (done.returncode, bool(done.stdout)) == (0, True), done.stderr


def test_tap_and_why_use_no_network(recorded: Path) -> None:
    done = command_offline(
        ["tap", "orders", "--dir", str(recorded), "--format", "json", "--limit", "1"], recorded.parent
    )
    assert done.returncode == 0, done.stderr
    order = json.loads(done.stdout.splitlines()[0])
    told = command_offline(["why", order["ids"], "--dir", str(recorded)], recorded.parent)
    assert told.returncode == 0, told.stderr
    assert order["ids"] in told.stdout


@pytest.mark.parametrize("command", ["lookahead", "warmup"])
def test_checks_over_history_use_no_network(command: str, tmp_path: Path) -> None:
    more = ["--cuts", "1"] if command == "lookahead" else []
    path = str(ROOT / "configs" / "scores.yaml")
    done = command_offline([command, path, "--slices", "20", "--quiet", *more], tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_whole_demo_uses_no_network(tmp_path: Path) -> None:
    done = command_offline(["demo", "--quiet"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs" / "demo" / "report.html").is_file()


def test_the_report_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    import re

    run(ROOT / "configs" / "scores.yaml", overrides=["session.end=2021-01-29"], out=tmp_path / "run")
    page = (tmp_path / "run" / "report.html").read_text()
    assert re.findall(r"""(?:src|href|action)\s*=\s*["']?(?:https?:)?//[^"'\s>]+""", page) == []
    assert re.findall(r"""@import|url\(\s*["']?(?:https?:)?//""", page) == []
