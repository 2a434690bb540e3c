"""The roles tracker, seeder and peer as their READMEs show them: validated by their argument_specs, with their defaults."""

from __future__ import annotations

import json
import re

import pytest
import yaml
from artifacts import MB, make_file, manifest
from lab import CHECKOUT
from traces import Trace, assert_nothing_left

ROLES = ("tracker", "seeder", "peer")
SRC, DEST = "/srv/releases/app-2.4.tar", "/opt/app-2.4.tar"  # as in the READMEs
# What the validator, not the module, says about these variables of a role.
WRONG = [
    ("tracker", {"tracker_port": "eighty"}, "argument 'tracker_port' is of type"),
    ("tracker", {"tracker_state": "absent"}, "value of tracker_state must be one of: started, stopped"),
    ("seeder", {"seeder_src": SRC, "seeder_idle_timeout": "soon"}, "argument 'seeder_idle_timeout' is of type"),
    ("seeder", {}, "missing required arguments: seeder_src"),
    ("peer", {"peer_dest": DEST, "peer_infohash": "0" * 40, "peer_seed_time": "soon"}, "argument 'peer_seed_time' is of type"),
    ("peer", {"peer_infohash": "0" * 40, "peer_tracker": "127.0.0.1:1"}, "missing required arguments: peer_dest"),
]


def shown(role: str) -> dict:
    """Return the play that the README of a role shows."""
    text = (CHECKOUT / "roles" / role / "README.md").read_text()
    (play,) = yaml.safe_load(re.search(r"^```yaml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)[1])
    assert [entry["role"] for entry in play["roles"]] == [f"corvus.murder.{role}"]
    return play


def imported(play: dict) -> dict:
    """Return the same play with a task for each of its roles."""
    tasks = [{"ansible.builtin.import_role": {"name": entry["role"]}, "vars": entry["vars"]} for entry in play["roles"]]
    return {key: value for key, value in play.items() if key != "roles"} | {"tasks": tasks}


@pytest.fixture
def run(lab, fleet):
    """Return a function that runs plays as the READMEs have them, in which only names and addresses are replaced."""
    peers, tracker, seeder = fleet.peers[:2], fleet.peers[2], fleet.peers[3]
    here = {
        "192.0.2.0/24": "10.77.0.0/16",
        "tracker.example.com": tracker.address,
        "seeder1": seeder.name,
        '"hosts": "web"': '"hosts": "peers"',
    }
    inventory = lab.inventory(*peers, tracker=tracker, seeder=seeder)

    def run(plays: list[dict], *options: str):
        text = json.dumps(plays)
        for documented, replacement in here.items():
            text = text.replace(documented, replacement)
        fleet.controller.path("/etc/ansible/roles.yml").write_text(text)
        return lab.playbook("/etc/ansible/roles.yml", inventory, *options)

    return run


def test_as_the_readmes_show_them(fleet, run):
    peers, tracker, seeder = fleet.peers[:2], fleet.peers[2], fleet.peers[3]
    make_file(seeder.path(SRC), MB)
    seeder.path(SRC).chmod(0o600)
    traces = [Trace.of(host) for host in fleet.peers[:4]]
    plays = [shown(role) for role in ROLES]
    for trace in traces:
        trace.host.run("iptables", "-I", "INPUT", "-s", "10.77.0.0/16", "-j", "ACCEPT")
    try:
        first = run(plays)
        again = run([imported(play) for play in plays])
    finally:
        stop = {"tracker_state": "stopped", "seeder_state": "absent", "peer_state": "absent", "peer_infohash": ""}
        stopped = run([shown(role) for role in reversed(ROLES)], f"--extra-vars={json.dumps(stop)}")
        for trace in traces:
            trace.host.run("iptables", "-D", "INPUT", "-s", "10.77.0.0/16", "-j", "ACCEPT")

    everybody = {host.name for host in (*peers, tracker, seeder)}
    assert (first.code, first.changed()) == (0, everybody)
    assert (again.code, again.changed()) == (0, set())
    assert (stopped.code, stopped.changed()) == (0, everybody)
    for done in (first, again, stopped):
        assert done.output.count("Validating arguments against arg spec") == len(ROLES)
    for peer in peers:
        assert manifest(DEST, peer)["."][2] == manifest(SRC, seeder)["."][2]
        assert peer.run("stat", "--format=%a", DEST).stdout.strip() == "644"
        peer.run("rm", DEST)
    assert_nothing_left(traces)


def test_wrong_variables_are_refused_before_anything_happens(lab, fleet):
    host = fleet.peers[0]
    trace = Trace.of(host)
    tasks = [
        {
            "block": [{"ansible.builtin.import_role": {"name": f"corvus.murder.{role}"}, "vars": variables}],
            "rescue": [{"ansible.builtin.debug": {"msg": "{{ ansible_failed_task.action }}: {{ ansible_failed_result.msg }}"}}],
        }
        for role, variables, _said in WRONG
    ]
    play = {"hosts": host.name, "gather_facts": False, "tasks": tasks}
    fleet.controller.path("/etc/ansible/wrong.yml").write_text(json.dumps([play]))
    done = lab.playbook("/etc/ansible/wrong.yml", lab.inventory(host))
    answers = re.findall(r'^    "msg": "(.*)"$', done.output, re.MULTILINE)
    for answer, (role, variables, said) in zip(answers, WRONG, strict=True):
        assert answer.startswith("ansible.builtin.validate_argument_spec: Validation of arguments failed"), (role, variables)
        assert said in answer, (role, variables)
    assert (done.recap[host.name]["rescued"], done.recap[host.name]["changed"]) == (len(WRONG), 0)
    assert_nothing_left([trace], seconds=0)
