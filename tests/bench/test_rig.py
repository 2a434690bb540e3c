"""How much memory a race is given before it begins."""

from __future__ import annotations

from bench.rig import Layout


def test_memory_is_made_ready_for_every_peer():
    assert Layout(11, 100).needs(1000, 1) > 11 * 1000
    assert Layout(1, 0).needs(1000, 200) > Layout(1, 0).needs(1000, 1)


def test_memory_that_is_made_ready_is_bounded():
    assert Layout(200, 5).needs(10**9, 1) == Layout(11, 100).needs(10**9, 1) < 5 * 10**9


def test_disks_need_no_memory():
    assert Layout(1, 0, memory=False).needs(10**9, 1) == 0
