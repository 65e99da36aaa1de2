"""What may not stand in code that decides: anything whose result is not a function of the events.

A reader of one module's syntax tree. Names are followed through imports and through what is given another name; what is
a set is told by `tests/lint/sets.py`, what is banned by `tests/lint/banned.py`.
"""

import ast
from collections.abc import Iterator

from tests.lint import banned
from tests.lint.banned import within
from tests.lint.sets import Sets, target


def findings(source: str, name: str = "module.py") -> list[str]:
    """Each offence as `name:line what it is`."""
    tree = ast.parse(source)
    return sorted({f"{name}:{line} {said}" for line, said in _Reader(tree).read()})


class _Reader:
    def __init__(self, tree: ast.Module) -> None:
        self._tree = tree
        self._modules = _imports(tree)
        self._roots = {name.partition(".")[0] for name in self._modules.values()}
        self._parent = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
        self._sets = Sets(tree, self._parent)
        self._loops: set[str] = set()  # names of event loops
        for _ in range(3):  # another name of another name
            for node in ast.walk(tree):
                self._rename(node)

    def read(self) -> Iterator[tuple[int, str]]:
        for node in ast.walk(self._tree):
            yield from self._banned_import(node)
            if isinstance(node, ast.Attribute | ast.Name) and isinstance(node.ctx, ast.Load):
                yield from self._banned_name(node)
            if isinstance(node, ast.Call):
                yield from self._banned_call(node)
                yield from self._chance(node)
                yield from self._called_with_set(node)
            yield from self._ordered(node)
            yield from self._put(node)

    # ---- names -------------------------------------------------------------------------------------------------------

    def _rename(self, node: ast.AST) -> None:
        """`t = time`, `self.t = time`, `def f(t=time)`: from then on `t` is that module, or what is in it."""
        pairs: list[tuple[ast.AST, ast.AST]] = []
        if isinstance(node, ast.Assign):
            pairs = [(to, node.value) for to in node.targets]
        elif isinstance(node, ast.AnnAssign | ast.NamedExpr) and node.value is not None:
            pairs = [(node.target, node.value)]
        elif isinstance(node, ast.arguments):
            late = [*node.posonlyargs, *node.args][::-1]
            pairs = [(ast.Name(arg.arg), to) for arg, to in zip(late, node.defaults[::-1], strict=False)]
            pairs += [(ast.Name(a.arg), to) for a, to in zip(node.kwonlyargs, node.kw_defaults, strict=True) if to]
        for to, value in pairs:
            dotted, name = self._dotted(value), target(to)
            if name and dotted.partition(".")[0] in self._roots:
                self._modules[name] = dotted
            if name and self._is_loop(value):
                self._loops.add(name)

    def _dotted(self, node: ast.AST) -> str:
        """`np.random.rand` as `numpy.random.rand`; empty where it does not begin with an import or a builtin."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute) and target(node) not in self._modules:
            parts.append(node.attr)
            node = node.value
        if isinstance(node, ast.Call):
            called, texts = self._dotted(node.func), [_text(arg) for arg in node.args]
            if called in ("__import__", "importlib.import_module") and texts and texts[0]:
                return ".".join([texts[0], *reversed(parts)])
            if called == "getattr" and len(texts) > 1 and texts[1]:
                return ".".join([self._dotted(node.args[0]), texts[1], *reversed(parts)])
        name = target(node)
        return ".".join([self._modules.get(name, name), *reversed(parts)]) if name else ""

    def _is_loop(self, node: ast.AST) -> bool:
        """An event loop: what asyncio answers, or what is called one."""
        if isinstance(node, ast.Call):
            return self._dotted(node.func) in banned.LOOPS
        name = target(node)
        return name in self._loops or name.removeprefix("self.").lstrip("_") in ("loop", "event_loop")

    def _banned_import(self, node: ast.AST) -> Iterator[tuple[int, str]]:
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        direct = (*banned.RANDOM_MODULES, *banned.MACHINE_MODULES, "timeit")
        every = (*banned.CLOCKS, *banned.RANDOM, *banned.COMPLETION, *banned.MACHINE, *banned.LISTINGS)
        named = every if isinstance(node, ast.ImportFrom) else ()
        for name in names:
            if within(name, (*direct, *named)) and name not in banned.NO_CLOCKS:
                yield node.lineno, f"imports {name}"

    def _banned_name(self, node: ast.Attribute | ast.Name) -> Iterator[tuple[int, str]]:
        if isinstance(node, ast.Attribute):
            yield from self._banned_attribute(node)
        if isinstance(self._parent.get(node), ast.Attribute):
            return  # the longer name is looked at instead
        dotted = self._dotted(node)
        if dotted in ("id", "hash"):
            yield node.lineno, f"uses {dotted}(), which differs between processes"
        if dotted.partition(".")[0] in self._roots:  # else a name of the function's own that looks like a module's
            yield from self._banned_dotted(node, dotted)

    def _banned_attribute(self, node: ast.Attribute) -> Iterator[tuple[int, str]]:
        if node.attr in banned.FILE_TIMES:
            yield node.lineno, f"reads a clock: {node.attr}"
        if node.attr == "time" and self._is_loop(node.value):
            yield node.lineno, f"reads a clock: {ast.unparse(node)}"
        if node.attr in banned.COMPLETION_METHODS:
            yield node.lineno, f"goes by which ends first: {node.attr}"
        if node.attr == "__hash__":
            yield node.lineno, "uses __hash__, which differs between processes"

    def _banned_dotted(self, node: ast.expr, dotted: str) -> Iterator[tuple[int, str]]:
        if within(dotted, banned.CLOCKS) and dotted not in ("time", *banned.NO_CLOCKS):
            yield node.lineno, f"reads a clock: {dotted}"
        elif within(dotted, (*banned.RANDOM, *banned.RANDOM_MODULES)):
            yield node.lineno, f"draws without a seed: {dotted}"
        elif dotted.startswith("numpy.random.") and not within(dotted, banned.SEEDED):
            yield node.lineno, f"draws from the global generator: {dotted}"
        elif within(dotted, banned.COMPLETION):
            yield node.lineno, f"goes by which ends first: {dotted}"
        elif within(dotted, (*banned.MACHINE, *banned.MACHINE_MODULES)):
            yield node.lineno, f"reads the machine: {dotted}"

    def _banned_call(self, node: ast.Call) -> Iterator[tuple[int, str]]:
        dotted = self._dotted(node.func)
        if isinstance(node.func, ast.Name) and dotted in ("getattr", "__import__"):
            yield from self._banned_dotted(node, self._dotted(node))
        text = _text(node.args[0]) if node.args and dotted in ("__import__", "importlib.import_module") else ""
        if within(text, (*banned.RANDOM_MODULES, *banned.MACHINE_MODULES, "time", "timeit")):
            yield node.lineno, f"imports {text}"
        if dotted in banned.NOW_TEXTS and any(_text(arg) in ("now", "today") for arg in node.args):
            yield node.lineno, f"reads a clock: {dotted}('now')"
        if dotted == "datetime.datetime.fromtimestamp" and len(node.args) + len(node.keywords) < 2:
            yield node.lineno, f"reads the machine's time zone: {dotted}"
        method = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        listed = dotted in banned.LISTINGS or method in banned.LISTING_METHODS
        if listed and not self._orderless(node):
            yield node.lineno, f"lists files in no order: {dotted or method}"

    def _chance(self, node: ast.Call) -> Iterator[tuple[int, str]]:
        dotted = self._dotted(node.func)
        words = {word.arg for word in node.keywords if word.arg is None or not _is_none(word.value)}
        if dotted in banned.NEED_SEED:
            first = bool(node.args) and not _is_none(node.args[0])
            if not first and not words & {*banned.NEED_SEED[dotted]}:
                yield node.lineno, f"draws without a seed: {dotted}()"
        method = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        word = banned.NAMED.get(dotted) or banned.NAMED_METHODS.get(method)
        if word and word not in words:
            yield node.lineno, f"draws from the global generator: {dotted or method}() without {word}"

    # ---- sets --------------------------------------------------------------------------------------------------------

    def _ordered(self, node: ast.AST) -> Iterator[tuple[int, str]]:
        """What goes over a set in its order."""
        is_set = self._sets.is_set
        match node:
            case ast.For(iter=of) | ast.AsyncFor(iter=of) | ast.YieldFrom(value=of) if is_set(of):
                yield of.lineno, f"walks a set: {ast.unparse(of)}"
            case ast.comprehension(iter=of) if is_set(of):
                made = self._parent[node]
                if not isinstance(made, ast.SetComp) and not self._orderless(made):
                    yield of.lineno, f"walks a set: {ast.unparse(of)}"
            case ast.Starred(value=of) if is_set(of) and not isinstance(self._parent[node], ast.Set):
                yield of.lineno, f"unpacks a set: {ast.unparse(of)}"
            case ast.Assign(targets=[ast.Tuple() | ast.List(), *_], value=of) if is_set(of):
                yield of.lineno, f"unpacks a set: {ast.unparse(of)}"

    def _put(self, node: ast.AST) -> Iterator[tuple[int, str]]:
        """What puts a set into something that has an order: a list, a text."""
        is_set = self._sets.is_set
        match node:
            case ast.Assign(targets=[ast.Subscript(slice=ast.Slice()), *_], value=of) if is_set(of):
                yield of.lineno, f"takes a set in its order: {ast.unparse(node)}"
            case ast.AugAssign(op=ast.Add(), value=of) if is_set(of):
                yield of.lineno, f"takes a set in its order: {ast.unparse(node)}"
            case ast.FormattedValue(value=of) if self._sets.has_set(of):
                yield of.lineno, f"writes a set in its order: {ast.unparse(of)}"
            case ast.BinOp(left=ast.Constant(value=str()), op=ast.Mod(), right=right):
                for of in right.elts if isinstance(right, ast.Tuple) else [right]:
                    if self._sets.has_set(of):
                        yield of.lineno, f"writes a set in its order: {ast.unparse(of)}"

    def _called_with_set(self, node: ast.Call) -> Iterator[tuple[int, str]]:
        name = self._dotted(node.func)
        method = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        words = [word.value for word in node.keywords] if within(name, ("numpy", "pandas", "pyarrow")) else []
        given = [arg for arg in (*node.args, *words) if self._sets.is_set(arg)]
        keyed = name in banned.KEYED and any(word.arg == "key" for word in node.keywords)
        module = within(name, banned.IN_ORDER_MODULES) and name.partition(".")[0] in self._roots
        in_order = name in banned.IN_ORDER or module or method in banned.EXTENDING or keyed
        if given and in_order and (keyed or name == "next" or not self._orderless(node)):
            yield node.lineno, f"takes a set in its order: {name or method}({ast.unparse(given[0])})"
        written = [arg for arg in node.args if self._sets.has_set(arg)]
        if written and (name in banned.TEXTS or method == "format"):
            yield node.lineno, f"writes a set in its order: {ast.unparse(written[0])}"
        if method == "pop" and not node.args and self._sets.is_set(node.func.value):
            yield node.lineno, f"takes any of a set: {ast.unparse(node)}"

    def _orderless(self, node: ast.AST) -> bool:
        """Whether what a node yields goes straight into something that does not mind the order."""
        parent = self._parent.get(node)
        if isinstance(parent, ast.Call) and node in parent.args and isinstance(parent.func, ast.Name):
            if parent.func.id in banned.ORDERLESS:
                return not (parent.func.id in banned.KEYED and any(word.arg == "key" for word in parent.keywords))
            if parent.func.id in ("list", "tuple", "map", "filter"):
                return self._orderless(parent)
        if isinstance(parent, ast.comprehension) and parent.iter is node:
            made = self._parent[parent]
            return isinstance(made, ast.SetComp) or self._orderless(made)
        return isinstance(parent, ast.Compare) and node in parent.comparators


def _is_none(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _text(node: ast.AST) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _imports(tree: ast.Module) -> dict[str, str]:
    """What each imported name stands for."""
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found[alias.asname or alias.name.partition(".")[0]] = (
                    alias.name if alias.asname else alias.name.split(".")[0]
                )
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                found[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return found
