"""Draws how figures grow, as an SVG that needs nothing else."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 720, 420, 60, 190, 20, 40
_COLOURS = ("#0b57d0", "#b3261e", "#146c2e", "#8f4c00", "#6750a4", "#006a6a", "#7d5260")


def growth_chart(found: Sequence[Mapping[str, float | str]], names: Mapping[str, str]) -> str:
    """Return a chart with a line for each figure, both axes logarithmic.

    :param found: figures by key, one mapping for each size; ``passages`` is the size.
    :param names: keys of the figures to draw, and what they are called.
    """
    sizes = [float(one["passages"]) for one in found]
    values = {key: [max(float(one[key]), 1e-3) for one in found] for key in names}
    highest, lowest = (pick(value for row in values.values() for value in row) for pick in (max, min))
    decades = range(math.floor(math.log10(lowest)), math.ceil(math.log10(highest)) + 1)

    def across(size: float) -> float:
        share = math.log(size / sizes[0]) / max(math.log(sizes[-1] / sizes[0]), 1e-9)
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

    def up(value: float) -> float:
        share = (math.log10(value) - decades[0]) / max(decades[-1] - decades[0], 1)
        return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" '
        f'font-size="12" role="img"><title>How figures grow with the number of passages</title>'
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>'
    ]
    for decade in decades:
        y = up(10.0**decade)
        parts.append(f'<path d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}" stroke="#ddd"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{10.0**decade:g}</text>')
    for size in sizes:
        parts.append(f'<text x="{across(size):.1f}" y="{_HEIGHT - 16}" text-anchor="middle">{size:,.0f}</text>')
    taken: list[float] = []
    for (key, name), colour in zip(names.items(), _COLOURS, strict=False):
        points = [(across(size), up(value)) for size, value in zip(sizes, values[key], strict=True)]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        y = points[-1][1]
        while any(abs(y - other) < 14 for other in taken):  # labels must not cover each other
            y += 7
        taken.append(y)
        parts.append(f'<text x="{_WIDTH - _RIGHT + 8}" y="{y + 4:.1f}" fill="{colour}">{escape(name)}</text>')
    return "\n".join([*parts, "</svg>\n"])
