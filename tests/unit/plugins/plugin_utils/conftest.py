"""What the tests of the plugins share: a host to run them on, and a program that tells how it was called."""

from __future__ import annotations

import gzip
import hashlib
import os
import pathlib
import typing as t

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.playbook.play_context import PlayContext
from ansible.playbook.task import Task
from ansible.plugins import loader as plugins
from ansible.template import Templar

try:
    from ansible.template import trust_as_template
except ImportError:  # before ansible-core 2.19 every text may be a template

    def trust_as_template(value: str) -> str:
        return value


# Acts as the program does: module and arguments in, one line of JSON out.
PROGRAM = """#!/bin/sh
echo "a line before the result"
printf '{"changed": true, "module": "%s", "source": "%s", "umask": "%s", "note": "NOTE", "args": ' "$1" "$2" "$(umask)"
if [ "$2" = - ]; then cat; else cat "$2"; fi
echo "}"
"""


class Host:
    """This machine as a host with a home of its own, reached by connection local."""

    def __init__(self, root: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
        self.root = root
        self.home = root / "home"
        self.home.mkdir()
        self.tmp = root / "tmp"
        self.bin = root / "bin"
        self.bin.mkdir()
        self.monkeypatch = monkeypatch
        monkeypatch.setenv("HOME", str(self.home))
        monkeypatch.setenv("PATH", str(self.bin), prepend=":")
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)

    def command(self, name: str, text: str) -> pathlib.Path:
        """Puts a command of ours before those of the machine."""
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
        path.chmod(0o755)
        return path

    @property
    def cache(self) -> pathlib.Path:
        return self.home / ".cache" / "corvus.murder"

    def kept(self) -> list[pathlib.Path]:
        return sorted(self.cache.glob("*/*"))

    def temporary(self) -> list[pathlib.Path]:
        """What tasks have left behind."""
        return sorted(self.tmp.glob("*"))


class Programs:
    """Built programs, as make build leaves them."""

    def __init__(self, directory: pathlib.Path):
        self.directory = directory
        directory.mkdir()
        self.build("first")

    def build(self, note: str) -> None:
        self.text = text = PROGRAM.replace("NOTE", note).encode()
        self.digest = hashlib.sha256(text).hexdigest()
        for architecture in ("amd64", "arm64"):
            (self.directory / f"murder_linux_{architecture}.gz").write_bytes(gzip.compress(text))
        sums = "".join(f"{self.digest}  murder_linux_{architecture}\n" for architecture in ("amd64", "arm64"))
        (self.directory / "SHA256SUMS").write_text(sums, encoding="ascii")


@pytest.fixture
def host(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    return Host(tmp_path, monkeypatch)


@pytest.fixture
def programs(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    from ansible_collections.corvus.murder.plugins.plugin_utils import program

    built = Programs(tmp_path / "programs")
    monkeypatch.setattr(program, "PROGRAMS", built.directory)
    return built


@pytest.fixture
def template() -> t.Callable[[str], str]:
    """Makes a text one that the user has written, and that may therefore be a template."""
    return trust_as_template


class Run(t.NamedTuple):
    """What a task did on the host."""

    result: dict[str, t.Any]
    commands: list[str]
    task: Task


@pytest.fixture
def run(host: Host) -> t.Callable[..., Run]:
    """Runs one task with the action plugin of its module."""

    def run(
        module: str,
        options: dict[str, t.Any] | None = None,
        variables: dict[str, t.Any] | None = None,
        become: dict[str, t.Any] | None = None,
        **keywords: t.Any,
    ) -> Run:
        variables = {"ansible_remote_tmp": str(host.tmp), "ansible_async_dir": "~/jobs", **(variables or {})}
        loader = DataLoader()
        task = Task.load({f"corvus.murder.{module}": options or {}, **keywords})
        context = PlayContext()
        connection = plugins.connection_loader.get("local", context, task_uuid=task._uuid)
        connection.set_options(var_options=variables)
        connection._shell.set_options(var_options=variables)
        if become is not None:
            method = plugins.become_loader.get("sudo")
            method.set_options(direct=become)
            connection.set_become_plugin(method)
        commands: list[str] = []
        execute = connection.exec_command

        def record(command: str, *args: t.Any, **kwargs: t.Any) -> t.Any:
            commands.append(command)
            return execute(command, *args, **kwargs)

        connection.exec_command = record
        action = plugins.action_loader.get(
            f"corvus.murder.{module}",
            task=task,
            connection=connection,
            play_context=context,
            loader=loader,
            templar=Templar(loader=loader, variables=variables),
            shared_loader_obj=plugins,
        )
        try:
            result = action.run(task_vars=variables)
        finally:
            action.cleanup()
        return Run(result, commands, task)

    return run


@pytest.fixture
def fake_sudo(host: Host) -> dict[str, t.Any]:
    """Options of become for a sudo that only leaves out its own options."""
    sudo = host.command("fake-sudo", 'while [ "$1" != /bin/sh ]; do shift; done; exec "$@"')
    return {"become_exe": str(sudo), "become_user": "root" if os.getuid() else "daemon"}
