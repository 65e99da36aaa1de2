"""Writes a ReportView as one HTML file: styles, script and numbers inline, nothing fetched, all text escaped."""

import base64
import hashlib
import html
import json
import math
from pathlib import Path
from typing import Any

from adapters.report.view import Chart, Figure, Grid, Part, ReportView
from engine.events import SECOND_NS

_HERE = Path(__file__).parent
_HEAT_STEPS = 5
_DIGITS = {"money": 8}  # significant digits of a drawn number: money is read off the legend
_DIGITS_ELSE = 5  # finer than a pixel


def write_report(view: ReportView, path: Path) -> Path:
    """Writes the page to `path`, whole or not at all, and returns the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_text(page(view), encoding="utf-8")
    part.replace(path)
    return path


def page(view: ReportView) -> str:
    """The page as text. Only the script and the style whose hashes it names may run."""
    style = "\n".join(_asset(name) for name in ("vendor/uPlot.min.css", "assets/report.css"))
    licence = _asset("vendor/uPlot.LICENSE").replace("*/", "")
    script = f"/* {licence} */\n" + "\n".join(map(_asset, ("vendor/uPlot.iife.min.js", "assets/report.js")))
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; base-uri 'none'; "
        "form-action 'none'"
    )
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            f"<title>{_text(view.title)} · {_text(view.subtitle)}</title>",
            f"<style>{style}</style></head><body><main>",
            _head(view),
            _warnings(view.warnings),
            _figures(view),
            _grids(view.leading),
            _charts(view.charts),
            _grids(view.grids),
            *map(_part, view.parts),
            _run(view.header),
            f"<footer>{_text(view.footer)}</footer></main>",
            f'<script type="application/json" id="numbers">{_numbers(view)}</script>',
            f"<script>{script}</script></body></html>",
            "",
        ]
    )


def _asset(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8").strip()


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _text(text: str) -> str:
    return html.escape(text, quote=True)


def _head(view: ReportView) -> str:
    marks = "".join(f"<span class=mark>{_text(mark)}</span>" for mark in view.marks)
    return (
        f"<header><div><h1>{_text(view.title)}</h1><p class=sub>{_text(view.subtitle)}</p></div>"
        f"<p class=marks>{marks}</p></header>"
    )


def _warnings(warnings: tuple[str, ...]) -> str:
    if not warnings:
        return '<p class="strip clear">No warnings.</p>'
    items = "".join(f"<li>{_text(warning)}</li>" for warning in warnings)
    count = "1 warning" if len(warnings) == 1 else f"{len(warnings)} warnings"
    return f"<details class=strip open><summary>{count}</summary><ul>{items}</ul></details>"


def _figures(view: ReportView) -> str:
    if not view.figures and not view.more:
        return ""
    first = "".join(_figure(figure) for figure in view.figures)
    second = "".join(_figure(figure) for figure in view.more)
    more = f"<div class='figures small'>{second}</div>" if second else ""
    return f"<section aria-label='Figures'><div class=figures>{first}</div>{more}</section>"


def _figure(figure: Figure) -> str:
    tone = f" {figure.tone}" if figure.tone in ("good", "bad") else ""
    note = f"<span class=note>{_text(figure.note)}</span>" if figure.note else ""
    return (
        f"<details class=figure><summary title='{_text(figure.definition)}'>"
        f"<span class=label>{_text(figure.label)}</span><span class='value{tone}'>{_text(figure.value)}</span>{note}"
        f"</summary><p>{_text(figure.definition)}</p></details>"
    )


def _charts(charts: tuple[Chart, ...]) -> str:
    return f"<section class=charts>{''.join(_chart(i, chart) for i, chart in enumerate(charts))}</section>"


def _chart(place: int, chart: Chart) -> str:
    wide = " wide" if chart.wide else ""
    switch = "<button type=button class=log aria-pressed=false hidden>log scale</button>" if chart.log else ""
    names = ", ".join(series.label for series in chart.series)
    return (
        f"<figure class='card{wide}'><div class=top><h2>{_text(chart.title)}</h2>{switch}</div>"
        f"<p class=caption>{_text(chart.caption)}</p>"
        f"<div class=plot data-chart={place} role=img aria-label='{_text(f'{chart.title}: {names}')}'></div>"
        "<noscript><p class=caption>Drawn with the script of this page; the tables below say the same.</p></noscript>"
        "</figure>"
    )


def _grids(grids: tuple[Grid, ...]) -> str:
    if not grids:
        return ""
    return f"<section class=grids>{''.join(_grid(grid) for grid in grids)}</section>"


def _part(part: Part) -> str:
    caption = f"<p class=caption>{_text(part.caption)}</p>" if part.caption else ""
    return f"<section class=part><h2>{_text(part.title)}</h2>{caption}{_grids(part.grids)}</section>"


def _grid(grid: Grid) -> str:
    head = "".join(
        f"<th scope=col{' class=text' if j in grid.text else ''}>{_text(name)}</th>" for j, name in enumerate(grid.head)
    )
    body = "".join(f"<tr>{_row(grid, i)}</tr>" for i in range(len(grid.rows)))
    caption = f"<p class=caption>{_text(grid.caption)}</p>" if grid.caption else ""
    wide = " wide" if grid.wide else ""
    kind = " class=heat" if grid.heat else ""
    return (
        f"<div class='card{wide}'><h2>{_text(grid.title)}</h2>{caption}<div class=scroll tabindex=0><table{kind}>"
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div></div>"
    )


def _row(grid: Grid, i: int) -> str:
    cells = []
    for j, cell in enumerate(grid.rows[i]):
        heat = _heat(grid.heat[i][j] / grid.heat_full) if grid.heat else ""
        classes = " ".join(c for c in ("text" if j in grid.text else "", heat) if c)
        shown = f" class='{classes}'" if classes else ""
        tag = "th scope=row" if j == 0 else "td"
        cells.append(f"<{tag}{shown}>{_text(cell)}</{tag[:2]}>")
    return "".join(cells)


def _heat(share: float) -> str:
    """The class of a cell: p1 to p5 for gains, n1 to n5 for losses."""
    if not math.isfinite(share) or share == 0:
        return ""
    step = min(_HEAT_STEPS, max(1, math.ceil(abs(share) * _HEAT_STEPS)))
    return f"{'p' if share > 0 else 'n'}{step}"


def _run(header: tuple[tuple[str, str], ...]) -> str:
    if not header:
        return ""
    items = "".join(f"<div><dt>{_text(name)}</dt><dd>{_text(value)}</dd></div>" for name, value in header)
    return f"<section class='card wide run'><h2>Run</h2><dl>{items}</dl></section>"


def _numbers(view: ReportView) -> str:
    """What the script draws, as JSON that cannot end its own element."""
    numbers: dict[str, Any] = {
        "ts": (view.ts // SECOND_NS).tolist(),
        "charts": [
            {
                "form": chart.form,
                "bars": chart.bars,
                "wide": chart.wide,
                "log": chart.log,
                "series": [
                    {
                        "label": series.label,
                        "colour": series.colour,
                        "fill": series.fill,
                        "dashed": series.dashed,
                        "value": _short(series.value.tolist(), _DIGITS.get(chart.form, _DIGITS_ELSE)),
                    }
                    for series in chart.series
                ],
            }
            for chart in view.charts
        ],
    }
    text = json.dumps(numbers, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _short(values: list[float], digits: int) -> list[float | int | None]:
    """Rounded to so many digits; None for a gap."""
    shorts = (float(f"{value:.{digits}g}") if math.isfinite(value) else None for value in values)
    return [int(s) if s is not None and s.is_integer() else s for s in shorts]
