"""Makes the page with tables and pictures from the outcomes of many races."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from . import deploys as playbooks
from . import limits, stamps, svg, targets
from .deploys import Deploy
from .outcome import Figures, Outcome, middle
from .scenarios import TITLES

GROWING = ("eleven", "fifty", "two-hundred")
SHOWN = "eleven"  # the scenario whose course is drawn
SPAN = 3.0  # times F/B that are drawn of it; what takes longer would hide the rest
COLUMNS = (
    "runs", "p50", "p99", "last", "worst last", "seconds", "seeder sent, F", "links carried, F·N", "received twice",
    "CPU s/GB", "CPU s/GB, machine", "RSS seeder, MB", "RSS peer, MB", "others, cores",
)  # fmt: skip

Groups = Mapping[str, Mapping[str, list[Outcome]]]


def grouped(outcomes: Iterable[Outcome]) -> Groups:
    """Return outcomes by scenario and system (or case, where there are several), in the order in which they came."""
    groups: dict[str, dict[str, list[Outcome]]] = defaultdict(lambda: defaultdict(list))
    for outcome in outcomes:
        groups[outcome.scenario][outcome.case or outcome.system].append(outcome)
    return groups


def table(scenario: str, systems: Mapping[str, list[Outcome]]) -> list[list[str]]:
    """Return header and rows of one scenario: the median of each number over the races that went well."""
    if scenario in targets.TABLES:
        return targets.table(scenario, systems)
    rows = [["system", *COLUMNS]]
    for name, outcomes in systems.items():
        runs = [Figures.of(outcome) for outcome in outcomes if outcome.ok]
        if runs:
            rows.append([name, *_cells(runs, len(outcomes), bool(outcomes[0].rate))])
    return rows


def _cells(runs: Sequence[Figures], tried: int, limited: bool) -> list[str]:
    figures = middle(runs)
    ratios = [figures.p50, figures.p99, figures.last, max(run.last for run in runs)]
    return [
        str(tried) if len(runs) == tried else f"{len(runs)} of {tried}",
        *(f"{ratio:.3f}" if limited else "" for ratio in ratios),
        f"{figures.seconds:.2f}",
        _number(figures.seeder, "{:.2f}"),
        _number(figures.carried, "{:.3f}"),
        _number(figures.twice and figures.twice * 100, "{:.2f} %"),
        f"{figures.cpu:.1f}",
        f"{figures.cpu_machine:.1f}",
        f"{figures.rss_origin / 1e6:.0f}",
        f"{figures.rss_peer / 1e6:.0f}",
        f"{figures.noise:.2f}",
    ]


def _number(value: float | None, form: str) -> str:
    return "" if value is None else form.format(value)


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """Return rows, the first of them the header, as a table."""
    ruled = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    return "".join(f"| {' | '.join(row)} |\n" for row in ruled)


def plain(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as a table for a terminal."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    return "".join("  ".join(cell.rjust(width) for cell, width in zip(row, widths)).rstrip() + "\n" for row in rows)


def troubles(outcomes: Iterable[Outcome]) -> list[str]:
    """Return a line for every race that failed or was not run, with the reason."""
    lines = []
    for outcome in outcomes:
        reason = outcome.skipped and f"not run: {outcome.skipped}" or outcome.error and f"failed: {outcome.error}"
        if reason:
            title = TITLES.get(outcome.scenario, outcome.scenario)
            lines.append(f"{outcome.case or outcome.system}, {title}: {' '.join(reason.split())[:300]}")
    return list(dict.fromkeys(lines))


def pictures(outcomes: Sequence[Outcome]) -> dict[str, str]:
    """Return SVG by file name."""
    good = [outcome for outcome in outcomes if outcome.ok]
    groups = grouped(good)
    drawn = {"growth.svg": _growth(groups)}
    if SHOWN in groups:
        first = {name: races[0] for name, races in groups[SHOWN].items()}
        medians = {name: middle([Figures.of(race) for race in races]) for name, races in groups[SHOWN].items()}
        drawn["completion.svg"] = svg.lines(
            f"When each host was done: {TITLES[SHOWN]}",
            "time, F/B",
            "hosts done, %",
            {n: _completion(o) for n, o in first.items()},
        )
        drawn["links.svg"] = svg.lines(
            f"How full the peers' downlinks were: {TITLES[SHOWN]}",
            "time, F/B",
            "% of their rate",
            {n: _use(o) for n, o in first.items()},
        )
        cpu = {name: {"CPU s per GB": figures.cpu} for name, figures in medians.items()}
        drawn["cpu.svg"] = svg.bars(f"CPU time of all processes: {TITLES[SHOWN]}", "CPU seconds per GB delivered", cpu)
        memory = {name: {"seeder": fig.rss_origin / 1e6, "peer": fig.rss_peer / 1e6} for name, fig in medians.items()}
        drawn["memory.svg"] = svg.bars(f"Largest process: {TITLES[SHOWN]}", "peak RSS, MB", memory)
    return drawn


def _growth(groups: Groups) -> str:
    """Draw the last peer's time over the number of peers."""
    series: dict[str, list[svg.Point]] = defaultdict(list)
    for scenario in GROWING:
        for name, races in groups.get(scenario, {}).items():
            series[name].append((races[0].peers, middle([Figures.of(race) for race in races]).last))
    series["limit F/B"] = [(peers, 1.0) for peers in sorted({x for line in series.values() for x, _ in line})]
    return svg.lines("Last host, over the number of hosts", "hosts", "times F/B", series, ratio=True, dots=True)


