"""Archives that arrive as what is in them, made by tar and zip and compared with what these would have unpacked."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest
from artifacts import make_tree, manifest
from lab import DEPLOY
from traces import Trace, assert_nothing_left

FORMATS = {"tar": "w:", "tar.gz": "w:gz"}


def pack(tree: Path, archive: Path) -> None:
    """Write what is in a tree into an archive of the format that its name says."""
    kind = archive.name.partition(".")[2]
    if kind == "zip":
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as out:
            for path in sorted(tree.rglob("*")):
                add_to_zip(out, path, path.relative_to(tree))
        return
    if kind == "tar.zst":  # which Python's own library does not know yet
        subprocess.run(["tar", "--zstd", "-cf", archive, "-C", tree, "."], check=True)
        return
    with tarfile.open(archive, FORMATS[kind], format=tarfile.PAX_FORMAT) as out:
        out.add(tree, arcname=".")


def add_to_zip(out: zipfile.ZipFile, path: Path, name: Path) -> None:
    """Python's zipfile would follow a symlink."""
    if not path.is_symlink():
        out.write(path, name)
        return
    info = zipfile.ZipInfo(str(name))
    info.create_system, info.external_attr = 3, path.lstat().st_mode << 16
    out.writestr(info, os.readlink(path))


@pytest.fixture(params=["tar", "tar.gz", "tar.zst", "zip"])
def archive(sandbox, request) -> Path:
    """Return an archive of the sandbox's tree."""
    make_tree(sandbox.directory / "tree")
    (sandbox.directory / "tree").chmod(0o755)
    archive = sandbox.directory / f"app.{request.param}"
    pack(sandbox.directory / "tree", archive)
    return archive


def peer(seed: dict, dest: Path, **options) -> dict:
    return {
        "torrent_content": seed["torrent_content"],
        "dest": str(dest),
        "ip": "127.0.0.1",
        "timeout": 30,
        "seed_time": 0,
        "unpack": True,
    } | options


def test_what_is_in_it_arrives(sandbox, archive):
    seed = sandbox.swarm(archive)
    dest = sandbox.directory / "dest"
    first = sandbox.succeeds("peer", **peer(seed, dest))
    assert (first["changed"], first["unpacked"], first["size"]) == (True, True, archive.stat().st_size)
    assert manifest(dest) == manifest(sandbox.directory / "tree")
    again = sandbox.succeeds("peer", **peer(seed, dest))
    assert (again["changed"], again["files"], again["unpacked_size"]) == (False, first["files"], first["unpacked_size"])
    assert set(again) == set(first)
    assert not list(sandbox.directory.glob(".dest.murder-*"))


@pytest.mark.parametrize("archive", ["tar.gz"], indirect=True)
def test_disk_is_too_small_for_what_is_in_it(sandbox, archive, small_disk):
    with tarfile.open(archive, "w:gz") as out:
        bomb = sandbox.directory / "bomb"
        with bomb.open("wb") as zeros:
            zeros.truncate(100_000_000)
        out.add(bomb, arcname="bomb")
    seed = sandbox.swarm(archive)
    (small_disk / "dest").mkdir()
    (small_disk / "dest" / "old").write_bytes(b"old")
    message = sandbox.fails("peer", **peer(seed, small_disk / "dest"))
    assert message.startswith(f"Not enough space on {small_disk} for {small_disk}/dest: ")
    assert "takes 100.0 MB" in message
    assert [path.name for path in small_disk.iterdir()] == ["dest"]
    assert (small_disk / "dest" / "old").read_bytes() == b"old"


def test_playbook_and_again(lab, fleet):
    """The whole deploy, as root on the hosts: owners come from the archive."""
    controller, peers, dest = fleet.controller, fleet.peers[:3], "/srv/unpacked"
    tree, archive = controller.path("/srv/release"), controller.path("/srv/release.tar.gz")
    make_tree(tree)
    tree.chmod(0o755)
    os.chown(tree / "private/key", 12, 34)
    pack(tree, archive)
    traces = [Trace.of(host) for host in [fleet.controller, *peers]]
    options = {
        "murder_src": "/srv/release.tar.gz",
        "murder_dest": dest,
        "murder_unpack": True,
        "murder_firewall": True,
        "murder_seed_time": 2,
    }
    inventory = lab.inventory(*peers)

    checked = lab.playbook(DEPLOY, inventory, "--check", **options)
    assert checked.code == 0
    assert all(not peer.path(dest).exists() for peer in peers)
    first = lab.playbook(DEPLOY, inventory, **options)
    assert first.code == 0
    assert {peer.name for peer in peers} <= first.changed()
    for peer in peers:
        assert manifest(dest, peer) == manifest("/srv/release", controller), peer.name
        assert peer.run("stat", "--format=%u %g", f"{dest}/private/key").stdout.strip() == "12 34"
    assert_nothing_left(traces, dest, "/var/lib/murder")

    again = lab.playbook(DEPLOY, inventory, **options)
    assert again.code == 0
    assert again.changed() == set()
    absent = lab.module(inventory, "corvus.murder.murder_peer", f"dest={dest} state=absent")
    assert all(answer["changed"] for answer in absent.values())
    assert_nothing_left(traces, dest)
    for peer in peers:
        peer.run("rm", "-r", dest)
    shutil.rmtree(tree)
    archive.unlink()


def test_same_as_tar(sandbox):
    """GNU tar writes and reads another dialect than Python: sparse files, long names, links."""
    tree, theirs, ours = (sandbox.directory / name for name in ("tree", "theirs", "dest"))
    make_tree(tree)
    tree.chmod(0o755)
    (tree / ("n" * 200) / ("m" * 200)).mkdir(parents=True)
    os.link(tree / "private/key", tree / "linked")
    with (tree / "sparse").open("wb") as sparse:
        sparse.truncate(10_000_000)
        sparse.seek(5_000_000)
        sparse.write(b"island")
    archive = sandbox.directory / "app.tar"
    subprocess.run(["tar", "--sparse", "--format=gnu", "-cf", archive, "-C", tree, "."], check=True)
    theirs.mkdir()
    subprocess.run(["tar", "-xpf", archive, "-C", theirs], check=True)
    sandbox.succeeds("peer", **peer(sandbox.swarm(archive), ours))
    assert manifest(ours) == manifest(theirs)
    assert (ours / "linked").samefile(ours / "private/key")
    assert (ours / "sparse").stat().st_blocks <= (theirs / "sparse").stat().st_blocks
    assert int((ours / "private/key").stat().st_mtime) == int((theirs / "private/key").stat().st_mtime)
