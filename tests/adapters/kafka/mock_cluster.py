"""The mock cluster inside librdkafka, which comes with confluent-kafka: real sockets, and faults on demand.

It knows nothing of transactions but their requests (nothing is ever aborted, nobody is fenced), so that it serves for
what a client does about faults and for nothing else. Source: rdkafka_mock.h of librdkafka 2.
"""

import ctypes
from pathlib import Path

import pytest

PRODUCE, FETCH, INIT_PRODUCER_ID, ADD_PARTITIONS, END_TXN = 0, 1, 22, 24, 26
DROPPED = -195  # not an error of Kafka's: the connection is closed instead of an answer
NOT_LEADER, TIMED_OUT, TOO_LARGE = 6, 7, 10
COORDINATOR_LOADING, NO_COORDINATOR, NOT_COORDINATOR = 14, 15, 16
INVALID_EPOCH, CONCURRENT = 47, 51


class MockCluster:
    """Brokers 1 to n, in threads of this process."""

    def __init__(self, brokers: int) -> None:
        confluent = pytest.importorskip("confluent_kafka")
        folder = Path(confluent.__file__).parent.parent / "confluent_kafka.libs"
        found = sorted(folder.glob("librdkafka-*.so*"))
        if not found:
            pytest.skip(f"{folder} holds no librdkafka: confluent-kafka was not installed from a wheel")
        self._lib = ctypes.CDLL(str(found[0]))
        for name in ("rd_kafka_conf_new", "rd_kafka_new", "rd_kafka_mock_cluster_new"):
            getattr(self._lib, name).restype = ctypes.c_void_p
        self._lib.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
        error = ctypes.create_string_buffer(512)
        conf = ctypes.c_void_p(self._lib.rd_kafka_conf_new())
        self._client = ctypes.c_void_p(self._lib.rd_kafka_new(0, conf, error, len(error)))
        self._cluster = ctypes.c_void_p(self._lib.rd_kafka_mock_cluster_new(self._client, brokers))
        self.address = self._lib.rd_kafka_mock_cluster_bootstraps(self._cluster).decode()

    def topic(self, name: str, partitions: int = 1) -> None:
        assert self._lib.rd_kafka_mock_topic_create(self._cluster, name.encode(), partitions, 1) == 0

    def fail(self, request: int, *codes: int) -> None:
        """The next requests of this kind are answered with these codes, one each."""
        self._lib.rd_kafka_mock_push_request_errors_array(
            self._cluster, ctypes.c_int16(request), ctypes.c_size_t(len(codes)), (ctypes.c_int * len(codes))(*codes)
        )

    def mend(self) -> None:
        """No more requests fail."""
        for request in (PRODUCE, FETCH, INIT_PRODUCER_ID, ADD_PARTITIONS, END_TXN):
            self._lib.rd_kafka_mock_clear_request_errors(self._cluster, ctypes.c_int16(request))

    def lead(self, topic: str, broker: int) -> None:
        assert self._lib.rd_kafka_mock_partition_set_leader(self._cluster, topic.encode(), 0, broker) == 0

    def coordinate(self, transactional_id: str, broker: int) -> None:
        key = transactional_id.encode()
        assert self._lib.rd_kafka_mock_coordinator_set(self._cluster, b"transaction", key, broker) == 0

    def slow(self, broker: int, ms: int) -> None:
        assert self._lib.rd_kafka_mock_broker_set_rtt(self._cluster, broker, ms) == 0

    def down(self, broker: int) -> None:
        assert self._lib.rd_kafka_mock_broker_set_down(self._cluster, broker) == 0

    def up(self, broker: int) -> None:
        assert self._lib.rd_kafka_mock_broker_set_up(self._cluster, broker) == 0

    def close(self) -> None:
        self._lib.rd_kafka_mock_cluster_destroy(self._cluster)
        self._lib.rd_kafka_destroy(self._client)
