"""Whether a limit was held, from the course of a link's counter."""

from __future__ import annotations

import pytest

from bench import limits
from bench.limits import Held, judge

PER_SECOND = 1_250_000  # bytes: 10 Mbit/s


def course(*speeds: float, every: float = 0.25) -> list[tuple[float, int]]:
    """Return a link's counter that grows by these multiples of the limit, one sample each."""
    points, count = [(100.0, 7)], 7
    for number, speed in enumerate(speeds, start=1):
        count += round(speed * PER_SECOND * every)
        points.append((100.0 + number * every, count))
    return points


def test_even_course():
    held = judge("kind", 10, course(*[1.0] * 40))
    assert (held.mean, held.worst) == (pytest.approx(1.0), pytest.approx(1.0))
    assert held.seconds == pytest.approx(8.0)


def test_edges_do_not_count_for_the_mean():
    held = judge("kind", 10, course(*[0.0] * 8, *[1.0] * 80, *[0.01] * 40))
    assert held.mean == pytest.approx(1.0, abs=0.002)


def test_burst_shows_in_the_worst_second():
    held = judge("kind", 10, course(*[0.9] * 40, 3.0, *[0.9] * 40))
    assert held.worst == pytest.approx(0.75 * 0.9 + 0.25 * 3.0)
    assert held.mean < 1


def test_slack_link_is_below():
    assert judge("kind", 10, course(*[0.5] * 40)).mean == pytest.approx(0.5)


def test_nothing_passed():
    assert "too few" in judge("kind", 10, course(0.0, 0.0)).error


def test_rows_have_the_median_and_the_worst():
    tried = [
        Held("kind", 10, 1.01, 1.05),
        Held("kind", 10, 0.97, 1.2),
        Held("kind", 10, 0.99, 1.0),
        Held("kind", 40, error="failed: x"),
    ]
    _header, ten, forty = limits.rows(tried)
    assert ten == ["kind", "10", "3", "0.990", limits.TARGET, "1.200", limits.TARGET_WINDOW]
    assert forty == ["kind", "40", "0 of 1", "", limits.TARGET, "", limits.TARGET_WINDOW]


def test_results_survive_the_disk():
    tried = [Held("kind", 10, 1.01, 1.05, 8.0), Held("kind", 40, error="failed: x")]
    assert limits.load(limits.dump(tried)) == tried
