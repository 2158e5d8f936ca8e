"""Drawing a released chart: outside, from the released numbers alone, so that no pixel is a program's. Pure.

>>> chart = {"kind": "chart", "name": "c", "mark": "bar", "x": "sex", "y": "n",
...     "columns": [{"name": "sex", "type": "dimension"}, {"name": "n", "type": "count"}],
...     "rows": [["f", 10], ["m", 20]]}
>>> svg(chart).count("<rect")
2
"""

from collections.abc import Mapping
from html import escape

from hexi.canonical import Json
from sandbox.programs.collecting import table_rows

# Units of the drawing: its size, and the room around the plot for labels.
WIDTH, HEIGHT, MARGIN = 640, 360, 48
# The part of a group's width that its bar fills.
_FILLED = 0.7
_STYLE = 'font-family="sans-serif" font-size="11" fill="#333"'


def svg(chart: Mapping[str, Json]) -> str:
    """The chart as an SVG: bars or a line over its groups, in the order of the rows; a missing value leaves a gap."""
    rows = table_rows(chart)
    values = [row[chart["y"]] for row in rows]
    known = [0.0, *(float(value) for value in values if value is not None)]
    low, high = min(known), max(known) or 1.0
    step = (WIDTH - 2 * MARGIN) / max(len(rows), 1)

    def across(index: int) -> float:
        return MARGIN + step * (index + 0.5)

    def up(value: float) -> float:
        return HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * (value - low) / (high - low)

    marks = []
    if chart["mark"] == "bar":
        for index, value in enumerate(values):
            if value is not None:
                top, bottom = min(up(value), up(0)), max(up(value), up(0))
                left, width = across(index) - step * _FILLED / 2, step * _FILLED
                box = f'x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{bottom - top:.1f}"'
                marks.append(f'<rect {box} fill="#4c78a8"/>')
    else:
        points = [f"{across(index):.1f},{up(value):.1f}" for index, value in enumerate(values) if value is not None]
        marks.append(f'<polyline points="{" ".join(points)}" fill="none" stroke="#4c78a8" stroke-width="2"/>')
    labels = [
        _text(across(index), HEIGHT - MARGIN + 16, str("" if row[chart["x"]] is None else row[chart["x"]]), "middle")
        for index, row in enumerate(rows)
    ]
    labels += [_text(MARGIN - 6, up(value), f"{value:g}", "end") for value in (low, high)]
    labels.append(_text(WIDTH / 2, MARGIN / 2, f"{chart['name']}: {chart['y']} by {chart['x']}", "middle"))
    axis = f'<path d="M{MARGIN} {MARGIN}V{HEIGHT - MARGIN}H{WIDTH - MARGIN}" fill="none" stroke="#999"/>'
    size = f'viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{axis}{"".join(marks)}{"".join(labels)}</svg>\n'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {_STYLE}>{escape(text)}</text>'
