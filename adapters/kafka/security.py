"""How a session proves to Kafka who it is, and makes sure who answers: TLS, logins, tokens, files of secrets."""

import asyncio
import base64
import contextlib
import logging
import os
import signal
import ssl
import stat
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from adapters.kafka.address import KafkaError
from engine.clock import Clock, SystemClock
from engine.errors import ConfigError

if TYPE_CHECKING:
    from adapters.kafka.settings import Kafka

COMMAND_S = 10.0  # that a command may take to say a token
AHEAD_S = 60  # that a token still has to live, or a new one is asked for
_TOKEN_MAX = 65_536  # bytes


def tls(settings: "Kafka") -> ssl.SSLContext:
    """What checks the brokers' certificates and their names, always, and shows this client's own where it has one.

    Raises ConfigError for files that are missing, open to others, or not what they should be.
    """
    with _told("ca_file", settings.ca_file):
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=settings.ca_file)
    if settings.cert_file is not None:
        if settings.key_file is not None:
            refuse_open(settings.key_file, "live.key_file")
        # Without a password OpenSSL would ask for one on the terminal.
        password = "" if settings.key_password is None else settings.key_password.reveal()
        with _told("cert_file", settings.cert_file, "a certificate, the key to it, and key_password where it has one"):
            context.load_cert_chain(settings.cert_file, settings.key_file, lambda: password)
    return context


@contextlib.contextmanager
def _told(option: str, path: Path | None, rule: str = "certificates in PEM") -> Iterator[None]:
    try:
        yield
    except ssl.SSLError as error:
        said = f"live.{option}: {path} does not hold {rule} ({error.reason or error})"
        raise ConfigError(f"{said}; look at the files with: openssl x509 -in {path} -noout -text") from error
    except OSError as error:
        said = f"live.{option}: {path}, or what belongs to it, cannot be read: {error.strerror or error}"
        raise ConfigError(f"{said}; check the path and who may read it") from error


def login(settings: "Kafka") -> dict[str, Any]:
    """The arguments of aiokafka's clients that say who this is; {} without a login."""
    quiet_client()
    if not settings.security.startswith("sasl"):
        return {}
    said: dict[str, Any] = {"sasl_mechanism": settings.mechanism.upper()}
    if settings.mechanism != "oauthbearer":
        password = settings.password
        return said | {
            "sasl_plain_username": settings.username,
            "sasl_plain_password": None if password is None else password.reveal(),
        }
    from aiokafka.abc import AbstractTokenProvider

    AbstractTokenProvider.register(Tokens)  # which the client asks for
    return said | {"sasl_oauth_token_provider": tokens(settings)}


def quiet_client() -> None:
    """Keeps aiokafka from logging what is sent: at debug it writes out keys, values and logins."""
    known = [name for name in logging.root.manager.loggerDict if name.startswith("aiokafka.")]
    for name in ("aiokafka", *known):
        logger = logging.getLogger(name)
        if name == "aiokafka" or logger.level:
            logger.setLevel(max(logger.level, logging.WARNING))


# ---- files that nobody else may read -------------------------------------------------------------------------------


def open_to(path: Path) -> str:
    """What is wrong with who may read a file of secrets, and the command that mends it; empty when nothing is.

    It belongs to this user and nobody else may read it; or to root, and a group may read it too, as files that are
    mounted into containers do. Source: PostgreSQL 17, section 19.9.4, the rule for a server's key.
    """
    if not hasattr(os, "getuid"):
        return ""
    try:
        found = path.stat()
    except OSError as error:
        return f"{path} cannot be read: {error.strerror or error}; check the path and who may read it"
    mode = stat.S_IMODE(found.st_mode)
    if found.st_uid not in (0, os.getuid()):
        return f"{path} belongs to user {found.st_uid}, who can change it; chown it to the user of the session"
    allowed = 0o640 if found.st_uid == 0 else 0o600
    if mode & 0o777 & ~allowed & ~0o100:
        return f"{path} has mode {mode:04o}: others may read or change the secret; chmod 600 {path}"
    return ""


def refuse_open(path: Path, option: str) -> None:
    """Raises ConfigError where `open_to` finds something."""
    if wrong := open_to(path):
        raise ConfigError(f"{option}: {wrong}")


# ---- tokens --------------------------------------------------------------------------------------------------------


class _Answer(msgspec.Struct, frozen=True):
    """What a token service answers. Source: RFC 6749, section 5.1."""

    access_token: str
    expires_in: float = 0.0  # seconds, 0 = not said


