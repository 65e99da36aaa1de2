"""Certificates, tokens and files of secrets, without a broker."""

import asyncio
import base64
import json
import logging
import os
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from aiokafka.abc import AbstractTokenProvider
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import KafkaConnectionError

from adapters.kafka.address import KafkaError
from adapters.kafka.security import Tokens, _printed, open_to, quiet_client, tls, tokens
from adapters.kafka.settings import Kafka
from engine.errors import ConfigError
from engine.secret import Secret
from tests.adapters.kafka.certificates import authority, signed

OAUTH: dict[str, Any] = {"servers": "a:1", "security": "sasl_ssl", "mechanism": "oauthbearer"}
SECOND = 10**9


class Hands:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.s = 1_000_000.0

    def now_ns(self) -> int:
        return round(self.s * SECOND)

    def cpu_ns(self) -> int:
        return 0

    def monotonic_ns(self) -> int:
        return self.now_ns()


def jwt(end_s: float, name: str = "a") -> str:
    parts = ({"alg": "none"}, {"exp": end_s, "sub": name})
    head, body = (base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts)
    return f"{head}.{body}.c2lnbmVk"


class Service:
    """What says tokens, and counts how often it was asked."""

    def __init__(self, *answers: str | KafkaError) -> None:
        self.answers, self.asked = list(answers), 0

    async def __call__(self) -> str:
        self.asked += 1
        await asyncio.sleep(0)
        answer = self.answers.pop(0)
        if isinstance(answer, KafkaError):
            raise answer
        return answer


# ---- tokens ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "renewed_s"),
    [
        (jwt(1_000_600), 540),  # a minute ahead
        (jwt(1_010_000), 9_000),  # a tenth of its life ahead
        ('{"access_token": "opaque", "expires_in": 600, "token_type": "Bearer"}', 540),
    ],
)
async def test_a_token_is_kept_until_shortly_before_its_end(first: str, renewed_s: float) -> None:
    clock = Hands()
    service = Service(first, jwt(2_000_000, "b"))
    provider = Tokens(service, clock=clock)
    said = await asyncio.gather(*(provider.token() for _ in range(5)))
    clock.s += renewed_s - 1
    assert {*said, await provider.token()} == {said[0]}
    assert service.asked == 1
    clock.s += 1
    assert await provider.token() == jwt(2_000_000, "b")
    assert service.asked == 2


async def test_where_renewal_fails_the_token_at_hand_is_taken_until_its_end() -> None:
    clock, down = Hands(), KafkaError("kafka: the service is down")
    provider = Tokens(Service(jwt(1_000_100), down, down, jwt(1_000_900)), clock=clock)
    first = await provider.token()
    clock.s += 99
    assert await provider.token() == first
    clock.s += 1
    with pytest.raises(KafkaConnectionError, match="the service is down"):  # the client tries such an error again
        await provider.token()
    assert await provider.token() == jwt(1_000_900)


async def test_a_token_of_which_nobody_says_how_long_it_lives_is_asked_for_each_time() -> None:
    provider = Tokens(Service("one\n", "two"), clock=Hands())
    assert [await provider.token(), await provider.token()] == ["one", "two"]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("", "one word of ASCII"),
        ("two words", "one word of ASCII"),
        ("geh\u00e4im", "one word of ASCII"),
        ('{"error": "hush-hush"}', "no access_token"),
        (jwt(999_990), "expired 10 s ago"),
    ],
)
async def test_what_is_no_token_is_told_without_being_repeated(answer: str, said: str) -> None:
    with pytest.raises(KafkaError, match=said) as caught:
        await Tokens(Service(answer), clock=Hands()).token()
    assert "hush-hush" not in str(caught.value)


