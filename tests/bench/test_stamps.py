"""What is told of the time and the program of a table's results."""

from __future__ import annotations

import argparse
import dataclasses
import json
import subprocess

import pytest

from bench import command, deploys, limits, machine, outcome, report, scenarios, stamps
from bench.deploys import MB, Deploy
from bench.limits import Held
from bench.samples import raced

FIRST = {"date": "2026-11-20 23:10 UTC", "checkout": "aaaaaaa"}
LATER = {"date": "2026-11-23 08:30 UTC", "checkout": "bbbbbbb-dirty", "processor": "Abacus, 2 cores"}
STORES = {"results": (outcome, raced()), "limits": (limits, Held("kind", 10)), "deploys": (deploys, Deploy("copy", 2, MB))}


@pytest.mark.parametrize("name", STORES)
def test_stamps_survive_the_disk_and_old_results_have_none(name):
    module, result = STORES[name]
    (kept,) = module.load(module.dump([stamps.stamped(result, "aaaaaaa")]))
    assert kept.checkout == "aaaaaaa"
    assert kept.date.endswith(" UTC")
    assert kept.processor.endswith(" cores")
    (entry,) = json.loads(module.dump([kept]))
    del entry["date"], entry["checkout"], entry["processor"]
    (old,) = module.load(json.dumps([entry]))
    assert (old.date, old.checkout, old.processor) == ("", "", "")
    assert old == dataclasses.replace(kept, date="", checkout="", processor="")


def test_rows_are_named_where_they_differ():
    first, later, old = raced(**FIRST), raced(**LATER), raced()
    same_day = dataclasses.replace(first, date="2026-11-20 01:00 UTC")
    assert stamps.told([("a", first), ("b", same_day)]) == "Measured on 2026-11-20 with aaaaaaa."
    told = stamps.told([("a", first), ("b", later), ("a", first), ("c", later)])
    assert told == "Measured on 2026-11-20 with aaaaaaa (a), on 2026-11-23 with bbbbbbb-dirty by Abacus, 2 cores (b; c)."
    assert stamps.told([("a", later), ("b", old)]) == "Measured on 2026-11-23 with bbbbbbb-dirty by Abacus, 2 cores (a)."
    other = dataclasses.replace(first, checkout="ccccccc")
    assert stamps.told([("a", first), ("b", other)]) == "Measured on 2026-11-20 with aaaaaaa (a), on 2026-11-20 with ccccccc (b)."


def test_nothing_is_told_of_old_results():
    assert stamps.told([("a", raced()), ("b", raced())]) == ""
    assert stamps.told([]) == ""
    page = report.page([raced()], {}, [Deploy("copy", 2, MB, 5.0)], [Held("kind", 10, 1.0, 1.0)])
    assert "Measured" not in page


def test_every_table_has_its_line_below_the_title():
    fifty = raced(scenario="fifty", **LATER)
    lost = raced("chain", scenario="fifty", error="lost", **FIRST)
    runs, held = [Deploy("copy", 2, MB, 5.0, **FIRST)], [Held("kind", 10, 1.0, 1.0, **LATER)]
    page = report.page([raced(**FIRST), fifty, lost], {"date": "today"}, runs, held)
    below = {}
    for part in page.split("\n## ")[1:]:
        title, line, *_ = (text for text in part.splitlines() if text)
        below[title.partition(" ")[0]] = line
    assert below["11"] == below["Whole"] == "Measured on 2026-11-20 with aaaaaaa."
    assert below["50"] == below["Upload"] == "Measured on 2026-11-23 with bbbbbbb-dirty by Abacus, 2 cores."


@dataclasses.dataclass
class Two:
    """A scenario of two races."""

    name: str = "eleven"
    title: str = "two races"
    repeat: int = 1

    @staticmethod
    def run(_systems):
        yield raced()
        yield raced("chain", error="lost")


def test_what_is_measured_again_gets_another_stamp(tmp_path, monkeypatch):
    (tmp_path / "results.json").write_text(outcome.dump([raced(**FIRST), raced(scenario="fifty", **FIRST)]))
    monkeypatch.setattr(scenarios, "FULL", [Two()])
    monkeypatch.setattr(machine, "describe", lambda _systems: {})
    monkeypatch.setattr(limits, "run", lambda: iter([Held("kind", 10)]))
    monkeypatch.setattr(deploys, "run", lambda *_plans: iter([Deploy("copy", 2, MB, 5.0)]))
    monkeypatch.setattr(stamps, "checkout", lambda: "ccccccc")
    assert command._full(argparse.Namespace(directory=tmp_path, only=None, repeat=None)) == 0
    kept = {name: STORES[name][0].load((tmp_path / f"{name}.json").read_text()) for name in STORES}
    assert [(race.scenario, race.checkout) for race in kept["results"]] == [*[("eleven", "ccccccc")] * 2, ("fifty", "aaaaaaa")]
    assert [result.checkout for result in kept["limits"] + kept["deploys"]] == ["ccccccc"] * 2
    new = [*kept["results"][:2], *kept["limits"], *kept["deploys"]]
    assert all(result.date.endswith(" UTC") for result in new)


def test_documents_do_not_make_a_checkout_dirty(tmp_path, monkeypatch):
    """The results themselves are documents, which are written after each scenario."""

    def git(*arguments):
        argv = ["git", "-C", tmp_path, "-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false", *arguments]
        return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()

    (tmp_path / "docs").mkdir()
    for name in ("program.go", "docs/results.md"):
        (tmp_path / name).write_text("first")
    git("init")
    git("add", ".")
    git("commit", "--message=first")
    monkeypatch.setattr(stamps, "CHECKOUT", tmp_path)
    commit = git("describe", "--always")
    assert stamps.checkout() == commit
    (tmp_path / "docs/results.md").write_text("measured")
    assert stamps.checkout() == commit
    (tmp_path / "program.go").write_text("changed")
    assert stamps.checkout() == f"{commit}-dirty"
