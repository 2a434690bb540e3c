"""The fleet by hand: up, down, list, exec."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from .fleet import Fleet, FleetError
from .host import ENVIRONMENT


def main(argv: list[str] | None = None) -> int:
    parser = _parser()
    options = parser.parse_args(argv)
    try:
        return options.act(options)
    except FleetError as problem:
        print(f"fleet: {problem}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fleet", description="hosts in network namespaces of this machine (root)")
    parser.add_argument("--fleet", metavar="DIRECTORY", type=Path, help="which one, if several are up (see list)")
    actions = parser.add_subparsers(required=True, metavar="up|down|list|exec")

    up = actions.add_parser("up", help="start a controller and N peers, and leave them running")
    up.add_argument("peers", metavar="N", type=int)
    up.add_argument("--rate", metavar="RATE", help="of each host's link, each way, as tc has it: 100mbit")
    up.add_argument("--open", action="store_true", help="without the firewall that lets in nothing but ssh")
    up.add_argument("--light", action="store_true", help="no sshd and no own files: for hundreds of hosts")
    up.set_defaults(act=_up)

    down = actions.add_parser("down", help="switch the fleet off; nothing stays")
    down.set_defaults(act=lambda options: _chosen(options).down() or 0)

    listing = actions.add_parser("list", help="the fleets that are up, and their hosts")
    listing.set_defaults(act=_list)

    execute = actions.add_parser("exec", help="run a command on a host: fleet exec controller bash")
    execute.add_argument("host")
    execute.add_argument("command", nargs=argparse.REMAINDER)
    execute.set_defaults(act=_exec)
    return parser


def _up(options) -> int:
    fleet = Fleet.up(options.peers, rate=options.rate, firewall=not options.open, light=options.light, detach=True)
    print(f"{fleet.directory}: controller and {options.peers} peers; inventory on each host: {fleet.inventory}")
    return 0


def _list(_options) -> int:
    for fleet in Fleet.saved():
        print(fleet.directory)
        for host in fleet.hosts:
            state = f"first process {host.process.pid}" if host.process.alive() else "off"
            print(f"  {host.name:<12}{host.address:<14}{state}")
    return 0


def _exec(options) -> int:
    host = next((host for host in _chosen(options).hosts if host.name == options.host), None)
    if host is None:
        raise FleetError(f"there is no host {options.host}; fleet list names them")
    argv = host.command(*(options.command or ["bash"]))
    os.execvpe(argv[0], argv, {**ENVIRONMENT, "TERM": os.environ.get("TERM", "dumb")})


def _chosen(options) -> Fleet:
    if options.fleet:
        return Fleet.load(options.fleet)
    fleets = Fleet.saved()
    if len(fleets) != 1:
        names = ", ".join(str(fleet.directory) for fleet in fleets) or "none"
        raise FleetError(f"name one with --fleet; up: {names}")
    return fleets[0]