class _Claims(msgspec.Struct, frozen=True):
    exp: float = 0.0  # seconds since 1970, 0 = not said


class Tokens:
    """Gives aiokafka a token for each connection it makes: the one at hand while that lives, else a new one.

    A token is renewed once it has less than a minute or a tenth of its life before it. Where that fails, the one at
    hand is taken until its end. One of which nobody says how long it lives is asked for at each connection, and so is
    any unless `keep`. `said` returns a token, or the JSON of a token service.
    """

    def __init__(self, said: Callable[[], Awaitable[str]], *, clock: Clock, keep: bool = True) -> None:
        self._said, self._clock, self._keep = said, clock, keep
        self._token, self._renew_ns, self._end_ns = "", 0, 0
        self._lock = asyncio.Lock()

    async def token(self) -> str:
        async with self._lock:  # several connections begin at once
            if self._keep and self._clock.now_ns() < self._renew_ns:
                return self._token
            try:
                self._take(await self._said())
            except KafkaError as error:
                if not self._token:
                    raise
                if self._clock.now_ns() >= self._end_ns:
                    from aiokafka.errors import KafkaConnectionError

                    raise KafkaConnectionError(str(error)) from error  # which the client tries again
            return self._token

    def extensions(self) -> dict[str, str]:
        return {}

    def _take(self, text: str) -> None:
        token, lives_s = _read(text)
        now = self._clock.now_ns()
        end = now + round(lives_s * 1e9) if lives_s else round(_expiry(token) * 1e9)
        if end and end <= now:
            raise KafkaError(f"kafka: the token expired {(now - end) / 1e9:.0f} s ago; have it renewed before its end")
        ahead = max(AHEAD_S * 10**9, (end - now) // 10)
        self._token, self._end_ns, self._renew_ns = token, end, max(0, end - ahead)


def _read(text: str) -> tuple[str, float]:
    """The token and the seconds that it lives, 0 where that is not said."""
    text = text.strip()
    if text.startswith("{"):
        try:
            answer = msgspec.json.decode(text, type=_Answer)
        except msgspec.DecodeError:
            raise KafkaError("kafka: the answer of the token service has no access_token; see what it says") from None
        text, lives_s = answer.access_token, answer.expires_in
    else:
        lives_s = 0.0
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise KafkaError("kafka: what was to be a token is none: one word of ASCII, or the JSON of a token service")
    return text, lives_s


def _expiry(token: str) -> float:
    """Seconds since 1970 at which a JSON Web Token ends, unverified; 0 for a token that does not say. RFC 7519."""
    parts = token.split(".")
    if len(parts) != 3:
        return 0.0
    with contextlib.suppress(ValueError, msgspec.DecodeError):
        return msgspec.json.decode(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)), type=_Claims).exp
    return 0.0


def tokens(settings: "Kafka", clock: Clock | None = None) -> Tokens:
    """The provider that these settings describe."""
    path, command = settings.token_file, settings.token_command or ()

    async def of_file() -> str:
        if path is None:
            raise KafkaError("kafka: live.token_file is not said")
        if wrong := open_to(path):
            raise KafkaError(f"kafka: live.token_file: {wrong}")
        return await asyncio.to_thread(_file_text, path)

    said = of_file if path is not None else lambda: _printed(command)
    return Tokens(said, clock=clock or SystemClock(), keep=path is None)  # a file may be exchanged at any time


def _file_text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_TOKEN_MAX).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise KafkaError(f"kafka: live.token_file: {path} cannot be read: {error}") from error


async def _printed(command: tuple[str, ...], timeout_s: float = COMMAND_S) -> str:
    """What a program prints. What it says in errors is not repeated: programs like to show there what they sent."""
    shown = f"kafka: live.token_command: {command[0]}"
    try:
        program = await asyncio.create_subprocess_exec(
            *command, stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL, start_new_session=True
        )
    except OSError as error:
        raise KafkaError(f"{shown} cannot be started: {error.strerror or error}; say a program by its path") from error
    try:
        printed, _ = await asyncio.wait_for(program.communicate(), timeout_s)
    except TimeoutError:
        raise KafkaError(f"{shown} said nothing within {timeout_s:g} s; run it by hand and see") from None
    finally:
        if program.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(program.pid, signal.SIGKILL)
            await program.wait()
    if program.returncode:
        raise KafkaError(f"{shown} ended with exit code {program.returncode}; run it by hand and see")
    return printed[:_TOKEN_MAX].decode("utf-8", "replace")
