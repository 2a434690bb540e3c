"""Releases behind a link, the way back, and the options of copy and synchronize, over real ssh."""

from __future__ import annotations

from artifacts import MB, make_file, make_tree, manifest
from lab import DEPLOY
from traces import Trace, assert_nothing_left

APP, CURRENT = "/srv/app-release", "/srv/live/current"
TREE, CONFIG, DEST = "/srv/app-tree", "/srv/config.bin", "/srv/live/config.bin"


def links(peers) -> set[str]:
    return {peer.run("sh", "-c", f"readlink {CURRENT} || true").stdout.strip() for peer in peers}


def test_keep_and_roll_back(lab, fleet):
    peers = fleet.peers[:3]
    source = fleet.controller.path(APP)
    make_tree(source)
    (source / "version").touch()
    inventory = lab.inventory(*peers)
    for peer in peers:
        peer.run("mkdir", "/srv/live")
    traces = [Trace.of(host) for host in [fleet.controller, *peers]]
    options = {
        "murder_src": APP,
        "murder_dest": CURRENT,
        "murder_keep": 1,
        "murder_firewall": True,
        "murder_seed_time": 1,
        "murder_owner": "operator",
    }
    seen = []
    for version in ("one", "two", "three"):
        (source / "version").write_text(version)
        wanted = manifest(APP, fleet.controller)
        checked = lab.playbook(DEPLOY, inventory, "--check", "--diff", **options)
        assert checked.code == 0
        assert {peer.name for peer in peers} <= checked.changed()
        assert len(links(peers) - {""}) == len(seen[-1:]), "check mode has switched the link"
        first = lab.playbook(DEPLOY, inventory, **options)
        assert first.code == 0
        assert {peer.name for peer in peers} <= first.changed()
        for peer in peers:
            assert manifest(f"{CURRENT}/", peer) == wanted, peer.name
            assert peer.run("stat", "--format=%U", f"{CURRENT}/version").stdout.strip() == "operator"
        again = lab.playbook(DEPLOY, inventory, **options)
        assert again.code == 0
        assert again.changed() == set()
        (now,) = links(peers)
        assert now not in seen
        seen.append(now)
    for peer in peers:
        assert len(peer.run("ls", "/srv/live/releases").stdout.split()) == 2

    back = f"dest={CURRENT} state=rolledback"
    for mode, after in (["--check"], seen[2]), ([], seen[1]):
        answers = lab.module(inventory, "murder_peer", back, *mode)
        assert all(answer["changed"] is True for answer in answers.values())
        assert len(answers) == len(peers)
        assert links(peers) == {after}
    named = f"{back} release={seen[1].rpartition('/')[2]}"
    assert all(answer["changed"] is False for answer in lab.module(inventory, "murder_peer", named).values())
    for answer in lab.module(inventory, "murder_peer", back).values():
        assert answer["status"] == "FAILED"
        assert "There is no release before" in answer["msg"]
    assert_nothing_left(traces, CURRENT, "/srv/live/releases")
    for peer in peers:
        peer.run("rm", "-r", "/srv/live")


def test_options_of_copy(lab, fleet):
    """As an ordinary user who becomes root on the hosts."""
    peers = fleet.peers[:2]
    make_file(fleet.controller.path(CONFIG), MB)
    inventory = lab.inventory(*peers, ansible_user="operator", ansible_become="true")
    for peer in peers:
        peer.run("sh", "-c", "mkdir /srv/live && echo old >/srv/live/config.bin && chmod 604 /srv/live/config.bin")
    checksum = fleet.controller.run("sha1sum", CONFIG).stdout.split()[0]
    options = {
        "murder_src": CONFIG,
        "murder_dest": DEST,
        "murder_firewall": True,
        "murder_seed_time": 1,
        "murder_backup": True,
        "murder_checksum": checksum,
    }
    refused = lab.playbook(DEPLOY, inventory, **(options | {"murder_validate": "grep -q 'no such words' %s"}))
    assert refused.code != 0
    assert f"Validation of {DEST} failed" in refused.output
    assert "rc 1" in refused.output
    for peer in peers:
        assert peer.run("cat", DEST).stdout == "old\n"
    wrong = lab.playbook(DEPLOY, inventory, **(options | {"murder_checksum": "0" * 40}))
    assert wrong.code != 0
    assert f"is {checksum}, but {'0' * 40} is expected" in wrong.output
    done = lab.playbook(DEPLOY, inventory, **options, murder_validate="test -s %s")
    assert done.code == 0
    for peer in peers:
        assert manifest(DEST, peer)["."] == ["file", "0o604", manifest(CONFIG, fleet.controller)["."][2]]
        (backup,) = [name for name in peer.run("ls", "-A", "/srv/live").stdout.split("\n") if name not in ("", "config.bin")]
        assert backup.startswith("config.bin.")
        assert peer.run("cat", f"/srv/live/{backup}").stdout == "old\n"
    again = lab.playbook(DEPLOY, inventory, **options, murder_validate="test -s %s")
    assert again.code == 0
    assert again.changed() == set()
    for peer in peers:
        peer.run("rm", "-r", "/srv/live")


def test_delete(lab, fleet):
    peers = fleet.peers[:2]
    make_tree(fleet.controller.path(TREE))
    wanted = manifest(TREE, fleet.controller)
    inventory = lab.inventory(*peers)
    for peer in peers:
        peer.run("mkdir", "-p", "/srv/live/tree/app/stranger", "/srv/live/tree/own")
    options = {"murder_src": TREE, "murder_dest": "/srv/live/tree", "murder_firewall": True, "murder_seed_time": 1}
    assert lab.playbook(DEPLOY, inventory, **options).code == 0
    for peer in peers:
        assert set(manifest("/srv/live/tree", peer)) == {*wanted, "app/stranger", "own"}
    checked = lab.playbook(DEPLOY, inventory, "--check", "--diff", **options, murder_delete=True)
    assert {peer.name for peer in peers} <= checked.changed()
    assert '"app/stranger/"' in checked.output
    assert lab.playbook(DEPLOY, inventory, **options, murder_delete=True).code == 0
    for peer in peers:
        assert manifest("/srv/live/tree", peer) == wanted
    assert lab.playbook(DEPLOY, inventory, **options, murder_delete=True).changed() == set()
    for peer in peers:
        peer.run("rm", "-r", "/srv/live")
