"""The role firewall: idempotent, right in check mode, and it closes exactly what it opened."""

from __future__ import annotations

import json

import pytest

PLAY = """
- hosts: all
  gather_facts: false
  roles: [corvus.murder.firewall]
"""
# A rule of the administrator for the same port, and one that another deploy has opened.
FOREIGN = [
    ["INPUT", "-s", "10.77.0.0/16", "-p", "tcp", "-m", "multiport", "--dports", "8998,10000:10500", "-j", "ACCEPT"],
    ["INPUT", "-p", "tcp", "--dport", "8998", "-m", "comment", "--comment", "corvus.murder another", "-j", "ACCEPT"],
]


@pytest.fixture
def role(lab, fleet):
    """Return a function that runs the role on the first host and returns whether it changed something."""
    fleet.controller.path("/etc/ansible/firewall.yml").write_text(PLAY)
    inventory = lab.inventory(fleet.peers[0])

    def run(state: str, *options: str, tag: str = "test") -> bool:
        variables = {"firewall_state": state, "firewall_sources": ["10.77.0.0/16"], "firewall_tag": tag}
        done = lab.playbook("/etc/ansible/firewall.yml", inventory, f"--extra-vars={json.dumps(variables)}", *options)
        assert done.code == 0
        return bool(done.changed())

    return run


@pytest.fixture
def rules(fleet):
    """Return a function that lists the rules of the first host, among which are some of others."""
    host = fleet.peers[0]
    for rule in FOREIGN:
        host.run("iptables", "-A", *rule)
    try:
        yield lambda: host.run("iptables", "-S", "INPUT").stdout
    finally:
        for rule in FOREIGN:
            host.run("iptables", "-D", *rule)


def test_opens_once_and_closes_what_it_opened(role, rules):
    before = rules()
    assert role("open", "--check")
    assert rules() == before, "check mode wrote a rule"

    assert role("open")
    opened = rules()
    assert [line for line in opened.splitlines() if "corvus.murder test" in line] == opened.splitlines()[1:2], "not on top"
    assert not role("open")
    assert not role("open", "--check")
    assert rules() == opened

    assert role("closed", "--check")
    assert rules() == opened, "check mode removed a rule"
    assert not role("closed", tag="somebody else's")
    assert role("closed")
    assert rules() == before
    assert not role("closed")
