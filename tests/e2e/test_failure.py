"""Deploys that cannot succeed: they end in time, say why, and are torn down like any other."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable

import pytest
from artifacts import MB, make_file, manifest
from fleet.process import wait_until
from lab import DEPLOY, TEARDOWN, interrupt
from traces import Trace, assert_nothing_left, murders

FILE, DEST = "/srv/small.bin", "/srv/small deployed.bin"
OPTIONS = {
    "murder_src": FILE,
    "murder_dest": DEST,
    "murder_seed_time": 1,
    "murder_timeout": 60,
    "murder_stall_timeout": 4,
    "murder_idle_timeout": 4,
}
# Opens what it is asked to, and closes nothing.
STUBBORN = """#!/bin/sh
case " $* " in *" -D "*) echo "closed today" >&2; exit 4;; esac
exec /usr/sbin/iptables "$@"
"""


@pytest.fixture(scope="module", autouse=True)
def source(fleet) -> dict:
    make_file(fleet.controller.path(FILE), 10 * MB)
    return manifest(FILE, fleet.controller)


@pytest.fixture
def peers(fleet):
    """Return three hosts without the artifact, and see to it that nothing else is left on any."""
    hosts = fleet.peers[:3]
    for host in hosts:
        host.run("rm", "-rf", DEST)
    traces = [Trace.of(host) for host in [fleet.controller, *hosts]]
    yield hosts
    assert_nothing_left([trace for trace in traces if trace.host.process.alive()], DEST)


def begun(hosts) -> bool:
    """Tell whether each of the hosts has begun to download."""
    return all(any(".murder-" in path for path in host.written()) for host in hosts)


def arrived(host) -> int:
    """Return the bytes of the half finished download of a host."""
    parts = [host.path(path) for path, kind in host.written().items() if ".murder-" in path and kind == "f"]
    return sum(part.stat().st_blocks * 512 for part in parts)


def test_closed_firewall(lab, peers):
    run = lab.playbook(DEPLOY, lab.inventory(*peers), **OPTIONS | {"murder_timeout": 15})
    assert run.code != 0
    assert "10.77.0.1:8998" in run.output
    assert "firewall" in run.output
    assert run.recap["h1"]["failed"] == 1


def test_source_is_missing(lab, peers):
    run = lab.playbook(DEPLOY, lab.inventory(*peers), **OPTIONS | {"murder_src": "/srv/nothing", "murder_firewall": True})
    assert run.code != 0
    assert "Source /srv/nothing not found" in run.output


def test_source_is_not_given(lab, peers):
    run = lab.playbook(DEPLOY, lab.inventory(*peers), murder_dest=DEST)
    assert run.code != 0
    assert "Set murder_src" in run.output


@pytest.mark.parametrize(
    ("inventory", "options"),
    [("localhost ansible_connection=local\n[peers]\nh1\n", ["--limit=localhost"]), ("[others]\nh1\n[peers]\n", [])],
)
def test_no_peers(lab, fleet, peers, inventory, options):
    path = "/etc/ansible/no peers.ini"
    fleet.controller.path(path).write_text(inventory)
    run = lab.playbook(DEPLOY, path, *options, **OPTIONS)
    assert run.code != 0
    assert '"msg": "No peers, make a group peers in the inventory, or loosen --limit"' in run.output


def test_tracker_of_another_secret(lab, fleet, peers):
    """As a deploy has left it that was interrupted on another controller, or in a container."""
    inventory, there = lab.inventory(*peers), {"pattern": "localhost"}
    lab.module(inventory, "murder_tracker", "token=another", **there)
    run = lab.playbook(DEPLOY, inventory, **OPTIONS)
    stopped = lab.module(inventory, "murder_tracker", "state=stopped", **there)
    assert run.code != 0
    assert "token is another one" in run.output
    assert "corvus.murder.teardown" in run.output and "set murder_token" in run.output
    assert stopped["localhost"]["changed"] is True, "a tracker of others was stopped"


def test_every_host_fails(lab, peers):
    run = lab.playbook(DEPLOY, lab.inventory(*peers), **OPTIONS | {"murder_dest": "/srv/missing/dest", "murder_firewall": True})
    assert run.code != 0
    assert run.output.count("Destination directory /srv/missing does not exist") >= len(peers)
    assert all(run.recap[peer.name]["failed"] == 1 for peer in peers)


def test_one_host_fails(lab, peers, source):
    peers[1].run("mkdir", "-p", DEST)
    run = lab.playbook(DEPLOY, lab.inventory(*peers), **OPTIONS, murder_firewall=True)
    assert run.code != 0
    assert "is a directory" in run.output
    assert [run.recap[peer.name]["failed"] for peer in peers] == [0, 1, 0]
    assert manifest(DEST, peers[0]) == manifest(DEST, peers[2]) == source
    assert peers[1].run("ls", "-A", DEST).stdout == ""


def test_host_dies_midway(lab, fleet, peers, source):
    lost = fleet.peers[-1]
    argv, environment = lab.command(
        "ansible-playbook",
        *lab.arguments(DEPLOY, lab.inventory(*peers, lost), **OPTIONS, murder_firewall=True, murder_upload_limit="1M"),
        ANSIBLE_SSH_ARGS="-o ServerAliveInterval=1 -o ServerAliveCountMax=3",
    )
    with subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as deploy:
        wait_until(lambda: begun([*peers, lost]), "the download to begin")
        lost.switch_off()
        output = deploy.communicate(timeout=120)[0]
    print(output)
    assert deploy.returncode != 0
    assert "unreachable=1" in output
    for peer in peers:
        assert manifest(DEST, peer) == source


def test_failed_deploy_beside_another(lab, fleet, peers, source):
    """They have tracker, ports and hosts in common; who fails stops and closes nothing that the other one needs."""
    inventory, options = lab.inventory(*peers), OPTIONS | {"murder_firewall": True}
    argv, environment = lab.command("ansible-playbook", *lab.arguments(DEPLOY, inventory, **options, murder_upload_limit="400K"))
    with subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as deploy:
        wait_until(lambda: begun(peers), "the download to begin")
        rules = {host.name: host.rules() for host in [fleet.controller, *peers]}
        other = lab.playbook(DEPLOY, inventory, **options | {"murder_src": "/srv/nothing"})
        left = {host.name: host.rules() for host in [fleet.controller, *peers]}
        running = " ".join(murders(fleet.controller))
        ended = deploy.poll()
        output = deploy.communicate(timeout=120)[0]
    print(output)
    assert ended is None, "it was too fast for this test"
    assert "Source /srv/nothing not found" in other.output
    assert "murder_tracker" in running and "murder_seed" in running
    assert left == rules
    assert deploy.returncode == 0
    assert all(manifest(DEST, peer) == source for peer in peers)


def test_two_deploys_of_one_source(lab, fleet, peers, source):
    """They share tracker, seeder and their firewall rules, which go with the last of them."""
    other = f"{DEST} too"
    options = OPTIONS | {"murder_firewall": True, "murder_upload_limit": "1M", "murder_seed_time": 0, "murder_idle_timeout": 60}
    runs = []
    for hosts, dest in ((peers[:1], DEST), (peers[1:], other)):
        arguments = lab.arguments(DEPLOY, lab.inventory(*hosts), **options | {"murder_dest": dest})
        argv, environment = lab.command("ansible-playbook", *arguments)
        runs.append(subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
        wait_until(lambda hosts=hosts: all(arrived(host) > 2 * MB for host in hosts), "the download to go on")
    rules = list(fleet.controller.rules())
    outputs = [runs[0].communicate(timeout=120)[0]]
    ended, running, left = runs[1].poll(), " ".join(murders(fleet.controller)), list(fleet.controller.rules())
    outputs.append(runs[1].communicate(timeout=120)[0])
    print(*outputs)
    copies = [manifest(other, host) for host in peers[1:]]
    for host in peers[1:]:
        host.run("rm", "-rf", other)
    assert ended is None, "it was too fast for this test"
    assert [run.returncode for run in runs] == [0, 0]
    assert "murder_tracker" in running and "murder_seed" in running
    assert left == rules
    assert copies == [source, source] and manifest(DEST, peers[0]) == source


def test_firewall_that_does_not_close(lab, fleet, peers, source):
    """That of the seeder; the other one is closed nevertheless, and teardown can be run when the cause is mended."""
    tracker, seeder = fleet.peers[3:5]
    make_file(seeder.path(FILE), 10 * MB)
    traces = [Trace.of(host) for host in (tracker, seeder)]
    inventory, options = lab.inventory(*peers, tracker=tracker, seeder=seeder), OPTIONS | {"murder_firewall": True}
    command = seeder.path("/usr/local/sbin/iptables")
    command.write_text(STUBBORN)
    command.chmod(0o755)
    try:
        run = lab.playbook(DEPLOY, inventory, **options)
    finally:
        command.unlink()
    assert run.code != 0
    assert "closed today" in run.output
    assert f"The firewall of the seeder on {seeder.name}" in run.output
    assert all(manifest(DEST, peer)["."][2] == source["."][2] for peer in peers)
    assert tuple(seeder.rules()) != traces[1].rules
    assert_nothing_left(traces[:1])

    assert lab.playbook(TEARDOWN, inventory, **options).code == 0
    assert_nothing_left(traces)


def deploy_and_interrupt(lab, inventory: str, options: dict, ready: Callable[[], bool]) -> None:
    """Begin a deploy, and press Ctrl-C once it is ready for that."""
    argv, environment = lab.command("ansible-playbook", *lab.arguments(DEPLOY, inventory, **options))
    with subprocess.Popen(
        argv, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    ) as deploy:
        wait_until(ready, "the download to be where it shall be interrupted")
        interrupt(deploy)
        print(deploy.communicate(timeout=60)[0])
    assert deploy.returncode != 0


def test_interrupted(lab, fleet, peers):
    inventory = lab.inventory(*peers)
    slow = OPTIONS | {"murder_firewall": True, "murder_upload_limit": "100K", "murder_timeout": 8}
    deploy_and_interrupt(lab, inventory, slow, lambda: begun(peers))
    for host in [*peers, fleet.controller]:
        wait_until(lambda host=host: not murders(host), f"{host.name} to notice that nobody waits any more", 60)
    torn_down = lab.playbook(TEARDOWN, inventory, **slow)
    assert torn_down.code == 0
    again = lab.playbook(TEARDOWN, inventory, **slow)
    assert again.changed() == set()


def test_interrupted_and_deployed_again(lab, fleet, peers, source):
    """As the README has it after Ctrl-C: the same command again, without a teardown, finds the tracker and what has arrived."""
    inventory = lab.inventory(*peers)
    options = OPTIONS | {"murder_firewall": True, "murder_upload_limit": "1M", "murder_idle_timeout": 60}
    deploy_and_interrupt(lab, inventory, options, lambda: all(arrived(peer) > 2 * MB for peer in peers))
    for host in peers:
        wait_until(lambda host=host: not murders(host), f"{host.name} to notice that nobody waits any more", 60)
    waiting = " ".join(murders(fleet.controller))
    assert "murder_tracker" in waiting and "murder_seed" in waiting
    again = lab.playbook(DEPLOY, inventory, **options)
    assert again.code == 0
    assert all(manifest(DEST, peer) == source for peer in peers)
    received, found = (re.search(rf"([\d.]+) MB {word}", again.output) for word in ("received in", "found on the hosts"))
    assert found, "nothing of what had arrived was used again"
    assert float(found[1]) > 2
    assert float(received[1]) + float(found[1]) < 29, "3 times 10,000,000 bytes are 28.6 MiB"
