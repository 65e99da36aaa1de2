"""Logins over TLS on a real broker: taken, refused, and never sent to a name that its certificate does not say."""

import asyncio
import base64
import json
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import TopicAuthorizationFailedError, TransactionalIdAuthorizationFailed

from adapters.kafka.address import KafkaError
from adapters.kafka.admin import administration, create, describe, make
from adapters.kafka.checks import Start, check
from adapters.kafka.codec import Codec, Origin
from adapters.kafka.layout import wanted
from adapters.kafka.publish import Publisher
from adapters.kafka.settings import Kafka
from adapters.kafka.topics import KINDS, Topic
from engine.clock import SystemClock
from engine.cuts import Bar
from engine.secret import Secret
from engine.universe import universe_of
from tests.adapters.kafka.certificates import Pair, authority, signed
from tests.adapters.kafka.rights import grant, granted
from tools.kafka.broker import Broker

pytestmark = [pytest.mark.kafka, pytest.mark.long]
PASSWORD = "open-sesame"
OF_SESSION = {
    kind: {"interval": "1d", "source": "m", "account": "acc1"}.get(known.named_by, "quick")
    for kind, known in KINDS.items()
}
MORE = """\
listeners=PLAINTEXT://127.0.0.1:{{port}},SASL_SSL://127.0.0.1:{sasl},SSL://127.0.0.1:{ssl},CONTROLLER://127.0.0.1:{{controller}}
advertised.listeners=PLAINTEXT://127.0.0.1:{{port}},SASL_SSL://localhost:{sasl},SSL://localhost:{ssl}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,SSL:SSL
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS;User:jane;User:scram;User:CN=client
ssl.keystore.type=PEM
ssl.keystore.location={folder}/broker.both.pem
ssl.truststore.type=PEM
ssl.truststore.location={folder}/ca.pem
listener.name.ssl.ssl.client.auth=required
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512,OAUTHBEARER
listener.name.sasl_ssl.plain.sasl.jaas.config=\
org.apache.kafka.common.security.plain.PlainLoginModule required user_jane="{password}" user_samewire="{password}";
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl_ssl.oauthbearer.sasl.jaas.config=\
org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";
"""


@dataclass(frozen=True)
class Secured:
    sasl: Kafka  # mechanism plain, a good login
    ssl: Kafka  # mutual TLS
    folder: Path
    ca: Pair


@pytest.fixture(scope="module")
def secured(java: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """A broker whose certificate says `localhost`, and nothing of 127.0.0.1."""
    folder = tmp_path_factory.mktemp("secured")
    ca = authority(folder)
    made, client = signed(folder, ca, "broker"), signed(folder, ca, "client", password=PASSWORD)
    (folder / "broker.both.pem").write_text(made.key.read_text() + made.cert.read_text())
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    sasl, ssl = (int(each.getsockname()[1]) for each in held)
    for each in held:
        each.close()
    scram = f"SCRAM-SHA-512=[name=scram,iterations=4096,password={PASSWORD}]"
    more = MORE.format(sasl=sasl, ssl=ssl, folder=folder, password=PASSWORD)
    broker = Broker(folder / "data", heap="256m", more=more, formatted=("--add-scram", scram))
    broker.start()
    login: dict[str, Any] = {"username": "jane", "password": Secret(PASSWORD)}
    mine: dict[str, Any] = {"cert_file": client.cert, "key_file": client.key, "key_password": Secret(PASSWORD)}
    try:
        yield Secured(
            sasl=Kafka(servers=f"localhost:{sasl}", security="sasl_ssl", ca_file=ca.cert, dev=True, **login),
            ssl=Kafka(servers=f"localhost:{ssl}", security="ssl", ca_file=ca.cert, dev=True, **mine),
            folder=folder,
            ca=ca,
        )
    finally:
        broker.destroy()


def now_s() -> float:
    return SystemClock().now_ns() / 1e9


def token(end_s: float) -> str:
    """Unsigned, which a broker takes that is told of no authority."""
    parts = ({"alg": "none"}, {"sub": "jane", "exp": end_s, "iat": end_s - 7200})
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts) + "."


def ways(broker: Secured) -> dict[str, Kafka]:
    by_token: dict[str, Any] = {"mechanism": "oauthbearer", "username": "", "password": None}
    (broker.folder / "token").write_text(token(now_s() + 3600))
    (broker.folder / "token").chmod(0o600)
    says = (sys.executable, "-c", f"print({token(now_s() + 3600)!r})")
    return {
        "mutual TLS": broker.ssl,
        "plain": broker.sasl,
        "scram": replace(broker.sasl, mechanism="scram-sha-512", username="scram"),
        "token file": replace(broker.sasl, **by_token, token_file=broker.folder / "token"),
        "token command": replace(broker.sasl, **by_token, token_command=says),
    }


async def test_every_way_to_log_in_works_for_every_client(secured: Secured) -> None:
    each = wanted("dev.orders.secured.v1")
    async with administration(secured.sasl.client_options()) as admin:
        await create(admin, [each], brokers=1, dev=True)
    for k, (way, settings) in enumerate(ways(secured).items()):
        await check(settings, Start(session="quick", wanted=(each,)))
        options = settings.client_options()
        producer = AIOKafkaProducer(**options, transactional_id=f"samewire.dev.{k}")
        consumer = AIOKafkaConsumer(**options, isolation_level="read_committed", auto_offset_reset="earliest")
        await producer.start()
        await consumer.start()
        try:
            async with producer.transaction():
                await producer.send_and_wait(each.topic, way.encode(), partition=0)
            consumer.assign([TopicPartition(each.topic, 0)])
            found: list[bytes] = []
            while len(found) <= k:
                for records in (await consumer.getmany(timeout_ms=1000)).values():
                    found += [record.value for record in records]
            assert found[-1] == way.encode()
        finally:
            await producer.stop()
            await consumer.stop()


