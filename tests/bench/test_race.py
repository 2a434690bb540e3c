"""What a race leaves in its results."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bench.race import pathless
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
