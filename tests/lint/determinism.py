"""What may not stand in code that decides: anything whose result is not a function of the events.

A reader of one module's syntax tree. Names are followed through imports; whether a value is a set is told from how it
is written, from annotations, and from assignments in the same function or class.
"""

import ast
from collections.abc import Iterator

CLOCKS = (
    *("time.time", "time.time_ns", "time.monotonic", "time.monotonic_ns", "time.perf_counter", "time.perf_counter_ns"),
    *("time.process_time", "time.process_time_ns", "time.thread_time", "time.clock_gettime", "time.clock_gettime_ns"),
    *("time.localtime", "time.gmtime", "time.ctime", "time.strftime", "time.sleep"),
    *("datetime.datetime.now", "datetime.datetime.utcnow", "datetime.datetime.today", "datetime.date.today"),
    *("pandas.Timestamp.now", "pandas.Timestamp.today", "pandas.Timestamp.utcnow"),
)
RANDOM_MODULES = ("random", "secrets")
RANDOM = ("os.urandom", "os.getrandom", "uuid.uuid1", "uuid.uuid4", "uuid.getnode")
SEEDED = ("numpy.random.Generator", "numpy.random.PCG64", "numpy.random.Philox", "numpy.random.BitGenerator")
NEED_SEED = ("numpy.random.default_rng", "numpy.random.SeedSequence", "numpy.random.RandomState", *SEEDED[1:3])
COMPLETION = ("asyncio.as_completed", "asyncio.wait", "asyncio.FIRST_COMPLETED", "concurrent.futures.as_completed")
COMPLETION += ("concurrent.futures.wait", "concurrent.futures.FIRST_COMPLETED")
LISTINGS = ("os.listdir", "os.scandir", "os.walk", "glob.glob", "glob.iglob")
LISTING_METHODS = ("iterdir", "glob", "rglob")
MACHINE = ("os.environ", "os.getenv", "os.getpid", "os.cpu_count", "os.getcwd", "os.uname", "os.getlogin")
MACHINE_MODULES = ("platform", "socket", "getpass", "locale")
# Calls whose result does not depend on the order in which they are given their values.
ORDERLESS = {"sorted", "len", "any", "all", "set", "frozenset", "min", "max"}
IN_ORDER = {"list", "tuple", "enumerate", "zip", "iter", "sum", "map", "filter", "reversed", "next", "dict"}
IN_ORDER_DOTTED = ("dict.fromkeys", "numpy.array", "numpy.asarray", "numpy.fromiter", "math.fsum", "math.prod")
IN_ORDER_DOTTED += ("itertools.chain", "itertools.product", "functools.reduce", "collections.deque")
SET_TYPES = {"set", "frozenset", "Set", "AbstractSet", "MutableSet", "FrozenSet"}
SET_METHODS = {"union", "intersection", "difference", "symmetric_difference"}
EXTENDING = {"extend", "join", "writelines", "fromkeys", "extendleft"}


def findings(source: str, name: str = "module.py") -> list[str]:
    """Each offence as `name:line what it is`."""
    tree = ast.parse(source)
    return sorted(f"{name}:{line} {said}" for line, said in _Reader(tree).read())


