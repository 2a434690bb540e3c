"""Pictures are well-formed, and what they show is where it belongs."""

from __future__ import annotations

import xml.etree.ElementTree

import pytest

from bench import report, svg
from bench.samples import raced

SVG = "{http://www.w3.org/2000/svg}"


def parsed(picture: str) -> xml.etree.ElementTree.Element:
    return xml.etree.ElementTree.fromstring(picture)


@pytest.mark.parametrize(
    ("highest", "expected"),
    [(1, [0, 0.2, 0.4, 0.6, 0.8, 1]), (9.37, [0, 2, 4, 6, 8, 10]), (100, [0, 20, 40, 60, 80, 100]), (0, [0, 1])],
)
def test_steps_are_round_and_reach_the_top(highest, expected):
    assert svg.steps(highest) == pytest.approx(expected)


@pytest.mark.parametrize("highest", [1e-6, 0.3, 7, 12.0, 999, 1.5e9])
def test_steps_are_few(highest):
    steps = svg.steps(highest)
    assert 3 <= len(steps) <= 8
    assert steps[-2] < highest <= steps[-1] * 1.000001


def test_lines_stay_on_the_picture_and_rise():
    root = parsed(svg.lines("t", "x", "y", {"a<b": [(0, 0), (5, 1), (9.4, 3)]}))
    points = [tuple(map(float, point.split(","))) for point in root.find(f"{SVG}polyline").get("points").split()]
    assert [x for x, _ in points] == sorted(x for x, _ in points)
    assert [y for _, y in points] == sorted((y for _, y in points), reverse=True)
    assert all(svg.LEFT <= x <= svg.WIDTH - svg.RIGHT and svg.TOP <= y <= svg.HEIGHT - svg.BOTTOM for x, y in points)
    assert "a<b" in {text.text for text in root.iter(f"{SVG}text")}


def test_logarithmic_axis_gives_each_factor_the_same_room():
    root = parsed(svg.lines("t", "x", "y", {"a": [(10, 1), (100, 1), (1000, 1)]}, ratio=True, dots=True))
    first, second, third = (float(dot.get("cx")) for dot in root.iter(f"{SVG}circle"))
    assert second - first == pytest.approx(third - second, abs=0.2)


def test_bars_are_as_high_as_their_values():
    root = parsed(svg.bars("t", "y", {"one": {"a": 2, "b": 4}, "two": {"a": 1}}))
    heights = [float(bar.get("height")) for bar in root.iter(f"{SVG}rect") if bar.get("y") and float(bar.get("width")) > 12]
    assert len(heights) == 3
    assert heights[1] == pytest.approx(2 * heights[0], abs=0.2)
    assert heights[2] == pytest.approx(heights[0] / 2, abs=0.2)


def test_report_draws_what_was_measured():
    pictures = report.pictures([raced(), raced("chain"), raced("rsync", error="lost")])
    assert set(pictures) == {"growth.svg", "completion.svg", "links.svg", "cpu.svg", "memory.svg"}
    for picture in pictures.values():
        texts = {text.text for text in parsed(picture).iter(f"{SVG}text")}
        assert {"murder", "chain"} <= texts
        assert "rsync" not in texts


def test_report_without_the_drawn_scenario():
    assert set(report.pictures([raced(scenario="pair", rate=0)])) == {"growth.svg"}
