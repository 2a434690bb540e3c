"""How clients tell that they are done."""

from __future__ import annotations

import subprocess
from pathlib import Path

from bench.systems.base import DONE
from bench.systems.clients import SAY_DONE


def test_done_is_a_line_of_its_own_amid_progress(tmp_path: Path):
    log = tmp_path / "log"
    log.write_text("Progress: 97.1 %, dl fr")
    with log.open("a") as output:
        subprocess.run([SAY_DONE], stdout=output, check=True)
    with log.open("a") as output:
        output.write("om 3 of 7 peers")
    assert DONE in log.read_text().splitlines()
