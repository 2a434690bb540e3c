"""The benchmark's command line: one race by hand, the quick look, everything, and the report of what was measured."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from fleet.fleet import unavailable

from . import contents, limits, machine, outcome, report, scenarios, stamps
from . import deploys as playbooks
from .outcome import Figures, Outcome
from .race import Stall, race
from .rig import Layout, Rig
from .systems import systems
from .systems.base import CHECKOUT
from .systems.murder import Murder

UNITS = {"k": 1e3, "M": 1e6, "G": 1e9}
RESULTS = CHECKOUT / "docs" / "benchmarks"


def main(argv: list[str] | None = None) -> int:
    options = _parser().parse_args(argv)
    if options.rig:
        why = unavailable()
        if why:
            print(f"bench: {why}", file=sys.stderr)
            return 1
        _hide_mounts()
    # The end of everything that was begun is in finally blocks and contexts.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        return options.act(options)
    except KeyboardInterrupt:
        print("bench: interrupted", file=sys.stderr)
        return 130


def _hide_mounts() -> None:
    """Go on in a mount namespace of our own, so that what is mounted vanishes with us even if we are killed."""
    if os.environ.get("MURDER_BENCH_MOUNTS") != "own":
        argv = ["unshare", "--mount", "--propagation=private", sys.executable, *sys.argv]
        os.execvpe(argv[0], argv, os.environ | {"MURDER_BENCH_MOUNTS": "own"})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench", description="measure corvus.murder and its rivals on one machine (root)")
    actions = parser.add_subparsers(required=True, metavar="run|deploy|quick|full|report")
    run = actions.add_parser("run", help="one system, one scenario; prints the numbers")
    run.add_argument("--system", default="murder", choices=list(systems()))
    run.add_argument("--peers", type=int, default=11)
    run.add_argument("--rate", type=float, default=100, help="Mbit/s of every link, each way; 0: one pair over loopback")
    run.add_argument("--size", type=_size, default="112M", help="of the artifact: 112M")
    run.add_argument("--stagger", type=float, default=0, help="seconds over which the peers start")
    run.add_argument("--slow", type=float, default=0, help="Mbit/s of the link of the peer in the middle")
    run.add_argument("--slows", type=int, default=1, help="so many peers with such a link, at equal distances")
    run.add_argument("--stalls", type=int, default=0, help="so many peers stand still for a while, one after the other")
    run.add_argument("--stall", type=float, default=2, help="seconds for which each of them does")
    run.add_argument("--delay", type=float, default=0, help="milliseconds that the first peer's round trips take")
    run.add_argument("--files", type=int, default=1, help="so many files of together that size (murder only, as what follows)")
    there = run.add_mutually_exclusive_group()
    over = "onto another file of the same size (this one for all systems)"
    there.add_argument("--over", dest="prepare", action="store_const", const=contents.other, help=over)
    changed = "onto an older version, in which 1 %% differs"
    there.add_argument("--changed", dest="prepare", action="store_const", const=contents.older, help=changed)
    again = "onto the same, which every peer knows already: a second run"
    there.add_argument("--again", dest="prepare", action="store_const", const=contents.known, help=again)
    run.add_argument("--verify", choices=["quick", "full"], help="the option of murder_peer")
    run.add_argument("--disk", action="store_true", help="files on disk instead of in memory")
    run.add_argument("--repeat", type=int, default=1)
    run.add_argument("--program", type=Path, help="the murder to measure, if not the built one")
    run.add_argument("--profile", type=Path, help="directory for profiles of all our daemons (go tool pprof reads them)")
    run.add_argument("--json", type=Path, help="write the outcomes there")
    run.set_defaults(act=_run, rig=True)

    deploy = actions.add_parser("deploy", help="whole playbook runs on ssh hosts")
    deploy.add_argument("--hosts", type=int, nargs="+", default=[11])
    deploy.add_argument("--size", type=_size, nargs="+", default=[_size("56M")])
    deploy.add_argument("--files", type=int, default=1, help="so many files of together that size")
    kinds = (*playbooks.KINDS, playbooks.UNCHANGED)
    deploy.add_argument("--kind", nargs="+", default=playbooks.KINDS, choices=kinds)
    deploy.add_argument("--repeat", type=int, default=1)
    deploy.set_defaults(act=_deploy, rig=True)

    limit = actions.add_parser("limits", help="upload and download limits, on the wire")
    limit.add_argument("--rate", type=float, nargs="+", default=(), help="Mbit/s: only these limits")
    limit.add_argument("--program", type=Path, help="the murder to measure, if not the built one")
    limit.set_defaults(act=_limits, rig=True)

    quick = actions.add_parser("quick", help="11 peers with ours, a chain and libtorrent, and a pair with ours; once")
    quick.set_defaults(act=_quick, rig=True)

    full = actions.add_parser("full", help="every scenario with every system, and the report")
    full.add_argument(
        "--only", nargs="+", choices=[*scenarios.TITLES, "limits", "deploys"], help="only these; the other results stay"
    )
    full.add_argument("--repeat", type=int, help="races of each system, instead of as many as the scenario has")
    full.add_argument("--directory", type=Path, default=RESULTS)
    full.set_defaults(act=_full, rig=True)

    again = actions.add_parser("report", help="make the report again from the results on disk")
    again.add_argument("--directory", type=Path, default=RESULTS)
    again.set_defaults(act=lambda options: _report(options.directory) or 0, rig=False)
    return parser


def _size(text: str) -> int:
    """Return bytes: 112M are 112,000,000."""
    return int(float(text.rstrip("kMG")) * UNITS.get(text[-1], 1))


def _run(options: argparse.Namespace) -> int:
    known = systems(options.program and options.program.resolve(), options.profile and options.profile.resolve())
    system = known[options.system]
    if why := system.missing():
        print(f"bench: {system.name}: {why}", file=sys.stderr)
        return 1
    if isinstance(system, Murder):
        system = system.having(**{"verify": options.verify} if options.verify else {})
    elif options.verify or options.prepare not in (None, contents.other):
        print(f"bench: --changed, --again and --verify are murder's, not for {system.name}", file=sys.stderr)
        return 2
    if options.files > 1 and not system.trees:
        print(f"bench: {system.name} has only whole files", file=sys.stderr)
        return 2
    peers = options.peers if options.rate else 1
    layout = Layout(peers, options.rate, options.slow, options.slows, options.delay, memory=not options.disk)
    case = contents.Case(options.files, options.size // options.files, prepare=options.prepare)
    outcomes, program = [], str(options.program or stamps.checkout())
    with Rig.up(layout) as rig:
        artifact = case.make(rig.directory / "artifact")
        stalls = Stall.spread(peers, options.stalls, options.stall, layout.limit(options.size))
        for _ in range(options.repeat):
            result = race(rig, system, artifact, "by hand", options.stagger, case.prepare, stalls=stalls)
            outcomes.append(stamps.stamped(result, program))
            print(told(outcomes[-1]), flush=True)
    if options.json:
        options.json.write_text(outcome.dump(outcomes))
    return 0 if all(outcome.ok for outcome in outcomes) else 1


def told(outcome: Outcome) -> str:
    """Return an outcome in words, one line of them if all went well."""
    where = f"{outcome.peers} peers, {outcome.rate:g} Mbit/s, {outcome.size / 1e6:g} MB (F/B {outcome.limit:.2f} s)"
    title = f"{outcome.system}, {where}{f', {outcome.case}' if outcome.case else ''}: "
    if not outcome.ok:
        return f"{title}{'; '.join(report.troubles([outcome]))}\n{outcome.error}"
    figures = Figures.of(outcome)
    parts = [f"last {figures.seconds:.2f} s"]
    if outcome.rate:
        parts.append(f"times F/B p50 {figures.p50:.3f} p99 {figures.p99:.3f} last {figures.last:.3f}")
        parts.append(f"seeder sent {figures.seeder:.2f} F, links carried {figures.carried:.3f} F*N")
    if figures.twice is not None:
        parts.append(f"twice {100 * figures.twice:.2f} %")
    parts.append(f"CPU {figures.cpu:.1f} s/GB (machine {figures.cpu_machine:.1f}; others had {figures.noise:.2f} cores)")
    parts.append(f"RSS seeder {figures.rss_origin / 1e6:.0f} MB, peer {figures.rss_peer / 1e6:.0f} MB")
    return title + "; ".join(parts)


def _deploy(options: argparse.Namespace) -> int:
    done = []
    for deploy in playbooks.run(playbooks.Plan(options.kind, options.hosts, options.size, options.repeat, options.files)):
        done.append(deploy)
        print(deploy.told(), flush=True)
    print(report.plain(playbooks.rows(done)), end="")
    return 0 if not any(deploy.error for deploy in done) else 1


def _limits(options: argparse.Namespace) -> int:
    held = []
    for result in limits.run(options.program and options.program.resolve(), rates=options.rate):
        held.append(result)
        print(result.told(), flush=True)
    print(report.plain(limits.rows(held)), end="")
    return 1 if any(result.error for result in held) else 0


def _race_all(wanted: Iterable[scenarios.Scenario], program: str) -> list[Outcome]:
    known, outcomes = systems(), []
    for scenario in wanted:
        print(f"\n{scenario.title}", flush=True)
        for result in scenario.run(known):
            outcomes.append(stamps.stamped(result, program))
            print(told(result), flush=True)
        print(report.plain(report.table(scenario.name, report.grouped(outcomes)[scenario.name])), end="")
    return outcomes


def _quick(_options: argparse.Namespace) -> int:
    began = time.monotonic()
    outcomes = _race_all(scenarios.QUICK, stamps.checkout())
    print(f"\n{time.monotonic() - began:.0f} s; times are from one run each, make bench repeats them")
    return 1 if any(outcome.error for outcome in outcomes) else 0


def _full(options: argparse.Namespace) -> int:
    """Measure, and keep after each scenario what there is; a scenario that is measured again replaces its results."""
    directory, failed, program = options.directory, False, stamps.checkout()
    directory.mkdir(parents=True, exist_ok=True)
    about = machine.describe(systems().values())
    (directory / "machine.json").write_text(json.dumps(about, indent=1) + "\n")
    for scenario in scenarios.FULL:
        if options.only and scenario.name not in options.only:
            continue
        new = _race_all([dataclasses.replace(scenario, repeat=options.repeat or scenario.repeat)], program)
        failed |= any(outcome.system == "murder" and outcome.error for outcome in new)
        kept = [old for old in _results(directory) if old.scenario != scenario.name]
        order = list(scenarios.TITLES)
        kept = sorted(kept + new, key=lambda result: order.index(result.scenario))
        (directory / "results.json").write_text(outcome.dump(kept))
        _report(directory)
    if not options.only or "limits" in options.only:
        held = [stamps.stamped(result, program) for result in limits.run()]
        failed |= any(result.error for result in held)
        (directory / "limits.json").write_text(limits.dump(held))
        print(report.plain(limits.rows(held)), end="", flush=True)
        _report(directory)
    if not options.only or "deploys" in options.only:
        done = []
        for deploy in playbooks.run(playbooks.HEADLINE, playbooks.CROSSOVER):
            done.append(stamps.stamped(deploy, program))
            print(deploy.told(), flush=True)
        failed |= any(deploy.error and deploy.kind in (playbooks.MURDER, playbooks.AGAIN) for deploy in done)
        (directory / "deploys.json").write_text(playbooks.dump(done))
        _report(directory)
    return 1 if failed else 0


def _results(directory: Path) -> list[Outcome]:
    path = directory / "results.json"
    return outcome.load(path.read_text()) if path.exists() else []


def _report(directory: Path) -> None:
    """Write the page and the pictures from the results that are in this directory."""
    about = json.loads((directory / "machine.json").read_text())
    path = directory / "deploys.json"
    done = playbooks.load(path.read_text()) if path.exists() else []
    path = directory / "limits.json"
    held = limits.load(path.read_text()) if path.exists() else []
    report.write(directory, _results(directory), about, done, held)
