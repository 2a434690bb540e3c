"""The base of the action plugins, on a real host: this one, by connection local, with a program that plays along."""

from __future__ import annotations

import os
import pathlib
import subprocess

import pytest
from ansible_collections.corvus.murder.plugins.plugin_utils import program


def test_first_task_brings_the_program_and_later_ones_find_it(host, programs, run):
    first = run("murder_peer", {"dest": "/srv/a b", "exclude": ["ä", 1]})
    assert first.result["module"] == "murder_peer"
    assert first.result["args"]["dest"] == "/srv/a b"
    assert first.result["args"]["exclude"] == ["ä", 1]
    assert len(first.commands) == 3
    second = run("murder_tracker")
    assert second.result["module"] == "murder_tracker"
    assert len(second.commands) == 1
    assert [str(path) for path in host.kept()] == [f"{host.cache}/{programs.digest}/murder"]
    for path in (host.cache, host.cache / programs.digest, host.kept()[0]):
        assert path.stat().st_mode & 0o777 == 0o700
    assert host.temporary() == []


def test_keys_of_core_are_passed_on(run, programs):
    arguments = run("murder_peer", {"dest": "/a"}, check_mode=True, diff=True, no_log=True).result["args"]
    assert arguments["_ansible_check_mode"] is True
    assert arguments["_ansible_diff"] is True
    assert arguments["_ansible_no_log"] is True
    assert arguments["_ansible_module_name"] == "corvus.murder.murder_peer"
    assert "_murder_async" not in arguments


def test_program_gets_the_umask_of_the_user(run, programs):
    before = os.umask(0o027)
    try:
        assert run("murder_peer").result["umask"] == "0027"
    finally:
        os.umask(before)


def test_options_are_on_no_command_line(host, programs, run, fake_sudo):
    for become in (None, fake_sudo):
        for command in run("murder_peer", {"dest": "/a", "token": "sesame"}, become=become).commands:
            assert "sesame" not in command


def test_environment_keyword_reaches_the_program(host, programs, run):
    run("murder_peer", environment={"XDG_CACHE_HOME": str(host.root / "elsewhere")})
    assert (host.root / "elsewhere" / "corvus.murder" / programs.digest / "murder").exists()
    assert host.kept() == []


def test_new_release_replaces_programs_that_are_old(host, programs, run):
    run("murder_peer")
    old, used = programs.digest, host.cache / ("0" * 64)
    used.mkdir(mode=0o700)
    os.utime(host.cache / old, (0, 0))
    programs.build("second")
    assert run("murder_peer").result["note"] == "second"
    assert {path.name for path in host.cache.iterdir()} == {programs.digest, used.name}


@pytest.mark.parametrize("damage", ["content", "mode", "symlink", "directory"])
def test_program_that_was_tampered_with_is_sent_again(host, programs, run, damage):
    run("murder_peer")
    kept = host.kept()[0]
    if damage == "content":
        kept.write_text("#!/bin/sh\necho '{\"evil\": true}'\n", encoding="utf-8")
    elif damage == "mode":
        host.cache.chmod(0o777)
    elif damage == "symlink":
        kept.rename(host.root / "moved")
        kept.symlink_to(host.root / "moved")
    else:
        kept.parent.rename(host.root / "moved")
        kept.parent.symlink_to(host.root / "moved")
    again = run("murder_peer")
    assert again.result["note"] == "first"
    assert len(again.commands) == 3
    assert kept.read_bytes() == programs.text
    assert not kept.is_symlink()
    assert host.cache.stat().st_mode & 0o777 == 0o700
    assert len(run("murder_peer").commands) == 1


@pytest.fixture(autouse=True)
def fallback(host):
    """Where the program goes if the home directory is of no use: /var/tmp, which is moved for the tests."""
    script = program.HOST_SCRIPT.read_text(encoding="utf-8")
    moved = host.root / "host.sh"
    moved.write_text(script.replace("/var/tmp/", f"{host.root}/var/tmp/"), encoding="utf-8")
    (host.root / "var/tmp").mkdir(parents=True)
    host.monkeypatch.setattr(program, "HOST_SCRIPT", moved)
    return host.root / "var/tmp" / f"corvus.murder-{os.getuid()}"


