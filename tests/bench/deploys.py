"""Whole playbook runs on a fleet of ssh hosts: deploy.yml against copy and synchronize."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from e2e.lab import CHECKOUT, DEPLOY, Lab
from fleet import Fleet

from . import svg
from .artifacts import Artifact, File, Tree
from .race import pathless
from .rig import lighten

MB = 1_000_000
RATE = 100  # Mbit/s
FORKS = 12
SOURCE, DEST = "/srv/artifact", "/srv/delivered"
COLLECTIONS = CHECKOUT / "build" / "bench"  # where ansible.posix is, which has synchronize
SEARCHED = f"{CHECKOUT}/build:{COLLECTIONS}"  # for collections
MURDER, AGAIN = "deploy.yml", "deploy.yml, program there"
UNCHANGED = "deploy.yml, artifact there"  # by hand, after one of the others
OURS = (MURDER, AGAIN, UNCHANGED)
KINDS = (MURDER, AGAIN, "copy", "synchronize")
TASKS = {
    "copy": {"ansible.builtin.copy": {"src": SOURCE, "dest": DEST}},
    "synchronize": {"ansible.posix.synchronize": {"src": SOURCE, "dest": DEST}},
}


@dataclass(frozen=True)
class Deploy:
    """One playbook run with so many files: wall seconds of the whole command, bytes that the controller's link sent."""

    kind: str
    hosts: int
    size: int
    seconds: float = 0.0
    sent: int = 0
    error: str = ""
    files: int = 1
    date: str = ""  # when it ended
    checkout: str = ""  # of the program that was measured
    processor: str = ""  # of the machine that it was measured on
    command: str = ""  # on the controller, without the paths of this machine

    def told(self) -> str:
        """Return this run in words."""
        files = f" in {self.files:,} files" if self.files > 1 else ""
        where = f"{self.kind}, {self.hosts} hosts, {self.size / MB:g} MB{files}: "
        return where + (self.error or f"{self.seconds:.1f} s, controller sent {self.sent / MB:.0f} MB")


@dataclass(frozen=True)
class Plan:
    """Which kinds are run to so many hosts with artifacts of these sizes, and how often."""

    kinds: Sequence[str]
    hosts: Sequence[int]
    sizes: Sequence[int]
    repeat: int = 1
    files: int = 1

    def runs(self) -> Iterator[tuple[str, int, int]]:
        """Yield kind, hosts and size of every run, the kinds in turns."""
        for hosts, size, _, kind in itertools.product(self.hosts, self.sizes, range(self.repeat), self.kinds):
            yield kind, hosts, size


HEADLINE = Plan(KINDS, (11,), (56 * MB,), repeat=2)
CROSSOVER = Plan((MURDER, "copy"), (2, 3, 5, 11, 20, 30), (1 * MB, 10 * MB, 56 * MB))


def run(*plans: Plan) -> Iterator[Deploy]:
    """Yield every run of these plans as it ends; the fleet lives as long as the iteration."""
    fleet = Fleet.up(max(hosts for plan in plans for hosts in plan.hosts), rate=f"{RATE}mbit", firewall=False)
    try:
        lighten(fleet)
        lab, made = Lab(fleet), None
        for plan in plans:
            for kind, hosts, size in plan.runs():
                if made != (size, plan.files):
                    artifact, made = _make(lab.controller.path(SOURCE), size, plan.files), (size, plan.files)
                yield _deploy(lab, kind, hosts, artifact)
    finally:
        fleet.down()


def missing(kind: str) -> str:
    """Return why this kind cannot be run here, or an empty string."""
    if kind == "synchronize" and not (COLLECTIONS / "ansible_collections/ansible/posix/plugins").is_dir():
        return "the collection ansible.posix is not installed below build/bench"
    return "" if kind != "synchronize" or shutil.which("rsync") else "rsync is not installed"


