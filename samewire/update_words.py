"""What became of models that are kept up to date, in words."""

from typing import Any

import msgspec

from adapters.tracking.store import FAILED
from samewire.training_leaks import sentence_of, verdict_words
from samewire.training_telling import told_lines, told_words
from samewire.training_update import PROMOTED, SHORT, Decision, Updates


def as_words(updates: Updates) -> dict[str, Any]:
    """The decisions as JSON values."""
    said: dict[str, Any] = msgspec.to_builtins(updates.decisions)
    told = {"sinks": told_words(updates.told)} if updates.told else {}
    return told | {
        "ok": updates.ok,
        "name": updates.name,
        "stage": updates.stage,
        "trained": updates.trained,
        "decisions": said,
        "leaks": verdict_words(updates.verdict),
    }


def as_text(updates: Updates) -> str:
    reused = f", {updates.reused} done before" if updates.reused else ""
    found = updates.verdict is not None and updates.verdict.found
    lines = [
        f"{updates.name}: {updates.trained} trained{reused}",
        f"  {'LEAK' if found else 'leaks'}   {sentence_of(updates.verdict)}",
    ]
    for each in updates.decisions:
        lines += [
            "",
            f"  {each.model}  {each.candidate[:SHORT]}  {_became(each, updates.stage)}",
            f"    {each.reason}",
        ]
    lines += ["", *told_lines(updates.told)] if updates.told else []
    return "\n".join(lines)


def _became(decision: Decision, stage: str) -> str:
    """What became of a candidate, and what serves now where that is something else."""
    if decision.outcome == FAILED:
        return "failed"
    promoted = decision.outcome == PROMOTED
    kept = f"{decision.serving[:SHORT]} stays at {stage}" if decision.serving else f"{stage} stays empty"
    what = f"promoted to {stage}" if promoted else kept
    if not decision.before:
        return what
    if decision.now == (decision.candidate if promoted else decision.serving):
        return f"{what}, decided before"
    now = decision.now[:SHORT] or "nothing"
    return f"{'' if promoted else 'not '}promoted to {stage} before; {now} is there now"
