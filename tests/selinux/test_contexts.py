"""Whose label a file gets, on a kernel that enforces Debian's policy; what copy and restorecon say is right."""

from __future__ import annotations

import shutil
import subprocess
import threading
from pathlib import Path

import pytest
from conftest import ansible, context, give, misplaced

ODD = "unconfined_u:object_r:mnt_t:s0:c7"
OPTIONS = [
    {"setype": "httpd_sys_content_t"},
    {"seuser": "staff_u", "serole": "object_r", "setype": "etc_t", "selevel": "s0:c1,c3"},
    {"selevel": "s0"},
    {"setype": "_default"},
    {"seuser": "_default", "serole": "_default", "setype": "_default", "selevel": "_default"},
]


def copy(source: Path, dest: Path, **options) -> dict:
    """Do what the task copy does: bring the file to the host, where the module moves it to its place."""
    brought = shutil.copyfile(source, "/root/brought")
    return ansible("copy", src=brought, dest=str(dest), **options)


@pytest.mark.parametrize("dest", ["bin/f", "etc/f", "lib/f.so", "f", "/etc/shadow.new", "/usr/local/bin/f", "/tmp/f", "/run/f"])
def test_new_file_is_labelled_like_copys(swarm, sources, room, dest):
    dest = room / dest
    if room in dest.parents:
        dest.parent.mkdir(exist_ok=True)
    try:
        copy(sources / "new.file", dest)
        expected = context(dest)
        dest.unlink()
        result = swarm.deploy(sources / "new.file", dest)
        assert context(dest) == expected
        assert result["secontext"] == expected.split(":", 3)
        assert not misplaced(dest)
    finally:
        dest.unlink()


def test_where_unfinished_data_lies_leaves_no_trace(swarm, sources, room):
    (room / "bin").mkdir()
    swarm.deploy(sources / "new.file", room / "bin/f", partial_dir="/var/tmp")
    assert context(room / "bin/f").split(":")[2] == "bin_t"


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_options_mean_what_they_mean_to_copy(swarm, sources, room, options):
    ours, theirs = room / "ours", room / "theirs"
    for version in ("old", "new"):  # at a place where nothing is, and over a file with a label of its own
        copy(sources / f"{version}.file", theirs, **options)
        assert swarm.deploy(sources / f"{version}.file", ours, **options)["changed"] is True
        assert context(ours) == context(theirs)
        assert swarm.deploy(sources / f"{version}.file", ours, **options)["changed"] is False
        give(ours, ODD)
        give(theirs, ODD)
    # Labels that somebody has changed by hand are found, predicted and repaired.
    assert copy(sources / "new.file", theirs, **options)["changed"] is True
    assert swarm.deploy(sources / "new.file", ours, check_mode=True, **options)["changed"] is True
    assert context(ours) == ODD
    assert swarm.deploy(sources / "new.file", ours, **options)["changed"] is True
    assert context(ours) == context(theirs)


def test_replaced_file_hands_its_label_on(swarm, sources, room):
    swarm.deploy(sources / "old.file", room / "f")
    give(room / "f", ODD)
    assert swarm.deploy(sources / "old.file", room / "f")["changed"] is False
    assert swarm.deploy(sources / "new.file", room / "f", backup=True)["changed"] is True
    assert [context(path) for path in room.iterdir()] == [ODD, ODD]


def test_new_tree_is_as_restorecon_would_have_it(swarm, sources, room):
    assert swarm.deploy(sources / "new.tree", room / "app", check_mode=True)["changed"] is True
    assert not list(room.iterdir())
    assert swarm.deploy(sources / "new.tree", room / "app")["changed"] is True
    types = {path: context(room / "app" / path).split(":")[2] for path in ("bin", "bin/run", "bin/start", "lib/deep/libapp.so")}
    assert types == {"bin": "bin_t", "bin/run": "bin_t", "bin/start": "bin_t", "lib/deep/libapp.so": "lib_t"}
    assert not misplaced(room)
    assert swarm.deploy(sources / "new.tree", room / "app")["changed"] is False


def test_tree_is_switched_with_all_its_labels(swarm, sources, room):
    app = room / "app"
    swarm.deploy(sources / "old.tree", app)
    (app / "others").mkdir()
    (app / "others/file").write_text("theirs")
    kept = [app, app / "bin/run", app / "bin/start", app / "lib/deep", app / "others", app / "others/file"]
    for path in kept:
        give(path, ODD)
    seen, done = set(), threading.Event()

    def look():
        while not done.is_set():
            seen.add((context(app), (app / "bin/run").read_text(), context(app / "bin/run"), context(app / "etc/app.conf")))

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        swarm.deploy(sources / "new.tree", app)
    finally:
        done.set()
        watcher.join()
    etc = context(app / "etc/app.conf")
    assert seen == {(ODD, f"bin/run {version}", ODD, etc) for version in ("old", "new")}
    assert [context(path) for path in kept] == [ODD] * len(kept)
    assert not misplaced(app / "only-new")