def _completion(outcome: Outcome) -> list[svg.Point]:
    """Return a staircase: hosts done over time."""
    points, share = [(0.0, 0.0)], 100 / len(outcome.times)
    for number, time in enumerate(sorted(outcome.times)):
        points += [(time / outcome.limit, number * share), (time / outcome.limit, (number + 1) * share)]
    return _begin(points)


def _use(outcome: Outcome) -> list[svg.Point]:
    """Return what part of all peers' downlinks was in use, over time."""
    most = outcome.peers * outcome.rate * 1e6 / 8
    points = []
    for (before, _, had), (now, _, has) in zip(outcome.links, outcome.links[1:]):
        if now > before and before >= 0:
            points.append(((before + now) / 2 / outcome.limit, min(100 * (has - had) / (now - before) / most, 100.0)))
    return _begin(points)


def _begin(points: list[svg.Point]) -> list[svg.Point]:
    """Return the part of a line that is drawn."""
    drawn = [point for point in points if point[0] <= SPAN]
    return drawn if len(drawn) == len(points) else [*drawn, (SPAN, drawn[-1][1])]


def page(
    outcomes: Sequence[Outcome], machine: Mapping[str, str], deploys: Sequence[Deploy] = (), held: Sequence[limits.Held] = ()
) -> str:
    """Return the whole page as Markdown."""
    text = ["# Results\n", "Made by `make bench`; [README.md](README.md) says what the columns mean and how to make it again.\n"]
    text.append(markdown([["", ""], *([name, value] for name, value in machine.items())]))
    for scenario, systems in grouped(outcomes).items():
        text.append(f"## {TITLES[scenario][0].upper()}{TITLES[scenario][1:]}\n")
        text += _measured((race.case or race.system, race) for races in systems.values() for race in races if race.ok)
        text.append(markdown(table(scenario, systems)))
        if scenario == SHOWN:
            text += [f"![{name}]({name})" for name in pictures(outcomes)]
            text.append("")
    if reasons := troubles(outcomes):
        text += ["## Not run, or failed\n", *(f"- {reason}" for reason in reasons), ""]
    if held:
        text.append("## Upload and download limits, 5 peers, 100 Mbit/s\n")
        text += _measured((f"{result.kind}, {result.rate:g} Mbit/s", result) for result in held if not result.error)
        text.append(markdown(limits.rows(held)))
        text += [f"- {result.told()[:300]}" for result in held if result.error]
    if deploys:
        text.append("## Whole playbook runs\n")
        text += _measured((f"{deploy.kind}, {deploy.hosts} hosts", deploy) for deploy in deploys if not deploy.error)
        text += [markdown(playbooks.rows(deploys)), "![deploys.svg](deploys.svg)\n"]
        text += [f"- {line}" for line in playbooks.wins(deploys)]
        text += [f"- {deploy.told()[:300]}" for deploy in deploys if deploy.error]
        text.append("")
    text += ["## Commands\n", "```", *_commands(outcomes, deploys), "```", ""]
    return "\n".join(text)


def _measured(results: Iterable[tuple[str, stamps.Result]]) -> list[str]:
    """Return the line below a table's title: when its rows were measured, with which program; none where nobody knows."""
    told = stamps.told(results)
    return [f"{told}\n"] if told else []


def _commands(outcomes: Iterable[Outcome], deploys: Sequence[Deploy]) -> list[str]:
    """Return what was run, in each scenario by each system (or in each case), where it is not just what was run in one before."""
    shown: dict[str, list[str]] = {}
    for outcome in outcomes:
        head = f"# {outcome.case or outcome.system}: {TITLES.get(outcome.scenario, outcome.scenario)}"
        if outcome.commands and head not in shown and outcome.commands not in shown.values():
            shown[head] = outcome.commands
    return [*(line for head, lines in shown.items() for line in (head, *lines)), *playbooks.commands(deploys)]


def write(
    directory: Path,
    outcomes: Sequence[Outcome],
    machine: Mapping[str, str],
    deploys: Sequence[Deploy] = (),
    held: Sequence[limits.Held] = (),
) -> None:
    """Write the page and its pictures."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "results.md").write_text(page(outcomes, machine, deploys, held))
    drawn = pictures(outcomes) | ({"deploys.svg": playbooks.picture(deploys)} if deploys else {})
    for name, picture in drawn.items():
        (directory / name).write_text(picture)
