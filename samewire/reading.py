"""From a marked tree to a checked run file: every problem is added to a list, nothing is raised at the first."""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from engine.secret import HIDDEN, Secret
from samewire.closest import closest, listed
from samewire.diagnostics import Problem, Where
from samewire.places import joined
from samewire.registry import SHAPES, UseError, choices, resolve
from samewire.run_file import GUARDED, GUARDS, HERE, Component, Held, RetrainSpec, TrainSpec
from samewire.scalars import DURATION_MAX_NS, Duration, duration_text
from samewire.secret_text import SecretRef, holds_secret, holds_text
from samewire.signatures import (
    PARTS,
    Schema,
    SignatureError,
    Slot,
    inner_hint,
    known_keys,
    optional,
    schema_of,
    type_text,
)
from samewire.trial import trial
from samewire.written_out import refuse_named
from samewire.yaml_text import Entries, Items, Node, Text, described

NAMED = ("features", "models", "strategies")  # groups whose components may be called something
PACED = ("features", "strategies")  # of these, those whose interval is read here; a model's is among its own keys


class ModelKeys(BaseModel):
    """What a run file says about a model beside the model's own options."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    features: str | None = Field(default=None, description="the feature set it reads")
    train: TrainSpec | None = Field(default=None, description="trains before the session begins")
    retrain: RetrainSpec | None = Field(default=None, description="trains again while the session goes on")
    artefact: Path | None = Field(default=None, description="folder of a trained model, or registry:NAME@STAGE")
    registry: Path = Field(default=Path("registry"), description="folder of the registry that artefact names")
    lag: int = Field(default=0, ge=0, le=10_000, description="slices by which its answers come late")
    latency: Duration = Field(default=0, ge=0, le=DURATION_MAX_NS, description="time by which its answers come late")
    ttl: Duration = Field(default=0, ge=0, le=DURATION_MAX_NS, description="how long an answer counts, 0 = for ever")
    interval: Duration = Field(
        default=0, ge=0, le=DURATION_MAX_NS, description="of the bars it works on, 0 = the finest"
    )


class PaceKeys(BaseModel):
    """What a run file says about a feature set or a strategy beside its own options."""

    model_config = ModelKeys.model_config

    interval: Duration = Field(
        default=0, ge=0, le=DURATION_MAX_NS, description="of the bars it works on, 0 = the finest"
    )


@dataclass(frozen=True)
class Spot:
    """Where a component stands: its group, its path in the file, what it is called and used unless said."""

    group: str
    path: str
    use: str = ""
    name: str = ""


@dataclass(frozen=True)
class Owner:
    """Whose keys are being read: what it is called in a message, and every key that may stand there."""

    said: str
    keys: tuple[str, ...]


class Reader:
    """Collects problems while it turns nodes into values. `held`: where else models of the run file may lie."""

    def __init__(self, problems: list[Problem], allow: Sequence[str] | None = None, held: Held = HERE) -> None:
        self.problems, self.allow, self.held = problems, allow, held

    def add(self, code: str, where: Where, path: str, got: str, expected: str, hint: str = "") -> None:
        self.problems.append(Problem(code, where, path, got, expected, hint))

    # ---- records -----------------------------------------------------------------------------------------------------

    def record(self, model: type[BaseModel], node: Node | None, path: str, where: Where) -> Any:
        """A mapping as this pydantic model; None after a problem."""
        if node is None:
            self.add("E105", where, path, "nothing", "a mapping with " + ", ".join(model.model_fields))
            return None
        if not isinstance(node, Entries):
            self.add("E107", node.where, path, described(node), "a mapping with " + ", ".join(model.model_fields))
            return None
        return self.validated(model, node, model, path)

    def validated(self, model: type[BaseModel], node: Entries, hint: Any, path: str, owner: Owner | None = None) -> Any:
        """The entries as this model; None after a problem. `hint` is the type whose inner types are the options'."""
        owner = owner or Owner(f'"{path}"', tuple(model.model_fields))
        raw = {key: _raw(inner, _hint(hint, key)) for key, inner in node.values.items()}
        try:
            return model.model_validate(raw)
        except ValidationError as error:
            seen: set[tuple[str, str]] = set()
            for found in error.errors(include_url=False):
                problem = _problem(dict(found), node, hint, path, owner)
                if (problem.path, problem.code) not in seen:  # a union reports each of its choices
                    seen.add((problem.path, problem.code))
                    self.problems.append(problem)
        return None

    # ---- components --------------------------------------------------------------------------------------------------

    def entries(self, node: Node, path: str, group: str) -> Entries | None:
        """A component's mapping; a bare name stands for `{use: name}`."""
        if isinstance(node, Entries):
            return node
        if isinstance(node, Text) and node.value:
            return Entries({"use": node}, {"use": node.where}, node.where)
        expected = f"a mapping with `use:`, or {choices(group)}"
        self.add("E107" if isinstance(node, Items) else "E106", node.where, path, described(node), expected)
        return None

    def component(self, node: Entries, spot: Spot, skip: frozenset[str] = frozenset()) -> Component | None:
        """The component of a mapping; keys in `skip` are read by the caller. None after a problem."""
        use = self._text(node, "use", spot, spot.use)
        if use is None:
            return None
        if spot.group == "strategies" and use != GUARDED and any(key in node.values for key in GUARDS):
            return self._guarded(node, spot)
        name = (
            self._text(node, "name", spot, spot.name or use.partition(":")[2] or use)
            if spot.group in NAMED
            else spot.name
        )
        schema = self._schema(use, node, spot)
        if schema is None or name is None:
            return None
        reserved = {"use", *skip, *node_keys(spot.group)} - set(GUARDS if use == GUARDED else ())
        taken = [key for key in schema.keys if key in reserved]
        if taken:
            got = f"{schema.name} takes an option {taken[0]!r}"
            self.add("E110", node.where, spot.path, got, "another name: this key has a meaning of its own here")
            return None
        before = len(self.problems)
        slots = self._slots(schema, node, spot)
        plain = {k: v for k, v in node.values.items() if k not in reserved and k not in schema.slots}
        own = Entries(plain, node.keys, node.where)
        keys = (*schema.keys, *(key for key in node_keys(spot.group) if key not in schema.keys))
        values = self.validated(schema.model, own, schema, spot.path, Owner(f'component "{use}"', keys))
        interval = self._interval(node, spot)
        if values is None or len(self.problems) > before:
            return None
        given = {field.alias: getattr(values, key) for key, field in schema.model.model_fields.items()}
        texts = {key: value for key, value in given.items() if holds_text(schema.hints.get(str(key)))}
        refuse_named(texts, own, spot.path, self.problems)
        options = {key: placed(value, own.values.get(str(key))) for key, value in given.items()} | slots
        ordered = {key: options[key] for key in schema.keys if key in options}
        made = Component(group=spot.group, use=use, name=name or use, options=ordered, where=node.where)
        made = replace(made, interval_ns=interval, written=frozenset(ordered) & frozenset(node.values))
        self._try(made, schema, node, spot)
        return made

    def _guarded(self, node: Entries, spot: Spot) -> Component | None:
        """A strategy with filters, rules or a schedule beside its own options: `guarded` around it, of its name.

        What is wrong with either is told where it stands, as if both were one.
        """
        before = len(self.problems)
        guards, rest = ({k: v for k, v in node.values.items() if (k in GUARDS) is one} for one in (True, False))
        schema = schema_of(resolve(spot.group, GUARDED), spot.group)
        around = replace(schema, slots={key: slot for key, slot in schema.slots.items() if key in GUARDS})
        made = self._slots(around, Entries(guards, node.keys, node.where), spot)
        inner = self.component(Entries(rest, node.keys, node.where), spot)
        if inner is None or len(self.problems) > before or not any(made.values()):
            return inner
        outer = replace(inner, use=GUARDED, options={"strategy": replace(inner, interval_ns=0), **made})
        self._try(outer, schema, node, spot)
        return outer

    def _interval(self, node: Entries, spot: Spot) -> int:
        """Of the bars that a feature set or a strategy works on; 0 where it does not say, or after a problem."""
        if spot.group not in PACED:
            return 0
        own = Entries({k: v for k, v in node.values.items() if k in PaceKeys.model_fields}, node.keys, node.where)
        keys: PaceKeys | None = self.validated(PaceKeys, own, PaceKeys, spot.path)
        return 0 if keys is None else keys.interval

    def _text(self, node: Entries, key: str, spot: Spot, default: str) -> str | None:
        """`use` or `name`; None after a problem."""
        inner = node.values.get(key)
        path = f"{spot.path}.{key}"
        if inner is None and default:
            return default
        if inner is None:
            self.add("E105", node.where, path, "nothing", choices(spot.group))
            return None
        if not isinstance(inner, Text) or (inner.plain and inner.value in ("", "~")):
            self.add("E106" if isinstance(inner, Text) else "E107", inner.where, path, described(inner), "a name")
            return None
        if key == "name" and not (inner.value[:1].isalnum() and all(c.isalnum() or c in "_.-" for c in inner.value)):
            expected = "letters, digits, _, . and -, the first a letter or a digit"
            self.add("E108", inner.where, path, repr(inner.value), expected)
            return None
        return inner.value

    def _schema(self, use: str, node: Entries, spot: Spot) -> Schema | None:
        named = node.values.get("use", node)
        path = f"{spot.path}.use"
        try:
            kind = resolve(spot.group, use, self.allow)
        except UseError as error:
            hint = f'did you mean "{error.hint}"?' if error.hint else ""
            self.add("E109", named.where, path, error.got, error.expected, hint)
            return None
        for one_of in dict(SHAPES)[spot.group]:
            if not any(hasattr(kind, method) for method in one_of):
                got = f"{kind.__name__} defines none of {', '.join(one_of)}"
                self.add("E110", named.where, path, got, f"a class that fits {spot.group}: see engine/protocols.py")
                return None
        try:
            return schema_of(kind, spot.group)
        except SignatureError as error:
            self.add("E110", named.where, path, str(error), "a constructor of keywords with plain types")
            return None

    def _slots(self, schema: Schema, node: Entries, spot: Spot) -> dict[str, Any]:
        """Options that are components themselves, or tuples of them."""
        made: dict[str, Any] = {}
        for key, slot in schema.slots.items():
            inner = node.values.get(key)
            inside = Spot(slot.group, f"{spot.path}.{key}", slot.use, key)
            if inner is None or (isinstance(inner, Text) and inner.plain and inner.value in ("", "~", "null")):
                if slot.required:
                    where = node.where if inner is None else inner.where
                    expected = f"a mapping of options, or {choices(slot.group)}"
                    self.add("E105" if inner is None else "E106", where, inside.path, "nothing", expected)
                made[key] = () if slot.many else None
            else:
                made[key] = self._filled(inner, slot, inside)
        return made

    def _filled(self, node: Node, slot: Slot, spot: Spot) -> Any:
        """What was written in a slot: a component, or a list of them where one may stand."""
        if not (slot.lists and isinstance(node, Items)):
            spot = replace(spot, name=slot.part(spot.name, 0)) if slot.many else spot
            entries = self.entries(node, spot.path, slot.group)
            made = None if entries is None else self.component(entries, spot)
            return (made,) if slot.many and made is not None else made
        parts, name = [], spot.name if slot.many else PARTS
        for i, item in enumerate(node.items):
            inside = replace(spot, path=f"{spot.path}[{i}]", name=slot.part(name, i))
            entries = self.entries(item, inside.path, slot.group)
            parts.append(None if entries is None else self.component(entries, inside))
        whole = tuple(part for part in parts if part is not None)
        if slot.many:
            return whole
        if not parts:
            self.add(
                "E105", node.where, spot.path, "an empty list", f"at least one component, or {choices(slot.group)}"
            )
        return Component(group=slot.group, use=slot.joined, name=spot.name, options={PARTS: whole}, where=node.where)

    def _try(self, made: Component, schema: Schema, node: Entries, spot: Spot) -> None:
        """Constructs it for its own checks of values, where that reads nothing but the values."""
        made_now, seen = made, set[str]()
        while said := trial(made_now, schema):
            # The first option that the message names is where the caret goes.
            words = [word.strip(",:;`'()") for word in said.split()]
            key = next((word for word in words if word in node.values and word not in seen), "")
            shown = described(node.values[key]) if key else f'component "{made.use}" as given'
            path = f"{spot.path}.{key}" if key else spot.path
            rule = said.rpartition(", got ")[0] or said
            self.add("E108", node.values.get(key, node).where, path, shown, rule)
            if key not in schema.hints or schema.default(key) is inspect.Parameter.empty:
                return
            seen.add(key)  # with its default in place, the constructor comes to what else is wrong
            made_now = replace(made_now, options=made_now.options | {key: schema.default(key)})