async def test_a_feed_is_published_over_tls(secured: Secured) -> None:
    codec = Codec("dev", universe_of(("AAA",)), Origin(daemon="quick"))
    record = codec.bar(
        Bar(symbol=0, ts=86_400 * 10**9, interval_ns=86_400 * 10**9, open=1, high=1, low=1, close=1, volume=1)
    )
    async with Publisher(secured.ssl, partitions=1, clock=SystemClock()) as publisher:
        await publisher.send(record)
    assert publisher.topics == {record.topic: 1}


async def refusal(settings: Kafka) -> str:
    with pytest.raises(KafkaError) as caught:
        await describe(settings, ["a"])
    assert PASSWORD not in str(caught.value)
    return str(caught.value)


async def test_a_name_that_the_certificate_does_not_say_is_not_spoken_to(secured: Secured) -> None:
    port = secured.sasl.servers.partition(":")[2]
    said = await refusal(replace(secured.sasl, servers=f"127.0.0.1:{port}"))
    assert "certificate that is refused: IP address mismatch" in said


async def test_an_authority_that_is_not_trusted_is_not_spoken_to(secured: Secured, tmp_path: Path) -> None:
    for settings in (
        replace(secured.sasl, ca_file=authority(tmp_path, "other").cert),
        replace(secured.sasl, ca_file=None),
    ):
        assert "certificate that is refused" in await refusal(settings)


@pytest.mark.parametrize("way", ["plain", "scram"])
async def test_a_wrong_password_is_told_as_one(way: str, secured: Secured) -> None:
    said = await refusal(replace(ways(secured)[way], password=Secret("open-barley")))
    assert "refuses the login" in said
    assert "see live.username, password and mechanism" in said
    assert "open-barley" not in said


async def test_a_token_that_has_expired_is_not_sent(secured: Secured) -> None:
    settings = ways(secured)["token file"]
    (secured.folder / "token").write_text(token(now_s() - 60))
    assert "the token expired" in await refusal(settings)


# The client leaves connections to be collected that the broker hung up on.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_client_without_a_certificate_of_its_own_is_refused(secured: Secured) -> None:
    bare = replace(secured.ssl, cert_file=None, key_file=None, key_password=None)
    assert "hangs up" in await refusal(bare)
    other = signed(secured.folder, authority(secured.folder, "stranger"), "stranger-client")
    assert "hangs up" in await refusal(replace(bare, cert_file=other.cert, key_file=other.key))


async def test_the_rights_that_the_page_grants_are_enough_and_no_more(secured: Secured, tmp_path: Path) -> None:
    weak = replace(secured.sasl, env="rights", account="acc1", username="samewire")
    asked = tuple(wanted(str(Topic("rights", kind, name))) for kind, name in OF_SESSION.items())
    start = Start(session="quick", wanted=asked)
    async with administration(secured.sasl.client_options()) as admin:
        await create(admin, asked, brokers=1, dev=True)
        with pytest.raises(KafkaError, match=f"^kafka: {len(asked)} things are wrong") as caught:
            await check(weak, start)
        assert "is missing" in str(caught.value)  # which is all that a stranger is told
        await grant(admin, granted(tmp_path, ENV="rights", ACCOUNT="acc1", SESSION="quick"))
    await check(weak, start)
    options = weak.client_options()
    producer = AIOKafkaProducer(**options, transactional_id=weak.transaction_name("quick"))
    await producer.start()
    try:
        async with producer.transaction():
            for each in asked:
                if KINDS[each.kind].direction == "send" or each.kind == "fills":
                    await producer.send_and_wait(each.topic, b"x", key=b"x", partition=0)
        with pytest.raises(TopicAuthorizationFailedError):
            async with producer.transaction():
                await producer.send_and_wait("rights.bars.1d.v1", b"x", partition=0)
    finally:
        await producer.stop()
    consumer = AIOKafkaConsumer(**options, isolation_level="read_committed", auto_offset_reset="none")
    await consumer.start()
    try:
        places = [TopicPartition(f"rights.{k}.{OF_SESSION[k]}.v1", 0) for k in ("bars", "fills", "control", "journal")]
        assert await consumer.beginning_offsets(places) == dict.fromkeys(places, 0)
        consumer.assign(places)
        await consumer.seek_to_beginning()
        found: set[str] = set()
        while found != {"fills", "journal"}:  # the others are empty, and reading them is no error
            found |= {place.topic.split(".")[1] for place in await consumer.getmany(timeout_ms=1000)}
    finally:
        await consumer.stop()
    other = AIOKafkaProducer(**options, transactional_id="samewire.rights.quicker")
    with pytest.raises(TransactionalIdAuthorizationFailed):
        await asyncio.wait_for(other.start(), 20)
    await other.stop()
    async with administration(options) as admin:
        with pytest.raises(KafkaError, match="could not be made"):
            await make(admin, wanted("rights.orders.acc2.v1"), brokers=1, dev=True)


async def test_what_speaks_tls_is_not_taken_for_a_broker_in_clear(secured: Secured) -> None:
    assert "wants TLS" in await refusal(Kafka(servers=secured.ssl.servers))
