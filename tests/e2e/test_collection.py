"""The tarball: what it holds, and that an installation of it does all that a checkout does."""

from __future__ import annotations

import subprocess

import pytest
from artifacts import MB, make_file, manifest
from lab import CHECKOUT
from program import PROGRAM

PLACE = "/opt/collections"
MODULES = ["murder_info", "murder_peer", "murder_seed", "murder_tracker"]
FILE, DEST = "/srv/installed.bin", "/srv/installed deployed.bin"


@pytest.fixture(scope="module")
def installed(lab, fleet) -> dict[str, str]:
    """Install the tarball on the controller; return the environment that makes Ansible use it and nothing else."""
    tarball = subprocess.run(
        [CHECKOUT / "tests/tools/collection", "--path"], capture_output=True, text=True, check=True
    ).stdout.strip()
    configuration = "/etc/ansible/nothing.cfg"
    fleet.controller.path(configuration).write_text("")
    environment = {"ANSIBLE_CONFIG": configuration, "ANSIBLE_COLLECTIONS_PATH": PLACE}
    run = lab.run("ansible-galaxy", "collection", "install", "--offline", str(CHECKOUT / tarball), **environment)
    assert run.code == 0
    return environment


def test_program_is_small():
    """Every byte of it is sent by the controller to every host."""
    assert 1_000_000 < PROGRAM.stat().st_size < 9_000_000


def test_documentation(lab, installed):
    for module in MODULES:
        shown = lab.run("ansible-doc", "--type=module", f"corvus.murder.{module}", **installed)
        assert shown.code == 0
        assert "EXAMPLES:" in shown.output
    listed = lab.run("ansible-doc", "--list", "corvus.murder", **installed)
    assert [line.split()[0] for line in listed.output.splitlines() if line] == [f"corvus.murder.{name}" for name in MODULES]


def test_documentation_of_the_checkout(lab):
    listed = lab.run("ansible-doc", "--list", "corvus.murder")
    assert [line.split()[0] for line in listed.output.splitlines() if line] == [f"corvus.murder.{name}" for name in MODULES]
    for module in MODULES:
        assert lab.run("ansible-doc", module).code == 0


def test_deploy(lab, fleet, installed):
    make_file(fleet.controller.path(FILE), 2 * MB)
    peers = fleet.peers[:2]
    inventory = lab.inventory(*peers)
    options = {"murder_src": FILE, "murder_dest": DEST, "murder_firewall": True, "murder_seed_time": 1}
    run = lab.playbook("corvus.murder.deploy", inventory, **options, **installed)
    assert run.code == 0
    for peer in peers:
        assert manifest(DEST, peer) == manifest(FILE, fleet.controller)
    wrapper = "/etc/ansible/one line.yml"  # what AWX needs, for it offers no playbooks of collections
    fleet.controller.path(wrapper).write_text("- import_playbook: corvus.murder.deploy\n")
    again = lab.playbook(wrapper, inventory, **options, **installed)
    assert (again.code, again.changed()) == (0, set())
    absent = lab.module(inventory, "corvus.murder.murder_peer", f"dest='{DEST}' state=absent", **installed)
    assert set(absent) == {"h1", "h2"}
    assert all("failed" not in answer for answer in absent.values())
