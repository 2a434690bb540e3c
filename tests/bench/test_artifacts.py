"""Artifacts, their older versions, and whether they have arrived."""

from __future__ import annotations

import os

import pytest

from bench.artifacts import OLD, STEP, STORE, WINDOW, YOUNG, File, Noise, Tree


def test_noise_is_a_stream_in_which_nothing_is_near_its_like():
    assert len({number * STEP % WINDOW for number in range(WINDOW)}) == WINDOW
    noise = Noise()
    assert noise.window(100, 64) == noise.window(100, 32) + noise.window(132, 32)
    windows = [noise.window(start, 64) for start in range(0, 3 * STORE, STORE // 16)]
    assert len(set(windows)) == 48
    assert noise.window(STORE, 64) == noise.window(STEP, 64)


@pytest.mark.parametrize("size", [1, WINDOW, 2 * WINDOW + 17])
def test_file_is_the_same_until_a_byte_differs(tmp_path, size):
    artifact = File.make(tmp_path / "artifact", size)
    assert (artifact.path.stat().st_size, artifact.size, artifact.files) == (size, size, 1)
    copy = tmp_path / "copy"
    assert not artifact.same(copy)
    content = bytearray(artifact.path.read_bytes())
    copy.write_bytes(content)
    assert artifact.same(copy)
    content[-1] ^= 1
    copy.write_bytes(content)
    assert not artifact.same(copy)
    copy.write_bytes(content[:-1])
    assert not artifact.same(copy)


@pytest.mark.parametrize("places", [1, 10])
def test_older_file_differs_in_one_percent(tmp_path, places):
    artifact = File.make(tmp_path / "artifact", 1_000_000)
    artifact.older(tmp_path / "old", places)
    new, old = artifact.path.read_bytes(), (tmp_path / "old").read_bytes()
    assert len(old) == len(new)
    differs = [a != b for a, b in zip(old, new)]
    # One random byte in 256 is the same by chance.
    assert 9_800 <= sum(differs) <= 10_000
    touched = {index // 10_000 for index, other in enumerate(differs) if other}
    assert places <= len(touched) <= 2 * places


def content(root):
    return {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_tree_has_what_it_says(tmp_path):
    tree = Tree.make(tmp_path / "tree", 1200, 50)
    files = content(tree.path)
    assert (len(files), tree.files, tree.size) == (1200, 1200, 60_000)
    assert len(set(files.values())) == 1200
    assert {len(data) for data in files.values()} == {50}
    assert max(len(os.listdir(path)) for path in tree.path.rglob("*") if path.is_dir()) == 100


@pytest.mark.parametrize(("dated", "young"), [(True, 3), (False, 0)])
def test_older_tree_differs_in_the_files_that_are_younger(tmp_path, dated, young):
    tree = Tree.make(tmp_path / "tree", 300, 50, dated)
    tree.older(tmp_path / "old")
    new, old = content(tree.path), content(tmp_path / "old")
    changed = {path for path in new if new[path] != old.pop(path)}
    assert (len(changed), old) == (3, {})
    times = {path: (tree.path / path).stat().st_mtime for path in new}
    assert [path for path in times if times[path] == YOUNG] == [path for path in times if dated and path in changed]
    assert sum(time == YOUNG for time in times.values()) == young
    assert {path.stat().st_mtime for path in (tmp_path / "old").rglob("file-*")} == {OLD}


def test_tree_is_the_same_until_something_differs(tmp_path):
    tree = Tree.make(tmp_path / "tree", 200, 50)
    copy = Tree(tmp_path / "copy", tree.size, tree.files)
    assert not tree.same(copy.path)
    tree.older(copy.path)
    assert not tree.same(copy.path)
    for path, data in content(tree.path).items():
        (copy.path / path).write_bytes(data)
    assert tree.same(copy.path)
    (copy.path / "stranger").touch()
    assert not tree.same(copy.path)
