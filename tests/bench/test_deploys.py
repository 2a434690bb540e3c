"""The table and the picture of playbook runs."""

from __future__ import annotations

import pytest

from bench import deploys
from bench.deploys import KINDS, MB, OURS, Deploy, Plan
from bench.systems.base import CHECKOUT

RUNS = [
    *(Deploy("deploy.yml", 11, 56 * MB, seconds) for seconds in (19.0, 17.0, 18.0)),
    Deploy("copy", 11, 56 * MB, 60.0),
    Deploy("synchronize", 11, 56 * MB, error="not run: rsync is not installed"),
    Deploy("copy", 2, 1 * MB, 5.0),
]


def test_plan_takes_kinds_in_turns():
    plan = Plan(("a", "b"), (2, 3), (1,), repeat=2)
    kinds = [(kind, hosts) for kind, hosts, _ in plan.runs()]
    assert kinds == [("a", 2), ("b", 2)] * 2 + [("a", 3), ("b", 3)] * 2


def test_runs_of_trees_say_so():
    run = Deploy("deploy.yml", 5, 200 * MB, 30.0, files=200_000)
    assert run.told().startswith("deploy.yml, 5 hosts, 200 MB in 200,000 files: 30.0 s")


def test_rows_have_medians_and_the_share():
    header, small, large = deploys.rows(RUNS)
    assert dict(zip(header, large)) == {
        "hosts": "11",
        "MB": "56",
        "deploy.yml, s": "18.0",
        "deploy.yml, program there, s": "",
        "copy, s": "60.0",
        "synchronize, s": "",
        "deploy.yml / copy": "0.30",
    }
    assert small[-1] == ""


def test_runs_survive_the_disk():
    assert deploys.load(deploys.dump(RUNS)) == RUNS


def test_picture_leaves_out_what_failed():
    picture = deploys.picture(RUNS)
    assert ">copy<" in picture
    assert ">synchronize<" not in picture


def test_wins_name_the_size_from_which_every_larger_one_is_faster():
    """At 2 hosts 1 MB wins by chance, but 10 MB does not; at 3 nothing does; at 5 copy was not measured."""
    times = {(2, 1): (3, 4), (2, 10): (5, 4), (2, 56): (8, 11), (2, 112): (13, 21), (3, 1): (4, 2), (5, 1): (4, None)}
    runs = []
    for (hosts, size), (ours, copied) in times.items():
        runs.append(Deploy("deploy.yml", hosts, size * MB, ours))
        runs += [Deploy("copy", hosts, size * MB, copied)] if copied else []
    assert deploys.wins(runs) == [
        "2 hosts: deploy.yml is faster than copy from 56 MB",
        "3 hosts: deploy.yml is not faster than copy with 1 MB",
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_commands_say_all_that_a_run_was_told(kind):
    said = deploys.command(kind, "/etc/ansible/inventory1.ini")
    assert "ansible-playbook --inventory=/etc/ansible/inventory1.ini --forks=12 " in said
    assert all(place in said for place in (deploys.SOURCE, deploys.DEST))
    assert ("playbooks/deploy.yml" in said) == (kind in OURS)
    assert kind in OURS or f'.{kind}": {{"src"' in said
    assert str(CHECKOUT) not in said


def test_the_first_command_of_each_kind_is_shown():
    runs = [Deploy(kind, 2, MB, command=said) for kind, said in (("copy", ""), ("copy", "a"), ("copy", "b"), ("deploy.yml", ""))]
    assert deploys.commands(runs) == ["# copy", "controller: a"]
