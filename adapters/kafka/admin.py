"""Asks a cluster what it is and what its topics are, and makes topics. With an operator's rights, not a session's."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from typing import Any

from adapters.kafka.address import KafkaError, probe, servers
from adapters.kafka.layout import ASKED, REPLICAS, Cluster, Described, Wanted, settings_of
from adapters.kafka.security import quiet_client
from adapters.kafka.settings import Kafka

TIMEOUT_MS = 10_000
_EXISTS, _AUTHORIZATION = 36, (29, 30, 31)  # TOPIC_ALREADY_EXISTS; TOPIC_, GROUP_, CLUSTER_AUTHORIZATION_FAILED
_LOOKS, _LOOK_S = 100, 0.1
_AUTO_CREATE = "auto.create.topics.enable"


async def reach(client: Mapping[str, Any], timeout_s: float = 5.0) -> str:
    """The first server that takes a connection of this client, TLS and login included.

    `client` is what Kafka.client_options says. KafkaError with what each server did instead, which the client itself
    only logs.
    """
    address = ",".join(client["bootstrap_servers"])
    if client.get("security_protocol", "PLAINTEXT") == "PLAINTEXT":
        return (await asyncio.to_thread(probe, address, timeout_s))[0]
    from aiokafka.conn import create_conn
    from aiokafka.errors import KafkaError as ClientError

    quiet_client()
    options = {key: value for key, value in client.items() if key != "bootstrap_servers"}
    failed = []
    for host, port in servers(address):
        try:
            line = await create_conn(host, port, request_timeout_ms=round(timeout_s * 1000), **options)
        except (OSError, ClientError, TimeoutError) as error:
            failed.append(f"{host}:{port} {_why(error)}")
            continue
        line.close()
        return f"{host}:{port}"
    raise KafkaError(f"kafka: no broker takes the connection: {'; '.join(failed)}")


def _why(error: Exception) -> str:
    """What happened, without what was sent."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"shows a certificate that is refused: {error.verify_message.rstrip('.')}; look at live.ca_file"
    if isinstance(error, TimeoutError):
        return "does not answer"
    if isinstance(error, ssl.SSLError):
        return f"does not speak TLS, or refuses this client's certificate ({error.reason or error}); see live.security"
    name = type(error).__name__
    if "Sasl" in name or "Authentication" in name:
        return f"refuses the login ({name}: {error}); see live.username, password and mechanism"
    if isinstance(error, OSError):
        return error.strerror.lower() if error.strerror else f"hangs up ({name}); see live.security"
    return f"hangs up ({name}); see live.security, and whether it asks for a certificate of the client"


@contextlib.asynccontextmanager
async def administration(client: Mapping[str, Any]) -> AsyncIterator[Any]:
    """A client of aiokafka for administration, connected. What it raises within is a KafkaError."""
    from aiokafka.admin import AIOKafkaAdminClient

    quiet_client()
    await reach(client)
    admin = AIOKafkaAdminClient(**client, request_timeout_ms=TIMEOUT_MS)
    try:
        with told(",".join(client["bootstrap_servers"])):
            await admin.start()
            yield admin
    finally:
        await admin.close()


@contextlib.contextmanager
def told(place: str) -> Iterator[None]:
    """What the client raises, told with the address or the topic."""
    from aiokafka.errors import KafkaError as ClientError

    try:
        yield
    except (ClientError, TimeoutError) as error:
        raise KafkaError(f"kafka: {place}: {error or type(error).__name__}") from error


async def describe(settings: Kafka, topics: Iterable[str]) -> Cluster:
    """The cluster, and those of these topics that are there."""
    async with administration(settings.client_options()) as admin:
        return await described(admin, topics)