class _Reader:
    def __init__(self, tree: ast.Module) -> None:
        self._tree = tree
        self._modules = _imports(tree)
        self._roots = {name.partition(".")[0] for name in self._modules.values()}
        self._parent = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
        self._sets = _known_sets(tree)

    def read(self) -> Iterator[tuple[int, str]]:
        for node in ast.walk(self._tree):
            yield from self._banned_import(node)
            if isinstance(node, ast.Attribute | ast.Name) and isinstance(node.ctx, ast.Load):
                yield from self._banned_name(node)
            if isinstance(node, ast.Call):
                yield from self._banned_call(node)
            yield from self._iterated_set(node)

    # ---- names -------------------------------------------------------------------------------------------------------

    def _dotted(self, node: ast.AST) -> str:
        """`np.random.rand` as `numpy.random.rand`; empty where it does not begin with an import or a builtin."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return ""
        return ".".join([self._modules.get(node.id, node.id), *reversed(parts)])

    def _banned_import(self, node: ast.AST) -> Iterator[tuple[int, str]]:
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        direct = (*RANDOM_MODULES, *MACHINE_MODULES)
        named = (*CLOCKS, *RANDOM, *COMPLETION, *MACHINE, *LISTINGS) if isinstance(node, ast.ImportFrom) else ()
        for name in names:
            if _within(name, (*direct, *named)):
                yield node.lineno, f"imports {name}"

    def _banned_name(self, node: ast.Attribute | ast.Name) -> Iterator[tuple[int, str]]:
        if isinstance(self._parent.get(node), ast.Attribute):
            return  # the longer name is looked at instead
        dotted = self._dotted(node)
        if dotted in ("id", "hash"):
            yield node.lineno, f"uses {dotted}(), which differs between processes"
        if dotted.partition(".")[0] not in self._roots:
            return  # a name of the function's own that looks like a module's
        if _within(dotted, CLOCKS):
            yield node.lineno, f"reads a clock: {dotted}"
        elif _within(dotted, RANDOM) or dotted.partition(".")[0] in RANDOM_MODULES:
            yield node.lineno, f"draws without a seed: {dotted}"
        elif dotted.startswith("numpy.random.") and not _within(dotted, (*SEEDED, *NEED_SEED)):
            yield node.lineno, f"draws from the global generator: {dotted}"
        elif _within(dotted, COMPLETION):
            yield node.lineno, f"goes by which ends first: {dotted}"
        elif _within(dotted, MACHINE):
            yield node.lineno, f"reads the machine: {dotted}"

    def _banned_call(self, node: ast.Call) -> Iterator[tuple[int, str]]:
        dotted = self._dotted(node.func)
        if dotted in NEED_SEED and not (node.args and not _is_none(node.args[0])) and not node.keywords:
            yield node.lineno, f"draws without a seed: {dotted}()"
        if dotted in ("numpy.datetime64", "pandas.Timestamp", "pandas.to_datetime") and any(
            isinstance(arg, ast.Constant) and arg.value in ("now", "today") for arg in node.args
        ):
            yield node.lineno, f"reads a clock: {dotted}('now')"
        method = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        if (dotted in LISTINGS or (method in LISTING_METHODS and dotted not in LISTINGS)) and not self._orderless(node):
            yield node.lineno, f"lists files in no order: {dotted or method}"

    # ---- sets --------------------------------------------------------------------------------------------------------

    def _is_set(self, node: ast.AST) -> bool:
        if isinstance(node, ast.Set | ast.SetComp):
            return True
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name):
                return node.func.id in ("set", "frozenset")
            return isinstance(node.func, ast.Attribute) and (
                node.func.attr in SET_METHODS or (node.func.attr == "copy" and self._is_set(node.func.value))
            )
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr | ast.BitAnd | ast.Sub | ast.BitXor):
            return any(self._is_set(side) or _is_view(side) for side in (node.left, node.right))
        if isinstance(node, ast.IfExp):
            return self._is_set(node.body) or self._is_set(node.orelse)
        if isinstance(node, ast.NamedExpr):
            return self._is_set(node.value)
        return _target(node) in self._known(node)

    def _known(self, node: ast.AST) -> set[str]:
        """The names of sets in the functions, the class and the module around a node."""
        found: set[str] = set()
        at: ast.AST | None = node
        while at is not None:
            found |= self._sets.get(at, set())
            at = self._parent.get(at)
        return found

    def _iterated_set(self, node: ast.AST) -> Iterator[tuple[int, str]]:
        if isinstance(node, ast.For | ast.AsyncFor) and self._is_set(node.iter):
            yield node.lineno, f"walks a set: {ast.unparse(node.iter)}"
        if isinstance(node, ast.comprehension) and self._is_set(node.iter):
            made = self._parent[node]
            if not isinstance(made, ast.SetComp) and not self._orderless(made):
                yield node.iter.lineno, f"walks a set: {ast.unparse(node.iter)}"
        if isinstance(node, ast.Starred) and self._is_set(node.value) and not isinstance(self._parent[node], ast.Set):
            yield node.lineno, f"unpacks a set: {ast.unparse(node.value)}"
        if (
            isinstance(node, ast.Assign)
            and isinstance(node.targets[0], ast.Tuple | ast.List)
            and self._is_set(node.value)
        ):
            yield node.lineno, f"unpacks a set: {ast.unparse(node.value)}"
        if isinstance(node, ast.YieldFrom) and self._is_set(node.value):
            yield node.lineno, f"walks a set: {ast.unparse(node.value)}"
        if isinstance(node, ast.Call):
            yield from self._called_with_set(node)

    def _called_with_set(self, node: ast.Call) -> Iterator[tuple[int, str]]:
        name = self._dotted(node.func)
        method = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        given = [arg for arg in node.args if self._is_set(arg)]
        keyed = name in ("min", "max") and any(word.arg == "key" for word in node.keywords)
        in_order = name in IN_ORDER or name in IN_ORDER_DOTTED or method in EXTENDING or keyed
        if given and in_order and not (name != "next" and self._orderless(node)):
            yield node.lineno, f"takes a set in its order: {name or method}({ast.unparse(given[0])})"
        if method == "pop" and not node.args and isinstance(node.func, ast.Attribute) and self._is_set(node.func.value):
            yield node.lineno, f"takes any of a set: {ast.unparse(node)}"

    def _orderless(self, node: ast.AST) -> bool:
        """Whether what a node yields goes straight into something that does not mind the order."""
        parent = self._parent.get(node)
        if isinstance(parent, ast.Call) and node in parent.args and isinstance(parent.func, ast.Name):
            plain = parent.func.id not in ("min", "max") or not parent.keywords
            if parent.func.id in ORDERLESS:
                return plain
            if parent.func.id in ("list", "tuple", "map", "filter"):
                return self._orderless(parent)
        if isinstance(parent, ast.comprehension) and parent.iter is node:
            made = self._parent[parent]
            return isinstance(made, ast.SetComp) or self._orderless(made)
        return isinstance(parent, ast.Compare) and node in parent.comparators


def _within(dotted: str, banned: tuple[str, ...]) -> bool:
    return any(dotted == name or dotted.startswith(f"{name}.") for name in banned)


def _is_none(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _is_view(node: ast.AST) -> bool:
    """`mapping.keys()`: what the operators of sets make of it is a set."""
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("keys", "items")


def _target(node: ast.AST) -> str:
    """`x` and `self.x` as a name, else nothing."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"):
        return f"self.{node.attr}"
    return ""


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


