"""Brings a fleet up and down, and remembers it on disk for the command line."""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from subprocess import Popen

from . import files, network
from .host import Host
from .process import Process, wait_until

NETWORK = ipaddress.ip_network("10.77.0.0/16")
PREFIX = "murder-fleet-"


class FleetError(RuntimeError):
    """A fleet cannot be had here, with the reason."""


class Fleet:
    """The controller (first host) and peers h1, h2, ... of one bridged network that leads nowhere else."""

    def __init__(self, directory: Path, bridge: Process, hosts: list[Host], holders: Iterable[Popen[str]] = ()):
        self.directory, self.bridge, self._holders = directory, bridge, holders
        self.controller, *self.peers = hosts

    @property
    def hosts(self) -> list[Host]:
        return [self.controller, *self.peers]

    @property
    def inventory(self) -> Path:
        """Inventory file with every peer; the controller has it at the same path."""
        return Path("/etc/ansible/fleet.ini")

    @classmethod
    def up(
        cls,
        peers: int,
        *,
        rate: str | None = None,
        firewall: bool = True,
        light: bool = False,
        detach: bool = False,
    ) -> Fleet:
        """Start a controller and so many peers; rate as tc has it (100mbit), each way; firewall drops all but ssh.

        light hosts have no sshd and share the machine's files: for hundreds of them. Unless detach is set, the fleet
        dies with this process.
        """
        why = unavailable()
        if why:
            raise FleetError(why)
        directory = Path(tempfile.mkdtemp(prefix=PREFIX))
        began: list[network.Namespaces] = []
        try:
            return cls._up(directory, began, peers, rate, firewall, light, detach)
        except BaseException:
            for namespaces in began:
                with namespaces.holder:
                    namespaces.first.kill()
            shutil.rmtree(directory)
            raise

    @classmethod
    def _up(cls, directory, began, peers, rate, firewall, light, detach) -> Fleet:
        names = ["controller", *(f"h{number}" for number in range(1, peers + 1))]
        addresses = {name: str(NETWORK[number]) for number, name in enumerate(names, start=1)}
        if not light:
            files.prepare(directory / "files", addresses)
        kind, limit, drop = "light" if light else "full", rate or "none", "drop" if firewall else "none"
        with (directory / "hosts.log").open("w") as log:
            began.append(network.begin("bridge", log=log, detach=detach))
            for name, address in addresses.items():
                home = directory / name
                home.mkdir()
                place = f"{address}/{NETWORK.prefixlen}"
                began.append(
                    network.begin(kind, name, place, limit, drop, str(home), log=log, detach=detach),
                )
        bridge, *firsts = (namespaces.first for namespaces in began)
        holders = [Process.of(namespaces.holder.pid) for namespaces in began[1:]]
        network.plug(bridge, firsts, rate)
        for namespaces in began:
            network.proceed(namespaces.holder)
        hosts = [
            Host(name, address, first, holder, directory / name, light)
            for (name, address), first, holder in zip(addresses.items(), firsts, holders)
        ]
        fleet = cls(directory, bridge, hosts, [namespaces.holder for namespaces in began])
        wait_until(fleet._ready, f"the hosts of {directory} to come up (see {directory}/hosts.log)")
        fleet._save()
        return fleet

    def _ready(self) -> bool:
        dead = [host.name for host in self.hosts if not host.process.alive()]
        if dead:
            raise FleetError(f"{', '.join(dead)} did not come up:\n{(self.directory / 'hosts.log').read_text()}")
        return all(_answers(host) for host in self.hosts)

    def down(self) -> None:
        """Switch everything off and remove the fleet's directory; processes, mounts and links of others stay."""
        for host in self.hosts:
            host.switch_off()
        self.bridge.kill()
        for holder in self._holders:
            holder.wait(10)
        shutil.rmtree(self.directory)

    def _save(self) -> None:
        state = {
            "bridge": dataclasses.asdict(self.bridge),
            "hosts": [dataclasses.asdict(host) | {"directory": str(host.directory)} for host in self.hosts],
        }
        (self.directory / "fleet.json").write_text(json.dumps(state, indent=1))

    @classmethod
    def load(cls, directory: Path) -> Fleet:
        """Return the fleet that was saved in this directory."""
        state = json.loads((directory / "fleet.json").read_text())
        hosts = [
            Host(**host | {key: Process(**host[key]) for key in ("process", "holder")} | {"directory": Path(host["directory"])})
            for host in state["hosts"]
        ]
        return cls(directory, Process(**state["bridge"]), hosts)

    @classmethod
    def saved(cls) -> list[Fleet]:
        """Return every fleet of this machine that was left up (also those whose process is gone)."""
        return [cls.load(state.parent) for state in sorted(Path(tempfile.gettempdir()).glob(PREFIX + "*/fleet.json"))]


def _answers(host: Host) -> bool:
    """Tell whether the host's first process has got as far as it goes: sshd listens, or the script sleeps."""
    if host.light:
        children = Path(f"/proc/{host.process.pid}/task/{host.process.pid}/children").read_text().split()
        return any(_command(child) == "sleep" for child in children)  # before that, its children set up the network
    sockets = Path(f"/proc/{host.process.pid}/net/tcp").read_text().splitlines()[1:]
    return any(row.split()[1].endswith(":0016") and row.split()[3] == "0A" for row in sockets)


def _command(pid: str) -> str:
    """Return the name of a process, or nothing if it has ended."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def unavailable() -> str:
    """Return why there can be no fleet on this machine, or an empty string."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "a fleet of hosts in namespaces needs root on Linux"
    tools = ["unshare", "nsenter", "setpriv", "ip", "tc", "iptables-restore", "sshd", "ssh-keygen", "runuser"]
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    missing = [tool for tool in tools if not shutil.which(tool, path=path)]
    if missing:
        return f"a fleet needs {', '.join(missing)} (see the target test-e2e of the Makefile)"
    probe = ["unshare", "--net", "--uts", "--pid", "--mount", "--fork", "true"]
    done = subprocess.run(probe, capture_output=True, text=True, check=False)
    return f"this machine allows no namespaces: {done.stderr.strip()}" if done.returncode else ""
