"""Names whose result is not a function of what is handed in."""

# Of `time` nothing is left but what reads a text: the rest asks the machine for its clock or its zone.
CLOCKS = (
    *("time", "timeit", "os.times", "asyncio.AbstractEventLoop.time"),
    *("datetime.datetime.now", "datetime.datetime.utcnow", "datetime.datetime.today", "datetime.date.today"),
    *("pandas.Timestamp.now", "pandas.Timestamp.today", "pandas.Timestamp.utcnow"),
    *("os.path.getmtime", "os.path.getatime", "os.path.getctime"),
    "resource.getrusage",
)
NO_CLOCKS = ("time.strptime", "time.struct_time")
FILE_TIMES = {
    f"st_{which}time{unit}" for which in ("m", "a", "c", "birth") for unit in ("", "_ns")
}  # of what `stat` answers
LOOPS = ("asyncio.get_running_loop", "asyncio.get_event_loop", "asyncio.new_event_loop")
NOW_TEXTS = ("numpy.datetime64", "pandas.Timestamp", "pandas.to_datetime")

RANDOM_MODULES = ("random", "secrets")
RANDOM = ("os.urandom", "os.getrandom", "uuid.uuid1", "uuid.uuid4", "uuid.getnode", "torch.seed", "torch.random.seed")
_BITS = ("PCG64", "PCG64DXSM", "Philox", "MT19937", "SFC64")
# Each by the names under which a seed may be handed in, the first one also by its place.
NEED_SEED = {f"numpy.random.{name}": ("seed", "key") for name in _BITS} | {
    "numpy.random.default_rng": ("seed",),
    "numpy.random.RandomState": ("seed",),
    "numpy.random.SeedSequence": ("entropy",),
}
SEEDED = ("numpy.random.Generator", "numpy.random.BitGenerator", *NEED_SEED)
_TORCH = ("rand", "randn", "randint", "randperm", "rand_like", "randn_like", "randint_like", "normal", "bernoulli")
_TORCH += ("multinomial", "poisson")
# Chance from a generator of the whole process unless one is named.
NAMED = {f"torch.{name}": "generator" for name in _TORCH}
NAMED_METHODS = {"rvs": "random_state", "sample": "random_state"}
NAMED_METHODS |= dict.fromkeys(("uniform_", "normal_", "random_", "exponential_", "bernoulli_"), "generator")

COMPLETION = ("asyncio.as_completed", "asyncio.wait", "asyncio.FIRST_COMPLETED", "concurrent.futures.as_completed")
COMPLETION += ("concurrent.futures.wait", "concurrent.futures.FIRST_COMPLETED")
COMPLETION_METHODS = {"imap_unordered", "add_done_callback"}

LISTINGS = ("os.listdir", "os.scandir", "os.walk", "glob.glob", "glob.iglob")
LISTING_METHODS = ("iterdir", "glob", "rglob")

MACHINE = ("os.environ", "os.getenv", "os.getpid", "os.getppid", "os.cpu_count", "os.process_cpu_count")
MACHINE += ("os.sched_getaffinity", "os.getcwd", "os.uname", "os.getlogin", "multiprocessing.cpu_count")
MACHINE += ("os.environb", "os.getenvb", "os.getcwdb", "os.get_exec_path", "os.getloadavg", "os.getpriority", "os.nice")
MACHINE += (
    "os.getpgid",
    "os.getpgrp",
    "os.getsid",
    "os.getuid",
    "os.geteuid",
    "os.getgid",
    "os.getegid",
    "os.getgroups",
)
MACHINE += ("os.sysconf", "os.confstr", "os.statvfs", "os.fstatvfs", "os.get_terminal_size", "os.ctermid", "os.ttyname")
MACHINE += ("shutil.disk_usage", "shutil.get_terminal_size", "shutil.which")
MACHINE += ("multiprocessing.current_process", "multiprocessing.parent_process", "multiprocessing.active_children")
MACHINE += ("threading.get_ident", "threading.get_native_id", "threading.current_thread", "threading.main_thread")
MACHINE += ("threading.active_count", "threading.enumerate", "threading.stack_size", "_thread.get_ident")
MACHINE += ("gc.get_count", "gc.get_stats", "gc.get_objects", "gc.get_referrers", "gc.get_referents", "gc.garbage")
MACHINE += ("gc.collect", "gc.callbacks", "gc.freeze", "gc.get_freeze_count", "weakref.getweakrefcount")
MACHINE += (
    "sys.getrefcount",
    "sys.getallocatedblocks",
    "sys.getsizeof",
    "sys.hash_info",
    "sys.thread_info",
    "sys.argv",
)
MACHINE_MODULES = (
    "platform",
    "socket",
    "getpass",
    "locale",
    "tracemalloc",
    "psutil",
    "resource",
    "pwd",
    "grp",
    "pynvml",
)

# Calls whose result does not depend on the order in which they are given their values, unless they compare by a key:
# of values whose keys are equal, the first one wins.
ORDERLESS = {"sorted", "len", "any", "all", "set", "frozenset", "min", "max"}
KEYED = {"sorted", "min", "max", "heapq.nsmallest", "heapq.nlargest"}
IN_ORDER = {"list", "tuple", "enumerate", "zip", "iter", "sum", "map", "filter", "reversed", "next", "dict"}
IN_ORDER |= {"dict.fromkeys", "functools.reduce"}
# Whatever is called of these takes a set in its order.
IN_ORDER_MODULES = ("numpy", "pandas", "pyarrow", "torch", "math", "itertools", "collections", "msgspec")
EXTENDING = {"extend", "join", "writelines", "fromkeys", "extendleft"}
TEXTS = {"str", "repr", "ascii", "format", "print"}  # a set's text is in its order


def within(dotted: str, banned: tuple[str, ...]) -> bool:
    return any(dotted == name or dotted.startswith(f"{name}.") for name in banned)
