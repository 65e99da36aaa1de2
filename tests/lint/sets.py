"""Which expressions of a module are sets, as far as its text says so.

A kind is spelled from the outside in: `s` a set, `l` a sequence or an iterator, `d` a mapping, `i` pairs of something
and what follows. So `ds` is a mapping to sets, and `lds` a list of those. Nothing is said of all else.
"""

import ast
from collections.abc import Mapping, Sequence

SETS = {"set", "frozenset", "Set", "AbstractSet", "MutableSet", "FrozenSet", "WeakSet"}
_MADE = {"set", "frozenset", "WeakSet"}  # what a call of these makes is a set
_SEQUENCES = {"list", "List", "Sequence", "MutableSequence", "Iterable", "Iterator", "Collection", "Generator", "deque"}
_MAPPINGS = {
    "dict",
    "Dict",
    "Mapping",
    "MutableMapping",
    "defaultdict",
    "DefaultDict",
    "OrderedDict",
    "MappingProxyType",
}
_WRAPPERS = {"Optional", "Union", "Annotated", "Final", "ClassVar", "InitVar", "Awaitable", "Coroutine"}
_METHODS = {"union", "intersection", "difference", "symmetric_difference"}
_OPERATORS = ast.BitOr | ast.BitAnd | ast.Sub | ast.BitXor
_SAME = {"list", "tuple", "sorted", "reversed", "iter"}  # of sets: a sequence of them again
_ROUNDS = 6  # how long a chain of names that are handed on may be
_Function = ast.FunctionDef | ast.AsyncFunctionDef


