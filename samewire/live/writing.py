"""Writes the steps of a live session: what others read, the journal and the snapshots, in one transaction."""

from collections.abc import Iterable

import msgspec

from adapters.kafka.blobs import chunks
from adapters.kafka.codec import Record
from adapters.kafka.live_record import Step, encoded
from adapters.kafka.transport import Outbox, transact
from samewire.live.keeping import ARTEFACT

ARTEFACTS = 8  # the last ones that a restart knows again, beside those that it began with


class Names(msgspec.Struct, frozen=True, kw_only=True):
    """The topics of one session, and what its records are headed with."""

    session: str
    run_id: str
    config: str
    code: str
    writer: str  # transactional id
    cluster: str
    journal: str
    snapshots: str
    deadletter: str
    status: str
    control: str
    bars: dict[str, int]  # topic -> interval of its bars


class Writer:
    """Gathers records until they are committed together.

    `kept` says where each blob stands that a restart reads, `journal` at or before which offset the next step will. Of
    artefacts these are the `lasting` ones, which the session began with, and the last few: what is in use lies in the
    state.
    """

    def __init__(self, outbox: Outbox, names: Names) -> None:
        self._outbox, self._names = outbox, names
        self._records: list[Record] = []
        self._steps: list[int] = []  # places of journal records among them
        self._blobs: dict[str, int] = {}  # place of the first chunk of each blob among them
        self.kept: dict[str, int] = {}
        self.lasting: frozenset[str] = frozenset()
        self.journal = 0
        self.transactions = 0

    @property
    def records(self) -> int:
        """How many wait to be committed."""
        return len(self._records)

    def add(self, records: Iterable[Record]) -> None:
        self._records += records

    def step(self, step: Step, ts: int) -> None:
        """The journal's record of a step; `ts` is that of its last input."""
        names = self._names
        self._steps.append(len(self._records))
        self._records.append(
            Record(
                topic=names.journal,
                key=names.session.encode(),
                value=encoded(step),
                headers=(("run-id", names.run_id.encode()),),
                timestamp_ms=max(0, ts // 1_000_000),
            )
        )

    def blob(self, name: str, content: bytes, ts: int) -> None:
        self._blobs[name] = len(self._records)
        self._records += chunks(self._names.snapshots, self._names.session, name, content, ts // 1_000_000)

    async def commit(self) -> None:
        """Raises KafkaError where it may not have happened: then nothing but leaving the process is right."""
        if not self._records:
            return
        offsets = await transact(self._outbox, self._records)
        if self._steps:
            self.journal = offsets[self._steps[-1]] + 1
        self.kept = self._needed(self.kept | {name: offsets[place] for name, place in self._blobs.items()})
        self._records, self._steps, self._blobs = [], [], {}
        self.transactions += 1

    def _needed(self, kept: dict[str, int]) -> dict[str, int]:
        """Each step says it, so that it must not grow with the models that are trained again."""
        passing = [name for name in kept if name.startswith(ARTEFACT) and name not in self.lasting]
        if len(passing) <= ARTEFACTS:
            return kept
        gone = sorted(passing, key=kept.__getitem__)[:-ARTEFACTS]
        return {name: at for name, at in kept.items() if name not in gone}
