"""Runs told to MLflow: every request within its limits, nothing twice, nothing lost, and nobody waits."""

import math
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from adapters.tracking import telling
from adapters.tracking.delivery import Delivered, Delivery
from adapters.tracking.mlflow import Mlflow
from adapters.tracking.rest import UnheardError
from adapters.tracking.store import RunStore
from adapters.tracking.telling import told_meanwhile
from engine.clock import SystemClock
from engine.errors import StateError
from engine.learning import Metric
from engine.secret import Secret
from tests.adapters.tracking.mlflow_server import Server, serving
from tests.room import room_for

TASK = {
    "model": "gbdt",
    "use": "lightgbm",
    "horizon": 5,
    "train": {"since": 1},
    "options": {"leaves": 31, "bins": None},
}
FACTS: dict[str, Any] = {
    "name": "plan",
    "code": "c1",
    "column": "gbdt-h5",
    "task": TASK,
    "train": ["2018-01-02", "2018-06-29"],
    "data": {f"folder/{k}.csv": "0" * 64 for k in range(200)},  # more than a tag may hold
}


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as made:
        yield made


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RunStore]:
    with closing(RunStore(tmp_path / "store")) as made:
        yield made


def delivered(store: RunStore, server: Server, **options: Any) -> Delivered:
    delivery = Delivery(store.folder, Mlflow(uri=server.uri, **options))
    sent, error = delivery.deliver("plan")
    return delivery.state("plan", sent=sent, error=error)


def recorded(store: RunStore, steps: int = 3, key: str = "key", end: bool = True) -> str:
    run = store.begin(key, FACTS)
    store.log(run, [Metric("loss", k, 1.0 / (k + 1)) for k in range(steps)])
    if end:
        store.keep(run, "answer.txt", b"42")
        store.end(run, "end", {"artefact": "abc"})
    return run


