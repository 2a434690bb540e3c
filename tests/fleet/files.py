"""The files that make the machine's own tree into a host of the fleet: names, accounts, keys, inventory."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path

USER, GROUP = "operator", "operators"  # who is in a group beside his own
_UID, _GID = 60077, 60078

SSHD = """\
Port 22
HostKey /etc/ssh/fleet_host_key
PidFile none
UsePAM no
UseDNS no
PasswordAuthentication no
AcceptEnv LANG LC_*
MaxStartups 200
Subsystem sftp internal-sftp
"""

# What the machine may have there must not be seen: murder's own state and what Ansible keeps.
HIDDEN = ["var/lib/murder", "root/.cache", "root/.local", "root/.ansible", "root/.ansible_async"]

INVENTORY = """\
{hosts}

[all:vars]
ansible_user=root
ansible_python_interpreter=/usr/bin/python3
"""


def prepare(root: Path, addresses: dict[str, str]) -> None:
    """Write the tree that is laid over the machine's own on every host; modes count, they become the host's.

    An ordinary user called operator exists everywhere and may become root by sudo; the controller's root and operator
    log in as root and as operator.
    """
    root.mkdir(mode=0o755)
    for name, mode in {"etc": 0o755, "etc/ssh": 0o755, "etc/sudoers.d": 0o750, "etc/ansible": 0o755, "home": 0o755}.items():
        (root / name).mkdir(mode=mode)
    _accounts(root)
    _ssh(root, addresses)
    for name in HIDDEN:
        (root / name).parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        os.mknod(root / name, stat.S_IFCHR, os.makedev(0, 0))  # hides, once an overlay has it in its upper layer
    names = [f"{address} {name}" for name, address in addresses.items()]
    _write(root / "etc/hosts", "\n".join(["127.0.0.1 localhost", *names]) + "\n")
    _write(root / f"etc/sudoers.d/{USER}", f"{USER} ALL=(ALL) NOPASSWD: ALL\n", 0o440)
    peers = [f"{name} ansible_host={address}" for name, address in addresses.items() if name != "controller"]
    _write(root / "etc/ansible/fleet.ini", INVENTORY.format(hosts="\n".join(peers)))


def _accounts(root: Path) -> None:
    entries = {
        "passwd": f"{USER}:x:{_UID}:{_UID}::/home/{USER}:/bin/bash",
        "group": f"{USER}:x:{_UID}:\n{GROUP}:x:{_GID}:{USER}",
        "shadow": f"{USER}:*:19000:0:99999:7:::",
    }
    for name, entry in entries.items():
        source = Path("/etc") / name
        target = root / "etc" / name
        lines = [line for line in source.read_text().splitlines() if not line.startswith(f"{USER}:")]
        target.write_text("\n".join([*lines, entry]) + "\n")
        shutil.copymode(source, target)
    for home, owner in {"root": 0, f"home/{USER}": _UID}.items():
        (root / home / ".ssh").mkdir(mode=0o700, parents=True)
        (root / home).chmod(0o700)
        for dotfile in (".bash_profile", ".bashrc", ".profile"):  # a log-in does not do what it does on the machine
            _write(root / home / dotfile, "")
        shutil.chown(root / home, owner, owner)


def _ssh(root: Path, addresses: dict[str, str]) -> None:
    host_key, login = root / "etc/ssh/fleet_host_key", root / "root/.ssh/id_ed25519"
    for key in (host_key, login):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "fleet", "-f", str(key)], check=True)
    _write(root / "etc/ssh/fleet_config", SSHD)
    known = f"10.77.*,{','.join(addresses)} {host_key.with_suffix('.pub').read_text()}"
    _write(root / "root/.ssh/known_hosts", known)
    shutil.copy(login.with_suffix(".pub"), root / "root/.ssh/authorized_keys")
    shutil.copytree(root / "root/.ssh", root / f"home/{USER}/.ssh", dirs_exist_ok=True)
    for path in (root / f"home/{USER}").rglob("*"):
        shutil.chown(path, _UID, _UID)


def _write(path: Path, text: str, mode: int = 0o644) -> None:
    path.write_text(text)
    path.chmod(mode)
