"""The stage for all cases of the session."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from bench.systems.murder import Murder
from cases import CLIENTS, Stage
from fleet.fleet import unavailable


def pytest_report_header() -> list[str]:
    """Say what is tried with what."""
    return [program.missing() or program.version() for program in (Murder(), *CLIENTS)]


@pytest.fixture(scope="session")
def stage(request):
    """Return a stage on which every selected case has begun; skips where there can be no fleet."""
    why = unavailable()
    if why:  # namespaces are root's; make test counts what it skips
        pytest.skip(f"{why}; run the tests as root to have them all")
    directory = Path(tempfile.mkdtemp(prefix="murder-interop-"))
    directory.chmod(0o755)  # opentracker is not root
    stage = Stage(directory)
    try:
        stage.begin(item.callspec.params["case"] for item in request.session.items)
        yield stage
    finally:
        stage.close()
        shutil.rmtree(directory)
