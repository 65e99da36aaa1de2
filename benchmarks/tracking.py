"""The run store. Goals: 50 us of CPU a metric that is logged by itself, 10 ms to open a run, 100,000 metrics in 50 ms.

A metric is logged in a transaction of its own, as a training loop does it; once more while a thread tells an MLflow
server of this machine what is logged (`told_us`: CPU of the thread that logs). MLflow with its own SQLite store beside
us, where it is installed (`--peers`), logging one by one.
"""

import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from measure import Outcome, arguments, conclude, cpu_seconds, peak_mb

from adapters.tracking.mlflow import Mlflow
from adapters.tracking.store import RunStore
from adapters.tracking.telling import told_meanwhile
from engine.learning import Metric
from tests.adapters.tracking.mlflow_server import serving

GOAL_US, OPEN_MS, QUERY_MS, QUERIED = 50.0, 10.0, 50.0, 100_000


def mlflow_us(folder: Path, count: int) -> dict[str, Any]:
    """CPU of one metric, and of the first run, in MLflow; empty where it is not installed."""
    try:
        import mlflow
    except ImportError:
        return {}
    mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
    client = mlflow.MlflowClient()
    begun = time.process_time()
    run = client.create_run(client.create_experiment("bench")).info.run_id
    opened = time.process_time() - begun
    spent = cpu_seconds(lambda: [client.log_metric(run, "loss", 1.0 / (k + 1), step=k) for k in range(count)])
    return {"mlflow_us": round(spent / count * 1e6, 1), "mlflow_first_run_ms": round(opened * 1e3, 1)}


def told_us(folder: Path, count: int, rounds: int) -> float:
    """CPU that a metric costs whoever logs it, while all of them are told to a server."""
    with (
        closing(RunStore(folder / "told")) as store,
        serving() as server,
        told_meanwhile(folder / "told", "bench", [Mlflow(uri=server.uri)], warn=print) as told,
    ):
        run = store.begin("steps", {"name": "bench"})
        found = []
        for k in range(rounds):
            steps = [[Metric("loss", k * count + step, 1.0 / (step + 1))] for step in range(count)]
            begun = time.thread_time()
            for step in steps:
                store.log(run, step)
            found.append((time.thread_time() - begun) / count)
        store.end(run, "end", {})
    assert told.places[0].missing == 0, told.places[0].error
    assert len(server.run(run)["metrics"]) == rounds * count
    return min(found) * 1e6


def main() -> None:
    args = arguments(__doc__)
    count, rounds = (2_000, 3) if args.quick else (10_000, 7)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        RunStore(folder / "store").close()

        def opened() -> None:
            with closing(RunStore(folder / "store")) as store:
                store.begin("a run", {"name": "bench"})

        opening = sorted(cpu_seconds(opened) for _ in range(rounds))
        with closing(RunStore(folder / "store")) as store:
            run = store.begin("steps", {"name": "bench"})
            steps = [[Metric("loss", k, 1.0 / (k + 1))] for k in range(count)]
            each = sorted(cpu_seconds(lambda: [store.log(run, step) for step in steps]) / count for _ in range(rounds))
            store.log(run, [Metric("large", k, 0.5 * k) for k in range(QUERIED)])
            query = sorted(cpu_seconds(lambda: store.metrics(run, "large")) for _ in range(rounds))
            assert len(store.metrics(run, "large")) == QUERIED
        told = told_us(folder, count // 10, rounds)
        peers = mlflow_us(folder, count // 10) if args.peers else {}
    us, open_ms, query_ms = each[0] * 1e6, opening[0] * 1e3, query[0] * 1e3
    outcome = Outcome(
        work=f"{count:,} metrics logged one by one, {QUERIED:,} queried",
        value=us,
        unit="us CPU a metric",
        goal=GOAL_US,
        met=max(us, told) <= GOAL_US and open_ms <= OPEN_MS and query_ms <= QUERY_MS,
        peers=peers,
        detail={
            "open_ms": round(open_ms, 3),
            "told_us": round(told, 2),
            "query_ms": round(query_ms, 1),
            "median_us": round(each[len(each) // 2] * 1e6, 2),
            "peak_mb": round(peak_mb()),
        },
    )
    conclude(args, "tracking", outcome)


if __name__ == "__main__":
    main()
