"""Numbers from outcomes, tables from numbers."""

from __future__ import annotations

import pytest

from bench import outcome, report
from bench.deploys import Deploy
from bench.outcome import Figures, middle, percentile
from bench.report import table
from bench.samples import raced
from bench.scenarios import TITLES


@pytest.mark.parametrize(("share", "expected"), [(0, 1), (50, 5), (51, 6), (90, 9), (99, 10), (100, 10)])
def test_percentile_is_a_value_that_occurred(share, expected):
    assert percentile([10, 9, 8, 7, 6, 5, 4, 3, 2, 1], share) == expected


def test_percentile_of_one():
    assert percentile([3.5], 99) == 3.5


def test_figures():
    figures = Figures.of(raced())
    assert figures.seconds == 12.0
    assert (figures.p50, figures.p99, figures.last) == (1.05, 1.2, 1.2)
    assert figures.seeder == 1.1
    assert figures.carried == pytest.approx(1.01)
    assert figures.twice == pytest.approx(0.005)
    assert figures.cpu == pytest.approx(5.0)
    assert figures.cpu_machine == pytest.approx(6.0)
    assert figures.noise == pytest.approx(0.1)


def test_staggered_race_counts_from_the_last_start():
    figures = Figures.of(raced(starts=[0.0, 1.0, 2.0, 4.0], times=[3.0, 11.0, 12.0, 14.0]))
    assert figures.seconds == 10.0
    assert figures.last == 1.0


def test_slow_peer_is_left_out_of_the_times():
    figures = Figures.of(raced(times=[10.5, 11.0, 95.0, 10.0], slowed=[2]))
    assert figures.last == pytest.approx(1.1)
    figures = Figures.of(raced(times=[10.5, 95.0, 95.0, 10.0], slowed=[1, 2]))
    assert figures.last == pytest.approx(1.05)


def test_race_without_links_has_no_bytes_of_them():
    figures = Figures.of(raced(rate=0))
    assert figures.seeder is None
    assert figures.carried is None


def test_middle_is_the_median_of_each_number():
    runs = [Figures.of(raced(times=[end] * 4, figures=[])) for end in (30.0, 10.0, 20.0)]
    assert middle(runs).seconds == 20.0
    assert middle(runs).twice is None


def test_outcomes_survive_the_disk():
    outcomes = [raced(), raced("chain", error="no")]
    again = outcome.load(outcome.dump(outcomes))
    assert outcome.dump(again) == outcome.dump(outcomes)
    assert [entry.ok for entry in again] == [True, False]


def test_table_shows_medians_and_how_many_went_well():
    rows = table("eleven", {"murder": [raced(), raced(error="stalled")], "rsync": [raced("rsync", skipped="not installed")]})
    assert len(rows) == 2
    cells = dict(zip(rows[0], rows[1]))
    assert cells["system"] == "murder"
    assert cells["runs"] == "1 of 2"
    assert cells["last"] == "1.200"
    assert cells["received twice"] == "0.50 %"


def test_every_trouble_is_named_once():
    outcomes = [
        raced(),
        raced("rsync", skipped="not installed"),
        raced("chain", error="broke\nin two"),
        raced("chain", error="broke\nin two"),
    ]
    first, second = report.troubles(outcomes)
    assert first.startswith("rsync")
    assert "not run: not installed" in first
    assert "failed: broke in two" in second


def test_page_has_everybody():
    outcomes = [raced(commands=["origin: murder_seed"]), raced("libtorrent"), raced("udpcast", error="lost")]
    page = report.page(outcomes, {"kernel": "Linux"})
    for text in ("| murder | 1 |", "| libtorrent | 1 |", "udpcast, 11 peers", "origin: murder_seed", "| kernel | Linux |"):
        assert text in page
    assert "| udpcast |" not in page


def test_page_has_every_command_once():
    """Also of scenarios that are not drawn, and of playbook runs."""
    outcomes = [
        *(raced(scenario=name, commands=["origin: seed"]) for name in ("eleven", "fifty")),
        raced(scenario="pair", commands=["origin: seed --alone"]),
        raced("chain", scenario="pair", commands=["origin: relay"]),
    ]
    page = report.page(outcomes, {}, [Deploy("copy", 2, 1, 5.0, command="ansible-playbook copy.yml")])
    commands = page.partition("## Commands")[2].splitlines()
    assert [line for line in commands if line.strip("`")] == [
        f"# murder: {TITLES['eleven']}",
        "origin: seed",
        f"# murder: {TITLES['pair']}",
        "origin: seed --alone",
        f"# chain: {TITLES['pair']}",
        "origin: relay",
        "# copy",
        "controller: ansible-playbook copy.yml",
    ]


def test_table_for_a_terminal_is_aligned():
    assert report.plain([["a", "long header"], ["value", "1"]]) == "    a  long header\nvalue            1\n"
