"""The fleet's network: one namespace with a bridge, one cable (veth) from it to each host, a rate at both ends."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import IO, NamedTuple

from .process import Process

HOST_SCRIPT = Path(__file__).with_name("host.sh")


class Namespaces(NamedTuple):
    """The first process of a set of namespaces, and the outer process that holds it."""

    first: Process
    holder: subprocess.Popen[str]


def begin(*arguments: str, log: IO[str], detach: bool) -> Namespaces:
    """Start host.sh in new namespaces up to the point where it waits for its cable.

    Unless detach is set, everything in the namespaces dies with the calling process, whatever ends that one.
    """
    tie = [] if detach else ["setpriv", "--pdeathsig=KILL"]
    new = ["unshare", "--net", "--uts", "--pid", "--mount", "--fork", "--kill-child=KILL"]
    holder = subprocess.Popen(
        [*tie, *new, str(HOST_SCRIPT), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        start_new_session=True,
    )
    said = holder.stdout.readline().strip()
    if not said:
        raise RuntimeError(f"host.sh {' '.join(arguments)} did not begin: see {log.name}")
    return Namespaces(Process.of(int(said)), holder)


def proceed(holder: subprocess.Popen[str]) -> None:
    """Tell host.sh that its cable is there."""
    holder.stdin.write("go\n")
    holder.stdin.close()
    holder.stdout.close()


def plug(bridge: Process, hosts: list[Process], rate: str | None) -> None:
    """Lay one cable per host: eth0 in the host, h0, h1, ... in the bridge's namespace."""
    ends = [f"h{number}" for number in range(len(hosts))]
    _batch(
        ["ip"],
        (f"link add name eth0 netns {host.pid} type veth peer name {end} netns {bridge.pid}" for host, end in zip(hosts, ends)),
    )
    inside = ["nsenter", f"--target={bridge.pid}", "--net"]
    ports = [f"link set {end} master bridge up" for end in ends]
    _batch([*inside, "ip"], ["link add bridge type bridge", "link set bridge up", *ports])
    if rate:
        limits = (f"qdisc add dev {end} root tbf rate {rate} burst 64kb latency 10ms" for end in ends)
        _batch([*inside, "tc"], limits)


def _batch(command: list[str], lines) -> None:
    done = subprocess.run([*command, "-batch", "-"], input="\n".join(lines) + "\n", capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
