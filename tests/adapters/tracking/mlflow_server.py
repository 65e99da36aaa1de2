"""The part of MLflow's REST API that runs are told by, over HTTP, with the limits that MLflow states and checks.

Written after its documentation and its checks of requests; keeps what it hears in memory. It refuses what a tracking
server refuses, so that a request which passes here is one that a server would take.
"""

import contextlib
import json
import posixpath
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

_NAME = re.compile(r"^[/\w.\- ]*$")
_FILTER = re.compile(r"tags\.`samewire\.run` = '([0-9a-f]+)'")
BODY_MAX, KEY_MAX, PARAM_MAX, TAG_MAX = 1_000_000, 250, 500, 5000


class WrongError(Exception):
    """A request that is refused."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


class Server:
    """What was told, and how it answers: `fails` is a status for all requests, `slow` lets them wait for `go`."""

    def __init__(self) -> None:
        self.experiments: dict[str, str] = {}
        self.runs: dict[str, dict[str, Any]] = {}
        self.requests: list[tuple[str, dict[str, Any], dict[str, str]]] = []
        self.fails = 0
        self.fails_on = ""  # only requests of this path
        self.slow = False
        self.go = threading.Event()
        self.uri = ""
        self._lock = threading.Lock()

    def run(self, name: str) -> dict[str, Any]:
        """The one run that carries this tag."""
        (found,) = [run for run in self.runs.values() if run["tags"].get("samewire.run") == name]
        return found

    def answer(self, path: str, body: dict[str, Any], headers: dict[str, str]) -> dict[str, Any]:
        with self._lock:
            self.requests.append((path, body, headers))
        if self.slow:
            self.go.wait(30)
        if self.fails and self.fails_on in path:
            raise WrongError(self.fails, "INTERNAL_ERROR", "it is ill today")
        with self._lock:
            return getattr(self, "_" + path.removeprefix("/api/2.0/mlflow/").replace("/", "_").replace("-", "_"))(body)

    # ---- endpoints ---------------------------------------------------------------------------------------------------

    def _experiments_get_by_name(self, body: dict[str, Any]) -> dict[str, Any]:
        name = body["experiment_name"]
        if name not in self.experiments:
            raise WrongError(404, "RESOURCE_DOES_NOT_EXIST", f"no experiment {name}")
        found = {"experiment_id": self.experiments[name], "name": name, "lifecycle_stage": "active"}
        return {"experiment": found}

    def _experiments_create(self, body: dict[str, Any]) -> dict[str, Any]:
        assert 0 < len(body["name"]) <= 500
        if body["name"] in self.experiments:
            raise WrongError(400, "RESOURCE_ALREADY_EXISTS", "it exists")
        self.experiments[body["name"]] = str(len(self.experiments) + 1)
        return {"experiment_id": self.experiments[body["name"]]}

    def _runs_create(self, body: dict[str, Any]) -> dict[str, Any]:
        if body["experiment_id"] not in self.experiments.values():
            raise WrongError(404, "RESOURCE_DOES_NOT_EXIST", "no such experiment")
        assert isinstance(body["start_time"], int)
        made = f"{len(self.runs):032x}"
        self.runs[made] = {"status": "RUNNING", "metrics": [], "seen": set(), "params": {}, "tags": {}, "created": body}
        self._tags(made, body["tags"])
        return {"run": {"info": {"run_id": made, "status": "RUNNING"}}}

    def _runs_search(self, body: dict[str, Any]) -> dict[str, Any]:
        found = _FILTER.fullmatch(body["filter"])
        assert found is not None
        mine = [run for run, told in self.runs.items() if told["tags"].get("samewire.run") == found[1]]
        return {"runs": [{"info": {"run_id": run}} for run in mine[: body["max_results"]]]} if mine else {}

    def _runs_update(self, body: dict[str, Any]) -> dict[str, Any]:
        run = self._there(body["run_id"])
        assert body["status"] in ("RUNNING", "FINISHED", "FAILED", "KILLED", "SCHEDULED")
        run["status"] = body["status"]
        run["end_time"] = body.get("end_time")
        return {"run_info": {"run_id": body["run_id"]}}

    def _runs_log_batch(self, body: dict[str, Any]) -> dict[str, Any]:
        run, made = self._there(body["run_id"]), body["run_id"]
        metrics, params, tags = (body.get(key, []) for key in ("metrics", "params", "tags"))
        over = (len(metrics) > 1000, len(params) > 100, len(tags) > 100, len(metrics) + len(params) + len(tags) > 1000)
        _check(not any(over), "too many in one request")
        for metric in metrics:
            _check_key(metric["key"])
            value = metric["value"]
            _check(isinstance(value, float) or value in ("NaN", "Infinity", "-Infinity"), f"no double: {value!r}")
            _check(isinstance(metric["timestamp"], int) and metric["timestamp"] >= 0, "no timestamp")
            _check(isinstance(metric["step"], int), "no step")
        for param in params:
            _check_key(param["key"])
            _check(isinstance(param["value"], str) and len(param["value"].encode()) <= PARAM_MAX, "value of a param")
            _check(run["params"].get(param["key"], param["value"]) == param["value"], "a param never changes")
        _check(len({param["key"] for param in params}) == len(params), "a param twice")
        run["params"] |= {param["key"]: param["value"] for param in params}
        self._tags(made, tags)
        for metric in metrics:  # as its SQL store does: one that is there as it is, is there once
            told = tuple(metric[key] for key in ("key", "step", "value", "timestamp"))
            if told not in run["seen"]:
                run["seen"].add(told)
                run["metrics"].append(told)
        return {}

    # ---- below -------------------------------------------------------------------------------------------------------

    def _tags(self, made: str, tags: list[dict[str, str]]) -> None:
        for tag in tags:
            _check_key(tag["key"])
            _check(isinstance(tag["value"], str) and len(tag["value"].encode()) <= TAG_MAX, "value of a tag")
            self.runs[made]["tags"][tag["key"]] = tag["value"]

    def _there(self, made: str) -> dict[str, Any]:
        if made not in self.runs:
            raise WrongError(404, "RESOURCE_DOES_NOT_EXIST", f"no run {made}")
        return self.runs[made]


def _check(right: bool, said: str) -> None:
    if not right:
        raise WrongError(400, "INVALID_PARAMETER_VALUE", said)


def _check_key(key: str) -> None:
    norm = posixpath.normpath(key)
    fits = 0 < len(key) <= KEY_MAX and _NAME.match(key) and norm == key and not norm.startswith(("..", "/"))
    _check(bool(fits) and norm != ".", f"no name: {key!r}")


@contextlib.contextmanager
def serving() -> Iterator[Server]:
    """A server of this process on a port of its own."""
    server = Server()

    class Handler(BaseHTTPRequestHandler):
        def _answered(self) -> None:
            asked = urlsplit(self.path)
            size = int(self.headers.get("Content-Length", 0))
            raw = self.rfile.read(size)
            body = json.loads(raw) if raw else {key: value[0] for key, value in parse_qs(asked.query).items()}
            status, said = 200, {}
            try:
                _check(size <= BODY_MAX, "too large")
                said = server.answer(asked.path, body, dict(self.headers))
            except WrongError as error:
                status, said = error.status, {"error_code": error.code, "message": str(error)}
            content = json.dumps(said).encode()
            with contextlib.suppress(OSError):  # whoever asked has gone
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        do_GET = do_POST = _answered  # noqa: N815 - names of the library

        def log_message(self, format: str, *args: Any) -> None:
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listening.daemon_threads = True
    server.uri = f"http://127.0.0.1:{listening.server_address[1]}"
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.go.set()
        listening.shutdown()
        listening.server_close()
