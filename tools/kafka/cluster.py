"""Three nodes of Apache Kafka (KRaft) on the loopback interface, each broker and controller: copies, and who leads.

    python tools/kafka/cluster.py start --dir DIR            starts them, waits until all answer, prints their addresses
    python tools/kafka/cluster.py stop --dir DIR             ends them in order
    python tools/kafka/cluster.py kill --dir DIR --node 2    kill -9 of one; `start` brings it back with port and data
    python tools/kafka/cluster.py status --dir DIR           exit code 3 where one is not running
    python tools/kafka/cluster.py destroy --dir DIR          kills them and removes DIR

What has three copies, of which two must have a record, goes on with any one node gone. It takes 0.8 GB of memory.
"""

import argparse
import json
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
if __name__ == "__main__":  # called as a script: the checkout is not on the path
    sys.path.insert(0, str(HERE.parent.parent))

from adapters.kafka.address import KafkaError  # noqa: E402 - found by the line above
from tools.kafka.broker import Broker, NoBrokerError, cluster_id, fetch, free_ports, say  # noqa: E402

NODES = (1, 2, 3)

# A node is given up three seconds after its last word: on a busy machine a shorter time takes slow nodes for dead.
MORE = """\
node.id={node}
controller.quorum.voters={voters}
offsets.topic.replication.factor=3
transaction.state.log.replication.factor=3
transaction.state.log.min.isr=2
share.coordinator.state.topic.replication.factor=3
share.coordinator.state.topic.min.isr=2
default.replication.factor=3
min.insync.replicas=2
broker.session.timeout.ms=3000
replica.lag.time.max.ms=5000
"""


class Cluster:
    """Three brokers that keep everything in one folder; those that ran in it before are found again."""

    def __init__(self, folder: Path, *, heap: str = "192m", ready_s: float = 120.0) -> None:
        self.folder = folder.resolve()
        self._heap, self._ready_s = heap, ready_s
        self._plan = self.folder / "cluster.json"

    @property
    def nodes(self) -> dict[int, Broker]:
        """By their ids, the first time with ports that nobody has."""
        if not self._plan.is_file():
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            ports = free_ports(2 * len(NODES))
            plan = {"cluster": cluster_id(), "ports": list(zip(ports[::2], ports[1::2], strict=True))}
            self._plan.write_text(json.dumps(plan))
        plan = json.loads(self._plan.read_text())
        voters = ",".join(f"{node}@127.0.0.1:{plan['ports'][node - 1][1]}" for node in NODES)
        return {
            node: Broker(
                self.folder / str(node),
                heap=self._heap,
                ready_s=self._ready_s,
                more=MORE.format(node=node, voters=voters),
                ports=tuple(plan["ports"][node - 1]),
                cluster=plan["cluster"],
            )
            for node in NODES
        }

    @property
    def address(self) -> str:
        """Of all nodes, with commas between them."""
        return ",".join(broker.address for broker in self.nodes.values())

    def pids(self) -> dict[int, int | None]:
        """The process of each node, None where it does not run."""
        if not self._plan.is_file():
            return dict.fromkeys(NODES)
        return {number: broker.pid() for number, broker in self.nodes.items()}

    def start(self) -> str:
        """Starts those that do not run, all at once: none answers before two have found each other."""
        fetch()
        with ThreadPoolExecutor(len(NODES)) as pool:
            list(pool.map(Broker.start, self.nodes.values()))
        return self.address

    def stop(self) -> None:
        """Ends them in order, all at once: the last two alone have no quorum to sign off to."""
        if self._plan.is_file():
            with ThreadPoolExecutor(len(NODES)) as pool:
                list(pool.map(Broker.stop, self.nodes.values()))

    def kill(self, node: int) -> None:
        """kill -9 of one node; data and ports stay."""
        if self._plan.is_file():
            self.nodes[node].kill()

    def destroy(self) -> None:
        """Kills them and removes the folder, if it is one of ours."""
        if self._plan.is_file():
            for broker in self.nodes.values():
                broker.destroy()
            shutil.rmtree(self.folder)


def run(what: str, cluster: Cluster, node: int | None) -> int:
    """One command; returns the exit code."""
    if what == "start":
        say(cluster.start())
    elif what == "status":
        pids = cluster.pids()
        say(
            "\n".join(
                f"{number}: {'stopped' if pid is None else f'running, pid {pid}'}" for number, pid in pids.items()
            )
        )
        return 3 if None in pids.values() else 0
    elif what == "kill" and node is not None:
        cluster.kill(node)
    else:
        {"stop": cluster.stop, "destroy": cluster.destroy}[what]()
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["start", "stop", "kill", "status", "destroy"])
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--node", type=int, choices=NODES, help="kill: which one")
    given = parser.parse_args()
    if given.command == "kill" and given.node is None:
        parser.error("kill needs --node")
    try:
        return run(given.command, Cluster(given.dir), given.node)
    except (NoBrokerError, KafkaError) as error:
        sys.stderr.write(f"{error}\n")
        return 5


if __name__ == "__main__":
    sys.exit(main())
