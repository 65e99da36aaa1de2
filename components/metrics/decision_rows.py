"""What the notes of a session say of its decisions, as rows: what bound, who answered, what was done instead."""

import msgspec


class Binding(msgspec.Struct, frozen=True, kw_only=True):
    """A constraint, or one label of it. Prices are returns a slice for each unit of weight that its limit is looser."""

    constraint: str
    label: str  # a sector, a factor, a side; empty = all of the constraint
    rebalances: int  # in which it bound
    share: float  # of the rebalances that were answered
    names: float  # mean number of symbols that it held where it bound, 0 = it speaks of all together
    price_mean: float  # over its notes of the mean over their symbols
    price_max: float


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """Who answered."""

    route: str  # empty = the note does not say
    rebalances: int
    share: float
    iterations_median: float | None
    residual_max: float | None
    uncertified: int  # rebalances whose answer has no residual, such as the last weights kept
    in_vain: int  # times it was asked and did not answer


class Fallback(msgspec.Struct, frozen=True, kw_only=True):
    """A step of the ladder and why it was taken. Instants are UTC."""

    step: str
    reason: str
    count: int
    first: str
    last: str


class Conflict(msgspec.Struct, frozen=True, kw_only=True):
    """Limits that no weights satisfy together, and the most that each would have had to give, in weight."""

    constraints: tuple[str, ...]
    most: tuple[float, ...]
    count: int
    first: str
    last: str


class Rounding(msgspec.Struct, frozen=True, kw_only=True):
    """Volatility over one slice, in shares of equity, of what whole lots differ from the weights."""

    rebalances: int
    mean: float
    largest: float


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """Trades that were cut or left out on the way from weights to orders."""

    kind: str
    rebalances: int
    trades: int


class Exit(msgspec.Struct, frozen=True, kw_only=True):
    """Positions that a rule, or a filter with `exit: sell`, began to close."""

    source: str
    rule: str
    slices: int
    positions: int
    first: str
    last: str


class Factor(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that multiplies all that is wanted."""

    source: str
    rule: str
    changes: int
    lowest: float
    last: float


class Screen(msgspec.Struct, frozen=True, kw_only=True):
    """Names that ceased to pass a filter, or that a rule blocked, and those that came back."""

    source: str
    filter: str
    dropped: int
    returned: int


class Sleeve(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the capital, in the base currency. `gained` is last less first less what was moved into it."""

    source: str
    name: str
    first: float
    last: float
    moved: float
    gained: float


class Decisions(msgspec.Struct, frozen=True, kw_only=True):
    """All that the notes of a session say of its decisions; docs/metrics.md defines each."""

    rebalances: int  # instants at which weights were asked for
    answered: int  # of them, those that got any; the others were held
    constraints: tuple[Binding, ...]
    routes: tuple[Route, ...]
    fallbacks: tuple[Fallback, ...]
    conflicts: tuple[Conflict, ...]
    rounding: Rounding | None
    changes: tuple[Change, ...]
    exits: tuple[Exit, ...]
    factors: tuple[Factor, ...]
    screens: tuple[Screen, ...]
    sleeves: tuple[Sleeve, ...]

    @property
    def empty(self) -> bool:
        """Whether there is nothing to show."""
        return not any(getattr(self, name) for name in self.__struct_fields__)