async def test_a_token_file_is_read_anew_for_each_connection(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("first\n")
    path.chmod(0o600)
    provider = Kafka(**OAUTH, token_file=path).client_options()["sasl_oauth_token_provider"]
    assert isinstance(provider, AbstractTokenProvider)
    AIOKafkaConnection("a", 1, sasl_mechanism="OAUTHBEARER", sasl_oauth_token_provider=provider)  # takes it
    assert await provider.token() == "first"
    path.write_text(jwt(9e9))
    assert await provider.token() == jwt(9e9)
    path.write_text("second\n")
    assert await provider.token() == "second"
    path.chmod(0o644)
    with pytest.raises(KafkaConnectionError, match="chmod 600"):
        await provider.token()


async def test_a_command_says_the_token_and_its_failures_are_told_by_its_name_alone(tmp_path: Path) -> None:
    def provider(code: str) -> Tokens:
        return tokens(Kafka(**OAUTH, token_command=(sys.executable, "-c", code, "hush-hush")))

    assert await provider("import os; print('of-' + str(os.getppid()))").token() == f"of-{os.getpid()}"
    with pytest.raises(KafkaError, match="exit code 3") as caught:
        await provider("import sys; print('hush-hush'); print('hush-hush', file=sys.stderr); sys.exit(3)").token()
    assert "hush-hush" not in str(caught.value)
    with pytest.raises(KafkaError, match="cannot be started"):
        await tokens(Kafka(**OAUTH, token_command=(str(tmp_path / "none"),))).token()


def ended(pid: int) -> bool:
    state = Path(f"/proc/{pid}/stat")
    return not state.exists() or state.read_text().split()[2] == "Z"


async def test_a_command_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    with pytest.raises(KafkaError, match="nothing within 0.5 s"):
        await _printed(("sh", "-c", f"sleep 60 & echo $! > {tmp_path}/pid; wait"), timeout_s=0.5)
    pid = int((tmp_path / "pid").read_text())
    for _ in range(100):
        if ended(pid):
            break
        await asyncio.sleep(0.02)
    else:
        pytest.fail(f"process {pid} is still there")


# ---- files of secrets ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mode", "said"), [(0o600, ""), (0o400, ""), (0o640, "chmod 600"), (0o604, "mode 0604")])
def test_a_file_of_secrets_is_this_users_alone(mode: int, said: str, tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_text("x")
    path.chmod(mode)
    found = open_to(path)
    if os.getuid() == 0 and mode == 0o640:  # of root, a group may read it
        said = ""
    assert said in found
    assert bool(found) == bool(said)
    assert "cannot be read" in open_to(tmp_path / "none")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
def test_a_file_of_somebody_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_text("x")
    path.chmod(0o600)
    os.chown(path, 12_345, -1)
    assert "belongs to user 12345" in open_to(path)


# ---- TLS -------------------------------------------------------------------------------------------------------------


def test_certificates_are_loaded_and_names_are_always_checked(tmp_path: Path) -> None:
    ca = authority(tmp_path)
    client = signed(tmp_path, ca, "client", password="opensesame")
    given: dict[str, Any] = {"security": "ssl", "ca_file": ca.cert, "cert_file": client.cert, "key_file": client.key}
    context = tls(Kafka(**given, key_password=Secret("opensesame")))
    assert (context.check_hostname, context.verify_mode) == (True, ssl.CERT_REQUIRED)
    assert [dict(part[0] for part in found["subject"])["commonName"] for found in context.get_ca_certs()] == ["ca"]
    for wrong in (None, Secret("open says me")):
        with pytest.raises(ConfigError, match=r"live\.cert_file.*key_password where it has one"):
            tls(Kafka(**given, key_password=wrong))
    client.key.chmod(0o644)
    with pytest.raises(ConfigError, match=r"live\.key_file.*chmod 600"):
        tls(Kafka(**given, key_password=Secret("opensesame")))


def test_files_that_are_not_there_or_no_certificates_are_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"live\.ca_file: .*none\.pem.* cannot be read"):
        tls(Kafka(security="ssl", ca_file=tmp_path / "none.pem"))
    (tmp_path / "ca.pem").write_text("no certificate")
    with pytest.raises(ConfigError, match=r"live\.ca_file: .*does not hold certificates in PEM"):
        tls(Kafka(security="ssl", ca_file=tmp_path / "ca.pem"))


# ---- logs ------------------------------------------------------------------------------------------------------------


def test_the_client_logs_nothing_that_it_sends() -> None:
    code = (
        "import asyncio, logging; logging.basicConfig(level=logging.DEBUG)\n"
        "import aiokafka.conn, aiokafka.producer.producer\n"
        "logging.getLogger('aiokafka.conn').setLevel(logging.DEBUG)\n"
        "from adapters.kafka.settings import Kafka\n"
        "Kafka(servers='a:1').client_options()\n"
        "for name in ('conn', 'producer.producer'): logging.getLogger('aiokafka.' + name).debug('hush-hush')\n"
        "logging.getLogger('aiokafka.conn').warning('loud')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "hush-hush" not in done.stderr
    assert "loud" in done.stderr
    quiet_client()
    assert logging.getLogger("aiokafka").getEffectiveLevel() >= logging.WARNING
