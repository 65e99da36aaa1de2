"""What operators do to a live session, on a real broker: followed once, refused with a reason, kept over a death."""

import asyncio
import shutil
from pathlib import Path

import msgspec
import pytest

from adapters.kafka.envelope import Envelope, Origin, decoded
from adapters.kafka.messages import ControlMessage, DeadLetterMessage, LateMessage
from adapters.kafka.requesting import sent
from components.models.artefact import write_artefact
from engine.errors import DataError
from engine.events import ControlAction, Mode
from engine.protocols import Artefact
from samewire.artefacts import registry_at
from samewire.live.handing_over import chosen
from samewire.live.operating import NotFollowedError
from samewire.prepare import wired
from tests.samewire.livened import Ground


@pytest.fixture
def ground(kafka: str, topic_prefix: str, tmp_path: Path) -> Ground:
    return Ground(kafka, topic_prefix, tmp_path)


def asked(action: str, **more: str) -> ControlMessage:
    said = {"by": "jo", "reason": "a test", **more}
    return ControlMessage(id="", ts=len(str(more)) + 10**18, action=action, **said)


def trained(ground: Ground, *changes: str) -> Artefact:
    """What the model of the run file learns when it is changed so."""
    return wired(ground.run(*changes), None, None).learnt.artefacts["lin"]


async def refusal(ground: Ground, said: ControlMessage) -> str:
    with pytest.raises(NotFollowedError) as told:
        await ground.operator().ask(said, 20.0)
    return str(told.value)


async def test_a_session_is_operated_dies_and_stands_where_it_was_told_to(ground: Ground, tmp_path: Path) -> None:
    await ground.topics()
    operator = ground.operator()
    assert "none runs: it has never said how it is" in await refusal(ground, asked("halt"))
    await ground.feed("2018-03-01", "2018-03-09")
    other, strange = trained(ground, "models[0].alpha=5"), trained(ground, "features[0].windows=[2, 4]")
    write_artefact(other, tmp_path / "other")
    async with ground.daemon() as daemon:
        first = trained(ground)
        await ground.until(6)
        # a model that it begins with, another one by its folder, and back
        hash_ = chosen(ground.run(), "lin", str(tmp_path / "other"), "jo")
        swapped = await operator.ask(asked("swap_model", component="lin", artefact=hash_), 20.0)
        assert (hash_, swapped.step is not None) == (other.hash, True)
        back = await operator.ask(asked("swap_model", component="lin", artefact=first.hash, reason="back"), 20.0)
        await operator.ask(asked("swap_model", component="lin", artefact=hash_, reason="and again"), 20.0)
        # what cannot be followed is told so, and nothing else happens
        registry_at(tmp_path / "registry").register("lin", strange)
        said = [
            await refusal(ground, asked("swap_model", component="lin", artefact=strange.hash)),
            await refusal(ground, asked("swap_model", component="lin", artefact="0" * 64)),
            await refusal(ground, asked("swap_model", component="gbdt", artefact=other.hash)),
            await refusal(ground, asked("resume", latch="max_drawdown")),
            await refusal(ground, asked("resume")),
        ]
        for text, part in zip(
            said,
            ("trained on features of schema", "0000000", "no model is called 'gbdt'; expected one of: lin")
            + ("max_drawdown is not set", "nothing of the operator was set"),
            strict=True,
        ):
            assert part in text
        halted = await operator.ask(asked("halt"), 20.0)
        assert halted.step is not None
        assert Mode(halted.step.mode) is Mode.HALTED
        again = Envelope(ground.env, Origin(daemon="quick")).control(asked("halt"))  # the very same request
        await sent({"bootstrap_servers": ground.kafka}, again)
        odd = msgspec.structs.replace(again, value=again.value.replace(b'"halt"', b'"stop"'))
        await sent({"bootstrap_servers": ground.kafka}, odd)
        assert "no model is called 'x'" in await refusal(ground, asked("swap_model", component="x", artefact="0" * 64))
        seen = await operator.look()
        assert (seen.silent, back.step is not None) == ("", True)
        assert daemon.summary()["dead_letters"] == 7
    letters = [decoded(record.value, DeadLetterMessage) for record in await ground.read("deadletter", "quick")]
    assert any("'stop' is no action" in letter.text for letter in letters)
    assert [letter.reason for letter in letters] == ["control"] * 7

    shutil.rmtree(tmp_path / "registry")
    await sent({"bootstrap_servers": ground.kafka}, again)
    await ground.feed("2018-03-12", "2018-03-16")
    async with ground.daemon() as daemon:
        ready = await daemon.ready
        assert (ready.recovered, ready.inputs > 0) == (True, True)
        await ground.until(12)
        resumed = await operator.ask(asked("resume"), 20.0)
        assert resumed.step is not None
        assert Mode(resumed.step.mode) is Mode.ACTIVE
        assert daemon.summary()["dead_letters"] == 7  # those of before it died
        daemon.stop()
    records = await ground.records()
    controls = [record.event for record in records if record.kind == "Control"]
    assert [(control.action, control.actor) for control in controls if control.actor == "jo"] == [
        *[(ControlAction.SWAP_MODEL, "jo")] * 3,
        (ControlAction.HALT, "jo"),
        (ControlAction.RESUME, "jo"),
    ]
    signals = [record.event.model_hash for record in records if record.kind == "Signal"]
    assert set(signals[:2]) == {first.hash}
    assert set(signals[-4:]) == {other.hash}  # from the snapshots topic: the registry is gone


