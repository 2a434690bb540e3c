# Copyright: (c) the corvus.murder authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Documentation only: the module is the program beside this file, which make build puts there.

from __future__ import annotations

DOCUMENTATION = r"""
module: murder_seed
short_description: Make a torrent of a file or directory and seed it
version_added: 1.0.0
author: the corvus.murder authors (@corvus)
description:
  - Reads a file or a directory tree once, writes its C(.torrent), and starts a daemon that seeds it.
  - A directory is seeded with everything in it, also empty files and directories, symbolic links (as links, wherever
    they point to), hard links, permissions, modification times, and names of any bytes that a filesystem takes, UTF-8 or not.
    A path in it of more than 4095 bytes is refused, for no host could name it.
  - Holes of sparse files are not read, and not sent. At the destination every block of zeros becomes a hole.
  - If the source has changed since the seeder was started, the seeder is replaced.
extends_documentation_fragment:
  - corvus.murder.murder
  - corvus.murder.murder.daemon
  - corvus.murder.murder.reach
  - corvus.murder.murder.attributes
attributes:
  diff_mode:
    description: Will return details on what has changed, when in diff mode.
    support: full
    details: The difference names the state and the infohash.
options:
  state:
    description:
      - With V(started) the source is seeded when the task is done.
      - With V(present) only the C(.torrent) is made, for a seeder elsewhere that has the same source.
      - With V(stopped) it is not seeded. Source and C(.torrent) stay.
      - With V(absent) it is not seeded, and the C(.torrent) is removed. The source always stays.
    type: str
    choices: [started, stopped, present, absent]
    default: started
  src:
    description:
      - File or directory to seed.
      - It is needed with O(state=started) and O(state=present); otherwise O(torrent) does as well.
    type: path
  tracker:
    description:
      - Tracker of the swarm, as V(HOST:PORT) or as an announce URL. It is needed with O(state=started).
    type: str
  torrent:
    description:
      - Path of the C(.torrent). By default it is O(src) with C(.torrent) behind it.
      - Only what this module has made there before, or an empty file, is replaced.
    type: path
  piece_size:
    description:
      - Size of a piece, a power of two, such as V(1M). V(0) chooses by the size of the source.
    type: bytes
    default: 0
  exclude:
    description:
      - Patterns of names in a directory that are left out, such as V(*.tmp).
      - As in C(.gitignore) a pattern with V(/) in it is compared with the path from O(src), V(**) stands for any
        directories, and a pattern that ends with V(/) is for directories only. A directory is left out with everything in it.
    type: list
    elements: str
  special:
    description:
      - What becomes of pipes, sockets and device nodes in a directory, which no torrent can carry.
      - With V(refuse) nothing is seeded, and the message names them.
      - With V(skip) they are left out, and RV(left_out) names them.
    type: str
    choices: [refuse, skip]
    default: refuse
  upload_limit:
    description:
      - Most bytes of the artifact to send in a second, V(64K) or more. V(10M) are 10 MiB, or 84 Mbit; V(0) means no limit.
      - Headers of TCP and Ethernet come on top, about 4.6 percent.
    type: bytes
    default: 0
  idle_timeout:
    description:
      - Seconds without a connected peer after which the seeder ends by itself. With V(0) it never does.
    type: int
    default: 3600
  deploy:
    description:
      - Name of the deploy that comes to use the seeder or, with O(state=stopped) and O(state=absent), goes. As long as
        another one that has come has not gone, the seeder goes on, and the C(.torrent) stays.
      - Without it the seeder is stopped whoever has come.
    type: str
  return_content:
    description:
      - Return the C(.torrent) itself as RV(torrent_content). It has 20 bytes for each piece and about 80 for each file, a third
        more in base64, so V(false) keeps large ones out of results, logs and variables.
      - Peers do not need it where the tracker is M(corvus.murder.murder_tracker), which gets the C(.torrent) from the seeder in
        any case; they take RV(infohash).
    type: bool
    default: true
seealso:
  - module: corvus.murder.murder_tracker
  - module: corvus.murder.murder_peer
"""

EXAMPLES = r"""
- name: Seed a release
  corvus.murder.murder_seed:
    src: /srv/releases/app-2.4.tar
    tracker: tracker.example.com:8998
    token: "{{ vault_murder_token }}"
  register: seed

- name: Have it on all hosts
  corvus.murder.murder_peer:
    infohash: "{{ seed.infohash }}"
    tracker: tracker.example.com:8998
    token: "{{ vault_murder_token }}"
    dest: /opt/app-2.4.tar

- name: Only make the torrent of a directory, without what editors leave
  corvus.murder.murder_seed:
    state: present
    src: /srv/www
    tracker: tracker.example.com:8998
    exclude: ["*~", ".*.swp"]
"""

RETURN = r"""
torrent:
  description: Path of the C(.torrent).
  returned: success
  type: str
  sample: /srv/releases/app-2.4.tar.torrent
torrent_content:
  description: The C(.torrent) itself, in base64; the option O(corvus.murder.murder_peer#module:torrent_content).
  returned: when O(state=started) or O(state=present) and O(return_content=true)
  type: str
  sample: ZDg6YW5ub3VuY2UzMDpodHRwOi8v...
infohash:
  description: What identifies the torrent.
  returned: when O(state=started) or O(state=present)
  type: str
  sample: 5d1a1a8b1c8f4d0e9b3c6a7f2e4d5c6b7a8f9e0d
size:
  description: Bytes of the source.
  returned: when O(state=started) or O(state=present)
  type: int
  sample: 209715200
piece_size:
  description: Bytes of a piece.
  returned: when O(state=started) or O(state=present)
  type: int
  sample: 262144
pieces:
  description: How many pieces there are.
  returned: when O(state=started) or O(state=present)
  type: int
  sample: 800
files:
  description: How many files there are.
  returned: when O(state=started) or O(state=present)
  type: int
  sample: 1
left_out:
  description: Paths below O(src) of pipes, sockets and device nodes that were left out.
  returned: when O(state=started) or O(state=present)
  type: list
  elements: str
  sample: [run/app.sock]
port:
  description: Port that the seeder listens on, V(0) if there is none.
  returned: success
  type: int
  sample: 10000
pid:
  description: Process that is the seeder, V(0) if there is none.
  returned: success
  type: int
  sample: 4712
state:
  description: V(started), V(present), V(stopped) or V(absent).
  returned: success
  type: str
  sample: started
"""
