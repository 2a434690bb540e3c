"""The scenarios of what is in an artifact, and the tables with their targets."""

from __future__ import annotations

import pytest

from bench import report, targets
from bench.contents import CONTENTS, Case, told
from bench.rig import Layout
from bench.samples import MB, raced
from bench.scenarios import FULL, TITLES


@pytest.mark.parametrize(
    ("size", "words"), [(999, "999 bytes"), (1000, "1 KB"), (10_000, "10 KB"), (2_500_000, "2.5 MB"), (20 * 10**9, "20 GB")]
)
def test_sizes_in_words(size, words):
    assert told(size) == words


def test_cases_say_what_they_are():
    assert Case(200_000, 10_000).name == "200,000 files of 10 KB"
    assert Case(1, 2 * 10**9, "in ten places").name == "one file of 2 GB, in ten places"


def test_small_files_need_whole_pages():
    assert Case(1000, 1).held(peers=2) == 3 * Case(1000, 4096, copies=1).held(peers=2)
    assert Case(1000, 4097).held(peers=2) - Case(1000, 4096).held(peers=2) == 3 * 1000 * 4096


def test_what_does_not_fit_is_said():
    layout = Layout(1, 0)
    assert layout.lacking(0) == ""
    assert "GB of memory" in layout.lacking(1e18)


def test_every_scenario_has_its_own_name_and_table():
    assert len(TITLES) == len(FULL)
    assert {scenario.name for scenario in CONTENTS} == set(targets.TABLES)
    for scenario in CONTENTS:
        assert len({case.name for case in scenario.cases}) == len(scenario.cases)
        assert any(case.judged for case in scenario.cases)


def cells(scenario, *outcomes):
    """Return the rows of a table as dictionaries, from outcomes in the order in which they came."""
    for outcome in outcomes:
        outcome.scenario = scenario
    header, *rows = report.table(scenario, report.grouped(outcomes)[scenario])
    return [dict(zip(header, row)) for row in rows]


def test_tree_is_compared_with_the_file_of_its_size():
    large, small = raced(case="large"), raced(case="small", size=1 * MB)
    rival = raced(system="rsync", case="large, rsync", times=[1.0] * 4)
    trees = [raced(case="tree", files=9, target=1.5, times=[end] * 4) for end in (15.0, 24.0, 18.0)]
    rows = cells("tree", small, large, rival, *trees)
    assert [row["times one file"] for row in rows] == ["", "", "", "1.50"]
    assert [row["target"] for row in rows] == ["", "", "", "1.5"]
    assert [row["last peer, s"] for row in rows] == ["12.00", "12.00", "1.00", "18.00"]
    assert [row["runs"] for row in rows] == ["1", "1", "1", "3"]
    assert rows[3]["times F/B"] == "1.80"


def test_tree_without_a_file_is_compared_with_nothing():
    (row,) = cells("tree", raced(case="file", error="lost"), raced(case="tree", files=9, target=1.5, rate=0))
    assert (row["artifact"], row["times one file"], row["times F/B"]) == ("tree", "", "")


def test_second_run_counts_from_each_host_s_own_start():
    figures = [{"changed": False}] * 3 + [{"changed": True}]
    late = raced(case="tree", target=2, starts=[0.0, 5.0, 10.0, 15.0], times=[1.0, 6.5, 10.5, 16.0], figures=figures)
    late.received = [70, 0, 0, 0, 70]
    (row,) = cells("again", late)
    assert (row["slowest host, s"], row["median host, s"], row["target"]) == ("1.50", "1.00", "2")
    assert (row["hosts that changed"], row["bytes on all links"]) == ("1", "140")
    assert row["busy cores"] == "0.15"


def test_changed_is_a_share_of_the_artifact():
    race = raced(case="tree", target=1, peers=1, received=[0, 1.25 * MB], figures=[{"bytes_reused": 99 * MB}])
    (row,) = cells("changed", race)
    assert row["on the peer's link, % of F"] == "1.25"
    assert row["bytes_reused, % of F"] == "99.00"


def test_memory_is_that_of_the_largest_processes():
    (row,) = cells("large", raced(case="one file", target=64, peers=1))
    assert (row["RSS seeder, MB"], row["RSS peer, MB"], row["target"], row["MB/s"]) == ("20", "30", "64", "8")


def test_what_was_not_run_is_named_by_its_case():
    race = raced(case="one file of 20 GB", scenario="large", skipped="needs 46 GB of /tmp, there are 7")
    assert report.troubles([race]) == [f"one file of 20 GB, {TITLES['large']}: not run: needs 46 GB of /tmp, there are 7"]
    assert "one file of 20 GB" in report.page([race], {})