def _known_sets(tree: ast.Module) -> dict[ast.AST, set[str]]:
    """Names that hold sets, by the function, class or module in which they do."""
    found: dict[ast.AST, set[str]] = {}

    def visit(node: ast.AST, scope: ast.AST, owner: ast.AST) -> None:
        if isinstance(node, ast.ClassDef):
            owner = scope = node
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            scope = node
        for name in _names_of_sets(node):
            own = scope is owner and isinstance(owner, ast.ClassDef)
            name = f"self.{name}" if own and not name.startswith("self.") else name
            found.setdefault(owner if name.startswith("self.") else scope, set()).add(name)
        for child in ast.iter_child_nodes(node):
            visit(child, scope, owner)

    visit(tree, tree, tree)
    return found


def _names_of_sets(node: ast.AST) -> list[str]:
    """What this very node says to be a set: arguments, declarations, assignments."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        arguments = [*node.args.args, *node.args.kwonlyargs, *node.args.posonlyargs]
        return [arg.arg for arg in arguments if _says_set(arg.annotation)]
    if isinstance(node, ast.AnnAssign):
        return [_target(node.target)] if _says_set(node.annotation) else []
    if isinstance(node, ast.Assign | ast.NamedExpr | ast.AugAssign) and _makes_set(node.value):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return [name for target in targets if (name := _target(target))]
    return []


def _makes_set(node: ast.AST) -> bool:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr | ast.BitAnd | ast.Sub | ast.BitXor):
        return any(_makes_set(side) or _is_view(side) for side in (node.left, node.right))
    if isinstance(node, ast.IfExp):
        return _makes_set(node.body) or _makes_set(node.orelse)
    called = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("set", "frozenset")
    method = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in SET_METHODS
    return isinstance(node, ast.Set | ast.SetComp) or called or method


def _says_set(annotation: ast.AST | None) -> bool:
    """Whether a type is a set, perhaps one of several choices; not one of a list of sets."""
    if isinstance(annotation, ast.BinOp):
        return _says_set(annotation.left) or _says_set(annotation.right)
    if isinstance(annotation, ast.Subscript):
        annotation = annotation.value
    return isinstance(annotation, ast.Name | ast.Attribute) and ast.unparse(annotation).split(".")[-1] in SET_TYPES
