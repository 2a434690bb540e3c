"""What a race leaves in its results."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from bench.race import RaceError, Runner, Stall, _run, pathless
from bench.systems.base import CHECKOUT

RIG = Path("/tmp/rig-x")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"client {RIG}/origin/artifact.torrent --dir={RIG} --port=1", "client origin/artifact.torrent --dir=. --port=1"),
        (
            f'late\nCalling script "{CHECKOUT}/tests/bench/programs/say-done"',
            'late\nCalling script "tests/bench/programs/say-done"',
        ),
        (f'Saved "{RIG}/peer1/a", "{RIG}/peer2/b"', 'Saved "peer1/a", "peer2/b"'),
        (f"{Path(sys.executable).parent}/ansible-playbook", "ansible-playbook"),
        ("of an artifact in /srv", "of an artifact in /srv"),
    ],
)
def test_results_do_not_name_places_of_this_machine(text, expected):
    assert pathless(text, RIG) == expected


def test_stalls_are_spread_over_peers_and_time():
    stalls = Stall.spread(200, 3, 2, 50)
    assert [stall.peer for stall in stalls] == [33, 100, 166]
    assert [stall.at for stall in stalls] == pytest.approx([5, 15, 25])
    assert Stall.spread(11, 0, 2, 10) == []


class Still:
    """A seat that notes when it is to stand still."""

    name = "peer1"

    def __init__(self) -> None:
        self.told: list[bool] = []

    def freeze(self, still: bool) -> None:
        self.told.append(still)

    def log(self) -> str:
        return ""


def run(seat: Still, script: str, stalls: list[Stall], patience: float = 30) -> None:
    """Let one peer race that runs this script."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(["sh", "-c", f"read -r _; {script}"], **pipes) as process:
        system, meter = SimpleNamespace(figures=lambda *_: {}), SimpleNamespace(weigh=lambda *_: None)
        try:
            _run(system, [Runner(seat, process)], [0.0], patience, meter, stalls)
        finally:
            process.kill()


def test_a_peer_stands_still_and_goes_on(tmp_path):
    seat, mark = Still(), tmp_path / "mark"
    original = seat.freeze
    seat.freeze = lambda still: (original(still), still or mark.touch())
    run(seat, f"until [ -e {mark} ]; do sleep 0.01; done; echo done", [Stall(0, 0.0, 0.1)])
    assert seat.told[:2] == [True, False]


def test_nobody_is_left_standing():
    seat = Still()
    run(seat, "echo done", [Stall(0, 0.0, 100)])
    assert seat.told[-1] is False
    seat = Still()
    with pytest.raises(RaceError, match="1 of 1 peers have nothing whole"):
        run(seat, "exec sleep 60", [Stall(0, 0.0, 100)], patience=0.1)
    assert seat.told == [True, False]
