"""The examples of the modules' documentation, run on real ssh hosts as they stand; only a network and a host name are replaced.

The stage: the controller is tracker.example.com and seeds a file and a tree. On the first host, which has both too, run the
examples of tracker and seeder; on the second one those of peers and of what tells about them.
"""

from __future__ import annotations

import importlib.util
import json
import tarfile

import pytest
import yaml
from artifacts import MB, make_file, make_tree, manifest
from lab import CHECKOUT
from traces import Trace, assert_nothing_left

FILE, TREE, RELEASE = "/srv/releases/app-2.4.tar", "/srv/www", "/srv/releases/app-2.4"
SUDOERS, CURRENT = "/srv/releases/sudoers", "/srv/app/current"
ARCHIVE, UNPACKED = "/srv/releases/app-2.4.tar.gz", "/opt/app"
SEEDED = {  # by the names that their results have
    "seed": FILE,
    "tree": TREE,
    "release": RELEASE,
    "sudoers": SUDOERS,
    "archive": ARCHIVE,
}
TORRENTS = (FILE, RELEASE, SUDOERS, ARCHIVE)  # that hosts get as files
DEPLOYED, PLACED, OLD = "/opt/app-2.4.tar", "/opt/app-2.4", "/opt/app-2.3"
REPLACED = {"192.0.2.0/24": "10.77.0.0/16", "build1.example.com": "localhost"}
FIRST, SECOND = ["murder_tracker", "murder_seed"], ["murder_peer", "murder_info"]
TRACKER = {"tracker": "10.77.0.1:8998", "ip": "10.77.0.1"}


def examples(module: str) -> list[dict]:
    spec = importlib.util.spec_from_file_location(module, CHECKOUT / "plugins/modules" / f"{module}.py")
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    text = loaded.EXAMPLES
    for documented, here in REPLACED.items():
        text = text.replace(documented, here)
    return yaml.safe_load(text)


def task(module: str, register: str | None = None, **options) -> dict:
    return {f"corvus.murder.{module}": options} | ({"register": register} if register else {})


@pytest.fixture
def stage(lab, fleet):
    """Set it up, and return the two hosts and a function that runs plays on them; afterwards nothing is left of it."""
    first, second = fleet.peers[:2]
    for host in (fleet.controller, first):
        make_file(host.path(FILE), MB)
        make_tree(host.path(TREE))
        make_tree(host.path(RELEASE))
        with tarfile.open(host.path(ARCHIVE), "w:gz") as packed:
            packed.add(host.path(RELEASE), arcname=".")
        host.path(SUDOERS).write_text("root ALL=(ALL:ALL) ALL\n%sudo ALL=(ALL:ALL) ALL\n")
    second.run("mkdir", "/srv/releases", "/srv/app")
    make_tree(second.path(OLD))
    second.run("useradd", "--no-create-home", "app")
    hosts = [fleet.controller, first, second]
    second.run("sh", "-c", "cp -p /etc/sudoers /etc/sudoers.before; touch /etc/sudoers")
    traces = [Trace.of(host) for host in hosts]
    for host in hosts:
        host.run("iptables", "-I", "INPUT", "-s", "10.77.0.0/16", "-j", "ACCEPT")
    for host in (first, second):
        host.run("sh", "-c", f"echo {fleet.controller.address} tracker.example.com >>/etc/hosts")
    inventory = lab.inventory(first, second)

    def run(*plays: dict):
        path = "/etc/ansible/examples.yml"
        fleet.controller.path(path).write_text(json.dumps([{"gather_facts": False} | play for play in plays]))
        return lab.playbook(path, inventory)

    yield first, second, run
    stop = [task("murder_seed", src=path, state="absent") for path in SEEDED.values()]
    stop += [
        task("murder_peer", dest=path, state="absent") for path in (DEPLOYED, PLACED, TREE, CURRENT, UNPACKED, "/etc/sudoers")
    ]
    assert run({"hosts": "all:localhost", "tasks": [*stop, task("murder_tracker", state="stopped")]}).code == 0
    for host in hosts:
        host.run("iptables", "-D", "INPUT", "-s", "10.77.0.0/16", "-j", "ACCEPT")
    for host in (first, second):
        host.run("rm", "-rf", DEPLOYED)
    second.run("sh", "-c", "rm -rf /etc/sudoers.*~ /srv/app; cp -p /etc/sudoers.before /etc/sudoers")
    second.run("rm", "-rf", TREE, PLACED, UNPACKED, *(f"{path}.torrent" for path in TORRENTS))
    assert_nothing_left(traces)


def test_examples(fleet, stage):
    first, second, run = stage
    seeds = [task("murder_seed", src=path, register=name, **TRACKER) for name, path in SEEDED.items()]
    files = [f"{path}.torrent" for path in TORRENTS]
    copies = [{"ansible.builtin.copy": {"src": path, "dest": path, "mode": "0644"}} for path in files]
    prepared = {"hosts": "localhost", "tasks": [task("murder_tracker", address=TRACKER["ip"]), *seeds]}
    shown = {name: [one for module in modules for one in examples(module)] for name, modules in (("1", FIRST), ("2", SECOND))}
    on_first = {"hosts": first.name, "vars": {"vault_murder_token": "open sesame"}, "tasks": shown["1"]}
    before = [*copies, task("murder_peer", torrent=f"{RELEASE}.torrent", dest=CURRENT, keep=3, seed_time=0)]
    on_second = {"hosts": second.name, "vars": {"seed": "{{ hostvars.localhost.tree }}"}, "tasks": [*before, *shown["2"]]}

    done = run(prepared, on_first, on_second)

    assert done.code == 0
    for host, count in ((first, len(shown["1"])), (second, len(before) + len(shown["2"]))):
        assert (done.recap[host.name]["ok"], done.recap[host.name]["skipped"]) == (count, 0)
    assert manifest(DEPLOYED, first) == manifest(FILE, fleet.controller)
    assert manifest(DEPLOYED, second)["."][2] == manifest(FILE, fleet.controller)["."][2]
    assert second.run("stat", "--format=%U %a", DEPLOYED).stdout.strip() == "app 644"
    assert manifest(TREE, second) == manifest(TREE, fleet.controller)
    assert manifest(PLACED, second) == manifest(RELEASE, fleet.controller)
    assert manifest(f"{CURRENT}/", second) == manifest(f"{RELEASE}/", fleet.controller)
    assert second.path(f"{UNPACKED}/{next(second.path(PLACED).iterdir()).name}").exists()
    assert manifest("/etc/sudoers", second)["."][2] == manifest(SUDOERS, fleet.controller)["."][2]
    assert first.path(f"{TREE}.torrent").exists()


def test_every_module_has_examples():
    assert {path.stem for path in (CHECKOUT / "plugins/modules").glob("murder_*.py")} == {*FIRST, *SECOND}
    assert all(len(examples(module)) > 1 for module in FIRST + SECOND)
