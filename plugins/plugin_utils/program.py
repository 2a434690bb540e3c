# Copyright: (c) the corvus.murder authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Base of the action plugins: brings the program to the host once, and calls it there.

What happens on the host is in host.sh. This file decides how data travels (standard input or a file),
and turns what the program prints into the result of the task. It knows nothing of torrents.
"""

from __future__ import annotations

import gzip
import json
import pathlib
import secrets
import shlex
import typing as t

from ansible.plugins.action import ActionBase

PLUGINS = pathlib.Path(__file__).resolve().parent.parent
PROGRAMS = PLUGINS / "programs"
HOST_SCRIPT = PLUGINS / "plugin_utils" / "host.sh"
ARCHITECTURES = ("amd64", "arm64")
MARK = "corvus.murder "


class ProgramError(Exception):
    """What keeps the program from running, in words for the user."""


class Source(t.NamedTuple):
    """Data for a command: the word that names it there, and what to send on the standard input."""

    word: str
    stdin: bytes | None


def digests(programs: pathlib.Path) -> dict[str, str]:
    """SHA-256 of the program for each architecture, from SHA256SUMS."""
    try:
        lines = (programs / "SHA256SUMS").read_text(encoding="ascii").splitlines()
    except FileNotFoundError as exc:
        raise ProgramError(f"{exc.filename} is missing: this is a checkout that was not built, run `make build`") from exc
    sums = {name.rpartition("_")[2]: digest for digest, name in (line.split(maxsplit=1) for line in lines if line)}
    if missing := [name for name in ARCHITECTURES if name not in sums]:
        raise ProgramError(f"{programs / 'SHA256SUMS'} does not name the program for {missing[0]}, run `make build`")
    return sums


def packed(programs: pathlib.Path, architecture: str, form: str) -> bytes:
    """The program as it is sent: form is gzip, or plain for hosts that cannot unpack it."""
    path = programs / f"murder_linux_{architecture}.gz"
    try:
        data = path.read_bytes()
    except FileNotFoundError as exc:
        raise ProgramError(f"{path} is missing: this is a checkout that was not built, run `make build`") from exc
    return data if form == "gzip" else gzip.decompress(data)


def parse(reply: dict[str, t.Any], module: str) -> dict[str, t.Any]:
    """The result in what a command printed: its last line that is a JSON object.

    Not ActionBase._parse_returned_data: its signature and its error differ between releases of ansible-core.
    """
    for line in reversed(reply["stdout"].split("\n")):
        if not line.startswith("{"):
            continue
        try:
            result = json.loads(line)
        except ValueError:
            continue
        if reply["rc"]:
            result.setdefault("failed", True)
        return result
    tails = [f"{name}: {text}" for name in ("stderr", "stdout") if (text := reply[name].strip()[-1000:])]
    return {
        "failed": True,
        "rc": reply["rc"],
        "msg": "; ".join([f"{module} ended with exit code {reply['rc']} and without a result", *tails]),
    }


def marks(reply: dict[str, t.Any]) -> list[str]:
    """Words of the last line that host.sh itself printed, empty when the program has run."""
    lines = reply["stdout"].strip().split("\n")
    return lines[-1].strip()[len(MARK) :].split(" ") if lines[-1].startswith(MARK) else []


class ProgramAction(ActionBase):
    """Runs the module that the task names: one command on the host, three when the program has to be sent first."""

    _supports_check_mode = True
    _supports_async = True

    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        try:
            return self._call(task_vars or {})
        except ProgramError as exc:
            return {"failed": True, "changed": False, "msg": str(exc)}
        finally:
            # cleanup() of the base class leaves the directory to the job under async; ours has read its arguments.
            self._remove_tmp_path(self._connection._shell.tmpdir)

    def _call(self, task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        module = self._task.action.rpartition(".")[2]
        installed = self._host_variable("murder_program", task_vars)
        sums = {} if installed else digests(PROGRAMS)
        arguments = self._source("args", self._arguments(task_vars))
        if installed:
            reply = self._on_host(["use", str(installed), module], arguments)
        else:
            hashes = [sums[name] for name in ARCHITECTURES]
            run = ["run", *hashes, module]
            reply = self._on_host(run, arguments)
            if missing := marks(reply)[1:]:
                self._install(hashes, *missing)
                reply = self._on_host(run, arguments)
        result = parse(reply, module)
        if self._task.async_val and "ansible_job_id" not in result:
            # It has ended already, for instance because an option is wrong: there is no job to ask for.
            self._task.async_val = 0
        return result

    def _install(self, hashes: list[str], architecture: str, form: str) -> None:
        program = self._source("program", packed(PROGRAMS, architecture, form))
        reply = self._on_host(["install", *hashes, form], program)
        if marks(reply) != ["installed"]:
            raise ProgramError(
                f"The program could not be brought to the host (exit code {reply['rc']}): {reply['stderr'].strip()[-1000:]}"
            )

    def _arguments(self, task_vars: dict[str, t.Any]) -> bytes:
        """The options of the task and the keys that every module gets from core, as JSON."""
        arguments = dict(self._task.args)
        self._update_module_args(self._task.action, arguments, task_vars)
        if self._task.async_val:
            arguments["_murder_async"] = {
                "jid": f"j{secrets.randbelow(10**12)}",
                "dir": self.get_shell_option("async_dir", default="~/.ansible_async"),
                "limit": self._task.async_val,
            }
        return json.dumps(arguments, default=str).encode("utf-8", "surrogateescape")

    def _host_variable(self, name: str, task_vars: dict[str, t.Any]) -> t.Any:
        """A variable of the host that the task runs on, which delegate_to may have changed."""
        delegated = task_vars.get("ansible_delegated_vars") or {}
        return self._templar.template(delegated.get(self._task.delegate_to, task_vars).get(name))

    def _source(self, name: str, data: bytes) -> Source:
        """Offers data to a command: on its standard input, else as a file in the temporary directory of the task.

        sudo and su may want a terminal as standard input, unless the user has said by `pipelining` that they do not.
        """
        if self._connection.has_pipelining and (not self._connection.become or self._is_pipelining_enabled("new")):
            return Source("-", data)
        directory = self._connection._shell.tmpdir or self._make_tmp_path()
        path = self._connection._shell.join_path(directory, name)
        self._transfer_data(path, data)
        if self._is_become_unprivileged():
            self._fixup_perms2([directory, path])
        return Source(path, None)

    def _on_host(self, words: list[str], source: Source) -> dict[str, t.Any]:
        """Runs host.sh on the host. Options go by source only: a command line can be read by every user there."""
        script = HOST_SCRIPT.read_text(encoding="utf-8").strip()
        command = shlex.join(["/bin/sh", "-c", script, "host.sh", *words, source.word])
        environment = self._compute_environment_string()
        reply = self._low_level_execute_command(f"{environment} {command}".strip(), in_data=source.stdin)
        if (answer := marks(reply))[:1] == ["error"]:
            raise ProgramError(" ".join(answer[1:]))
        return reply