def _make(path: Path, size: int, files: int) -> Artifact:
    _remove(path)
    return File.make(path, size) if files == 1 else Tree.make(path, files, size // files)


def _deploy(lab: Lab, kind: str, hosts: int, artifact: Artifact) -> Deploy:
    result = Deploy(kind, hosts, artifact.size, files=artifact.files)
    if why := missing(kind):
        return dataclasses.replace(result, error=f"not run: {why}")
    peers = lab.fleet.peers[:hosts]
    for host in peers:
        if kind != UNCHANGED:
            _remove(host.path(DEST))
        if kind not in (AGAIN, UNCHANGED):
            shutil.rmtree(host.path("/root/.cache/corvus.murder"), ignore_errors=True)
    inventory = lab.inventory(*peers)
    result = dataclasses.replace(result, command=command(kind, inventory))
    began, sent = time.monotonic(), _sent(lab.fleet)
    try:
        done = _play(lab, kind, inventory)
    except subprocess.TimeoutExpired as problem:
        return dataclasses.replace(result, error=f"failed: {problem}")
    seconds = time.monotonic() - began
    wrong = [host.name for host in peers if not artifact.same(host.path(DEST))]
    error = f"failed on {', '.join(wrong)}: {done[-2000:]}" if wrong else ""
    return dataclasses.replace(result, seconds=round(seconds, 2), sent=_sent(lab.fleet) - sent, error=error)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _play(lab: Lab, kind: str, inventory: str) -> str:
    """Run the playbook over connections of its own, and return what it said."""
    controls = f"/tmp/controls{time.monotonic_ns()}"
    playbook, extra, play = _playbook(kind)
    if play:
        lab.controller.path(playbook).write_text(play)
    environment = {"ANSIBLE_COLLECTIONS_PATH": SEARCHED, "ANSIBLE_SSH_CONTROL_PATH_DIR": controls}
    with contextlib.redirect_stdout(None):
        return lab.playbook(playbook, inventory, forks=FORKS, seconds=1800, **extra, **environment).output


def _playbook(kind: str) -> tuple[str, dict[str, str], str]:
    """Return the playbook of a kind of run, its extra variables, and its content where it is not one of ours."""
    if kind in OURS:
        return DEPLOY, {"murder_src": SOURCE, "murder_dest": DEST}, ""
    return f"/tmp/{kind}.yml", {}, json.dumps([{"hosts": "all", "gather_facts": False, "tasks": [{"name": kind, **TASKS[kind]}]}])


def command(kind: str, inventory: str) -> str:
    """Return the command of a run of this kind, in one line, with the content of a playbook that is not one of ours."""
    playbook, extra, play = _playbook(kind)
    line = shlex.join(["ansible-playbook", *Lab.arguments(playbook, inventory, forks=FORKS, **extra)])
    return pathless(f"ANSIBLE_COLLECTIONS_PATH={SEARCHED} {line}{f' # {playbook}: {play}' if play else ''}", CHECKOUT)


def commands(deploys: Sequence[Deploy]) -> list[str]:
    """Return the command of the first run of each kind."""
    shown: dict[str, str] = {}
    for deploy in deploys:
        if deploy.command:
            shown.setdefault(deploy.kind, deploy.command)
    return [line for kind, said in shown.items() for line in (f"# {kind}", f"controller: {said}")]


def _sent(fleet: Fleet) -> int:
    """Return the bytes that the controller has sent until now: what the bridge's end of its cable received."""
    for line in Path(f"/proc/{fleet.bridge.pid}/net/dev").read_text().splitlines():
        device, _, numbers = line.partition(":")
        if device.strip() == "h0":
            return int(numbers.split()[0])
    raise RuntimeError("the bridge has no cable to the controller")


def dump(deploys: Sequence[Deploy]) -> str:
    return "[\n" + ",\n".join(json.dumps(dataclasses.asdict(deploy)) for deploy in deploys) + "\n]\n"


def load(text: str) -> list[Deploy]:
    """Return what dump has written."""
    return [Deploy(**entry) for entry in json.loads(text)]


def best(deploys: Sequence[Deploy], kind: str, hosts: int, size: int) -> float | None:
    """Return the median of the seconds of such runs; None if there is none that went well."""
    found = sorted(d.seconds for d in deploys if (d.kind, d.hosts, d.size) == (kind, hosts, size) and not d.error)
    return found[len(found) // 2] if found else None


def rows(deploys: Sequence[Deploy]) -> list[list[str]]:
    """Return header and one row for each fleet and size: seconds of each kind, and ours as a part of copy's."""
    table = [["hosts", "MB", *(f"{kind}, s" for kind in KINDS), "deploy.yml / copy"]]
    for hosts, size in sorted({(deploy.hosts, deploy.size) for deploy in deploys}):
        times = [best(deploys, kind, hosts, size) for kind in KINDS]
        ours, copied = times[0], times[KINDS.index("copy")]
        share = f"{ours / copied:.2f}" if ours and copied else ""
        table.append([str(hosts), f"{size / MB:g}", *("" if s is None else f"{s:.1f}" for s in times), share])
    return table


def wins(deploys: Sequence[Deploy]) -> list[str]:
    """Return a sentence for each fleet: the size from which ours was faster than copy, with it and all larger ones."""
    lines = []
    for hosts in sorted({deploy.hosts for deploy in deploys}):
        least, measured = None, []
        for size in sorted({deploy.size for deploy in deploys if deploy.hosts == hosts}, reverse=True):
            ours, copied = (best(deploys, kind, hosts, size) for kind in (MURDER, "copy"))
            if ours and copied:
                measured.append(size)
                if ours >= copied:
                    break
                least = size
        if measured:
            found = (
                f"is faster than copy from {least / MB:g} MB"
                if least
                else f"is not faster than copy with {measured[0] / MB:g} MB"
            )
            lines.append(f"{hosts} hosts: deploy.yml {found}")
    return lines


def picture(deploys: Sequence[Deploy], size: int = 56 * MB) -> str:
    """Draw the wall time of whole runs over the number of hosts."""
    fleets = sorted({deploy.hosts for deploy in deploys if deploy.size == size})
    series = {}
    for kind in KINDS:
        times = ((hosts, best(deploys, kind, hosts, size)) for hosts in fleets)
        if line := [(float(hosts), seconds) for hosts, seconds in times if seconds is not None]:
            series[kind] = line
    title = f"Whole playbook runs, {size / MB:g} MB, {RATE} Mbit/s, forks {FORKS}"
    return svg.lines(title, "hosts", "seconds", series, dots=True)
