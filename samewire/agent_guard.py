"""An agent that is no better than an even pace: told in plain words, with the figure, its interval and what to do."""

from typing import Any

from components.rl.trainer_beside import SURE

_PLAIN = ("val/reward", "val/ffr")  # figures that are no basis points


def no_better(said: dict[str, Any]) -> list[str]:
    """A warning of an agent (what its run came to) that was not better beyond noise on the orders of validation.

    >>> no_better({"val/gain": 0.1, "val/gain_low": -0.2, "val/gain_high": 0.4, "works": "even_pace"})[0][:75]
    'on the orders of validation it is no better than an even pace: 0.10 bp more'
    """
    gain, low, works = said.get("val/gain"), said.get("val/gain_low"), said.get("works")
    if gain is None or works is None or (low is not None and low > 0):
        return []
    monitor = said.get("monitor", "val/net")
    unit = "" if monitor in _PLAIN else " bp"
    chances = (
        "of a single day, which tells nothing"
        if low is None
        else f"{low:.2f} to {said['val/gain_high']:.2f} with {SURE:.0%} certainty"
    )
    does, other = (
        ("in sessions it works at an even pace", "set training.agent.unless_better: agent to have its own choices")
        if works == "even_pace"
        else ("in sessions it works by its own choices all the same", "take training.agent.unless_better: even_pace")
    )
    return [
        f"on the orders of validation it is no better than an even pace: {abs(gain):.2f}{unit} "
        f"{'less' if gain < 0 else 'more'} in {monitor.removeprefix('val/')} ({chances}); {does}; train it for more "
        f"order-steps or on more days, or {other}"
    ]


def at_an_even_pace(card: dict[str, Any]) -> list[str]:
    """What a session is to know of an agent (its agent.json) that works so."""
    if card.get("works") != "even_pace":
        return []
    return [
        "the agent was no better than an even pace on the orders that it was chosen by, so it works at an even pace; "
        "take execution: {use: twap}, or train one that is better"
    ]