def test_a_run_is_told_with_all_that_it_has(store: RunStore, server: Server) -> None:
    run = recorded(store)
    store.log(run, [Metric("ic@5 %", 0, math.nan), Metric("../loss", 0, math.inf), Metric("x" * 300, 0, 1.0)])
    assert delivered(store, server) == Delivered(address=f"mlflow {server.uri}", runs=1, missing=0, sent=1)
    there, row = server.run(run), store.run(run)
    assert server.experiments == {"plan": "1"}
    assert (there["status"], there["end_time"]) == ("FINISHED", row.ended // 10**6 if row.ended else None)
    assert there["created"]["run_name"] == "gbdt-h5"
    assert there["created"]["start_time"] == row.began // 10**6
    said = {"model": "gbdt", "use": "lightgbm", "horizon": "5", "options.leaves": "31", "options.bins": "null"}
    assert there["params"] == said | {"train": '["2018-01-02", "2018-06-29"]'}
    assert there["tags"]["samewire.outcome.artefact"] == "abc"
    assert row.files[0].sha256 in there["tags"]["samewire.outcome.files"]
    assert there["tags"]["samewire.data"].startswith("sha256:")
    losses = [(step, value) for key, step, value, _ in there["metrics"] if key == "loss"]
    assert losses == store.metrics(run, "loss")
    others = sorted((key, value) for key, _, value, _ in there["metrics"] if key != "loss")
    assert [value for _, value in others] == ["Infinity", "NaN", 1.0]


def test_one_request_holds_a_thousand_metrics_at_most(store: RunStore, server: Server) -> None:
    run = recorded(store, steps=2_500)
    assert not delivered(store, server).missing
    counts = [len(body["metrics"]) for _, body, _ in server.requests if "metrics" in body]
    assert counts == [1000, 1000, 500]
    assert len(server.run(run)["metrics"]) == 2_500


def test_what_was_told_is_not_told_again_and_what_is_new_is(store: RunStore, server: Server) -> None:
    run = recorded(store, end=False)
    assert delivered(store, server).sent == 1
    count = len(server.requests)
    assert delivered(store, server) == Delivered(address=f"mlflow {server.uri}", runs=1, missing=0)
    assert len(server.requests) == count
    assert server.run(run)["status"] == "RUNNING"
    store.log(run, [Metric("loss", 3, 0.1), Metric("loss", 2, 0.3)])  # one of them said before
    store.end(run, "failed", {"error": "no data"})
    assert not delivered(store, server).missing
    metrics = [body["metrics"] for _, body, _ in server.requests[count:] if "metrics" in body]
    assert [[(each["step"], each["value"]) for each in some] for some in metrics] == [[(2, 0.3), (3, 0.1)]]
    assert server.run(run)["status"] == "FAILED"
    store.log(run, [Metric("sharpe", 0, 0.7)])  # as the best of a search is, after the end
    assert delivered(store, server).sent == 1
    assert ("sharpe", 0, 0.7) in [told[:3] for told in server.run(run)["metrics"]]


def test_one_that_begins_again_is_the_same_run_there(store: RunStore, server: Server) -> None:
    run = recorded(store, end=False)
    delivered(store, server)
    assert recorded(store) == run
    assert not delivered(store, server).missing
    assert (server.run(run)["status"], server.run(run)["tags"]["samewire.attempts"]) == ("FINISHED", "2")


def test_a_lost_memory_finds_every_run_again(store: RunStore, server: Server) -> None:
    """As after a kill between making a run there and writing down what it is called."""
    run = recorded(store)
    delivered(store, server)
    told = list(server.run(run)["metrics"])
    (store.folder / "sent.sqlite").unlink()
    assert not delivered(store, server).missing
    assert len(server.runs) == 1
    assert server.run(run)["metrics"] == told


def test_a_server_that_was_emptied_is_told_anew(store: RunStore, server: Server) -> None:
    run, delivery = recorded(store), Delivery(store.folder, Mlflow(uri=server.uri))
    assert delivery.deliver("plan") == (1, "")
    server.runs.clear()
    server.experiments = {"other": "7"}
    store.log(run, [Metric("late", 0, 1.0)])
    assert delivery.deliver("plan") == (1, "")
    assert len(server.run(run)["metrics"]) == 4


@pytest.mark.parametrize("path", ["get-by-name", "runs/create", "log-batch", "runs/update"])
def test_a_server_that_fails_anywhere_gets_the_rest_later(store: RunStore, server: Server, path: str) -> None:
    run = recorded(store)
    server.fails, server.fails_on = 500, path
    found = delivered(store, server)
    assert (found.missing, found.error) == (1, "it answers 500 Internal Server Error: it is ill today")
    server.fails = 0
    assert not delivered(store, server).missing
    assert len(server.run(run)["metrics"]) == 3
    assert len(server.runs) == 1


def test_one_run_that_is_refused_keeps_no_other_back(store: RunStore, server: Server) -> None:
    first, second = recorded(store, key="a"), recorded(store, key="b")
    delivered(store, server)
    server.run(first)["params"]["horizon"] = "6"  # somebody wrote into it there: a parameter never changes
    for run in (first, second):
        store.end(run, "end", {"artefact": "def"})
    found = delivered(store, server)
    assert (found.runs, found.missing) == (1, 1)
    assert "a param never changes" in found.error
    assert server.run(second)["tags"]["samewire.outcome.artefact"] == "def"


def test_who_asks_is_said_and_not_shown(store: RunStore, server: Server) -> None:
    recorded(store)
    delivered(store, server, token=Secret("opensesame"), experiment="mine")
    delivered(store, server, user="ann", password=Secret("opensesame"))
    said = {headers["Authorization"] for _, _, headers in server.requests}
    assert said == {"Bearer opensesame", "Basic YW5uOm9wZW5zZXNhbWU="}
    assert "mine" in server.experiments
    server.fails = 401
    recorded(store, key="another")
    error = delivered(store, server, token=Secret("opensesame")).error
    assert "look at token" in error
    assert "opensesame" not in error


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"uri": "http://mlflow.example:5000"}, "uri must be https"),
        ({"uri": "https://ann:opensesame@mlflow.example"}, "options of their own"),
        ({"uri": "mlflow.example"}, "uri must be an address"),
        ({"uri": "https://h:port"}, "uri must be an address"),
        ({"uri": "https://h", "user": "ann"}, "given together"),
        ({"uri": "https://h", "token": Secret("a" * 9), "user": "a", "password": Secret("b" * 9)}, "stand alone"),
        ({"uri": "https://h", "timeout_s": 0.0}, "timeout_s must be above 0"),
    ],
)
def test_an_address_that_tells_secrets_or_none_is_refused(options: dict[str, Any], rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        Mlflow(**options)


def test_a_redirect_is_not_followed(store: RunStore, server: Server) -> None:
    recorded(store)
    server.fails = 302
    assert "no redirect is followed" in delivered(store, server, token=Secret("opensesame")).error


def test_an_answer_that_never_ends_is_cut_off(store: RunStore) -> None:
    """A byte now and then would outlast any timeout of a single read."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        stop = threading.Event()

        def drip() -> None:
            line, _ = listening.accept()
            with line:
                line.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
                while not stop.wait(0.05):
                    try:
                        line.sendall(b" ")
                    except OSError:
                        return

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        recorded(store)
        row = store.runs()[0]
        with pytest.raises(UnheardError, match=r"no answer within 0\.3 s"):
            Mlflow(uri=f"http://127.0.0.1:{listening.getsockname()[1]}", timeout_s=0.3).begin(row, "")
        stop.set()
        thread.join(5)


def test_a_full_disk_is_told_and_costs_nothing_but_another_try(store: RunStore, server: Server) -> None:
    run = recorded(store, steps=2_000)
    store.read(store.run(run).files[0])
    with room_for(2_000), pytest.raises(StateError, match=r"sent\.sqlite: it cannot be used .* free some space"):
        delivered(store, server)
    assert store.run(run).status == "end"
    assert not delivered(store, server).missing
    assert len(server.run(run)["metrics"]) == 2_000


# ---- while it is recorded --------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "_EVERY_S", 0.02)


def test_runs_are_told_while_others_are_recorded(store: RunStore, server: Server) -> None:
    warned: list[str] = []
    with told_meanwhile(store.folder, "plan", [Mlflow(uri=server.uri)], warn=warned.append) as told:
        run = recorded(store, steps=50)
    assert told.places[0].missing == 0
    assert len(server.run(run)["metrics"]) == 50
    assert warned == []


def test_a_server_that_is_down_costs_one_warning_and_no_record(store: RunStore, server: Server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]  # nobody listens there any more
    warned: list[str] = []
    sink = Mlflow(uri=f"http://127.0.0.1:{port}")
    with told_meanwhile(store.folder, "plan", [sink], warn=warned.append) as told:
        run = recorded(store)
        for _ in range(200):  # time for more than one try
            if len(warned):
                break
            threading.Event().wait(0.01)
    assert len(warned) == 1
    assert "connection refused; trainings go on and are recorded" in warned[0]
    assert (told.places[0].missing, told.places[0].error) == (1, "connection refused")
    assert len(store.metrics(run, "loss")) == 3
    assert not delivered(store, server).missing  # another place has what is its own, and all of it


def test_a_slow_server_makes_nobody_wait(store: RunStore, server: Server) -> None:
    server.slow, clock = True, SystemClock()
    began = clock.monotonic_ns()
    with told_meanwhile(store.folder, "plan", [Mlflow(uri=server.uri)], warn=print, linger_s=0.3) as told:
        recorded(store, steps=1_500)
        wrote = clock.monotonic_ns() - began
    assert clock.monotonic_ns() - began - wrote < 3e9
    assert told.places[0].missing == 1
    assert told.places[0].error
    server.slow = False
    server.go.set()
    assert not delivered(store, server).missing
    assert len(server.runs) == 1


def test_a_failing_training_is_not_kept_by_what_is_to_be_told(store: RunStore, server: Server) -> None:
    server.slow, clock = True, SystemClock()
    began = clock.monotonic_ns()
    sinks = [Mlflow(uri=server.uri)]
    telling_ = told_meanwhile(store.folder, "plan", sinks, warn=print)
    telling_.__enter__()
    recorded(store)
    assert not telling_.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert clock.monotonic_ns() - began < 3e9
