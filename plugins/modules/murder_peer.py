# Copyright: (c) the corvus.murder authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Documentation only: the module is the program beside this file, which make build puts there.

from __future__ import annotations

DOCUMENTATION = r"""
module: murder_peer
short_description: Download the artifact of a torrent and seed it to the other peers
version_added: 1.0.0
author: the corvus.murder authors (@corvus)
description:
  - Downloads a file or a directory tree from the other hosts of a swarm, verifies every piece of it, and puts it in
    place in one step. What was at the destination before stays there, whole, until then, and for good if the download fails.
  - Then it goes on seeding in the background for a while, for the hosts that are not ready yet.
  - If the artifact is in place already, only its owner, group and permissions are looked after.
extends_documentation_fragment:
  - corvus.murder.murder
  - corvus.murder.murder.reach
  - corvus.murder.murder.attributes
attributes:
  diff_mode:
    description: Will return details on what has changed, when in diff mode.
    support: full
    details: The difference names attributes and infohash, never content.
options:
  state:
    description:
      - With V(present) the artifact is in place when the task is done.
      - With V(started) the task only begins the download. A later task with V(present) and otherwise the same options
        waits for it and returns its result.
      - With V(stopped) neither downloads nor seeds this host any more.
      - With V(absent) the same, and what is half downloaded and all state is removed too. The artifact always stays.
    type: str
    choices: [present, started, stopped, absent]
    default: present
  torrent:
    description:
      - Path of the C(.torrent) on the host. This or O(torrent_content) is needed with O(state=present) and O(state=started).
    type: path
  torrent_content:
    description:
      - The C(.torrent) itself in base64, as M(corvus.murder.murder_seed) returns it.
    type: str
  dest:
    description:
      - Where the artifact shall be. The directory that it goes into has to exist.
      - With a slash at its end it is a directory that exists, and the artifact goes into it under its own name.
    type: path
    required: true
  tracker:
    description:
      - Tracker to use instead of the one that the torrent names, as V(HOST:PORT) or as an announce URL.
    type: str
  seed_time:
    description: Seconds to go on seeding once the artifact is in place.
    type: int
    default: 30
  timeout:
    description: Seconds that the whole download may take.
    type: int
    default: 3600
  stall_timeout:
    description: Seconds without new data after which the download fails.
    type: int
    default: 120
  download_limit:
    description: Most bytes a second to receive, such as V(10M). V(0) means no limit.
    type: bytes
    default: 0
  upload_limit:
    description: Most bytes a second to send, such as V(10M). V(0) means no limit.
    type: bytes
    default: 0
  owner:
    description: User that shall own the artifact.
    type: str
  group:
    description: Group that shall own the artifact.
    type: str
  mode:
    description:
      - Permissions of the artifact's files, as V('0644') (quote it) or V(u=rw,g=r). By default those of the source.
    type: raw
  directory_mode:
    description:
      - Permissions of the artifact's directories. By default those of the source.
    type: raw
  unpack:
    description:
      - The artifact is an archive, and O(dest) becomes the directory of what is in it, as with M(ansible.builtin.unarchive), but
        whole and in one step, like any directory. What is there beside the archive's files stays.
      - Archives are tar, plain or compressed with gzip or zstd, and zip; which one it is its first bytes tell, not its name.
      - Tar archives are unpacked while they come, from the beginning as far as it is verified; a zip archive, whose table of
        contents is at its end, when all of it is there.
      - The archive lies beside O(dest) meanwhile. Its name goes when its content is in place, its space when seeding is over.
      - As root, owners and all permission bits are those in a tar archive; otherwise the umask applies and set-user-ID bits do
        not count, nor do they with zip. O(owner), O(group), O(mode) and O(directory_mode) apply to everything that was unpacked.
      - Refused, before anything is changed, are archives with absolute names, names with C(..), names beneath symbolic links,
        hard links to what the archive has not brought before, names that the filesystem takes for the same, encrypted or
        damaged archives, and those whose content does not fit on the disk.
      - What was unpacked is remembered in O(state_dir). A later run compares type, size, time of the last change, link target,
        permissions and owner of every entry with that, and reads files only that were touched. If the content is not as it was,
        the archive is fetched again.
    type: bool
    default: false
  unpack_devices:
    description:
      - Make the device nodes and named pipes that an archive holds. Without it such an archive is refused.
    type: bool
    default: false
seealso:
  - module: ansible.builtin.unarchive
    description: Is enough for small archives and few hosts.
  - module: corvus.murder.murder_seed
  - module: ansible.builtin.copy
    description: Is enough for small files and few hosts.
"""

