"""Code that decides is a function of its events: what would break that is found before it runs."""

from pathlib import Path

import pytest

from tests.lint.determinism import findings

ROOT = Path(__file__).parent.parent
SOURCES = sorted(path for package in ("engine", "components") for path in (ROOT / package).rglob("*.py"))

# Every exception, with its reason. The start of a finding without its line.
EXCEPTIONS: dict[str, str] = {
    "engine/clock.py reads a clock: time.time_ns": "the one file that may: the clock that everything else is handed",
    "engine/clock.py reads a clock: time.process_time_ns": "the same",
    "engine/clock.py reads a clock: time.monotonic_ns": "the same",
    "components/models/artefact.py reads the machine: os.getpid": "names a folder that is renamed once it is whole",
    "components/models/gbdt_trees.py reads the machine: os.environ.setdefault": "how idle threads wait: for speed",
}


def test_nothing_that_decides_depends_on_more_than_its_events() -> None:
    found = [said for path in SOURCES for said in findings(path.read_text(), str(path.relative_to(ROOT)))]
    assert [said for said in found if without_line(said) not in EXCEPTIONS] == []


def test_what_feeds_read_comes_in_one_order_too() -> None:
    """Adapters may read the environment and files; what they hand out depends on the files alone."""
    paths = sorted((ROOT / "adapters").rglob("*.py"))
    found = [said for path in paths for said in findings(path.read_text(), str(path.relative_to(ROOT)))]
    assert [said for said in found if not without_line(said).partition(" ")[2].startswith("reads the machine")] == []


def test_every_exception_is_still_needed() -> None:
    found = {without_line(s) for path in SOURCES for s in findings(path.read_text(), str(path.relative_to(ROOT)))}
    assert sorted(set(EXCEPTIONS) - found) == []


def without_line(said: str) -> str:
    place, _, what = said.partition(" ")
    return f"{place.rpartition(':')[0]} {what}"


