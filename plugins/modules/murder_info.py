# Copyright: (c) the corvus.murder authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Documentation only: the module is the program beside this file, which make build puts there.

from __future__ import annotations

DOCUMENTATION = r"""
module: murder_info
short_description: Tell what runs on a host and what has been deployed to it
version_added: 1.0.0
author: the corvus.murder authors (@corvus)
description:
  - Asks the daemons of M(corvus.murder.murder_tracker), M(corvus.murder.murder_seed) and M(corvus.murder.murder_peer) on a
    host how they are doing, and reads what is remembered of artifacts that were put in place. It changes nothing.
  - It sees what belongs to one user and one O(state_dir). With C(become) it sees what root runs.
  - A daemon that runs and does not answer is told of in a warning. One that is just starting or ending is left out.
extends_documentation_fragment:
  - corvus.murder.murder
  - corvus.murder.murder.attributes
attributes:
  diff_mode:
    description: Will return details on what has changed, when in diff mode.
    support: N/A
    details: The module changes nothing.
options:
  dest:
    description:
      - Tells only of the peers and deploys of this destination. By default of all.
      - With a slash at its end, also of those that are right below that directory.
    type: path
seealso:
  - module: corvus.murder.murder_tracker
  - module: corvus.murder.murder_seed
  - module: corvus.murder.murder_peer
"""

EXAMPLES = r"""
- name: See what is going on
  corvus.murder.murder_info:
  register: murder

- name: Show how far the downloads are
  ansible.builtin.debug:
    msg: "{{ item.dest }}: {{ item.state }}, {{ item.progress }} %"
  loop: "{{ murder.peers }}"
  loop_control:
    label: "{{ item.name }}"

- name: Fail where another release than the wanted one was deployed
  ansible.builtin.assert:
    that: murder.deploys | selectattr('dest', 'eq', '/opt/app-2.4.tar') | map(attribute='infohash') | list == [seed.infohash]
  vars:
    seed: "{{ hostvars['build1.example.com'].seed }}"

- name: See whether anything is still being written to one destination
  corvus.murder.murder_info:
    dest: /opt/app-2.4.tar
  register: app
  failed_when: app.peers | rejectattr('state', 'eq', 'seeding') | length > 0
"""

