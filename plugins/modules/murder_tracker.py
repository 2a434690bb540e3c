# Copyright: (c) the corvus.murder authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Documentation only: the module is the program beside this file, which make build puts there.

from __future__ import annotations

DOCUMENTATION = r"""
module: murder_tracker
short_description: Run the BitTorrent tracker of a deploy
version_added: 1.0.0
author: the corvus.murder authors (@corvus)
description:
  - Starts a tracker as a daemon, or stops it. The tracker tells the peers of a swarm about each other, and who of them
    should fetch what from whom.
  - It serves only torrents that a seeder of M(corvus.murder.murder_seed) has registered.
  - It keeps the C(.torrent) of these in O(state_dir), compressed, 1 GiB of them at most, and gives it to peers that know
    O(token).
  - There is one tracker for each port. Starting one that runs already with the same options changes nothing.
extends_documentation_fragment:
  - corvus.murder.murder
  - corvus.murder.murder.daemon
  - corvus.murder.murder.attributes
attributes:
  diff_mode:
    description: Will return details on what has changed, when in diff mode.
    support: full
    details: The difference names the state.
options:
  state:
    description:
      - With V(started) the tracker runs and serves when the task is done.
      - With V(stopped) it does not run. Its state is removed.
    type: str
    choices: [started, stopped]
    default: started
  listen:
    description: IP address to listen on.
    type: str
    default: 0.0.0.0
  port:
    description: TCP port to listen on.
    type: int
    default: 8998
  address:
    description:
      - Host name or IP address that the peers use for the tracker.
      - By default O(listen) if that is one address, else the first address of the host that is not a loopback address.
    type: str
  allow:
    description:
      - Networks that may ask the tracker, such as V(192.0.2.0/24). By default everybody may.
    type: list
    elements: str
  idle_timeout:
    description:
      - Seconds without an announce after which the tracker ends by itself. With V(0) it never does.
    type: int
    default: 3600
  expect:
    description:
      - How many peers will come, for the status page and for a good topology from the start. V(0) means unknown.
      - When the tracker runs already, it holds for torrents that are registered from then on.
    type: int
    default: 0
  deploy:
    description:
      - Name of the deploy that comes to use the tracker or, with O(state=stopped), goes. As long as another one that has come
        has not gone, the tracker goes on, also while that one's seeder is still hashing; it then waits an hour for its torrent.
      - Without it O(state=stopped) stops the tracker whoever has come.
    type: str
  infohash:
    description:
      - With O(state=stopped), the torrent that is over. A tracker that other torrents still use goes on then, and ends by itself
        O(idle_timeout) seconds after the last of them.
    type: str
seealso:
  - module: corvus.murder.murder_seed
  - module: corvus.murder.murder_peer
"""

EXAMPLES = r"""
- name: Run a tracker for the hosts of one network
  corvus.murder.murder_tracker:
    allow: 192.0.2.0/24
    token: "{{ vault_murder_token }}"
  register: tracker

- name: Show where to look at the swarm
  ansible.builtin.debug:
    var: tracker.status_url

- name: Stop the tracker
  corvus.murder.murder_tracker:
    state: stopped
"""

RETURN = r"""
announce_url:
  description: What peers announce themselves to; the option O(corvus.murder.murder_seed#module:tracker).
  returned: when O(state=started)
  type: str
  sample: http://192.0.2.7:8998/announce
status_url:
  description:
    - Where the tracker tells who is in the swarm, as JSON. The page for people is at C(/).
    - Infohashes are in it only for who sends the O(token) as bearer token or as C(?token=TOKEN).
  returned: when O(state=started)
  type: str
  sample: http://192.0.2.7:8998/status.json
port:
  description: The port that the tracker listens on.
  returned: success
  type: int
  sample: 8998
pid:
  description: Process that is the tracker, V(0) if there is none.
  returned: success
  type: int
  sample: 4711
state:
  description: V(started) or V(stopped).
  returned: success
  type: str
  sample: started
"""
