"""Which peers are slow, how much memory a race is given before it begins, and what a seat writes down of its commands."""

from __future__ import annotations

import json
import mmap
import re
import shlex
from pathlib import Path
from types import SimpleNamespace

import pytest

from bench.race import _commands
from bench.rig import LEAD, PROGRAM, Layout, Memory, Seat


def test_slow_peers_stand_at_equal_distances():
    assert Layout(11, 100).slowed == []
    assert Layout(11, 100, slow=10).slowed == [5]
    assert Layout(20, 50, slow=5, slows=3).slowed == [3, 10, 16]


def test_memory_is_made_ready_for_every_peer():
    assert Layout(11, 100).needs(1000, 1) > 11 * 1000
    assert Layout(1, 0).needs(1000, 200) > Layout(1, 0).needs(1000, 1)


def test_memory_that_is_made_ready_is_bounded():
    few, many = Layout(11, 100), Layout(200, 5)
    assert many.needs(10**9, 1) - many.programs == few.needs(10**9, 1) - few.programs < 8 * 10**9


def test_programs_have_memory_from_the_start():
    few, many = Layout(11, 100), Layout(200, 100)
    assert many.needs(1000, 1) - few.needs(1000, 1) > many.programs - few.programs == 189 * PROGRAM


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


@pytest.fixture
def seats(tmp_path):
    """Return the origin and a peer, on which nothing runs."""
    process = SimpleNamespace(communicate=lambda *_, **__: ("{}", ""), returncode=0)
    host = SimpleNamespace(popen=lambda *_, **__: process)
    made = [Seat(name, host, "10.77.0.1", tmp_path / name, tmp_path / name) for name in ("origin", "peer1")]
    for seat in made:
        seat.directory.mkdir()
    return made


def test_options_on_stdin_are_written_down(seats, tmp_path):
    options = {"src": str(tmp_path / "artifact"), "tracker": "10.77.0.1:8998", "note": "it's"}
    seats[0].run("murder", "murder_seed", "-", text=json.dumps(options))
    seats[1].run("true")
    line, other = _commands(SimpleNamespace(seats=seats, directory=tmp_path))
    assert shlex.split(line) == ["origin:", "murder", "murder_seed", "-", "<<<", json.dumps(options | {"src": "artifact"})]
    assert other == "peer1: true"


def test_options_in_a_file_are_written_down(seats, tmp_path):
    """As they were when the command was run: the next one may have others in the same file."""
    arguments = seats[1].directory / "peer.json"
    arguments.write_text(json.dumps({"dest": str(seats[1].dest), "verify": "full"}, indent=1))
    seats[0].run("true")
    seats[1].popen("murder", "murder_peer", arguments)
    arguments.write_text("{}")
    _, line = _commands(SimpleNamespace(seats=seats, directory=tmp_path))
    said = '{ "dest": "peer1/dest/artifact", "verify": "full" }'
    assert line == f"peer1: murder murder_peer peer1/peer.json # peer.json: {said}"
