"""One swarm for all tests, in the virtual machine that tests/selinux/run has booted. Every test runs in both modes of SELinux."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from program import Sandbox, free_port

# What Ansible's configuration has.
SPECIAL = ["fuse", "nfs", "vboxsf", "ramfs", "9p", "vfat"]


def context(path: str | Path) -> str:
    return os.getxattr(path, "security.selinux", follow_symlinks=False).decode().rstrip("\0")


def give(path: str | Path, label: str) -> None:
    """Do what chcon does, for a symbolic link itself."""
    os.setxattr(path, "security.selinux", label.encode(), follow_symlinks=False)


def misplaced(path: str | Path) -> list[str]:
    """Return what restorecon would change at path and below."""
    argv = ["restorecon", "-R", "-n", "-v", str(path)]
    done = subprocess.run(argv, check=True, capture_output=True, text=True)
    return [line for line in done.stdout.splitlines() if line.startswith("Would relabel")]


def ansible(module: str, **options) -> dict:
    """Run a module of Ansible's own, as the remote side of it runs on a host."""
    arguments = {"ANSIBLE_MODULE_ARGS": options | {"_ansible_selinux_special_fs": SPECIAL}}
    argv = [sys.executable, "-m", f"ansible.modules.{module}"]
    done = subprocess.run(argv, input=json.dumps(arguments), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done
    return json.loads(done.stdout)


class Swarm:
    """A tracker and the seeders that have been asked for; whatever is deployed comes from them."""

    def __init__(self, sandbox: Sandbox):
        self.sandbox, self.seeds = sandbox, {}
        self.tracker = f"127.0.0.1:{free_port()}"
        sandbox.succeeds("tracker", listen="127.0.0.1", port=int(self.tracker.rpartition(":")[2]))

    def options(self, source: Path, dest: str | Path, **options) -> dict:
        if source not in self.seeds:
            self.seeds[source] = self.sandbox.succeeds("seed", src=str(source), tracker=self.tracker, ip="127.0.0.1")
        what = {"infohash": self.seeds[source]["infohash"], "tracker": self.tracker, "dest": str(dest)}
        return what | {"ip": "127.0.0.1", "seed_time": 0, "stall_timeout": 20} | options

    def deploy(self, source: Path, dest: str | Path, **options) -> dict:
        return self.sandbox.succeeds("peer", **self.options(source, dest, **options))

    def refuses(self, source: Path, dest: str | Path, **options) -> str:
        return self.sandbox.fails("peer", **self.options(source, dest, **options))


@pytest.fixture(scope="session")
def swarm():
    directory = Path(tempfile.mkdtemp(prefix="murder-sandbox-"))
    directory.chmod(0o755)
    sandbox = Sandbox(directory)
    try:
        yield Swarm(sandbox)
    finally:
        sandbox.close()


@pytest.fixture(scope="session")
def sources() -> Path:
    """Return a directory with an old and a new file, and an old and a new tree."""
    top = Path("/srv/sources")
    top.mkdir()
    for version in ("old", "new"):
        (top / f"{version}.file").write_text(version * 10_000)
        tree = top / f"{version}.tree"
        for path in ("bin/run", "etc/app.conf", "lib/deep/libapp.so", f"only-{version}/lib/more.so"):
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            (tree / path).write_text(f"{path} {version}")
        (tree / "bin/start").symlink_to("run")
        (tree / "lib/current").symlink_to("deep")
    shutil.make_archive(str(top / "packed"), "gztar", top / "new.tree")
    return top


@pytest.fixture(autouse=True, scope="session", params=["permissive", "enforcing"])
def mode(request):
    enforce, value = Path("/sys/fs/selinux/enforce"), str(int(request.param == "enforcing"))
    enforce.write_text(value)
    assert enforce.read_text() == value


@pytest.fixture
def room():
    """Return an empty directory, for which the policy knows directories of programs and of libraries."""
    top = Path(tempfile.mkdtemp(dir="/opt"))
    yield top
    shutil.rmtree(top)
