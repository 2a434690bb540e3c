"""What a deploy leaves on a host: processes, firewall rules, files."""

from __future__ import annotations

import re
from dataclasses import dataclass

from fleet import Host
from fleet.process import wait_until

# What Ansible and our action plugins keep on purpose (the program, once per version, and Ansible's own directories), the
# records by which peers know what they have put in place, the secret that the deploy keeps on the controller
# (murder_token_file), and where the tests keep their inventories.
KEPT = re.compile(
    r"""/etc/ansible/.* | /(root|home/operator)/(
        \.cache | \.cache/corvus\.murder | \.cache/corvus\.murder/[0-9a-f]{64} | \.cache/corvus\.murder/[0-9a-f]{64}/murder
      | \.local | \.local/state
      | \.ansible | \.ansible/tmp | \.ansible/cp(/.*)? | \.ansible/galaxy_.*
      | \.ansible/corvus\.murder\.token | \.local/state/murder(/placed(/[0-9a-f]{16}\.json)?)?
    ) | /var/lib/murder(/placed(/[0-9a-f]{16}\.json)?)?""",
    re.VERBOSE,
)


@dataclass(frozen=True)
class Trace:
    """A host as it was before a deploy."""

    host: Host
    files: frozenset[str]
    rules: tuple[str, ...]

    @classmethod
    def of(cls, host: Host) -> Trace:
        return cls(host, frozenset(host.written()), tuple(host.rules()))

    def new_files(self) -> set[str]:
        """Return what was written since, the kept things excepted."""
        return {path for path in set(self.host.written()) - self.files if not KEPT.fullmatch(path)}


def murders(host: Host) -> list[str]:
    """Return the command lines of our processes on this host."""
    return [line for line in host.processes().values() if re.search(r"\bmurder_(tracker|seed|peer)\b", line)]


def assert_nothing_left(traces: list[Trace], *artifacts: str, seconds: float = 30) -> None:
    """Check that after the seed time nothing is left of a deploy but the artifacts (and what is below them)."""
    for trace in traces:
        wait_until(lambda trace=trace: not murders(trace.host), f"our processes on {trace.host.name} to end", seconds)
    wanted = tuple(artifact + "/" for artifact in artifacts)
    left = {trace.host.name: sorted(p for p in trace.new_files() if not f"{p}/".startswith(wanted)) for trace in traces}
    assert not any(left.values()), left
    for trace in traces:
        assert tuple(trace.host.rules()) == trace.rules, trace.host.name