async def described(admin: Any, topics: Iterable[str]) -> Cluster:
    """The same by a client that is connected."""
    cluster = await admin.describe_cluster()
    asked = frozenset(topics)
    # All topics are asked for: asking for one that is missing by its name could make it.
    there = {each["topic"]: each["partitions"] for each in await admin.describe_topics() if each["topic"] in asked}
    known = await settings_of_topics(admin, sorted(there))
    found = {
        name: Described(
            partitions=len(partitions),
            replicas=min((len(each["replicas"]) for each in partitions), default=0),
            settings=known[name][0],
            unreadable=known[name][1],
        )
        for name, partitions in sorted(there.items())
    }
    brokers = [each["node_id"] for each in cluster["brokers"]]
    auto = await _auto_create(admin, brokers)
    return Cluster(id=cluster.get("cluster_id") or "", brokers=len(brokers), topics=found, auto_create=auto)


async def settings_of_topics(admin: Any, topics: list[str]) -> dict[str, tuple[dict[str, str], str]]:
    """By topic: its settings, and why they are not known where they are not."""
    from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

    if not topics:
        return {}
    asked = [ConfigResource(ConfigResourceType.TOPIC, name, configs=dict.fromkeys(ASKED)) for name in topics]
    found: dict[str, tuple[dict[str, str], str]] = dict.fromkeys(topics, ({}, "no answer"))
    for answer in await admin.describe_configs(asked):
        for code, why, _, name, entries in answer.resources:
            said = {key: value for key, value, *_ in entries if value is not None}
            found[name] = (said, _refusal(code, why) if code else "")
    return found


def _refusal(code: int, why: str | None) -> str:
    from aiokafka.errors import for_code

    return f"{for_code(code).__name__}{f': {why}' if why and code not in _AUTHORIZATION else ''}"


async def _auto_create(admin: Any, brokers: list[int]) -> bool | None:
    """Whether a topic is made as soon as somebody asks for it; None where this client may not know."""
    from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

    asked = [ConfigResource(ConfigResourceType.BROKER, str(each), configs={_AUTO_CREATE: None}) for each in brokers[:1]]
    for answer in await admin.describe_configs(asked):
        for code, _, _, _, entries in answer.resources:
            for name, value, *_ in entries:
                if not code and name == _AUTO_CREATE and value is not None:
                    return bool(value == "true")
    return None


async def create(admin: Any, wanted: Iterable[Wanted], *, brokers: int, dev: bool) -> tuple[str, ...]:
    """Makes topics and returns, once the cluster knows them, the names of those that were not there."""
    asked = tuple(wanted)
    made = tuple([each.topic for each in asked if await make(admin, each, brokers=brokers, dev=dev)])
    await known(admin, {each.topic: each.partitions for each in asked if each.topic in made})
    return made


async def known(admin: Any, partitions: Mapping[str, int]) -> Cluster:
    """The cluster, once it shows topics that were made with their partitions and settings: it takes a moment to."""
    for _ in range(_LOOKS):
        cluster = await described(admin, partitions)
        found = [cluster.topics.get(name) for name in partitions]
        if all(
            each is not None and each.partitions == count and not each.unreadable
            for each, count in zip(found, partitions.values(), strict=True)
        ):
            return cluster
        await asyncio.sleep(_LOOK_S)
    raise KafkaError(
        f"kafka: what was made is not there after {_LOOKS * _LOOK_S:g} s: {', '.join(partitions)}; try again"
    )


async def make(admin: Any, each: Wanted, *, brokers: int, dev: bool) -> bool:
    """Makes a topic, with as many copies as there are brokers, at most three. False if it was there."""
    from aiokafka.admin import NewTopic

    copies = 1 if dev else min(REPLICAS, brokers)
    asked = NewTopic(each.topic, each.partitions, copies, topic_configs=settings_of(each, dev=dev))
    answer = await admin.create_topics([asked])
    _, code, *why = answer.topic_errors[0]
    if code not in (0, _EXISTS):
        said = why[0] if why and why[0] else _refusal(code, None)
        raise KafkaError(f"topic {each.topic}: it could not be made: {said} (error {code})")
    return bool(code == 0)
