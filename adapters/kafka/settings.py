"""The section `live` of a run file: which broker, how it is spoken to, and when a slice of live bars is cut."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from adapters.kafka.address import START, VARIABLE, Found, KafkaError, found, servers
from adapters.kafka.topics import Topic, of_shadow, shadow_of
from engine.cuts import CutRules
from engine.errors import ConfigError
from engine.events import SECOND_NS
from engine.secret import Secret

_LOOPBACK = re.compile(r"localhost|127\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}|::1")
_TRANSACTIONAL_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_GENERATED = re.compile(r"(?i)[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}")  # a UUID
_MOST_S = 1e8  # three years: nothing that is waited for takes as long, and nanoseconds fit
# What a number may be: from, to.
_BOUNDS: MappingProxyType[str, tuple[float, float]] = MappingProxyType(
    {
        "deadline_s": (0, _MOST_S),
        "quorum": (0, 1),
        "patience_s": (0, _MOST_S),
        "absent_after": (0, 1_000_000),
        "skew_s": (0, _MOST_S),
        "ahead_s": (1, _MOST_S),
        "snapshot_every": (1, 1_000_000),
        "health_s": (1, 86_400),
        "retrain_wait_s": (0, 86_400),
        "poison_max": (0, 1_000_000_000),
        "batch_ms": (0, 5_000),  # half of what a transaction may take
        "batch_records": (1, 100_000),
    }
)
_TLS = ("ca_file", "cert_file", "key_file", "key_password")
_LOGIN = ("username", "password", "token_command", "token_file")


@dataclass(frozen=True, kw_only=True)
class Kafka:
    """A Kafka cluster, how a session logs in to it, what its topics are called, and how it cuts slices.

    Nothing is read, resolved or connected to before it is asked for. What contradicts itself is a ValueError that
    begins with the option's name.

    >>> Kafka(servers="kafka-1:9093", security="ssl").loopback, Kafka(servers="[::1]:9092").loopback
    (False, True)
    >>> Kafka(security="sasl_ssl", username="jane")
    Traceback (most recent call last):
    ValueError: password must be given for mechanism plain, as ${env:NAME} or ${file:PATH}, got nothing
    """

    env: str = "dev"  # first part of the names of topics
    account: str = "paper"
    servers: str = ""  # HOST:PORT,..., empty = as SAMEWIRE_KAFKA says, else the local broker
    transactional_id: str = ""  # empty = samewire.<env>.<session>
    security: Literal["plaintext", "ssl", "sasl_ssl", "sasl_plaintext"] = "plaintext"
    mechanism: Literal["plain", "scram-sha-256", "scram-sha-512", "oauthbearer"] = "plain"
    username: str = ""
    password: Secret | None = None
    ca_file: Path | None = None  # None = the authorities that this system trusts
    cert_file: Path | None = None  # of this client, for mutual TLS
    key_file: Path | None = None
    key_password: Secret | None = None
    token_command: tuple[str, ...] | None = None  # prints a token for oauthbearer
    token_file: Path | None = None  # holds one, read anew at each connection
    dev: bool = False  # one broker, one copy of everything
    deadline_s: float = 2.0  # after the end of a slice
    quorum: float = 0.0  # share of the members that a slice needs at its deadline
    patience_s: float = 0.0  # after the end of a slice, when it is cut without a quorum, 0 = the deadline
    absent_after: int = 3  # slices running after which a symbol is waited for no longer, 0 = always waited for
    ordered: bool = True  # a partition holds the bars of its symbols in the order of their ends
    skew_s: float = 2.0  # how far ahead of the clock a bar may end
    ahead_s: float = 864_000.0  # a bar further ahead of the stream than this is no bar of it
    late: Literal["next", "ignore", "stop"] = "next"  # a bar that comes after its slice was cut
    snapshot_every: int = 100  # slices
    health_s: float = 60.0  # from one report of how the session is to the next
    poison_max: int = 1_000  # records that cannot be read, after which the session stops
    retrain_wait_s: float = 60.0  # how long a slice waits for a model that is trained again
    batch_ms: int = 100  # of slices that go into one transaction while it catches up
    batch_records: int = 2_000

    def __post_init__(self) -> None:
        self._check_names()
        self._check_tls()
        self._check_login()
        for name, (least, most) in _BOUNDS.items():
            value = getattr(self, name)
            if not (isfinite(value) and least <= value <= most):
                raise ValueError(f"{name} must be a number from {least:g} to {most:.12g}, got {value:.12g}")
        if self.patience_s and self.patience_s < self.deadline_s:
            raise ValueError(
                f"patience_s must be at least deadline_s, which is {self.deadline_s:g}, or 0 for the same, "
                f"got {self.patience_s:g}"
            )

    def _check_names(self) -> None:
        for key, kind in (("env", "bars"), ("account", "orders")):
            value = getattr(self, key)
            try:
                Topic("x", kind, value)
            except ConfigError:
                rule = "letters, digits, _ and -, at most 64, with a letter or digit first"
                raise ValueError(f"{key} must be {rule}, got {value!r}") from None
        if self.servers:
            try:
                servers(self.servers)
            except KafkaError:
                raise ValueError(f"servers must be HOST:PORT, several with commas, got {self.servers!r}") from None
        known = self.transactional_id
        if known and not _TRANSACTIONAL_ID.fullmatch(known):
            raise ValueError(f"transactional_id must be letters, digits, . _ and -, at most 200, got {known!r}")
        if of_shadow(known):
            raise ValueError(f"transactional_id must not end as that of a shadow does, got {known!r}")
        if _GENERATED.search(known):
            raise ValueError(
                "transactional_id must be the same at every start, or a session that hangs is not shut out by the "
                f"next, got {known!r}"
            )

    def _check_tls(self) -> None:
        if not self.encrypted and (given := self._given(_TLS)):
            raise ValueError(f"{given} is for security ssl or sasl_ssl and must be left out, got {self.security}")
        if self.key_file is not None and self.cert_file is None:
            raise ValueError("cert_file must be given with key_file, the certificate of that key, got nothing")
        if self.key_password is not None and self.key_file is None and self.cert_file is None:
            raise ValueError("key_file must be given with key_password, got nothing")

    def _check_login(self) -> None:
        if not self.security.startswith("sasl"):
            if given := self._given(_LOGIN):
                raise ValueError(f"{given} is for a login and must be left out unless security is sasl_ssl, got one")
            return
        if self.mechanism == "oauthbearer":
            if (self.token_command is None) is (self.token_file is None):
                got = "nothing" if self.token_file is None else "both"
                raise ValueError(f"token_command or token_file must be given for mechanism oauthbearer, got {got}")
            if self.token_command is not None and not any(self.token_command[:1]):
                raise ValueError("token_command must be a program and its arguments, got no program")
            if given := self._given(("username", "password")):
                raise ValueError(f"{given} must be left out for mechanism oauthbearer, got one")
            return
        if given := self._given(("token_command", "token_file")):
            raise ValueError(f"{given} is for mechanism oauthbearer and must be left out, got {self.mechanism}")
        self._check_password()

    def _check_password(self) -> None:
        if not self.username:
            raise ValueError(f"username must be given for mechanism {self.mechanism}, got nothing")
        if self.password is None:
            how = "as ${env:NAME} or ${file:PATH}"
            raise ValueError(f"password must be given for mechanism {self.mechanism}, {how}, got nothing")

    def _given(self, names: tuple[str, ...]) -> str:
        """The first of these options that is said; empty where none is."""
        return next((name for name in names if getattr(self, name) not in (None, "")), "")

    @property
    def encrypted(self) -> bool:
        """Whether what is said to the broker can be read by nobody between."""
        return self.security in ("ssl", "sasl_ssl")

    def where(self, environ: Mapping[str, str] = os.environ) -> Found:
        """The servers, and what named them; KafkaError where nothing does."""
        if self.servers:
            return Found(self.servers, "live.servers")
        if (known := found(environ)) is None:
            raise KafkaError(
                f"kafka: no broker is named; say live.servers in the run file, set {VARIABLE}, or: {START}"
            )
        return known

    @property
    def loopback(self) -> bool:
        """Whether all servers are this very machine."""
        return all(_LOOPBACK.fullmatch(host) for host, _ in servers(self.where().address))

    def environment(self, *, shadow: bool = False) -> str:
        """What the topics of a session, or of its shadow, begin with."""
        return shadow_of(self.env) if shadow else self.env

    def transaction_name(self, session: str, *, shadow: bool = False) -> str:
        """The transactional id of a session of this name: the same at every start, so that the next shuts out the last.

        >>> Kafka(env="prod").transaction_name("quick"), Kafka(env="prod").transaction_name("quick", shadow=True)
        ('samewire.prod.quick', 'samewire.prod.quick.shadow')
        """
        name = self.transactional_id or f"samewire.{self.env}.{session}"
        return shadow_of(name) if shadow else name

    def cut_rules(self) -> CutRules:
        """When a slice is cut."""
        return CutRules(
            deadline_ns=_ns(self.deadline_s),
            quorum=self.quorum,
            patience_ns=_ns(self.patience_s),
            absent_after=self.absent_after,
            skew_ns=_ns(self.skew_s),
        )

    def client_options(self) -> dict[str, Any]:
        """What every client of aiokafka is told: servers, security, login. Files are read now."""
        from adapters.kafka.security import login, tls

        if self.security == "sasl_plaintext" and not self.loopback:
            between = f"whoever is between here and {self.where().address}"
            raise ConfigError(f"live.security: sasl_plaintext would show the login to {between}; say sasl_ssl")
        return {
            "bootstrap_servers": [part.strip() for part in self.where().address.split(",")],
            "security_protocol": self.security.upper(),
            "ssl_context": tls(self) if self.encrypted else None,
            **login(self),
        }


def _ns(seconds: float) -> int:
    return round(seconds * SECOND_NS)