class Sets:
    """Names and expressions that are sets: from annotations, from results, and from what is assigned."""

    def __init__(self, tree: ast.Module, parent: dict[ast.AST, ast.AST]) -> None:
        self._parent = parent
        self._names: dict[ast.AST, dict[str, str]] = {}  # by function, class or module: name -> kind
        self._results: dict[ast.AST, dict[str, str]] = {}  # the same of what functions return
        self._classes = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
        self._of_class: dict[ast.AST, dict[str, str]] = {}  # by function: name -> class of this module
        self._types: dict[str, str] = {}
        nodes = list(ast.walk(tree))
        for node in tree.body:
            self._type(node)
        for node in nodes:
            self._declare(node)
        for _ in range(_ROUNDS):
            before = sum(map(len, self._names.values()))
            for node in nodes:
                self._assign(node)
            if sum(map(len, self._names.values())) == before:
                break

    def is_set(self, node: ast.AST) -> bool:
        return self.kind(node) == "s"

    def has_set(self, node: ast.AST) -> bool:
        """A set, or something that holds sets: its text is in their order."""
        return bool(self.kind(node))

    # ---- what is known of names --------------------------------------------------------------------------------------

    def _type(self, node: ast.stmt) -> None:
        """`Symbols = frozenset[str]` and `Symbols: TypeAlias = frozenset[str]`."""
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Subscript() | ast.BinOp() as value):
                kind = said(value, self._types)
            case ast.AnnAssign(target=ast.Name(id=name), value=value):
                kind = said(value, self._types)
            case _:
                return
        if kind:
            self._types[name] = kind

    def _declare(self, node: ast.AST) -> None:
        """Annotations: of arguments, of results, of names."""
        if isinstance(node, _Function):
            spec = node.args
            named = [*spec.posonlyargs, *spec.args, *spec.kwonlyargs]
            for arg in named:
                self._annotated(node, arg.arg, arg.annotation)
            if spec.vararg is not None and (kind := said(spec.vararg.annotation, self._types)):
                self._names.setdefault(node, {})[spec.vararg.arg] = f"l{kind}"
            if kind := said(node.returns, self._types):
                self._returns(node, kind)
        if isinstance(node, ast.AnnAssign):
            self._annotated(self._scope(node), target(node.target), node.annotation)

    def _annotated(self, scope: ast.AST, name: str, annotation: ast.AST | None) -> None:
        if name and (kind := said(annotation, self._types)):
            self._name(scope, name, kind)
        text = ast.unparse(annotation).strip("'\"") if annotation is not None else ""
        for part in text.split("|"):
            if part.strip() in self._classes:
                self._of_class.setdefault(scope, {})[name] = part.strip()

    def _returns(self, node: _Function, kind: str) -> None:
        scope = self._scope(self._parent[node])
        marks = {ast.unparse(mark).split(".")[-1] for mark in node.decorator_list}
        if marks & {"property", "cached_property"}:
            self._name(scope, node.name, kind)
        else:
            own = isinstance(scope, ast.ClassDef)
            self._results.setdefault(scope, {})[f"self.{node.name}" if own else node.name] = kind

    def _name(self, scope: ast.AST, name: str, kind: str) -> None:
        if isinstance(scope, ast.ClassDef):
            name = name if name.startswith("self.") else f"self.{name}"
        elif name.startswith("self."):
            scope = self._around(scope, ast.ClassDef) or scope
        self._names.setdefault(scope, {}).setdefault(name, kind)

    def _scope(self, node: ast.AST) -> ast.AST:
        return (
            self._around(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef | ast.Module) or node
        )

    def _around(self, node: ast.AST, kinds: type | object) -> ast.AST | None:
        at: ast.AST | None = node
        while at is not None and not isinstance(at, kinds):
            at = self._parent.get(at)
        return at

    def _assign(self, node: ast.AST) -> None:
        """What is given to a name is what the name holds, in the function, class or module where it is."""
        if isinstance(node, ast.Assign):
            for to in node.targets:
                self._bind(to, node.value)
        elif isinstance(node, ast.NamedExpr) or (isinstance(node, ast.AugAssign) and isinstance(node.op, _OPERATORS)):
            self._bind(node.target, node.value)
        elif isinstance(node, ast.For | ast.AsyncFor | ast.comprehension):
            self._walk(node.target, self.kind(node.iter))

    def _bind(self, to: ast.AST, value: ast.AST) -> None:
        if isinstance(to, ast.Tuple | ast.List):
            if isinstance(value, ast.Tuple | ast.List) and len(to.elts) == len(value.elts):
                for one, its in zip(to.elts, value.elts, strict=True):
                    self._bind(one, its)
            return
        kind = self.kind(value)
        if kind and isinstance(to, ast.Subscript) and not isinstance(to.slice, ast.Slice):
            to, kind = to.value, f"d{kind}"
        if kind and (name := target(to)):
            self._name(self._scope(to), name, kind)

    def _walk(self, to: ast.AST, kind: str) -> None:
        """The names of a loop over something that holds sets."""
        if kind[:1] == "i" and isinstance(to, ast.Tuple) and len(to.elts) == 2:
            self._walk(to.elts[1], f"l{kind[1:]}")
        elif kind[:1] == "l" and len(kind) > 1 and (name := target(to)):
            self._name(self._scope(to), name, kind[1:])

    def _lookup(self, tables: dict[ast.AST, dict[str, str]], node: ast.AST, name: str) -> str:
        at: ast.AST | None = node
        while at is not None:
            if name in tables.get(at, ()):
                return tables[at][name]
            at = self._parent.get(at)
        return ""

    # ---- expressions -------------------------------------------------------------------------------------------------

    def kind(self, node: ast.AST) -> str:
        match node:
            case ast.Set() | ast.SetComp():
                return "s"
            case ast.Call():
                return self._called(node)
            case ast.BinOp(left=left, op=op, right=right):
                return self._combined(left, op, right)
            case ast.IfExp(body=one, orelse=other):
                return self.kind(one) or self.kind(other)
            case ast.BoolOp(values=values):
                return next(filter(None, map(self.kind, values)), "")
            case ast.NamedExpr(value=value) | ast.Await(value=value):
                return self.kind(value)
            case ast.Subscript(value=value, slice=place):
                outer = self.kind(value)
                return outer if isinstance(place, ast.Slice) else outer[1:]
        return self._lookup(self._names, node, target(node)) if target(node) else self._holding(node)

    def _holding(self, node: ast.AST) -> str:
        """What holds sets, or is held: literals, comprehensions, fields of a class of this module."""
        match node:
            case ast.List(elts=elements) | ast.Tuple(elts=elements):
                return self._all("l", elements)
            case ast.Dict(values=elements):
                return self._all("d", elements)
            case ast.ListComp(elt=element) | ast.GeneratorExp(elt=element):
                return self._all("l", [element])
            case ast.DictComp(value=element):
                return self._all("d", [element])
            case ast.Attribute(value=ast.Name(id=owner), attr=attr):
                held = self._classes.get(self._lookup(self._of_class, node, owner))
                return self._names.get(held, {}).get(f"self.{attr}", "") if held is not None else ""
        return ""

    def _all(self, outer: str, elements: Sequence[ast.AST]) -> str:
        kinds = {self.kind(element) for element in elements}
        (only, *others) = sorted(kinds) or [""]
        return f"{outer}{only}" if only and not others else ""

    def _combined(self, left: ast.AST, op: ast.operator, right: ast.AST) -> str:
        kinds = self.kind(left), self.kind(right)
        if not isinstance(op, _OPERATORS):
            return next((kind for kind in kinds if kind[:1] == "l"), "") if isinstance(op, ast.Add) else ""
        return "s" if "s" in kinds or _is_view(left) or _is_view(right) else kinds[0] or kinds[1]

    def _called(self, node: ast.Call) -> str:
        name = target(node.func)
        last = ast.unparse(node.func).rpartition(".")[2]
        if name in _MADE or last == "WeakSet":
            return "s"
        if name and (kind := self._lookup(self._results, node, name)):
            return kind
        given = self.kind(node.args[0]) if node.args else ""
        if last == "defaultdict" and node.args and ast.unparse(node.args[0]) in _MADE:
            return "ds"
        if last == "cast" and node.args:
            return said(node.args[0], self._types)
        if name in _SAME and given[:1] in ("l", "i"):
            return given
        if name == "enumerate" and given[:1] == "l":
            return f"i{given[1:]}"
        return self._method(node, node.func) if isinstance(node.func, ast.Attribute) else ""

    def _method(self, node: ast.Call, func: ast.Attribute) -> str:
        outer = self.kind(func.value)
        if func.attr in _METHODS:
            return "s"
        if func.attr == "copy":
            return outer
        if func.attr in ("get", "setdefault", "pop") and outer[:1] in ("d", "l"):
            return outer[1:]
        if func.attr in ("get", "setdefault", "pop") and len(node.args) == 2:  # `.get(name, set())`
            return self.kind(node.args[1])
        if outer[:1] == "d" and func.attr in ("values", "items"):
            return ("l" if func.attr == "values" else "i") + outer[1:]
        return ""


