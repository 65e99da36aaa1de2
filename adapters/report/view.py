"""What the report shows: arrays, numbers already put into words, and text that may come from anywhere."""

from dataclasses import dataclass, field

from engine.events import Stamps, Vector


@dataclass(frozen=True)
class Figure:
    """One number of the first screen."""

    label: str
    value: str
    definition: str
    note: str = ""  # what qualifies it: a standard error, a date
    tone: str = ""  # good, bad or nothing


@dataclass(frozen=True)
class Series:
    """One line of a chart, (T,) over `ReportView.ts`; NaN leaves a gap."""

    label: str
    value: Vector
    colour: str = "1"  # a palette place of report.css: 1 to 6, or `quiet`
    fill: bool = False
    dashed: bool = False


@dataclass(frozen=True)
class Chart:
    """A chart and what it shows, in words."""

    title: str
    caption: str
    series: tuple[Series, ...]
    form: str = "number"  # money, percent or number
    wide: bool = False
    log: bool = False  # offers a logarithmic scale
    bars: bool = False


@dataclass(frozen=True)
class Grid:
    """A table. With `heat` its cells are coloured by the numbers beside them, (rows, columns), NaN = none."""

    title: str
    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    heat: tuple[tuple[float, ...], ...] = ()
    heat_full: float = 1.0  # the number that gets the strongest colour
    wide: bool = True
    text: tuple[int, ...] = (0,)  # columns of text rather than numbers


@dataclass(frozen=True)
class Part:
    """A part of the report with a heading of its own."""

    title: str
    caption: str
    grids: tuple[Grid, ...]


@dataclass(frozen=True)
class ReportView:
    """A whole report. `ts` (T,) UTC ns; charts and tables stand in their order."""

    title: str
    subtitle: str
    header: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]
    figures: tuple[Figure, ...]
    more: tuple[Figure, ...]  # a second row, smaller
    ts: Stamps
    leading: tuple[Grid, ...] = ()  # tables before the charts
    charts: tuple[Chart, ...] = ()
    grids: tuple[Grid, ...] = ()
    parts: tuple[Part, ...] = ()  # after the tables
    footer: str = ""
    marks: tuple[str, ...] = field(default=())  # short labels beside the title