@pytest.mark.parametrize("home", ["", "/proc/1/nowhere", "link"])
def test_without_a_usable_home_the_program_goes_to_var_tmp(host, programs, run, fallback, home):
    if home == "link":
        (host.home / ".cache").mkdir()
        (host.root / "target").mkdir()
        host.cache.symlink_to(host.root / "target")
    else:
        host.monkeypatch.setenv("HOME", home)
    assert run("murder_peer").result["note"] == "first"
    assert (fallback / programs.digest / "murder").exists()
    assert len(run("murder_peer").commands) == 1


# chown(2) is only root's; make test counts the test as skipped, and as root it runs.
@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a directory to another user")
def test_directory_of_another_user_is_not_used(host, programs, run, fallback):
    host.cache.mkdir(parents=True, mode=0o700)
    os.chown(host.cache, 4242, 4242)
    fallback.mkdir(mode=0o700)
    os.chown(fallback, 4242, 4242)
    message = run("murder_peer").result["msg"]
    assert f"{host.cache} {fallback}" in message
    assert "belongs to user 0 alone" in message
    assert list(host.cache.iterdir()) == []


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a directory to another user")
def test_home_of_another_user_is_not_used(host, programs, run, fallback):
    os.chown(host.home, 4242, 4242)
    assert run("murder_peer").result["note"] == "first"
    assert (fallback / programs.digest / "murder").exists()


@pytest.mark.parametrize("system", ["Linux riscv64", "FreeBSD amd64"])
def test_unsupported_architecture(host, programs, run, system):
    host.command("uname", f"echo {system}")
    result = run("murder_peer").result
    assert result["failed"] is True
    assert result["msg"].endswith(f"this host is {system}")


@pytest.mark.parametrize(("machine", "wanted"), [("x86_64", "amd64"), ("aarch64", "arm64"), ("arm64", "arm64")])
def test_the_program_for_the_architecture_is_sent(host, programs, run, machine, wanted):
    host.command("uname", f"echo Linux {machine}")
    for path in programs.directory.glob("*.gz"):
        if wanted not in path.name:
            path.write_bytes(b"not for this host")
    assert run("murder_peer").result["changed"] is True


def test_host_without_gzip_gets_the_plain_program(host, programs, run):
    needed = "sh cat id uname stat sha256sum mkdir mktemp chmod mv rm find sleep printf"
    for name in needed.split():
        found = subprocess.run(["which", name], capture_output=True, text=True, check=False).stdout.strip()
        if found:
            (host.bin / name).symlink_to(found)
    host.monkeypatch.setenv("PATH", str(host.bin))
    assert run("murder_peer").result["changed"] is True


def test_program_that_arrives_damaged_is_not_kept(host, programs, run):
    for path in programs.directory.glob("*.gz"):
        path.write_bytes(path.read_bytes()[:-20])
    result = run("murder_peer").result
    assert result["failed"] is True
    assert "program" in result["msg"]
    assert host.kept() == []


@pytest.mark.parametrize("missing", ["SHA256SUMS", "murder_linux_amd64.gz"])
def test_checkout_that_was_not_built(host, programs, run, missing):
    host.command("uname", "echo Linux x86_64")
    (programs.directory / missing).unlink()
    result = run("murder_peer").result
    assert result["failed"] is True
    assert missing in result["msg"]
    assert "make build" in result["msg"]


def test_output_that_is_no_result(host, programs, run):
    tool = host.command("tool", 'echo "all is lost"; echo "sorry" >&2; exit 7')
    result = run("murder_peer", variables={"murder_program": str(tool)}).result
    assert result["failed"] is True
    assert result["rc"] == 7
    assert result["msg"] == "murder_peer ended with exit code 7 and without a result; stderr: sorry; stdout: all is lost"


@pytest.mark.parametrize(
    ("stdout", "rc", "expected"),
    [
        ('{"changed": false}\n', 0, {"changed": False}),
        ('noise\r\n{"changed": false}\r\n', 0, {"changed": False}),
        ('{"changed": true}\n{broken\n', 0, {"changed": True}),
        ('{"msg": "first"}\n{"msg": "a\u2028b\x85c"}\n', 0, {"msg": "a\u2028b\x85c"}),
        ('{"changed": false}\n', 1, {"changed": False, "failed": True}),
        ('{"failed": false}\n', 1, {"failed": False}),
    ],
)
def test_result_is_the_last_json_object(stdout, rc, expected):
    assert program.parse({"stdout": stdout, "stderr": "", "rc": rc}, "murder_peer") == expected


