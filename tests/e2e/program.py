"""Calls the modules as Ansible calls a binary module: with an argument file, on this machine, below one directory."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

from fleet.process import Process, mentioning, wait_until

CHECKOUT = Path(__file__).resolve().parents[2]
PROGRAM = CHECKOUT / "plugins/programs/murder_linux_amd64"
NOBODY = 65534


@dataclass(frozen=True)
class Answer:
    """What a module said: its result line, exit code, and everything on stderr."""

    result: dict
    code: int
    errors: str

    def __getitem__(self, key: str):
        return self.result[key]


class Sandbox:
    """A directory with the program, its state and what a test makes; everything in it talks over 127.0.0.1."""

    def __init__(self, directory: Path):
        self.directory, self.state = directory, directory / "state"
        self.programs = directory / "programs"
        self.programs.mkdir()
        for name in ("murder_tracker", "murder_seed", "murder_peer", "murder_info"):
            shutil.copy(PROGRAM, self.programs / name)

    def call(self, module: str, *, check_mode: bool = False, nobody: bool = False, seconds: float = 60, **options) -> Answer:
        """Run murder_MODULE with these options; nobody: as an ordinary user."""
        process = self.start(module, check_mode=check_mode, nobody=nobody, **options)
        return self.finish(process, seconds)

    def start(self, module: str, *, check_mode: bool = False, nobody: bool = False, **options) -> subprocess.Popen[str]:
        """Begin what call() does; finish() collects it."""
        arguments = {"state_dir": str(self.state), "_ansible_check_mode": check_mode} | options
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.directory)}
        identity = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if nobody else {}
        process = subprocess.Popen(
            [self.programs / f"murder_{module}", "-"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            **identity,
        )
        process.stdin.write(json.dumps(arguments))
        process.stdin.close()
        process.stdin = None
        return process

    @staticmethod
    def finish(process: subprocess.Popen[str], seconds: float = 60) -> Answer:
        output, errors = process.communicate(timeout=seconds)
        print(output[:1000], errors[-1000:])
        return Answer(json.loads(output.splitlines()[-1]), process.returncode, errors)

    def succeeds(self, module: str, **options) -> dict:
        """Call a module that must succeed, and return its result."""
        answer = self.call(module, **options)
        assert answer.code == 0, answer
        assert not answer.result.get("failed"), answer
        return answer.result

    def fails(self, module: str, **options) -> str:
        """Call a module that must fail as Ansible expects it, and return its message."""
        answer = self.call(module, **options)
        return self.failure(answer)

    @staticmethod
    def failure(answer: Answer) -> str:
        assert answer.code == 1, answer
        assert answer["failed"] is True, answer
        assert "panic" not in answer.errors, answer
        return answer["msg"]

    def swarm(self, source: Path, **seed_options) -> dict:
        """Start a tracker and a seeder of this source; return what the seeder said."""
        port = free_port()
        self.succeeds("tracker", listen="127.0.0.1", port=port)
        return self.succeeds("seed", src=str(source), tracker=f"127.0.0.1:{port}", ip="127.0.0.1", **seed_options)

    def daemons(self) -> list[Process]:
        """Return every process that works in this sandbox."""
        return mentioning(str(self.directory))

    def falls_silent(self) -> bool:
        """Tell whether everything in this sandbox has ended, or is about to."""
        wait_until(lambda: not self.daemons(), f"the processes of {self.directory} to end", 10)
        return True

    def close(self) -> None:
        """End what still runs."""
        for daemon in self.daemons():
            daemon.kill()
        wait_until(lambda: not self.daemons(), "the daemons of a test to end")
        remove(self.directory)


def remove(directory: Path) -> None:
    """Remove a directory with all that is in it; who is not root has to open what a test has closed to writers."""
    directory.chmod(0o700)
    for folder, names, _ in os.walk(directory):
        for path in (Path(folder, name) for name in names):
            if not path.is_symlink():
                path.chmod(0o700)  # before it is walked
    shutil.rmtree(directory)


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]
