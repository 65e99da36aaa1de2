"""A shadow beside nothing: it decides, is looked at and decided again, under names that no session can have."""

import json
from pathlib import Path

from adapters.kafka.envelope import decoded
from adapters.kafka.live_record import step_of
from adapters.kafka.messages import StatusMessage
from tests.samewire.live.test_retention import command
from tests.samewire.livened import Ground


async def test_a_shadow_is_decided_again_and_a_report_after_a_restart_says_what_it_is_worth(
    kafka: str, topic_prefix: str, tmp_path: Path
) -> None:
    ground = Ground(kafka, topic_prefix, tmp_path)
    whole = ground.file.read_text()
    ground.file.write_text(whole.replace("start: 2018-03-01,", "start: 2018-03-01, end: 2018-03-16,"))
    for more in ((), ("--shadow",)):
        assert command(ground, "topics", "--create", "--partitions", "2", *more).returncode == 0
    await ground.feed("2018-03-01", "2018-03-16")
    assert command(ground, "live", "--shadow").returncode == 0
    assert command(ground, "status", "--shadow").returncode == 0
    assert command(ground, "status").returncode == 1, "the session itself never began"
    again = command(ground, "replay", "--as-seen", "--shadow", "--format", "json")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout.splitlines()[-1])["slices"] == 12
    assert command(ground, "replay", "--shadow").returncode == 2

    shadow = Ground(kafka, f"{topic_prefix}.shadow", tmp_path)
    steps = [step_of(each.value, "journal", each.offset) for each in await shadow.read("journal", "quick")]
    assert {step.writer for step in steps} == {f"samewire.{topic_prefix}.quick.shadow"}


async def test_a_report_after_a_restart_says_what_the_session_is_worth(
    kafka: str, topic_prefix: str, tmp_path: Path
) -> None:
    ground = Ground(kafka, topic_prefix, tmp_path)
    await ground.topics()
    await ground.feed("2018-03-01", "2018-03-16")
    async with ground.daemon():
        await ground.until(12)
    before = [decoded(each.value, StatusMessage) for each in await ground.read("status", "quick")]
    async with ground.daemon() as daemon:
        assert (await daemon.ready).recovered
        for _ in range(100):
            after = [decoded(each.value, StatusMessage) for each in await ground.read("status", "quick")]
            if len(after) > len(before):
                break
    books = [record.event for record in await ground.records() if record.kind == "Book"]
    assert after[len(before)].slices == 12
    assert after[len(before)].equity == books[-1].equity
