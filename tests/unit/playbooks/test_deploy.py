"""What deploy.yml makes of the variables of its user."""

from __future__ import annotations

import pathlib
import re
import typing as t

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

PLAYBOOKS = pathlib.Path(__file__).resolve().parents[3] / "playbooks"
REQUIRED = {"murder_src": "/srv/app.tar", "murder_dest": "/opt/app.tar"}
PLAY = {  # what Ansible would add
    "ansible_check_mode": False,
    "ansible_forks": 5,
    "ansible_play_hosts_all": ["localhost", "h1"],
    "groups": {"all": ["h1", "tracker1", "seeder1"], "peers": ["h1"], "tracker": ["tracker1"], "seeder": ["seeder1"]},
}


def load(name: str) -> t.Any:
    """The content of a file, in which every text may be a template."""
    loader = DataLoader()
    try:
        return loader.load_from_file(str(PLAYBOOKS / name), trusted_as_template=True)
    except TypeError:  # before ansible-core 2.19 it may be one anywhere
        return loader.load_from_file(str(PLAYBOOKS / name))


def options(**given: t.Any) -> dict[str, t.Any]:
    """All variables of the play, when its user has given these everywhere."""
    variables = load("deploy.yml")[0]["vars"]
    hosts = {host: given for host in ["localhost", *PLAY["groups"]["all"]]}
    templar = Templar(loader=DataLoader(), variables=PLAY | variables | REQUIRED | given | {"hostvars": hosts})
    return {name: templar.template(value) for name, value in variables.items()}


def known() -> set[str]:
    """The names of all variables that a user can set."""
    texts = [(PLAYBOOKS / name).read_text(encoding="utf-8") for name in ("deploy.yml", "tasks/deploy.yml", "tasks/stop.yml")]
    return set(re.findall(r"(?<![\w.])murder_[a-z_]+\w", "\n".join(texts)))


def test_empty_is_not_set():
    """AWX hands on a question of a survey that nobody has answered as an empty text."""
    names = known() - REQUIRED.keys()
    assert len(names) > 40
    assert options(**dict.fromkeys(names, "")) == options()


@pytest.mark.parametrize("value", [0, "0", False])
@pytest.mark.parametrize(
    ("variable", "option"),
    [
        ("murder_seed_time", "peer_seed_time"),
        ("murder_force", "peer_force"),
        ("murder_idle_timeout", "tracker_idle_timeout"),
        ("murder_idle_timeout", "seeder_idle_timeout"),
        ("murder_port", "tracker_port"),
        ("murder_timeout", "peer_timeout"),
        ("murder_stall_timeout", "peer_stall_timeout"),
    ],
)
def test_zero_is_set(variable, option, value):
    """Where it is another value than the default, or none that the module takes; before ansible-core 2.19 as text."""
    assert str(options(**{variable: value})[option]) == str(value)


@pytest.mark.parametrize(
    ("given", "sources"),
    [
        ({}, []),
        ({"murder_firewall": True}, ["0.0.0.0/0"]),
        ({"murder_firewall": "yes", "murder_sources": "10.0.0.0/8,::/0"}, ["10.0.0.0/8", "::/0"]),
        ({"murder_firewall": "true", "murder_sources": ["10.0.0.0/8", "2001:db8::/32"]}, ["10.0.0.0/8", "2001:db8::/32"]),
        ({"murder_firewall": "no", "murder_sources": "10.0.0.0/8"}, []),
    ],
)
def test_sources(given, sources):
    assert options(**given)["firewall_sources"] == sources


@pytest.mark.parametrize("given", [{}, {"murder_token": "", "murder_token_file": ""}, {"murder_token": "sesame"}])
def test_swarms_have_a_secret(tmp_path, monkeypatch, given):
    monkeypatch.setenv("HOME", str(tmp_path))
    (task,) = (task for task in load("tasks/deploy.yml") if "secret" in task["name"])
    templar = Templar(loader=DataLoader(), variables=PLAY | load("deploy.yml")[0]["vars"] | given)
    token = templar.template(task["ansible.builtin.set_fact"]["swarm_token"])
    kept = tmp_path / ".ansible/corvus.murder.token"
    if given.get("murder_token"):
        assert (token, kept.exists()) == ("sesame", False)
    else:
        assert len(token) == 32 and kept.read_text(encoding="ascii").split()[0] == token


@pytest.mark.parametrize(
    ("given", "seeder", "tracker"),
    [
        ({}, 3600, 300),
        ({"murder_timeout": 7200}, 7200, 300),
        ({"murder_timeout": "7200", "murder_idle_timeout": ""}, 7200, 300),
        ({"murder_timeout": 60}, 300, 300),
        ({"murder_timeout": 7200, "murder_idle_timeout": 60}, 60, 60),
    ],
)
def test_seeder_waits_as_long_as_peers_may_read(given, seeder, tracker):
    """They connect when they have read what they have; the tracker hears of the seeder all the time."""
    made = options(**given)
    assert (int(made["seeder_idle_timeout"]), int(made["tracker_idle_timeout"])) == (seeder, tracker)


def test_name_of_a_deploy():
    """The same deploy, interrupted and run again, goes under the name that it came with; any other one is another one."""

    def name(hosts: list[str], **given: str) -> str:
        groups = PLAY["groups"] | {"peers": hosts, "all": [*PLAY["groups"]["all"], *hosts]}
        made = options(**given, groups=groups, ansible_play_hosts_all=["localhost", *hosts])
        assert made["tracker_deploy"] == made["seeder_deploy"]
        return made["tracker_deploy"]

    hosts = [f"h{number}" for number in range(1, 9)]
    assert name(hosts) == name(hosts[::-1])
    others = [name(hosts[1:]), name(hosts, murder_src="/srv/b.tar"), name(hosts, murder_dest="/opt/b.tar"), name(hosts)]
    assert len(set(others)) == len(others)
    assert others[1].startswith("/srv/b.tar (")
