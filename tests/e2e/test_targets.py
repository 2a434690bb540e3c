"""The integration targets (tests/integration, in ansible-test's layout) on real ssh hosts, as three kinds of users at once."""

from __future__ import annotations

import textwrap

import pytest
from lab import CHECKOUT
from traces import Trace, assert_nothing_left

TARGETS = CHECKOUT / "tests/integration/targets"

# Who logs in, and what Ansible does about it. The sources, the daemons and the artifacts all are on the one host.
USERS = {
    "an ordinary user": "ansible_user=operator",
    "become": "ansible_user=operator ansible_become=true",
    "root": "ansible_user=root",
}


@pytest.mark.parametrize("target", sorted(path.name for path in TARGETS.glob("murder_*")))
def test_target(lab, fleet, target):
    hosts = fleet.peers[: len(USERS)]
    traces = [Trace.of(host) for host in hosts]
    rows = [f"{host.name} ansible_host={host.address} {how}" for host, how in zip(hosts, USERS.values())]
    play = f"""
        - hosts: all
          gather_facts: false
          roles: [{target}]
        """
    texts = {"targets.ini": "\n".join(rows), "targets.yml": textwrap.dedent(play)}
    for name, text in texts.items():
        fleet.controller.path(f"/etc/ansible/{name}").write_text(text + "\n")
    run = lab.playbook(
        "/etc/ansible/targets.yml",
        "/etc/ansible/targets.ini",
        "--extra-vars=ansible_python_interpreter=/usr/bin/python3",
        ANSIBLE_ROLES_PATH=str(TARGETS),
    )
    assert run.code == 0
    assert all(run.recap[host.name]["ok"] > 10 and run.recap[host.name]["failed"] == 0 for host in hosts)
    assert_nothing_left(traces)
