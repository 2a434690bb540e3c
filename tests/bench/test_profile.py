"""Profiles of our daemons: where they come, and that the daemons live to write them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from bench.systems.murder import Murder


class Recorder(Murder):
    """Notes which modules are called instead of calling them."""

    def __init__(self, profile: Path | None):
        super().__init__(Path("murder"), profile)
        self.calls: list[tuple[str, str, str]] = []

    def call(self, seat, module, **options):
        self.calls.append((seat.name, module, str(options["state"])))
        return {}


def seat(directory: Path, name: str) -> SimpleNamespace:
    return SimpleNamespace(name=name, directory=directory / name, dest=directory / name / "dest" / "artifact")


def rig(directory: Path) -> SimpleNamespace:
    return SimpleNamespace(origin=seat(directory, "h0"), peers=[seat(directory, "h1"), seat(directory, "h2")])


def test_each_seat_has_its_own_directory(tmp_path):
    murder = Murder(Path("murder"), tmp_path / "profiles")
    places = {murder.defaults(seat(tmp_path, name), "peer")["profile"] for name in ("h1", "h2")}
    assert places == {str(tmp_path / "profiles" / name) for name in ("h1", "h2")}
    assert all(Path(place).is_dir() for place in places)


def test_without_profiles_none_are_asked_for(tmp_path):
    assert "profile" not in Murder(Path("murder")).defaults(seat(tmp_path, "h1"), "peer")


@pytest.mark.parametrize("profiles", [True, False])
def test_daemons_are_stopped_where_they_have_profiles_to_write(tmp_path, profiles):
    murder = Recorder(tmp_path if profiles else None)
    murder.finish(rig(tmp_path), SimpleNamespace(path=tmp_path / "artifact"))
    ended = [("h1", "peer", "stopped"), ("h2", "peer", "stopped"), ("h0", "seed", "stopped"), ("h0", "tracker", "stopped")]
    assert murder.calls == (ended if profiles else [])
