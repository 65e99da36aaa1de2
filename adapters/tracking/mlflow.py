"""Runs told to an MLflow tracking server by its documented REST API; no client library is needed.

A run carries the tag `samewire.run`, by which it is found again when nothing here remembers it. Parameters, which
MLflow never changes, are what a run is found by here too; all else is a tag. A fact that is longer than a tag may be
is told by its hash: it stands whole in the store.

Source: MLflow REST API, version 2.0 (`runs/create`, `runs/search`, `runs/log-batch`, `runs/update`,
`experiments/get-by-name`, `experiments/create`), with the limits that it states for each request.
"""

import base64
import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from adapters.tracking.delivery import METRICS_MAX, GoneError
from adapters.tracking.rest import UnheardError, address_of, ask
from adapters.tracking.store import BEGIN, END, RunRow
from engine.learning import Metric
from engine.secret import Secret

_KEY_MAX, _TAG_MAX, _PARAM_MAX, _NAME_MAX = 250, 5000, 500, 500  # characters
_PARAMS_MAX, _TAGS_MAX = 100, 100  # of one request
_API = "/api/2.0/mlflow/"
_TAG = "samewire.run"
_MISSING, _THERE = "RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS"
_UNFIT = re.compile(r"[^A-Za-z0-9_.\- /]")
# Instants of a task that are told in days, and what is no part of what a run is found by.
_SPANS = ("train", "test", "valid_from", "left_out", "blocks")


class Mlflow:
    """Brings runs, with metrics, parameters and hashes of files, to the MLflow server at `uri`.

    `experiment` is the name of the session unless it is given. With `token` each request carries it as a bearer's, with
    `user` and `password` these. No request takes longer than `timeout_s`. Files stay in the store.
    """

    def __init__(
        self,
        *,
        uri: str,
        experiment: str = "",
        token: Secret | None = None,
        user: str = "",
        password: Secret | None = None,
        timeout_s: float = 10.0,
    ) -> None:
        if token is not None and (user or password is not None):
            raise ValueError("token must stand alone, or user and password without it; got both")
        if bool(user) != (password is not None):
            raise ValueError("user and password must be given together, got one of them")
        if ":" in user:
            raise ValueError("user must have no colon, got one")
        if len(experiment) > _NAME_MAX:
            raise ValueError(f"experiment must have at most {_NAME_MAX} characters, got {len(experiment)}")
        if not 0 < timeout_s <= 600:
            raise ValueError(f"timeout_s must be above 0 and at most 600, got {timeout_s:g}")
        self._at, self._timeout_s = address_of(uri), timeout_s
        self.address = f"mlflow {uri.rstrip('/')}" + (f" ({experiment})" if experiment else "")
        self._experiment, self._token, self._user, self._password = experiment, token, user, password
        self._experiments: dict[str, str] = {}  # by name

    # ---- what is told ------------------------------------------------------------------------------------------------

    def begin(self, row: RunRow, there: str, /) -> str:
        """The id of the run there, made or found again by its tag; with its parameters, and tags of all its facts."""
        made = there or self._found(row) or self._created(row)
        if made and row.status == BEGIN and row.attempts > 1:
            self._ask("runs/update", {"run_id": made, "status": "RUNNING"})
        self._tell(made, _params(row), _tags(row.facts, "samewire.", skip=("task",)) | _identity(row))
        return made

    def log(self, row: RunRow, there: str, metrics: Sequence[Metric], /) -> None:
        """At most `METRICS_MAX` of them. All carry the instant at which the run began: the store has none of each."""
        at = row.began // 10**6
        said = [
            {"key": _key(metric.name), "value": _value(metric.value), "timestamp": at, "step": metric.step}
            for metric in metrics[:METRICS_MAX]
        ]
        self._ask("runs/log-batch", {"run_id": there, "metrics": said})

    def end(self, row: RunRow, there: str, /) -> None:
        files = {"files": {kept.name: kept.sha256 for kept in row.files}} if row.files else {}
        self._tell(there, {}, _tags(dict(row.outcome) | files, "samewire.outcome."))
        status = "FINISHED" if row.status == END else "FAILED"
        ended = (row.began if row.ended is None else row.ended) // 10**6
        self._ask("runs/update", {"run_id": there, "status": status, "end_time": ended})

    # ---- below -------------------------------------------------------------------------------------------------------

    def _tell(self, run: str, params: Mapping[str, str], tags: Mapping[str, str]) -> None:
        for key, limit, pairs in (("params", _PARAMS_MAX, params), ("tags", _TAGS_MAX, tags)):
            for some in _cut(list(pairs.items()), limit):
                self._ask("runs/log-batch", {"run_id": run, key: [{"key": k, "value": v} for k, v in some]})

    def _found(self, row: RunRow) -> str:
        """The id of a run that an earlier call made and nobody wrote down; empty where there is none."""
        wanted = {
            "experiment_ids": [self._experiment_of(row)],
            "filter": f"tags.`{_TAG}` = '{row.id}'",
            "max_results": 1,
        }
        runs = self._ask("runs/search", wanted).get("runs") or [{}]
        return str(runs[0].get("info", {}).get("run_id", ""))

    def _created(self, row: RunRow) -> str:
        column = str(row.facts.get("column", row.name))[:_KEY_MAX]
        tags = [{"key": _TAG, "value": row.id}, {"key": "mlflow.runName", "value": column}]
        wanted = {
            "experiment_id": self._experiment_of(row),
            "run_name": column,
            "start_time": row.began // 10**6,
            "tags": tags,
        }
        made = self._ask("runs/create", wanted).get("run", {}).get("info", {}).get("run_id")
        if not made:
            raise UnheardError("it names no run that it has made; is that an MLflow server?", all_of_it=True)
        return str(made)

    def _experiment_of(self, row: RunRow) -> str:
        name = self._experiment or row.name or "samewire"
        if name not in self._experiments:
            self._experiments[name] = self._named(name) or self._made(name)
        return self._experiments[name]

    def _named(self, name: str) -> str:
        try:
            found = self._ask(f"experiments/get-by-name?experiment_name={quote(name, safe='')}").get("experiment", {})
        except GoneError:
            return ""
        if found.get("lifecycle_stage") == "deleted":
            said = f"its experiment {name!r} was deleted; restore it there, or name another experiment"
            raise UnheardError(said, all_of_it=True)
        return str(found.get("experiment_id", ""))

    def _made(self, name: str) -> str:
        try:
            return str(self._ask("experiments/create", {"name": name}).get("experiment_id", ""))
        except UnheardError as error:
            if error.code != _THERE:  # else another process was faster
                raise
            return self._named(name)

    def _ask(self, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        try:
            return ask(
                self._at,
                ("GET" if body is None else "POST", _API + path),
                b"" if body is None else json.dumps(body, allow_nan=False).encode(),
                headers=self._headers(),
                timeout_s=self._timeout_s,
            )
        except UnheardError as error:
            if error.code == _MISSING:
                self._experiments.clear()
                raise GoneError(str(error)) from error
            raise

    def _headers(self) -> dict[str, str]:
        if self._token is not None:
            return {"Authorization": f"Bearer {self._token.reveal()}"}
        if self._password is not None:
            pair = f"{self._user}:{self._password.reveal()}".encode()
            return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}
        return {}


