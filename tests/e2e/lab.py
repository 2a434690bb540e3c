"""Ansible on the fleet's controller: inventories, runs of it, and what a run said."""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from fleet import Fleet, Host
from fleet.host import ENVIRONMENT

CHECKOUT = Path(__file__).resolve().parents[2]
DEPLOY = "playbooks/deploy.yml"
TEARDOWN = "playbooks/teardown.yml"


@dataclass(frozen=True)
class Run:
    """One run of an Ansible command: exit code, everything it printed, counts per host from its recap."""

    code: int
    output: str

    @property
    def recap(self) -> dict[str, dict[str, int]]:
        lines = re.findall(r"^(\S+) +: (ok=.*)$", self.output.partition("PLAY RECAP")[2], re.MULTILINE)
        return {host: {key: int(n) for key, n in re.findall(r"(\w+)=(\d+)", counts)} for host, counts in lines}

    def changed(self) -> set[str]:
        """Return the hosts on which something changed."""
        return {host for host, counts in self.recap.items() if counts["changed"]}

    def results(self) -> dict[str, dict]:
        """Return what an ad hoc command answered, host by host."""
        found = re.findall(r"^(\S+) \| (\S+?)!? => (\{.*?^\}$|\{.*\}$)", self.output, re.MULTILINE | re.DOTALL)
        return {host: json.loads(answer) | {"status": status} for host, status, answer in found}


class Lab:
    """Runs Ansible commands of this checkout on the fleet's controller."""

    def __init__(self, fleet: Fleet):
        self.fleet, self.controller = fleet, fleet.controller
        self._numbers = itertools.count(1)

    def inventory(self, *peers: Host, tracker: Host | None = None, seeder: Host | None = None, **variables) -> str:
        """Write an inventory with these groups (a group that is left out is missing in it) and return its path."""
        path = f"/etc/ansible/inventory{next(self._numbers)}.ini"
        groups = {"peers": peers, "tracker": [tracker], "seeder": [seeder]}
        lines = []
        for name, hosts in groups.items():
            rows = [f"{host.name} ansible_host={host.address}" for host in hosts if host]
            lines += [f"[{name}]", *rows] if rows else []
        variables = {"ansible_user": "root", "ansible_python_interpreter": "/usr/bin/python3"} | variables
        lines += ["[all:vars]", *(f"{key}={value}" for key, value in variables.items())]
        self.controller.path(path).write_text("\n".join(lines) + "\n")
        return path

    def command(self, program: str, *arguments: str, user: str = "root", **environment: str) -> tuple[list[str], dict]:
        """Return argv and environment of an Ansible command on the controller, in the checkout."""
        # env -C: the commands find ansible.cfg in the directory they are started from.
        argv = ["env", "-C", str(CHECKOUT), str(CHECKOUT / ".venv/bin" / program), *arguments]
        return self.controller.command(*argv, user=user), ENVIRONMENT | {"ANSIBLE_NOCOLOR": "1"} | environment

    def run(self, program: str, *arguments: str, seconds: float = 180, user: str = "root", **environment: str) -> Run:
        """Run an Ansible command to its end; one that takes longer than seconds fails the test."""
        argv, environment = self.command(program, *arguments, user=user, **environment)
        done = subprocess.run(
            argv,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=seconds,
            check=False,
        )
        print(done.stdout)
        return Run(done.returncode, done.stdout)

    def playbook(self, playbook: str, inventory: str, *options: str, forks: int = 12, **run_or_extra) -> Run:
        """Run a playbook; names that begin with murder_ become extra variables, the rest goes to run()."""
        extra = {key: value for key, value in run_or_extra.items() if key.startswith("murder_")}
        rest = {key: value for key, value in run_or_extra.items() if key not in extra}
        return self.run("ansible-playbook", *self.arguments(playbook, inventory, *options, forks=forks, **extra), **rest)

    @staticmethod
    def arguments(playbook: str, inventory: str, *options: str, forks: int = 12, **extra) -> list[str]:
        return [f"--inventory={inventory}", f"--forks={forks}", f"--extra-vars={json.dumps(extra)}", *options, playbook]

    def module(self, inventory: str, name: str, arguments: str, *options: str, pattern: str = "all", **run) -> dict:
        """Run a module ad hoc and return host by host what it answered."""
        done = self.run(
            "ansible",
            f"--inventory={inventory}",
            "--forks=12",
            pattern,
            f"--module-name={name}",
            "-a",
            arguments,
            *options,
            **run,
        )
        return done.results()


def interrupt(process: subprocess.Popen) -> None:
    """Do what Ctrl-C does: SIGINT to everything in the process group of the terminal's command."""
    os.killpg(process.pid, signal.SIGINT)
