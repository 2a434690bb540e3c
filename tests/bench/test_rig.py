"""How much memory a race is given before it begins."""

from __future__ import annotations

import mmap
import re
from pathlib import Path

from bench.rig import LEAD, Layout, Memory


def test_memory_is_made_ready_for_every_peer():
    assert Layout(11, 100).needs(1000, 1) > 11 * 1000
    assert Layout(1, 0).needs(1000, 200) > Layout(1, 0).needs(1000, 1)


def test_memory_that_is_made_ready_is_bounded():
    assert Layout(200, 5).needs(10**9, 1) == Layout(11, 100).needs(10**9, 1) < 8 * 10**9


def test_disks_need_no_memory():
    assert Layout(1, 0, memory=False).needs(10**9, 1) == 0


def test_memory_is_given_back_as_it_is_needed():
    with Memory(LEAD + 100 * 2**20) as memory:
        held = resident()
        memory.give(10 * 2**20)
        assert resident() < held - 0.9 * LEAD
        memory.give(5 * 2**20)
        assert resident() > held - LEAD - 20 * 2**20
        memory.give(float("inf"))
        assert resident() < held - 0.9 * (LEAD + 100 * 2**20)


def test_without_memory_there_is_nothing_to_give_back():
    with Memory(0) as memory:
        memory.give(0)
        memory.give(float("inf"))


def resident() -> int:
    """Return how many bytes of memory this process has."""
    pages = re.match(r"\d+ (\d+)", Path("/proc/self/statm").read_text())[1]
    return int(pages) * mmap.PAGESIZE