RETURN = r"""
state_dir:
  description: The state directory that was looked into.
  returned: success
  type: str
  sample: /var/lib/murder
trackers:
  description: The trackers that run, by port.
  returned: success
  type: list
  elements: dict
  contains:
    pid:
      description: Its process.
      type: int
      sample: 4711
    listen:
      description: Address that it listens on.
      type: str
      sample: 0.0.0.0
    port:
      description: Port that it listens on.
      type: int
      sample: 8998
    announce_url:
      description: What peers announce themselves to.
      type: str
      sample: http://192.0.2.7:8998/announce
    status_url:
      description: Where it tells who is in the swarm, as JSON.
      type: str
      sample: http://192.0.2.7:8998/status.json
    allow:
      description: Networks that may ask it, an empty list if everybody may.
      type: list
      elements: str
      sample: [192.0.2.0/24]
    idle_timeout:
      description: Seconds without an announce after which it ends by itself, V(0) if it never does.
      type: int
      sample: 3600
    expect:
      description: How many peers it was told will come, V(0) if it was not.
      type: int
      sample: 50
    log_file:
      description: File that it logs to, empty if that is in O(state_dir).
      type: str
      sample: ""
    torrents:
      description: The torrents that seeders have registered, the newest first.
      type: list
      elements: dict
      contains:
        infohash:
          description: What identifies the torrent.
          type: str
          sample: 5d1a1a8b1c8f4d0e9b3c6a7f2e4d5c6b7a8f9e0d
        name:
          description: Name of the artifact.
          type: str
          sample: app-2.4.tar
        size:
          description: Bytes of the artifact.
          type: int
          sample: 209715200
        seeders:
          description: How many have all of it.
          type: int
          sample: 1
        leechers:
          description: How many have not.
          type: int
          sample: 49
        completed:
          description: How many peers have completed it since it was registered, or came with all of it.
          type: int
          sample: 0
        withdrawn:
          description: Why it was withdrawn, empty if it was not.
          type: str
          sample: ""
seeders:
  description: The seeders that run.
  returned: success
  type: list
  elements: dict
  contains:
    <<: &daemon
      pid:
        description: Its process.
        type: int
        sample: 4712
      infohash:
        description: What identifies the torrent.
        type: str
        sample: 5d1a1a8b1c8f4d0e9b3c6a7f2e4d5c6b7a8f9e0d
      name:
        description: Name of the artifact.
        type: str
        sample: app-2.4.tar
      size:
        description: Bytes of the artifact.
        type: int
        sample: 209715200
      tracker:
        description: The tracker that it announces itself to.
        type: str
        sample: http://192.0.2.7:8998/announce
      tracker_error:
        description: Why the last announce failed, empty if it did not.
        type: str
        sample: ""
      ip:
        description: Address that it announces, empty if the tracker finds it out.
        type: str
        sample: ""
      port:
        description: Port that it listens on.
        type: int
        sample: 10000
      port_range:
        description: The ports that it could choose from.
        type: str
        sample: 10000-10500
      upload_limit:
        description: Most bytes a second that it sends, V(0) for no limit.
        type: int
        sample: 0
      bytes_uploaded:
        description: Bytes that it has sent to the peers that are connected.
        type: int
        sample: 19398656
      connections:
        description: How many peers are connected.
        type: int
        sample: 12
      log_file:
        description: File that it logs to, empty if that is in O(state_dir).
        type: str
        sample: ""
    state:
      description: V(seeding).
      type: str
      sample: seeding
    torrent:
      description: Path of the C(.torrent).
      type: str
      sample: /srv/releases/app-2.4.tar.torrent
    idle_timeout:
      description: Seconds without a connected peer after which it ends by itself, V(0) if it never does.
      type: int
      sample: 3600
peers:
  description: The peers that download, or seed what they have downloaded.
  returned: success
  type: list
  elements: dict
  contains:
    <<: *daemon
    state:
      description: V(checking) what an earlier download has left, V(downloading), V(unpacking), V(placing) or V(seeding).
      type: str
      sample: seeding
    dest:
      description: Where the artifact is, or will be.
      type: str
      sample: /opt/app-2.4.tar
    progress:
      description: How much of the artifact is there and verified, in per cent.
      type: float
      sample: 47.1
    bytes_from_seed:
      description: Bytes that came from the seeder.
      type: int
      sample: 19398656
    bytes_from_peers:
      description: Bytes that came from other peers.
      type: int
      sample: 79398656
    bytes_reused:
      description: Bytes that were on the host already.
      type: int
      sample: 0
    download_limit:
      description: Most bytes a second that it receives, V(0) for no limit.
      type: int
      sample: 0
    seed_time:
      description: Seconds that it goes on seeding once the artifact is in place.
      type: int
      sample: 30
    timeout:
      description: Seconds that the whole download may take.
      type: int
      sample: 3600
    stall_timeout:
      description: Seconds without new data after which the download fails.
      type: int
      sample: 120
deploys:
  description: The artifacts that M(corvus.murder.murder_peer) has put in place, or found there, by destination.
  returned: success
  type: list
  elements: dict
  contains:
    infohash:
      description: What identifies the torrent.
      type: str
      sample: 5d1a1a8b1c8f4d0e9b3c6a7f2e4d5c6b7a8f9e0d
    name:
      description: Name of the artifact.
      type: str
      sample: app-2.4.tar
    dest:
      description: Where it was put. Symbolic links at the end of the option were followed.
      type: str
      sample: /opt/app-2.4.tar
    size:
      description: Bytes of the artifact.
      type: int
      sample: 209715200
    deployed:
      description: When it was put in place or first found there, in UTC.
      type: str
      sample: "2026-05-04T12:41:07Z"
    verified:
      description: When every byte of it was verified last, in UTC.
      type: str
      sample: "2026-05-04T12:41:07Z"
    exists:
      description: Whether there is still something at that place. What it is was not looked at.
      type: bool
      sample: true
"""
