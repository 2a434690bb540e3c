"""Draws the pictures of a report: lines over two axes, and bars. Plain SVG that needs nothing but a browser."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape

WIDTH, HEIGHT = 760, 420
LEFT, RIGHT, TOP, BOTTOM = 64, 150, 44, 50
COLOURS = ("#1b6ca8", "#7a7a7a", "#d1495b", "#edae49", "#66a182", "#8d5a97", "#2e4057", "#b56576")
STYLE = "text{font:13px sans-serif;fill:#222}.title{font-size:15px;font-weight:bold}.grid{stroke:#ddd}.axis{stroke:#222}"

Point = tuple[float, float]


def lines(
    title: str, across: str, up: str, series: Mapping[str, Sequence[Point]], *, ratio: bool = False, dots: bool = False
) -> str:
    """Return a picture of one line for each name.

    across and up are the labels of the axes; ratio draws the horizontal one logarithmically; dots marks the points.
    """
    points = [point for line in series.values() for point in line]
    highest = max((y for _, y in points), default=1.0)
    top = steps(highest)[-1]
    ticks, share = _scale([x for x, _ in points] or [1.0], ratio)

    def place(x: float, y: float) -> Point:
        return LEFT + share(x) * (WIDTH - LEFT - RIGHT), _height(y / top)

    body = _frame(title, up, steps(highest), top)
    for tick in ticks:
        x, _ = place(tick, 0)
        body.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{tick:g}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    body.append(f'<text x="{middle}" y="{HEIGHT - 10}" text-anchor="middle">{escape(across)}</text>')
    for number, (name, line) in enumerate(series.items()):
        colour = COLOURS[number % len(COLOURS)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in line))
        body.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        if dots:
            marks = (place(*point) for point in line)
            body += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' for x, y in marks]
        body.append(_legend(number, name, colour))
    return _picture(body)


def bars(title: str, up: str, groups: Mapping[str, Mapping[str, float]]) -> str:
    """Return a picture of one group of bars for each name, and one bar in it for each part of that group."""
    parts = list(dict.fromkeys(part for group in groups.values() for part in group))
    highest = max((value for group in groups.values() for value in group.values()), default=1.0)
    top = steps(highest)[-1]
    body = _frame(title, up, steps(highest), top)
    room = (WIDTH - LEFT - RIGHT) / max(len(groups), 1)
    width = room * 0.8 / max(len(parts), 1)
    for number, (name, group) in enumerate(groups.items()):
        start = LEFT + room * number + room * 0.1
        for part, value in group.items():
            x, y = start + parts.index(part) * width, _height(value / top)
            colour = COLOURS[parts.index(part) % len(COLOURS)]
            body.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{HEIGHT - BOTTOM - y:.1f}" fill="{colour}"/>')
            body.append(f'<text x="{x + width / 2:.1f}" y="{y - 4:.1f}" text-anchor="middle">{value:.3g}</text>')
        body.append(f'<text x="{start + room * 0.4:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{escape(name)}</text>')
    body += [_legend(number, part, COLOURS[number % len(COLOURS)]) for number, part in enumerate(parts)]
    return _picture(body)


def steps(highest: float, about: int = 6) -> list[float]:
    """Return round numbers from 0 to highest or a little above it."""
    if highest <= 0:
        return [0.0, 1.0]
    rough = highest / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    return [round(step * number, 10) for number in range(math.ceil(highest / step - 1e-9) + 1)]


def _scale(values: Sequence[float], ratio: bool) -> tuple[list[float], Callable[[float], float]]:
    """Return the ticks of a horizontal axis for these values, and what part of its length a value is at."""
    if not ratio:
        ticks = steps(max(values))
        return ticks, lambda x: x / ticks[-1]
    ticks = sorted(set(values))
    span = math.log(ticks[-1] / ticks[0]) or 1.0
    return ticks, lambda x: math.log(x / ticks[0]) / span


def _height(share: float) -> float:
    return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)


def _frame(title: str, up: str, ticks: Sequence[float], top: float) -> list[str]:
    """Return title, vertical axis and grid."""
    right = WIDTH - RIGHT
    body = [f'<text class="title" x="{LEFT}" y="22">{escape(title)}</text>']
    for tick in ticks:
        y = _height(tick / top)
        kind = "grid" if tick else "axis"
        body.append(f'<line class="{kind}" x1="{LEFT}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}"/>')
        body.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>')
    middle = (TOP + HEIGHT - BOTTOM) / 2
    body.append(f'<text x="16" y="{middle}" text-anchor="middle" transform="rotate(-90 16 {middle})">{escape(up)}</text>')
    return body


def _legend(number: int, name: str, colour: str) -> str:
    x, y = WIDTH - RIGHT + 16, TOP + 8 + 20 * number
    mark = f'<rect x="{x}" y="{y - 9}" width="12" height="12" fill="{colour}"/>'
    return f'{mark}<text x="{x + 18}" y="{y + 2}">{escape(name)}</text>'


def _picture(body: Sequence[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}">'
    ground = '<rect width="100%" height="100%" fill="#fff"/>'
    return "\n".join([head, f"<style>{STYLE}</style>", ground, *body, "</svg>", ""])
