"""One host of a fleet: run commands on it, look at its files, processes and firewall, switch it off."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from .process import Process

ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "USER": "root",
    "LANG": "C.UTF-8",
    "TERM": "dumb",
}


@dataclass(frozen=True)
class Host:
    """name and address are as its neighbours see it, process is its first one.

    holder is the outer process that began it and sees its mounts from above; directory is what its files are mounted on.
    """

    name: str
    address: str
    process: Process
    holder: Process
    directory: Path
    light: bool = False

    def command(self, *argv: str, user: str = "root") -> list[str]:
        """Return argv wrapped so that it runs on this host, in the user's home or /."""
        enter = ["nsenter", f"--target={self.process.pid}", "--net", "--uts", "--pid", "--mount"]
        enter += [] if self.light else ["--root", "--wdns=/"]
        become = [] if user == "root" else ["runuser", "-u", user, "--", "env", f"HOME=/home/{user}", f"USER={user}"]
        return [*enter, "--", *become, *argv]

    def run(self, *argv: str, user: str = "root", check: bool = True, **options) -> subprocess.CompletedProcess[str]:
        """Run argv on this host to its end; output is captured as text and shown when it fails."""
        options = {"env": ENVIRONMENT, "timeout": 120, "stdin": subprocess.DEVNULL, **options}
        if "input" in options:
            del options["stdin"]
        done = subprocess.run(self.command(*argv, user=user), capture_output=True, text=True, check=False, **options)
        if check and done.returncode:
            raise RuntimeError(f"{self.name}: {' '.join(argv)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def popen(self, *argv: str, user: str = "root", **options) -> subprocess.Popen[str]:
        """Start argv on this host, leader of its own process group."""
        options = {"env": ENVIRONMENT, "text": True, "start_new_session": True, "stdin": subprocess.DEVNULL, **options}
        return subprocess.Popen(self.command(*argv, user=user), **options)

    def path(self, path: str | Path) -> Path:
        """Return where this machine sees the host's file; for plain files (a link would be followed here, not there)."""
        return Path(f"/proc/{self.process.pid}/root") / str(path).lstrip("/")

    def processes(self) -> dict[int, str]:
        """Return process id (as the host sees it) and command line of everything that runs here but its sshd."""
        listing = self.run("ps", "-eww", "-o", "pid=,args=").stdout.splitlines()
        rows = (line.split(None, 1) for line in listing)
        return {int(pid): args for pid, args in rows if not args.startswith(("ps -eww", "sshd:", "/usr/sbin/sshd"))}

    def rules(self) -> list[str]:
        """Return the firewall as iptables-save tells it, without its counters and comments."""
        saved = self.run("iptables-save").stdout.splitlines()
        return [line.split(" [")[0] for line in saved if not line.startswith("#")]

    def written(self) -> dict[str, str]:
        """Return every path that is there because the host has written it, with its type (f, d, l, s, ...).

        Left out are directories that the machine has too (something below them changed), traces of what was removed
        (the overlay's whiteouts, type c), and the ssh server's logs.
        """
        places = {"upper": "", "root/tmp": "/tmp", "root/run": "/run", "root/dev/shm": "/dev/shm"}
        script = 'cd "$0" && for place; do find "$place" -mindepth 1 -printf "%y %p\\0" || exit; done'
        above = ["nsenter", f"--target={self.holder.pid}", "--mount", "--root", "--wdns=/"]
        enter = [*above, "--", "sh", "-c", script, str(self.directory)]
        listing = subprocess.run([*enter, *places], capture_output=True, text=True, check=True).stdout
        found = {}
        for kind, _, path in (entry.partition(" ") for entry in listing.split("\0") if entry):
            place = next(place for place in places if path.startswith(place + "/"))
            here = places[place] + path[len(place) :]
            of_overlay = place == "upper" and (kind == "c" or kind == "d" and Path(here).is_dir())
            if here not in _LOGS and not of_overlay:
                found[here] = kind
        return found

    def switch_off(self) -> None:
        """End every process of the host at once, as a power cut does; its files and its cable vanish with it."""
        self.process.kill()


_LOGS = {"/var/log/lastlog", "/var/log/wtmp", "/var/log/btmp", "/run/utmp", "/run/xtables.lock"}