BAD = {
    "a wall clock": "import time\ndef f(): return time.time()",
    "a clock by another name": "import time as t\ndef f(): return t.monotonic_ns()",
    "a clock that was imported": "from time import perf_counter\ndef f(): return perf_counter()",
    "a clock that is handed on": "import time\ndef f(clock=time.time_ns): return clock()",
    "sleeping": "import time\ndef f(): time.sleep(1)",
    "now": "from datetime import datetime\ndef f(): return datetime.now()",
    "now with a zone": "import datetime as dt\ndef f(): return dt.datetime.now(dt.UTC)",
    "utcnow": "import datetime\ndef f(): return datetime.datetime.utcnow()",
    "today": "import datetime as dt\ndef f(): return dt.date.today()",
    "numpy's now": "import numpy as np\ndef f(): return np.datetime64('now')",
    "numpy's today": "import numpy as np\ndef f(): return np.datetime64('today', 'D')",
    "pandas' now": "import pandas as pd\ndef f(): return pd.Timestamp.now('UTC')",
    "pandas' now as a text": "import pandas as pd\ndef f(): return pd.Timestamp('now')",
    "random": "import random\ndef f(): return random.random()",
    "from random": "from random import shuffle\ndef f(x): shuffle(x)",
    "numpy's global generator": "import numpy as np\ndef f(): return np.random.rand(3)",
    "its seed": "import numpy as np\ndef f(): np.random.seed(1)",
    "from numpy.random": "from numpy.random import normal\ndef f(): return normal()",
    "a generator without a seed": "import numpy as np\ndef f(): return np.random.default_rng()",
    "a generator seeded with None": "import numpy as np\ndef f(): return np.random.default_rng(None)",
    "a generator imported without a seed": "from numpy.random import default_rng\ndef f(): return default_rng()",
    "a bit generator without a seed": "import numpy as np\ndef f(): return np.random.Generator(np.random.PCG64())",
    "the machine's randomness": "import os\ndef f(): return os.urandom(8)",
    "secrets": "import secrets\ndef f(): return secrets.token_hex()",
    "uuid4": "import uuid\ndef f(): return uuid.uuid4()",
    "uuid1": "from uuid import uuid1\ndef f(): return uuid1()",
    "a literal set": "def f():\n for x in {1, 2}: g(x)",
    "set()": "def f(a):\n for x in set(a): g(x)",
    "frozenset()": "def f(a):\n for x in frozenset(a): g(x)",
    "a name": "def f(a):\n s = set(a)\n for x in s: g(x)",
    "an annotated name": "def f(a):\n s: set[str] = a\n for x in s: g(x)",
    "an argument": "def f(s: set[str]):\n for x in s: g(x)",
    "an optional argument": "def f(s: frozenset[str] | None):\n return [x for x in s]",
    "an attribute": "class A:\n def __init__(self): self._s = set()\n def f(self):\n  for x in self._s: g(x)",
    "a declared attribute": "class A:\n s: set[int]\n def f(self):\n  return list(self.s)",
    "a list of a comprehension": "def f(a): return [x + 1 for x in {y for y in a}]",
    "a dict of a set": "def f(a): return {x: 0 for x in set(a)}",
    "a generator": "def f(a): return tuple(x for x in set(a))",
    "a union": "def f(a, b):\n s = set(a)\n for x in s | b: g(x)",
    "a difference": "def f(a, b): return list(set(a) - set(b))",
    "keys in common": "def f(a, b):\n for x in a.keys() & b.keys(): g(x)",
    "keys not in common": "def f(a, b): return [x for x in a.keys() - b]",
    "a method of sets": "def f(a, b): return list(a.intersection(b))",
    "list": "def f(a): return list({*a})",
    "tuple": "def f(a): return tuple(set(a))",
    "enumerate": "def f(a): return dict(enumerate(set(a)))",
    "zip": "def f(a, b): return dict(zip(set(a), b))",
    "join": "def f(a): return ''.join(set(a))",
    "extend": "def f(a, b): a.extend(set(b))",
    "fromkeys": "def f(a): return dict.fromkeys(set(a))",
    "a sum": "def f(a): return sum({x * 0.1 for x in a})",
    "a sum of a generator": "def f(a): return sum(x * 0.1 for x in set(a))",
    "fsum is exact, its order is not the point": "import math\ndef f(a): return math.fsum(set(a))",
    "an array": "import numpy as np\ndef f(a): return np.array(list(set(a)))",
    "fromiter": "import numpy as np\ndef f(a): return np.fromiter({*a}, float)",
    "pop": "def f(a):\n s = set(a)\n return s.pop()",
    "the next one": "def f(a): return next(iter(set(a)))",
    "unpacking": "def f(a):\n x, y = set(a)\n return x",
    "a star": "def f(a): return [*set(a)]",
    "arguments": "def f(a): g(*{1, 2})",
    "the least by a key": "def f(a): return min(set(a), key=len)",
    "yield from": "def f(a):\n yield from set(a)",
    "hash": "def f(a): return hash(a) % 7",
    "hash as a key": "def f(a): return sorted(a, key=hash)",
    "id": "def f(a, b): return id(a) < id(b)",
    "id as a key": "def f(a): return {id(x): x for x in a}",
    "as completed": "import asyncio\nasync def f(a):\n for x in asyncio.as_completed(a): await x",
    "wait": "import asyncio\nasync def f(a): return await asyncio.wait(a)",
    "first completed": "from asyncio import FIRST_COMPLETED\nx = FIRST_COMPLETED",
    "futures as completed": "from concurrent.futures import as_completed as ac\ndef f(a): return [*ac(a)]",
    "futures by module": "import concurrent.futures\ndef f(a): return concurrent.futures.as_completed(a)",
    "a listing": "import os\ndef f(a): return os.listdir(a)",
    "a listing by glob": "def f(path): return [x for x in path.glob('*')]",
    "a listing by iterdir": "def f(path):\n for x in path.iterdir(): g(x)",
    "a walk": "import os\ndef f(a):\n for x in os.walk(a): g(x)",
    "the environment": "import os\ndef f(): return os.environ['A']",
    "the environment by get": "import os\ndef f(): return os.environ.get('A')",
    "getenv": "from os import getenv\ndef f(): return getenv('A')",
    "how many processors": "import os\ndef f(): return os.cpu_count()",
    "the host": "import socket\ndef f(): return socket.gethostname()",
    "the platform": "import platform\ndef f(): return platform.node()",
}