def node_keys(group: str) -> tuple[str, ...]:
    """Keys that every component of a group may have beside its own options."""
    own = ("name", "use") * (group in NAMED) + tuple(PaceKeys.model_fields) * (group in PACED)
    own += GUARDS * (group == "strategies")
    return own + tuple(ModelKeys.model_fields) * (group == "models")


def _raw(node: Node, hint: Any) -> Any:
    """Texts, lists and mappings for pydantic; none only where nothing, ~ or (if it may be) null was written."""
    if isinstance(node, Entries):
        return {key: _raw(inner, inner_hint(hint, key)) for key, inner in node.values.items()}
    if isinstance(node, Items):
        return [_raw(inner, inner_hint(hint, i)) for i, inner in enumerate(node.items)]
    if node.plain and (node.value in ("", "~") or (node.value == "null" and optional(hint))):
        return None
    return node.value


def placed(value: Any, node: Node | None) -> Any:
    """The value with its relative paths made absolute from where they were written."""
    if isinstance(value, SecretRef):
        return value.placed(lambda path: placed(path, node))
    if isinstance(value, Path):
        path = value.expanduser()
        return joined(node.where.origin.folder, path) if node is not None else path
    if isinstance(value, list | tuple) and isinstance(node, Items):
        return type(value)(placed(inner, at) for inner, at in zip(value, node.items, strict=False))
    if isinstance(value, dict) and isinstance(node, Entries):
        return {key: placed(inner, node.values.get(key)) for key, inner in value.items()}
    return value