# ---- in the words of MLflow ------------------------------------------------------------------------------------------


def _params(row: RunRow) -> dict[str, str]:
    """What the run is found by: it is the same whenever it is told."""
    task = row.facts.get("task")
    said: dict[str, Any]
    if not isinstance(task, dict):
        said = {key: row.facts[key] for key in ("training", "rule") if key in row.facts}
    else:
        said = {key: value for key, value in task.items() if key not in _SPANS}
        said |= {key: row.facts[key] for key in ("train", "test") if row.facts.get(key)}
    return {_key(key): _short(value, _PARAM_MAX) for key, value in _flat(said, "")}


def _identity(row: RunRow) -> dict[str, str]:
    return {_TAG: row.id, "samewire.key": row.key, "samewire.attempts": str(row.attempts)}


def _tags(facts: Mapping[str, Any], prefix: str, skip: tuple[str, ...] = ()) -> dict[str, str]:
    return {_key(prefix + str(key)): _short(value, _TAG_MAX) for key, value in facts.items() if key not in skip}


def _flat(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _flat(inner, f"{path}.{key}" if path else str(key))
    else:
        yield path, value


def _short(value: Any, limit: int) -> str:
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)
    if len(text.encode()) <= limit:
        return text
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()} of {len(text)} characters, whole in the store"


def _key(name: str) -> str:
    """A name as MLflow allows it: of its signs, not too long, and no path that leads elsewhere.

    >>> _key("loss"), _key("ic@5 %"), _key("../loss")
    ('loss', 'ic_5 __2cc7d7', '_loss_83c86c')
    """
    fit = _UNFIT.sub("_", name)
    if fit.startswith(".") or any(part in ("", ".", "..") for part in fit.split("/")):
        fit = fit.replace("/", "_").lstrip(".")
    if fit == name and len(fit) <= _KEY_MAX and fit:
        return fit
    return f"{fit[: _KEY_MAX - 7]}_{hashlib.sha256(name.encode()).hexdigest()[:6]}"  # two names stay two


def _value(value: float) -> float | str:
    """A double as JSON of protobuf writes it.

    >>> _value(0.5), _value(math.nan), _value(-math.inf)
    (0.5, 'NaN', '-Infinity')
    """
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _cut(items: list[tuple[str, str]], limit: int) -> Iterator[list[tuple[str, str]]]:
    for first in range(0, len(items), limit):
        yield items[first : first + limit]
