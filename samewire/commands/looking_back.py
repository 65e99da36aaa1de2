"""`samewire replay --as-seen` and `--as-final`: a live session once more, on what it saw or on what is known by now."""

import asyncio
from collections.abc import Iterator
from typing import Any

from engine.clock import Clock, SystemClock
from samewire.commands.common import Output, say, say_json
from samewire.connection import settings_of
from samewire.live.again import Cutting, facts, past_of, reading
from samewire.live.as_final import Final
from samewire.live.following import Following
from samewire.live.run_again import DiffersError, Place, Seen
from samewire.run_file import RunFile

IDENTICAL, DIFFERENT = 0, 1


def look_back(run: RunFile, place: Place, output: Output, *, final: bool, shadow: bool = False) -> int:
    """Runs it, says what came of it, and returns the exit code."""
    clock = SystemClock()
    try:
        said = asyncio.run((as_final if final else as_seen)(run, place, clock, shadow=shadow))
    except DiffersError as error:
        if output.json:
            say_json({"ok": False, "identical": False, "difference": str(error)})
        else:
            say(f"differs: {error}")
        return DIFFERENT
    if output.json:
        say_json({"ok": True, **said})
    else:
        for line in _final_lines(said) if final else _seen_lines(said):
            say(line)
        if place.out is not None:
            say(f"  in {place.out}")
    return IDENTICAL


async def as_seen(run: RunFile, place: Place, clock: Clock, *, shadow: bool = False) -> dict[str, Any]:
    """What the session was given, with its slices cut again from the topics of bars. DiffersError at a difference."""
    async with reading(run) as reader, reading(run) as bars:
        past = await past_of(run, reader, shadow=shadow)
        cutting = Cutting(past, settings_of(run).cut_rules())
        seen = Seen(past, lambda: Following(bars, cutting.course, cutting.sorter))
        result = await seen.run(place, clock)
        following = seen.following
        compared = 0 if following is None or following.gone else following.slices
        return facts(past, seen.inputs) | {
            "identical": True,
            "slices": compared,
            "final_equity": result.summary.get("final_equity"),
        }


async def as_final(run: RunFile, place: Place, clock: Clock, *, shadow: bool = False) -> dict[str, Any]:
    """The session on its bars as they are now, and what that changes."""
    async with reading(run) as reader, reading(run) as bars:
        past = await past_of(run, reader, shadow=shadow)
        result, changes = await Final(past, bars).run(place, clock)
        return facts(past, 0) | changes | {"as_final_digest": result.summary.get("digest")}


def _seen_lines(said: dict[str, Any]) -> Iterator[str]:
    so_far = "" if said["ended"] else ", so far: the session goes on or was stopped"
    yield f"identical, {said['events']:,} events, digest {said['digest']}{so_far}"
    if said["slices"]:
        yield f"  {said['slices']:,} slices cut again from the topics of bars, the same bit for bit"
    else:
        yield "  the topics do not hold its bars any more: its slices are those of the journal"


def _final_lines(said: dict[str, Any]) -> Iterator[str]:
    bars, orders, fills, equity = (said[key] for key in ("bars", "orders", "fills", "equity"))
    yield (
        f"bars: {bars['late']:,} late, {bars['corrected']:,} corrected, {bars['missing']:,} never came; "
        f"{bars['slices']:,} slices are otherwise now"
    )
    for name, rows in (("orders", orders), ("fills", fills)):
        yield (
            f"{name}: {rows['same']:,} the same, {rows['as_seen_only']:,} only as seen, "
            f"{rows['as_final_only']:,} only as final"
        )
    change = equity["as_final"] - equity["as_seen"]
    yield f"final equity: {equity['as_seen']:,.2f} as seen, {equity['as_final']:,.2f} as final ({change:+,.2f})"
    first = said["first"]
    if first is None:
        yield "no decision differs"
        return
    where = " ".join(part for part in (first["event"], first["field"], first["symbol"]) if part)
    yield f"first decision that differs: {first['at']}, {first['component']}: {where}"
    yield f"  as seen {first['as_seen']}, as final {first['as_final']}"