EXAMPLES = r"""
- name: Have a release on all hosts
  corvus.murder.murder_peer:
    torrent: /srv/releases/app-2.4.tar.torrent
    dest: /opt/app-2.4.tar
    owner: app
    mode: "0644"

# Hosts that Ansible works on at the same time are as many as it has forks. The others would come when these are done.
- name: Begin everywhere
  corvus.murder.murder_peer:
    state: started
    torrent_content: "{{ seed.torrent_content }}"
    dest: /srv/www

- name: Wait for all
  corvus.murder.murder_peer:
    torrent_content: "{{ seed.torrent_content }}"
    dest: /srv/www

- name: Have what is in an archive in a directory
  corvus.murder.murder_peer:
    torrent_content: "{{ seed.torrent_content }}"   # of /srv/releases/app-2.4.tar.zst
    dest: /opt/app
    unpack: true
    owner: app

- name: Give up, and leave nothing of the download behind
  corvus.murder.murder_peer:
    state: absent
    dest: /srv/www
"""

RETURN = r"""
dest:
  description: Where the artifact is.
  returned: success
  type: str
  sample: /opt/app-2.4.tar
size:
  description: Bytes of the artifact.
  returned: when O(state=present) or O(state=started)
  type: int
  sample: 209715200
checksum:
  description: SHA-1 of a file that is in one piece or whose torrent names it.
  returned: when it is known
  type: str
  sample: 6e642bb8dd5c2e027bf21dd923337cbb4214f827
infohash:
  description: What identifies the torrent.
  returned: when O(state=present) or O(state=started)
  type: str
  sample: 5d1a1a8b1c8f4d0e9b3c6a7f2e4d5c6b7a8f9e0d
elapsed:
  description: Seconds that the download took.
  returned: when O(state=present) or O(state=started)
  type: float
  sample: 12.41
bytes_from_seed:
  description: Bytes that came from the seeder.
  returned: when O(state=present) or O(state=started)
  type: int
  sample: 19398656
bytes_from_peers:
  description: Bytes that came from other peers.
  returned: when O(state=present) or O(state=started)
  type: int
  sample: 190316544
bytes_reused:
  description: Bytes that were on the host already.
  returned: when O(state=present) or O(state=started)
  type: int
  sample: 0
unpacked:
  description: That O(dest) is the directory of an archive's content.
  returned: when O(unpack=true), and O(state=present) or O(state=started)
  type: bool
  sample: true
files:
  description: Files and links that the archive holds, V(0) as long as it is not known.
  returned: when O(unpack=true), and O(state=present) or O(state=started)
  type: int
  sample: 4711
unpacked_size:
  description: Bytes of these files, V(0) as long as it is not known. RV(size) is that of the archive.
  returned: when O(unpack=true), and O(state=present) or O(state=started)
  type: int
  sample: 1073741824
port:
  description: Port that the peer listens on, V(0) if there is none.
  returned: success
  type: int
  sample: 10000
pid:
  description: Process that downloads or seeds, V(0) if there is none.
  returned: success
  type: int
  sample: 4713
state:
  description: V(present), V(started), V(stopped) or V(absent).
  returned: success
  type: str
  sample: present
owner:
  description: User that owns the artifact.
  returned: when O(state=present) and it is in place
  type: str
  sample: app
group:
  description: Group that owns the artifact.
  returned: when O(state=present) and it is in place
  type: str
  sample: app
uid:
  description: Number of the user that owns the artifact.
  returned: when O(state=present) and it is in place
  type: int
  sample: 1000
gid:
  description: Number of the group that owns the artifact.
  returned: when O(state=present) and it is in place
  type: int
  sample: 1000
mode:
  description: Permissions of the artifact.
  returned: when O(state=present) and it is in place
  type: str
  sample: "0644"
"""