def said(annotation: ast.AST | None, own: Mapping[str, str]) -> str:
    """The kind that a type says, be it text or one of several choices. `own`: types that the module gave a name."""
    match annotation:
        case ast.Constant(value=str(text)):
            try:
                return said(ast.parse(text, mode="eval").body, own)
            except SyntaxError:
                return ""
        case ast.BinOp(left=left, right=right):
            return said(left, own) or said(right, own)
        case ast.Subscript(value=outer, slice=inner):
            parts = inner.elts if isinstance(inner, ast.Tuple) else [inner]
            return _generic(ast.unparse(outer).rpartition(".")[2], parts, own)
        case ast.Name() | ast.Attribute():
            last = ast.unparse(annotation).rpartition(".")[2]
            return "s" if last in SETS else own.get(last, "")
    return ""


def _generic(name: str, parts: Sequence[ast.AST], own: Mapping[str, str]) -> str:
    if name in SETS:
        return "s"
    kinds = [said(part, own) for part in parts]
    if name in _WRAPPERS:
        return next(filter(None, kinds), "")
    if name in _MAPPINGS:
        return f"d{kinds[-1]}" if kinds[-1] else ""
    if name in ("tuple", "Tuple"):  # one of several kinds has no kind of its own
        every = [kind for part, kind in zip(parts, kinds, strict=True) if not _is_dots(part)]
        return f"l{every[0]}" if every and every[0] and len(set(every)) == 1 else ""
    return f"l{kinds[0]}" if name in _SEQUENCES and kinds[0] else ""


def _is_dots(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is ...


def _is_view(node: ast.AST) -> bool:
    """`mapping.keys()`: what the operators of sets make of it is a set."""
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("keys", "items")


def target(node: ast.AST) -> str:
    """`x` and `self.x` as a name, else nothing."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"):
        return f"self.{node.attr}"
    return ""
