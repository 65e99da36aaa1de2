"""What a trained model says of itself, for programs and for people."""

from collections.abc import Iterator
from typing import Any

import msgspec

from engine.instants import instant_text

_SHOWN = 20  # features listed by importance


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """model.json. Nothing in it depends on when or where the training ran."""

    kind: str  # as registered
    version: int  # of that kind's format
    params: dict[str, Any]  # that the weights depend on; JSON values
    seed: int
    threads: int
    libraries: dict[str, str]  # name -> version
    since_ns: int  # first slice
    until_ns: int  # end of the last label: all that it learned was known by then
    label: str
    horizon_ns: int
    slices: dict[str, int]  # of each part, e.g. train, valid
    rows: dict[str, int]
    size: dict[str, int]  # e.g. trees, epochs
    metrics: dict[str, float | None]  # None = not a number
    importance: dict[str, float]  # by feature; empty where the kind has none
    dataset: str  # BLAKE3 of what was learned from


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """A processor as the artefact knows it."""

    kind: str
    options: dict[str, Any]
    frozen: dict[str, list[int]]  # shape by name


class Schema(msgspec.Struct, frozen=True, kw_only=True):
    """schema.json: what must be as it was in training."""

    schema: str  # hash of the feature set
    features: tuple[str, ...]  # (F,)
    symbols: tuple[str, ...]  # that it learned from; empty = not said
    label: str
    horizon_ns: int
    steps: int  # slices that a row looks at
    processors: tuple[Stage, ...]


def card_text(card: Card, schema: Schema) -> str:
    """card.md."""
    return "\n".join(_lines(card, schema)) + "\n"


def _lines(card: Card, schema: Schema) -> Iterator[str]:
    yield f"# A {card.kind} model (format {card.version})"
    yield ""
    yield f"Answers each name of a slice, from {len(schema.features)} features of feature set {schema.schema}, with"
    yield f"what it learned of label `{card.label}` over {_span(card.horizon_ns)}. Meant for slices after the training"
    yield "period, of the interval and the kind of names that it learned from."
    yield ""
    yield f"- Training period: {_instant(card.since_ns)} to {_instant(card.until_ns)}, the end of the last label."
    yield f"- Slices: {_said(card.slices)}. Rows: {_said(card.rows)}. Names: {len(schema.symbols) or 'not said'}."
    yield f"- Learned from: data of BLAKE3 {card.dataset}."
    yield f"- Seed {card.seed}, threads {card.threads}, {_said(card.libraries)}."
    yield f"- Size: {_said(card.size) or 'not said'}."
    yield f"- A row looks at {schema.steps} slice{'s' if schema.steps > 1 else ''}."
    yield from (
        f"- Processor {k}: {each.kind} {_said(each.options)}".rstrip() for k, each in enumerate(schema.processors)
    )
    yield from _table("Metrics", "metric", card.metrics)
    yield from _table("Parameters", "parameter", card.params)
    if card.importance:
        first = sorted(card.importance.items(), key=lambda pair: (-pair[1], pair[0]))[:_SHOWN]
        yield from _table(f"Importance ({len(first)} of {len(card.importance)} features)", "feature", dict(first))


def _table(title: str, first: str, rows: dict[str, Any]) -> Iterator[str]:
    yield from ("", f"## {title}", "", f"| {first} | value |", "|---|---|")
    yield from (f"| {name} | {_text(value)} |" for name, value in rows.items())


def _said(pairs: dict[str, Any]) -> str:
    return ", ".join(f"{name} {_text(value)}" for name, value in pairs.items())


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return "not a number" if value is None else str(value).replace("|", "/").replace("\n", " ")


def _instant(ns: int) -> str:
    return instant_text(ns).replace("T", " ")


def _span(ns: int) -> str:
    days, rest = divmod(ns, 86_400_000_000_000)
    return f"{days} days" if days and not rest else f"{ns / 1e9:g} s"
