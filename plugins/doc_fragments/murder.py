# Copyright: (c) the corvus.murder authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the documentation of the modules has in common."""

from __future__ import annotations


class ModuleDocFragment:
    # Options and notes of every module.
    DOCUMENTATION = r"""
options:
  state_dir:
    description:
      - Directory in which daemons keep their state, their sockets and their locks. It is made if need be.
      - By default it is C(/var/lib/murder) for root, for other users C($XDG_STATE_HOME/murder) or C(~/.local/state/murder).
    type: path
notes:
  - The module is a static program for Linux on x86_64 and aarch64. It needs no Python on the host.
  - The first task on a host brings the program there, about 3 MB, and keeps it in C(~/.cache/corvus.murder) (below
    E(XDG_CACHE_HOME) if that is set, or in C(/var/tmp/corvus.murder-UID) where the home directory cannot be used). It is
    verified by its SHA-256 before every use.
  - Set the variable C(murder_program) to the path of a program that is installed on the host, for instance by a package,
    to have that one called and nothing sent.
  - An option that is given empty text is refused, for a path would be the working directory then. A variable that may be empty
    is left out by V({{ variable | default(omit, true\) }}).
  - Daemons need no service manager. They end by themselves when their work is over or when nobody has used them for long.
"""

    # Options of the modules that start a daemon.
    DAEMON = r"""
options:
  log_file:
    description:
      - File that the daemon appends its log to.
      - By default the log is a file in O(state_dir) that goes when the daemon ends without an error.
    type: path
  profile:
    description:
      - Directory on the host, which exists, that the daemon writes two profiles of itself to when it ends, named after
        the daemon, the time and its process id.
      - C(*.cpu.pprof) says what it spent CPU time on, C(*.heap.pprof) what its memory is used for; C(go tool pprof) reads them.
      - A daemon that is killed writes none.
    type: path
  token:
    description:
      - Secret of the swarm. A tracker that was started with it lets nobody into a swarm who does not know it.
        It shows others names, hosts and progress only.
      - It appears in no output, log or process list.
    type: str
"""

    # Options of the daemons that other peers connect to.
    REACH = r"""
options:
  ip:
    description:
      - Address that other peers use for this host.
      - By default it is the address that the tracker sees this host come from.
    type: str
  port_range:
    description:
      - TCP ports to choose a free one from, as V(FIRST-LAST).
    type: str
    default: 10000-10500
"""

    ATTRIBUTES = r"""
options: {}
attributes:
  action_group:
    description: Use C(group/corvus.murder.murder) in C(module_defaults) to set defaults for all modules of the collection.
    support: full
    membership:
      - corvus.murder.murder
  check_mode:
    description: Can run in C(check_mode) and return changed status prediction without modifying the host.
    support: full
  async:
    description: Supports being used with the C(async) keyword.
    support: full
  platform:
    description: Operating systems that the module can be run on.
    support: full
    platforms: linux
"""