def _hint(hint: Any, key: str | int) -> Any:
    return hint.hints.get(str(key), Any) if isinstance(hint, Schema) else inner_hint(hint, key)


_UNKNOWN = ("extra_forbidden", "unexpected_keyword_argument")


def _problem(found: dict[str, Any], node: Entries, hint: Any, path: str, owner: Owner) -> Problem:
    """One error of pydantic as a problem at its place in the tree."""
    at: Node = node
    own, default = hint, inspect.Parameter.empty
    parent: tuple[Entries, Any] = (node, hint)
    last = ""
    for part in found["loc"]:
        if isinstance(at, Entries) and part in at.values:
            parent, last = (at, own), str(part)
            default = own.default(part) if isinstance(own, Schema) and part in own.hints else inspect.Parameter.empty
            at, own, path = at.values[part], _hint(own, part), f"{path}.{part}"
        elif isinstance(at, Items) and isinstance(part, int) and part < len(at.items):
            at, own, path = at.items[part], _hint(own, part), f"{path}[{part}]"
        elif found["type"].startswith("missing") and part == found["loc"][-1]:
            own, path = _hint(own, part), f"{path}.{part}" if isinstance(part, str) else f"{path}[{part}]"
    if found["type"] in _UNKNOWN:
        known = owner.keys if parent[0] is node else known_keys(parent[1])
        near = closest(last, known)
        title = f"unknown key for {owner.said}"
        expected = f"one of: {listed(known)}" if known else "no option: it takes none"
        hint_text = f'did you mean "{near}"?' if near else ""
        return Problem("E104", parent[0].keys[last], path, last, expected, hint_text, title)
    if found["type"].startswith("missing"):
        return Problem("E105", at.where, path, "nothing", type_text(own))
    if holds_secret(own) and isinstance(at, Text) and at.value:
        return _no_reference(at, path)
    expected = _expected(found, own, parent[1], last)
    if default is not inspect.Parameter.empty:
        expected += f" (default {_default_text(default)})"
    if found["input"] is None and isinstance(at, Text):
        return Problem("E106", at.where, path, described(at), expected)
    return Problem(_code(found["type"]), at.where, path, described(at), expected)


