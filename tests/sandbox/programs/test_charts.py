"""Charts are drawn from released numbers, and whatever a label says stays a text."""

from typing import Any
from xml.etree import ElementTree as ET

import pytest

from sandbox.programs.charts import svg

SVG = "{http://www.w3.org/2000/svg}"


def chart(rows: list[list[Any]], mark: str = "bar") -> dict[str, Any]:
    columns = [{"name": "sex", "type": "label"}, {"name": "n", "type": "number"}]
    return {"kind": "chart", "name": "c", "mark": mark, "x": "sex", "y": "n", "columns": columns, "rows": rows}


def drawn(rows: list[list[Any]], mark: str = "bar") -> ET.Element:
    return ET.fromstring(svg(chart(rows, mark)))


def test_bars_stand_in_proportion_from_zero() -> None:
    heights = [float(bar.attrib["height"]) for bar in drawn([["a", 10], ["b", 20], ["c", -10]]).iter(f"{SVG}rect")]
    assert heights == [pytest.approx(heights[1] / 2, abs=0.1), heights[1], pytest.approx(heights[1] / 2, abs=0.1)]


def test_a_missing_value_leaves_a_gap_and_nothing_at_all_is_a_chart_too() -> None:
    assert len(list(drawn([["a", 10], ["b", None]]).iter(f"{SVG}rect"))) == 1
    (line,) = drawn([["a", 1], ["b", None], ["c", 3]], "line").iter(f"{SVG}polyline")
    assert len(line.attrib["points"].split()) == 2
    assert list(drawn([]).iter(f"{SVG}rect")) == []
    assert len(list(drawn([["a", 0]]).iter(f"{SVG}rect"))) == 1


def test_a_label_is_a_text_whatever_it_says() -> None:
    shown = drawn([['<script>"&', 1], [None, 2]])
    assert [text.text for text in shown.iter(f"{SVG}text")][:2] == ['<script>"&', None]
    assert {element.tag for element in shown.iter()} == {f"{SVG}{tag}" for tag in ("svg", "path", "rect", "text")}