async def test_no_component_hears_of_late_bars_that_are_to_be_ignored(ground: Ground) -> None:
    await ground.topics()
    await ground.feed("2018-03-01", "2018-04-30", "--delay=0.1", "--delay-s=200000", "--seed=3")
    ignore = ("live.late=ignore", "live.snapshot_every=7")
    async with ground.daemon(*ignore):
        await ground.until(10)
    async with ground.daemon(*ignore) as daemon:
        assert (await daemon.ready).recovered
        await ground.until(40)
        daemon.stop()
    steps, told = await ground.steps(), await ground.read("late", "1d")
    counted = sum(cut.counts[1] for step in steps for cut in step.cuts)  # engine.cuts.Counts.late
    bars = [decoded(record.value, LateMessage) for record in told]
    assert len(bars) == counted > 5
    assert len({(bar.instrument, bar.slice_ts) for bar in bars}) == len(bars)
    assert {record.kind for record in await ground.records()} >= {"Bars", "Signal", "Book"}
    assert not any(record.kind == "Late" for record in await ground.records())


async def test_a_late_bar_ends_a_session_that_is_to_stop_and_one_that_ignores_it_goes_on(ground: Ground) -> None:
    await ground.topics()
    await ground.feed("2018-03-01", "2018-03-30", "--delay=0.1", "--delay-s=200000", "--seed=3")
    with pytest.raises(DataError, match="came after their slice was cut, and live.late is stop; mend the feed"):
        async with ground.daemon("live.late=stop"):
            await asyncio.wait({ground.task}, timeout=30)
    async with ground.daemon("live.late=ignore") as daemon:
        await ground.until(20)
        daemon.stop()


def test_an_artefact_is_refused_before_anything_is_sent(ground: Ground, tmp_path: Path) -> None:
    strange = trained(ground, "features[0].windows=[2, 4]")
    write_artefact(strange, tmp_path / "strange")
    damaged = msgspec.structs.replace(strange)
    write_artefact(damaged, tmp_path / "damaged")
    (tmp_path / "damaged" / "card.md").write_text("another")
    run = ground.run()
    for named, why in (
        (str(tmp_path / "strange"), "trained on features of schema"),
        (str(tmp_path / "damaged"), "card.md"),
        ("registry:lin@production", "nothing is registered as lin"),
        ("registry:lin", "says no stage"),
        ("abcdef", "no folder of a trained model"),
    ):
        with pytest.raises(Exception, match=why):
            chosen(run, "lin", named, "jo")
    assert not (tmp_path / "registry" / "artefacts").exists()
    with pytest.raises(Exception, match="no model is called 'gbdt'"):
        chosen(run, "gbdt", str(tmp_path / "strange"), "jo")