def test_program_of_the_host_is_called_if_a_variable_names_it(host, run, template):
    tool = host.command("tool", "cat >/dev/null; echo '{\"mine\": \"'$1'\"}'")
    variables = {"murder_program": template("{{ tool }}"), "tool": str(tool)}
    assert run("murder_seed", variables=variables).result == {"mine": "murder_seed"}
    assert host.kept() == []


def test_variable_that_names_no_program(run):
    result = run("murder_seed", variables={"murder_program": "/nowhere/murder"}).result
    assert result["failed"] is True
    assert "/nowhere/murder" in result["msg"]
    assert "murder_program" in result["msg"]


def test_variables_of_the_delegate_count(host, run):
    tool = host.command("tool", "cat >/dev/null; echo '{\"mine\": true}'")
    variables = {
        "murder_program": "/nowhere",
        "ansible_delegated_vars": {"other": {"murder_program": str(tool), "ansible_host": "other"}},
    }
    assert run("murder_seed", variables=variables, delegate_to="other").result == {"mine": True}


def test_become_sends_arguments_and_program_as_files(host, programs, run, fake_sudo):
    host.command("setfacl", "exit 0")
    done = run("murder_peer", {"dest": "/a"}, become=fake_sudo)
    source = pathlib.Path(done.result["source"])
    assert source.name == "args"
    assert done.result["args"]["dest"] == "/a"
    assert not source.exists()
    assert host.temporary() == []


def test_become_with_pipelining_sends_them_on_the_standard_input(programs, run, fake_sudo):
    done = run("murder_peer", become=fake_sudo, variables={"ansible_pipelining": True})
    assert done.result["source"] == "-"


def test_failure_under_become_leaves_nothing(host, programs, run, fake_sudo):
    host.command("setfacl", "exit 0")
    host.command("uname", "echo Linux riscv64")
    assert run("murder_peer", become=fake_sudo).result["failed"] is True
    assert host.temporary() == []


def test_async_passes_the_job_on_and_returns_what_the_program_says(host, programs, run):
    job = '{"started": 1, "finished": 0, "ansible_job_id": "j1"}'
    tool = host.command("tool", f"cat >{host.root}/arguments; echo '{job}'")
    done = run("murder_peer", {"dest": "/a"}, {"murder_program": str(tool)}, **{"async": 60, "poll": 0})
    assert done.result == {"started": 1, "finished": 0, "ansible_job_id": "j1"}
    assert done.task.async_val == 60
    passed = program.json.loads((host.root / "arguments").read_text(encoding="utf-8"))["_murder_async"]
    assert passed["dir"] == "~/jobs"
    assert passed["limit"] == 60
    assert passed["jid"].startswith("j")


def test_async_that_ended_at_once_is_not_polled(programs, run):
    done = run("murder_peer", {"dest": "/a"}, **{"async": 60, "poll": 5})
    assert done.result["changed"] is True
    assert done.task.async_val == 0


def test_async_under_become_leaves_no_arguments(host, programs, run, fake_sudo):
    host.command("setfacl", "exit 0")
    job = '{"started": 1, "finished": 0, "ansible_job_id": "j1"}'
    tool = host.command("tool", f"echo '{job}'")
    run("murder_peer", {"dest": "/a"}, {"murder_program": str(tool)}, fake_sudo, **{"async": 60})
    assert host.temporary() == []


def test_installs_at_the_same_time_do_not_disturb_each_other(host, programs, fallback):
    script = program.HOST_SCRIPT.read_text(encoding="utf-8")
    words = ["/bin/sh", "-c", script, "host.sh", "install", programs.digest, programs.digest, "plain", "-"]
    running = [subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=False) for number in range(16)]
    answers = [process.communicate(programs.text, timeout=60)[0] for process in running]
    assert answers == [b"corvus.murder installed\n"] * 16
    assert [path.name for path in host.kept()] == ["murder"]
    assert host.kept()[0].read_bytes() == programs.text
    assert not fallback.exists()
