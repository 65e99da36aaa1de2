"""How a daemon is asked to run, and what its start came to."""

import msgspec


class Manner(msgspec.Struct, frozen=True, kw_only=True):
    """How it is asked to run."""

    new: bool = False  # begin a session anew, whatever the journal holds
    changed_code: bool = False  # go on with other code than the session ran with, if it decides the same
    allow: tuple[str, ...] | None = None  # modules that the run file may name, None = all
    writer: str = ""  # the transactional id
    cluster: str = ""  # id of the cluster
    journal_ms: int = -1  # how long the journal keeps a step, -1 = for ever
    shadow: bool = False  # decide and publish to topics of its own, send no orders


AS_USUAL = Manner()


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """What a start came to."""

    recovered: bool
    inputs: int  # that were run again
    events: int
    digest: str
    took_s: float
