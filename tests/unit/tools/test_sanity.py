"""tests/sanity/run: what ansible-test installs stays in build/."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[3]


def test_the_home_directory_stays_as_it_is(tmp_path):
    checkout, home = tmp_path / "checkout", tmp_path / "home"
    for program in ("tests/sanity/run", "tests/tools/copy"):
        (checkout / program).parent.mkdir(parents=True)
        shutil.copy2(CHECKOUT / program, checkout / program)
    subprocess.run(["git", "init", "--quiet", str(checkout)], check=True)
    programs = checkout / ".venv" / "bin"
    programs.mkdir(parents=True)
    (programs / "python").symlink_to(sys.executable)
    stub = programs / "ansible-test"
    stub.write_text('#!/bin/sh\necho "$HOME"\ncat "$HOME/.config/pip/pip.conf"\n', encoding="utf-8")
    stub.chmod(0o755)
    (home / ".config" / "pip").mkdir(parents=True)
    (home / ".config" / "pip" / "pip.conf").write_text("own registry", encoding="utf-8")

    argv = [str(checkout / "tests/sanity/run")]
    run = subprocess.run(argv, env=os.environ | {"HOME": str(home)}, capture_output=True, text=True, check=True)

    place, registry = run.stdout.split("\n", 1)
    assert Path(place).is_relative_to(checkout / "build")
    assert list(Path(place).glob(".ansible/test/cache/get_pip_*.py"))
    assert registry == "own registry"
    assert [path.name for path in home.iterdir()] == [".config"]