def test_options_reach_all_of_a_tree(swarm, sources, room):
    swarm.deploy(sources / "new.tree", room / "app")
    entries = [room / "app", *(room / "app").rglob("*")]
    assert swarm.deploy(sources / "new.tree", room / "app", check_mode=True, setype="httpd_sys_content_t")["changed"] is True
    assert not misplaced(room)
    assert swarm.deploy(sources / "new.tree", room / "app", setype="httpd_sys_content_t")["changed"] is True
    assert {context(path).split(":")[2] for path in entries} == {"httpd_sys_content_t"}
    for path in ("lib/deep/libapp.so", "bin/start"):
        give(room / "app" / path, ODD)
        assert swarm.deploy(sources / "new.tree", room / "app", setype="httpd_sys_content_t")["changed"] is True
    assert swarm.deploy(sources / "new.tree", room / "app", setype="httpd_sys_content_t")["changed"] is False
    assert swarm.deploy(sources / "new.tree", room / "app", setype="_default", selevel="_default")["changed"] is True
    assert not misplaced(room)


@pytest.mark.parametrize("options", [{"keep": 2}, {"unpack": True}], ids=str)
def test_releases_and_unpacked_archives_too(swarm, sources, room, options):
    source = sources / ("packed.tar.gz" if "unpack" in options else "new.tree")
    assert swarm.deploy(source, room / "app", **options)["changed"] is True
    assert not misplaced(room)
    assert context((room / "app/lib/deep/libapp.so").resolve()).split(":")[2] == "lib_t"
    assert swarm.deploy(source, room / "app", **options)["changed"] is False


@pytest.mark.parametrize("mount", ["-t vfat -o loop /root/disk", "-t tmpfs -o context=system_u:object_r:etc_t:s0 tmpfs"])
def test_options_mean_nothing_where_no_labels_are_kept(swarm, sources, room, mount):
    with open("/root/disk", "wb") as disk:
        disk.truncate(8 << 20)
    subprocess.run(["mkfs.vfat", "/root/disk"], check=True)
    subprocess.run(["mount", *mount.split(), str(room)], check=True)
    try:
        for options in ({}, {"setype": "bin_t", "selevel": "_default"}):
            assert swarm.deploy(sources / "new.file", room / "f", check_mode=True, **options)["changed"] is True
            assert swarm.deploy(sources / "new.file", room / "f", **options)["changed"] is True
            assert swarm.deploy(sources / "new.file", room / "f", **options)["changed"] is False
            assert context(room / "f") == context(room)
            if "vfat" in mount:  # the other one copy must be told of
                assert copy(sources / "new.file", room / "theirs", **options)["changed"] is True
                assert context(room / "theirs") == context(room)
                (room / "theirs").unlink()
            (room / "f").unlink()
    finally:
        subprocess.run(["umount", str(room)], check=True)


@pytest.mark.parametrize("check_mode", [True, False])
@pytest.mark.parametrize("kind", ["file", "tree"])
def test_unknown_context_is_refused_and_nothing_touched(swarm, sources, room, kind, check_mode):
    for version in ("old", "new"):  # of what is in place, and of what would have to come
        swarm.deploy(sources / f"old.{kind}", room / "it")
        before = context(room / "it")
        said = swarm.refuses(sources / f"{version}.{kind}", room / "it", setype="nonsense_t", check_mode=check_mode)
        assert said.startswith(
            f"SELinux context {before.replace(before.split(':')[2], 'nonsense_t')} for {room}/it is not valid on this host"
        )
        assert [path.name for path in room.iterdir()] == ["it"]
        assert context(room / "it") == before
        assert swarm.deploy(sources / f"old.{kind}", room / "it", check_mode=True)["changed"] is False


def test_a_file_that_is_written_in_place_is_labelled_too(swarm, sources, room):
    for name in ("f", "mounted"):
        (room / name).write_text("old")
    subprocess.run(["mount", "--bind", str(room / "mounted"), str(room / "f")], check=True)
    try:
        swarm.deploy(sources / "new.file", room / "f", unsafe_writes=True, setype="bin_t")
        assert context(room / "mounted").split(":")[2] == "bin_t"
    finally:
        subprocess.run(["umount", str(room / "f")], check=True)
