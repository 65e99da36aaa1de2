"""What a trained agent is on disk: weights, what it sees and may do, what it learned under, rows to check it by.

Files of an artefact, all of them data:

    agent.json            `AgentCard`
    weights.safetensors   its network, and the layer from it to actions
    check.safetensors     observations and what was said of them, asked again whenever the artefact is opened
    card.md               the same for people
"""

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from components.models.artefact import artefact_of, checked
from components.models.bundle import tensors_in, tensors_of
from components.rl.acting import Categorical, TwapRelative
from components.rl.observing import Compact, CurrentStep, FullHistory, schema_of
from components.rl.policy import Policy
from components.rl.trainer_beside import Works
from components.rl.trainer_options import MOST, Mlp, Recurrent
from engine.errors import StateError
from engine.events import MINUTE_NS
from engine.protocols import Artefact

KIND, VERSION = "execution agent", 1
CARD, WEIGHTS, CHECK, TEXT = "agent.json", "weights.safetensors", "check.safetensors", "card.md"
CHECKED_MAX = 16  # rows that an agent is checked by
_CLOSE = 1e-5  # what another machine's products may differ by


class AgentCard(msgspec.Struct, frozen=True, kw_only=True):
    """All that putting an agent to use takes, and what it was trained under."""

    kind: str = KIND
    version: int = VERSION
    schema: str  # hash of what it sees and may do, as `schema_of` has it
    observation: FullHistory | CurrentStep | Compact
    action: Categorical | TwapRelative
    network: Mlp | Recurrent
    shapes: dict[str, tuple[int, ...]]
    interval_ns: int
    horizon: int  # bars of an order
    bars_per_step: int
    bars: int  # of the longest day
    steps: int  # decisions of an order at most
    unit_bps: float  # of a tape
    window: int  # days of a volume profile
    sessions: bool  # whether days are those of a calendar, else dates of UTC
    until_ns: int  # the last instant of the days that it learned from and was chosen by
    trained: dict[str, Any]  # algorithm, budget, seed, reward, market (fill, participation, costs), dates; JSON values
    figures: dict[str, float]  # of validation and test, by its own choices
    works: Works = "agent"  # in sessions: by these choices, or at an even pace, which they were no better than


def agent_artefact(card: AgentCard, weights: Mapping[str, Any], rows: dict[str, NDArray[np.float32]]) -> Artefact:
    """The artefact of these weights (arrays by name) and observations to check it by. The same gives the same bytes."""
    content = tensors_of({name: np.asarray(each) for name, each in weights.items()})
    policy = policy_of(card, content)
    some = {name: each[:CHECKED_MAX] for name, each in rows.items()}
    check = {f"seen.{name}": each for name, each in some.items()} | {"said": policy.scores(some)}
    files = {
        CARD: msgspec.json.encode(card, order="sorted"),
        WEIGHTS: content,
        CHECK: tensors_of(check),
        TEXT: card_text(card).encode(),
    }
    return artefact_of(files)


def policy_of(card: AgentCard, weights: bytes) -> Policy:
    return Policy(card.network, card.shapes, card.action.count, weights)


def opened_agent(artefact: Artefact, whose: str) -> tuple[AgentCard, Policy]:
    """The card and the policy of an artefact. StateError for one that is no agent, of another version or schema,
    damaged, or that answers otherwise than it did."""
    files = checked(artefact).files
    short = f"{whose}: artefact {artefact.hash[:12]}"
    own = {CARD, WEIGHTS, CHECK, TEXT}
    odd = sorted({*files} - own) + sorted(own - {*files})
    if odd:
        raise StateError(f"{short} {'holds' if odd[0] in files else 'lacks'} {odd[0]}; name a trained agent")
    card = card_of(files[CARD], short)
    check_bounds(card, short)
    expected = schema_of(card.observation, card.action, card.shapes, card.unit_bps * 1e-4, card.bars_per_step)
    if card.schema != expected:
        raise StateError(
            f"{short} was trained on observations and actions of schema {card.schema[:12]}, and this version makes "
            f"those of {expected[:12]}; train it again"
        )
    policy = policy_of(card, files[WEIGHTS])
    check = tensors_in(files[CHECK], f"{short}: {CHECK}")
    lacking = sorted({"said", *(f"seen.{name}" for name in card.shapes)} - {*check})
    if lacking:
        raise StateError(f"{short}: {CHECK} lacks {lacking[0]}; train it again")
    said = policy.scores({name: check[f"seen.{name}"] for name in card.shapes})
    if said.shape != check["said"].shape or not np.allclose(said, check["said"], rtol=_CLOSE, atol=_CLOSE):
        raise StateError(f"{short} answers otherwise than when it was trained; train it again with these libraries")
    return card, policy


def card_of(content: bytes, short: str) -> AgentCard:
    """The card of an agent.json. StateError where it is none, or of another version."""
    try:
        head = msgspec.json.decode(content)
        if isinstance(head, dict) and (head.get("kind"), head.get("version")) != (KIND, VERSION):
            raise StateError(
                f"{short} is of {head.get('kind', 'something else')} v{head.get('version', '?')}, this code reads "
                f"{KIND} v{VERSION}; train it again"
            )
        return msgspec.convert(head, AgentCard)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise StateError(f"{short} is described in a form that cannot be read ({error}); train it again") from error


def check_bounds(card: AgentCard, short: str) -> None:
    """StateError that names the key, before anything is made of a size that the card says."""
    hidden = card.network.hidden
    widths = hidden if isinstance(hidden, tuple) else (hidden,)
    said: dict[str, tuple[Any, ...]] = {name: (getattr(card, name),) for name in MOST if "." not in name}
    said |= {"network.hidden": widths, "network.out": (getattr(card.network, "out", 1),)}
    said |= {"observation.longer": (getattr(card.observation, "longer", 1),)}
    for name, values in said.items():
        odd = next((value for value in values if not 1 <= value <= MOST[name]), None)
        if odd is not None:
            raise StateError(f"{short}: {CARD}: {name} must be 1 to {MOST[name]:,}, got {odd}; train it again")
    if not 1 <= len(widths) <= 64:
        raise StateError(f"{short}: {CARD}: network.hidden must be 1 to 64 widths, got {len(widths)}; train it again")
    if not 0 < card.unit_bps < float("inf"):
        raise StateError(f"{short}: {CARD}: unit_bps must be finite and above 0, got {card.unit_bps}; train it again")
    shapes = card.observation.shapes(card.bars, card.steps)
    if card.shapes != shapes:
        raise StateError(
            f"{short}: {CARD}: shapes must be those of {card.bars} bars and {card.steps} steps ({shapes}), got "
            f"{card.shapes}; train it again"
        )


def card_text(card: AgentCard) -> str:
    """The card for people."""
    market = card.trained.get("market", {})
    lines = [
        "# Execution agent",
        "",
        f"- works orders over {card.horizon} bars of {card.interval_ns / MINUTE_NS:g} minutes, a decision every "
        f"{card.bars_per_step} of them",
        f"- in sessions: {'its own choices' if card.works == 'agent' else 'an even pace'}",
        f"- sees {type(card.observation).__name__}, answers {type(card.action).__name__}, schema {card.schema[:12]}",
        *(f"- {name}: {value}" for name, value in sorted(market.items())),
        "",
        "| figure | value |",
        "|---|---|",
        *(f"| {name} | {value:.4f} |" for name, value in sorted(card.figures.items())),
        "",
    ]
    return "\n".join(lines)