def _no_reference(at: Text, path: str) -> Problem:
    """What stands where the reference to a secret belongs; shown only where it looks like one."""
    if at.value.startswith("${"):
        return Problem("E108", at.where, path, described(at), type_text(Secret))
    return Problem("E115", at.where, path, HIDDEN, type_text(Secret), secret=at.value)


def _code(kind: str) -> str:
    typed = kind.endswith(("_type", "_parsing", "_from_float")) or kind == "value_error"
    return "E107" if typed else "E108"


def _expected(found: dict[str, Any], hint: Any, parent: Any, key: str) -> str:
    context = found.get("ctx", {})
    bounds = (("gt", "above"), ("ge", "at least"), ("lt", "below"), ("le", "at most"))
    number = duration_text if hint == Duration else "{:.12g}".format
    said = [f"{word} {number(context[key])}" for key, word in bounds if key in context]
    if "pattern" in context:
        fields = getattr(parent, "model_fields", {})
        described_as = fields[key].description if key in fields else None
        said.append(described_as or f"text that matches {context['pattern']}")
    if "max_length" in context or "min_length" in context:
        said.append(found["msg"].removeprefix("Value should have ").removeprefix("String should have "))
    if found["type"] == "finite_number":
        said.append("a finite number")
    return ", ".join(said) if said else type_text(hint)


def _default_text(value: Any) -> str:
    if value == ():
        return "[]"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
