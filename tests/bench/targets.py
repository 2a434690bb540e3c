"""The tables of the scenarios in contents.py: a row for each artifact, with the target beside what was reached."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence

from .outcome import Outcome

Races = Mapping[str, Sequence[Outcome]]  # by case
Cell = Callable[[Sequence[Outcome], Races], str]  # of the races of one case that went well, among those of all cases


def table(name: str, races: Races) -> list[list[str]]:
    """Return header and rows of the scenario with this name, of every case with a race that went well."""
    columns = TABLES[name]
    rows = [["artifact", "runs", *columns]]
    for case, outcomes in races.items():
        if good := _good(outcomes):
            count = str(len(outcomes)) if len(good) == len(outcomes) else f"{len(good)} of {len(outcomes)}"
            rows.append([case, count, *(cell(good, races) for cell in columns.values())])
    return rows


def _good(outcomes: Sequence[Outcome]) -> list[Outcome]:
    return [outcome for outcome in outcomes if outcome.ok]


def _median(form: str, number: Callable[[Outcome], float]) -> Cell:
    return lambda good, _: form.format(statistics.median(map(number, good)))


def _took(outcome: Outcome) -> list[float]:
    """Return the seconds of each host, from its own start."""
    return [end - start for start, end in zip(outcome.starts, outcome.times)]


def _last(outcome: Outcome) -> float:
    return max(_took(outcome))


def _slower(good: Sequence[Outcome], races: Races) -> str:
    """Return how often the time of one file goes into that of many with as many bytes, by the same system."""
    others = (outcome for outcomes in races.values() for outcome in _good(outcomes) if outcome.system == good[0].system)
    files = [_last(outcome) for outcome in others if outcome.files == 1 and outcome.size == good[0].size]
    if good[0].files == 1 or not files:
        return ""
    return f"{statistics.median(map(_last, good)) / statistics.median(files):.2f}"


def _of_limit(good: Sequence[Outcome], _: Races) -> str:
    return f"{statistics.median(map(_last, good)) / good[0].limit:.2f}" if good[0].rate else ""


def _target(good: Sequence[Outcome], _: Races) -> str:
    return "" if good[0].target is None else f"{good[0].target:g}"


def _share(name: str) -> Callable[[Outcome], float]:
    """Return what gives a number that murder_peer returns, in percent of the artifact."""
    return lambda outcome: 100 * sum(peer[name] for peer in outcome.figures) / (outcome.peers * outcome.size)


LAST = _median("{:.2f}", _last)
READY = _median("{:.2f}", lambda outcome: outcome.served)
BUSY = _median("{:.2f}", lambda outcome: outcome.cpu["machine"] / max(outcome.times))
SEEDER = _median("{:.0f}", lambda outcome: outcome.memory["origin"] / 1e6)
PEER = _median("{:.0f}", lambda outcome: outcome.memory["peer"] / 1e6)
TREE: dict[str, Cell] = {
    "seeder ready, s": READY,
    "last peer, s": LAST,
    "times one file": _slower,
    "target": _target,
    "times F/B": _of_limit,
    "CPU s per peer": _median("{:.1f}", lambda outcome: outcome.cpu["peers"] / outcome.peers),
    "busy cores": BUSY,
    "RSS seeder, MB": SEEDER,
    "RSS peer, MB": PEER,
}
AGAIN: dict[str, Cell] = {
    "slowest host, s": LAST,
    "target": _target,
    "median host, s": _median("{:.2f}", lambda outcome: statistics.median(_took(outcome))),
    "CPU s per host": _median("{:.2f}", lambda outcome: outcome.cpu["peers"] / outcome.peers),
    "busy cores": BUSY,
    "hosts that changed": _median("{:g}", lambda outcome: sum(peer["changed"] for peer in outcome.figures)),
    "bytes on all links": _median("{:g}", lambda outcome: sum(outcome.received)),
}
TABLES: dict[str, dict[str, Cell]] = {
    "tree": TREE,
    "tree-three": TREE,
    "tree-links": TREE,
    "tree-eleven": TREE,
    "again": AGAIN,
    "again-many": AGAIN,
    "changed": {
        "on the peer's link, % of F": _median("{:.2f}", lambda outcome: 100 * outcome.received[1] / outcome.size),
        "target": _target,
        "bytes_reused, % of F": _median("{:.2f}", _share("bytes_reused")),
        "seeder ready, s": READY,
        "peer, s": LAST,
    },
    "large": {
        "RSS seeder, MB": SEEDER,
        "RSS peer, MB": PEER,
        "target": _target,
        "peer, s": LAST,
        "MB/s": _median("{:.0f}", lambda outcome: outcome.size / 1e6 / _last(outcome)),
        "CPU s/GB": _median("{:.1f}", lambda outcome: (outcome.cpu["origin"] + outcome.cpu["peers"]) / outcome.size * 1e9),
    },
}
