"""What a session says of its artefacts in every step does not grow with the models that are trained again."""

import asyncio

from adapters.kafka.codec import Record
from samewire.live.keeping import ARTEFACT, MANIFEST, STATE
from samewire.live.writing import ARTEFACTS, Names, Writer


class Box:
    """An outbox that counts offsets."""

    def __init__(self) -> None:
        self._next = 0

    async def start(self) -> None: ...
    async def begin(self) -> None: ...
    async def send(self, record: Record, /) -> "asyncio.Future[int]":
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        future.set_result(self._next)
        self._next += 1
        return future

    async def commit(self) -> None: ...
    async def succeeded(self) -> bool:
        return False

    async def close(self) -> None: ...


NAMES = Names(
    session="s", run_id="r", config="c", code="d", writer="w", cluster="k", journal="j", snapshots="n",
    deadletter="l", status="t", control="o", bars={},
)  # fmt: skip


async def test_a_step_names_the_artefacts_of_the_beginning_and_the_last_few() -> None:
    writer = Writer(Box(), NAMES)
    writer.lasting = frozenset({ARTEFACT + "first"})
    for name in (MANIFEST, ARTEFACT + "first", ARTEFACT + "0"):
        writer.blob(name, b"x", 0)
    await writer.commit()
    for k in range(1, 40):
        writer.blob(f"{ARTEFACT}{k}", b"x", 0)
        writer.blob(STATE, b"x", 0)
        await writer.commit()
    writer.blob(ARTEFACT + "0", b"x", 0)  # swapped back to: it is the last again
    await writer.commit()
    last = [ARTEFACT + str(k) for k in (*range(41 - ARTEFACTS, 40), 0)]
    assert set(writer.kept) == {MANIFEST, STATE, ARTEFACT + "first", *last}