GOOD = {
    "a clock that is handed in": "def f(clock): return clock.now_ns()",
    "a time that is told": "import datetime as dt\ndef f(ts): return dt.datetime.fromtimestamp(ts, dt.UTC)",
    "a date that is told": "import numpy as np\ndef f(d): return np.datetime64(d), np.datetime64('2018-01-02')",
    "a field called time": "def f(order): return order.time.time",
    "a name of its own like a module's": "def f(secrets, random): return secrets.pop(), random.random()",
    "an own function called now": "def now(ts): return ts\ndef f(ts): return now(ts)",
    "a generator that is handed in": "def f(rng): return rng.normal()",
    "a generator with a seed": "import numpy as np\ndef f(seed): return np.random.default_rng([seed, 1])",
    "a generator with a named seed": "import numpy as np\ndef f(s): return np.random.default_rng(seed=s)",
    "a bit generator with a seed": "import numpy as np\ndef f(s): return np.random.Generator(np.random.PCG64(s))",
    "the type of a generator": "import numpy as np\ndef f(rng: np.random.Generator): return rng",
    "uuid5": "import uuid\ndef f(a): return uuid.uuid5(uuid.NAMESPACE_URL, a)",
    "membership": "def f(a, x):\n s = set(a)\n return x in s",
    "a literal to look in": "def f(x): return x in {'a', 'b'}",
    "sorted": "def f(a):\n for x in sorted(set(a)): g(x)",
    "a sorted generator": "def f(a): return sorted(x.lower() for x in set(a))",
    "how many": "def f(a): return len(set(a)) + len({x for x in a})",
    "any and all": "def f(a, b): return any(x in b for x in set(a)) and all(x for x in frozenset(a))",
    "the least without a key": "def f(a): return min(set(a)), max({x * 2 for x in a})",
    "a set of a set": "def f(a): return {x + 1 for x in set(a)}",
    "a set from two": "def f(a, b): return {*set(a), *b}",
    "adding": "class A:\n def __init__(self): self._s = set()\n def f(self, x): self._s.add(x); self._s |= {x}",
    "a comparison": "def f(a, b): return set(a) == set(b) or set(a) <= set(b)",
    "dicts keep their order": "def f(a):\n for x in dict.fromkeys(a): g(x)\n return list(a.keys())",
    "a list of sets": "def f(a: list[set[int]]):\n for x in a: g(x)",
    "the same name elsewhere": "def f(a):\n s = set(a)\n return len(s)\ndef h(s):\n for x in s: g(x)",
    "or of numbers": "def f(a, b):\n for x in range(a | b): g(x)",
    "pop of a list": "def f(a: list[int]): return a.pop()",
    "pop of a dict": "def f(a, k): return a.pop(k, None)",
    "an own hash": "def f(path): return path.hash, sha256(path).hexdigest()",
    "an id that is a field": "def f(order): return order.id",
    "defining a hash": "class A:\n def __hash__(self): return 1",
    "gather keeps its order": "import asyncio\nasync def f(a): return await asyncio.gather(*a)",
    "waiting for one": "import asyncio\nasync def f(a): return await asyncio.wait_for(a, 1)",
    "a sorted listing": "import os\ndef f(a): return sorted(os.listdir(a))",
    "a sorted glob": "def f(path): return sorted(x for x in path.glob('*') if x.is_file())",
    "a listing that is counted": "def f(path): return any(path.iterdir())",
    "paths": "import os\ndef f(a): return os.fsync(a), os.path.join('a', 'b')",
}


@pytest.mark.parametrize("name", BAD)
def test_it_is_found(name: str) -> None:
    assert findings(BAD[name]) != []


@pytest.mark.parametrize("name", GOOD)
def test_what_is_only_near_it_passes(name: str) -> None:
    assert findings(GOOD[name]) == []


def test_a_finding_names_the_place() -> None:
    assert findings("import time\n\nx = time.time()\n", "engine/a.py") == ["engine/a.py:3 reads a clock: time.time"]
