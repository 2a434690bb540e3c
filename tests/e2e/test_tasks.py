"""The modules in tasks: check mode, async, delegation, ordinary users and become."""

from __future__ import annotations

import textwrap

import pytest
from artifacts import MB, make_file, manifest
from lab import DEPLOY
from traces import Trace, assert_nothing_left

FILE = "/srv/tasks.bin"


@pytest.fixture(scope="module", autouse=True)
def source(fleet) -> dict:
    for host in (fleet.controller, fleet.peers[0]):
        make_file(host.path(FILE), 2 * MB)
    return manifest(FILE, fleet.controller)


@pytest.fixture
def play(lab, fleet):
    """Return a function that runs a playbook given as text on the controller."""

    def run(inventory: str, text: str, *options: str, **rest):
        path = "/etc/ansible/play.yml"
        fleet.controller.path(path).write_text(textwrap.dedent(text))
        return lab.playbook(path, inventory, *options, **rest)

    return run


@pytest.fixture
def swarm(fleet, play, lab):
    """Seed the file on the controller for peers behind open firewalls; return a path of its torrent there."""
    hosts = [fleet.controller, *fleet.peers[:2]]
    for host in hosts:
        host.run("iptables", "-I", "INPUT", "-s", "10.77.0.0/16", "-j", "ACCEPT")
    inventory = lab.inventory(*fleet.peers[:2])
    module = {"pattern": "localhost"}
    lab.module(inventory, "murder_tracker", "port=9100 address=10.77.0.1", **module)
    lab.module(inventory, "murder_seed", f"src={FILE} tracker=10.77.0.1:9100 ip=10.77.0.1", **module)
    yield f"{FILE}.torrent"
    lab.module(inventory, "murder_seed", f"src={FILE} tracker=10.77.0.1:9100 state=stopped", **module)
    lab.module(inventory, "murder_tracker", "port=9100 state=stopped", **module)
    for host in hosts:
        host.run("iptables", "-D", "INPUT", "-s", "10.77.0.0/16", "-j", "ACCEPT")


def test_check_mode_writes_nothing(lab, fleet):
    peers, dest = fleet.peers[:2], "/srv/only checked.bin"
    traces = [Trace.of(host) for host in [fleet.controller, *peers]]
    options = {"murder_src": FILE, "murder_dest": dest, "murder_firewall": True}
    run = lab.playbook(DEPLOY, lab.inventory(*peers), "--check", "--diff", **options)
    assert run.code == 0
    assert {"h1", "h2"} <= run.changed()
    assert_nothing_left(traces, seconds=0)


def test_async(play, lab, fleet, swarm, source):
    dest = "/srv/async.bin"
    run = play(
        lab.inventory(*fleet.peers[:2]),
        f"""
        - hosts: peers
          gather_facts: false
          tasks:
            - murder_peer: &options
                torrent_content: "{{{{ lookup('file', '{swarm}', rstrip=false) | b64encode }}}}"
                dest: {dest}
                seed_time: 1
              async: 60
              poll: 1
              register: polled
            - murder_peer: {{dest: {dest}, state: stopped}}
            - file: {{path: {dest}, state: absent}}
            - murder_peer: *options
              async: 60
              poll: 0
              register: job
            - async_status: {{jid: "{{{{ job.ansible_job_id }}}}"}}
              register: collected
              until: collected.finished | bool
              delay: 1
              retries: 60
            - async_status: {{jid: "{{{{ job.ansible_job_id }}}}", mode: cleanup}}
            - assert:
                that: [polled.changed, collected.changed, polled.infohash == collected.infohash]
            - murder_peer: {{dest: /srv/missing/dest, torrent_content: eA==}}
              async: 60
              poll: 1
              register: wrong
              failed_when: wrong is not failed or 'torrent' not in wrong.msg
        """,
    )
    assert run.code == 0
    for peer in fleet.peers[:2]:
        assert manifest(dest, peer) == source
        assert peer.run("find", "/root/.ansible_async", "-type", "f", check=False).stdout == ""


def test_delegate_to(play, lab, fleet, swarm, source):
    """The task of one host runs on another: program, state and artifact must land there."""
    dest = "/srv/delegated.bin"
    first, second = fleet.peers[:2]
    run = play(
        lab.inventory(first, second),
        f"""
        - hosts: {first.name}
          gather_facts: false
          tasks:
            - murder_peer:
                torrent_content: "{{{{ lookup('file', '{swarm}', rstrip=false) | b64encode }}}}"
                dest: {dest}
                seed_time: 1
              delegate_to: {second.name}
        """,
    )
    assert run.code == 0
    assert manifest(dest, second) == source
    assert dest not in first.written()


def test_ordinary_user(lab, fleet, source):
    """Without root on the peers: the state is below their home, which is clean afterwards."""
    peers, dest = fleet.peers[:2], "/home/operator/artifact.bin"
    traces = [Trace.of(host) for host in peers]
    for host in [fleet.controller, *peers]:
        host.run("iptables", "-I", "INPUT", "-s", "10.77.0.0/16", "-j", "ACCEPT")
    opened = [trace.host for trace in traces]
    inventory = lab.inventory(*peers, ansible_user="operator")
    run = lab.playbook(DEPLOY, inventory, murder_src=FILE, murder_dest=dest, murder_seed_time=1)
    for host in [fleet.controller, *opened]:
        host.run("iptables", "-D", "INPUT", "-s", "10.77.0.0/16", "-j", "ACCEPT")
    assert run.code == 0
    for peer in peers:
        assert manifest(dest, peer) == source
        assert peer.run("stat", "--format=%U", dest).stdout.strip() == "operator"
    assert_nothing_left(traces, dest)


@pytest.mark.parametrize(
    ("login", "become", "dest"),
    [
        ("operator", "root", "/srv/as root.bin"),
        ("root", "operator", "/home/operator/as operator.bin"),
    ],
)
def test_become(lab, fleet, swarm, source, login, become, dest):
    peers = fleet.peers[:2]
    traces = [Trace.of(peer) for peer in peers]
    inventory = lab.inventory(*peers, ansible_user=login)
    torrent = lab.module(inventory, "copy", f"src={swarm} dest=/tmp/become.torrent mode=0644")
    assert set(torrent) == {"h1", "h2"}
    wanted = f"torrent=/tmp/become.torrent dest='{dest}' seed_time=1"
    answers = lab.module(inventory, "murder_peer", wanted, "--become", f"--become-user={become}")
    for peer in peers:
        assert answers[peer.name]["changed"] is True
        assert answers[peer.name]["owner"] == become
        assert manifest(dest, peer) == source
    lab.module(inventory, "file", "path=/tmp/become.torrent state=absent")
    assert_nothing_left(traces, dest)
