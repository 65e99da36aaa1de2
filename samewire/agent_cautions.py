"""A session that is unlike what its execution agent learned under: warnings, with both values and the next step."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from engine.calendar import Sessions
from engine.errors import SamewireError
from engine.protocols import Artefact, Feed
from samewire.agent_guard import at_an_even_pace
from samewire.artefacts import seen_before
from samewire.build import read_option
from samewire.cautions import Caution
from samewire.plain import component_in_words
from samewire.run_file import Component, RunFile

CARD = "agent.json"


def agent_cautions(name: str, artefact: Artefact, run: RunFile, feed: Feed, begin: int) -> list[str]:
    """What is to be known before a session begins (UTC ns); nothing of an artefact that is no agent."""
    card = card_in(artefact.files.get(CARD, b""))
    return [
        f"{name}: {text}."
        for text in (*at_an_even_pace(card), *other_market(card, run), *longer_days(card, feed, begin))
    ]


def concerning(run: RunFile, feed: Feed, begin: int) -> Callable[[str, Artefact], list[str]]:
    """What is to be known of the artefact of an option, by the option's name."""
    return lambda name, artefact: seen_before(name, artefact, begin) + agent_cautions(name, artefact, run, feed, begin)


def checked_market(run: RunFile) -> tuple[Caution, ...]:
    """The same of a run file alone, whose market is told and whose days are not; and of an agent that cannot be read.

    That is no problem of the run file: a live session that is taken up has the agent in its topics.
    """
    place = None if run.execution is None else run.execution.options.get("artefact")
    if run.execution is None or not isinstance(place, Path):
        return ()
    try:
        card = card_in(read_option("execution", place).files.get(CARD, b""))
    except (SamewireError, OSError) as error:
        said = [f"{error}; a session that begins needs it"]
    else:
        said = [*at_an_even_pace(card), *other_market(card, run)]
    return tuple(Caution(run.execution.where, "execution.artefact", text) for text in said)


def market_words(run: RunFile) -> dict[str, Any]:
    """The market of a run file's broker in words, which an artefact keeps."""
    costs = run.broker.options.get("costs")
    return {
        "fill": run.broker.options["fill"],
        "participation": run.broker.options.get("participation"),
        "costs": component_in_words(costs, str) if isinstance(costs, Component) else None,
    }


def card_in(content: bytes) -> dict[str, Any]:
    """What an agent.json says; nothing where it cannot be read, which is told by whoever opens it."""
    try:
        found = msgspec.json.decode(content)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def other_market(card: dict[str, Any], run: RunFile) -> Iterator[str]:
    """Each option of the broker that is another than in training: what the agent learned to trade off is another."""
    trained = card.get("trained")
    then = trained.get("market") if isinstance(trained, dict) else None
    if not isinstance(then, dict) or run.broker.use != "simulated":
        return
    now: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(market_words(run)))
    for key, value in now.items():
        if key in then and then[key] != value:
            yield (
                f"the agent learned under broker.{key} {_word(then[key])}, and this session has {_word(value)}: its "
                "figures say nothing of it; make them the same, or train one under these"
            )


def longer_days(card: dict[str, Any], feed: Feed, begin: int) -> Iterator[str]:
    """The longest trading day of the session, where the agent never saw one as long."""
    sessions, bars = getattr(feed, "sessions", None), card.get("bars")
    if not isinstance(sessions, Sessions) or not isinstance(bars, int):
        return
    first = int(np.searchsorted(sessions.closes, begin))
    spent = (sessions.closes - sessions.opens - (sessions.break_to - sessions.break_from))[first:]
    most = -(-int(spent.max(initial=0)) // feed.interval_ns)
    if most > bars:
        yield (
            f"the agent learned from days of up to {bars} bars, and trading days here have up to {most}: behind the "
            f"first {bars} it sends what is left at an even pace; train it on days like these"
        )


def _word(value: Any) -> str:
    return msgspec.json.encode(value).decode() if isinstance(value, dict) else "none" if value is None else str(value)
