# Copyright: (c) the corvus.murder authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Documentation only: the module is the program beside this file, which make build puts there. What it shares with the other
# modules stands in plugins/doc_fragments; the rest is long because it has many options, and Ansible wants those, examples and
# returns of a module in one file.

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
  - If the artifact is in place already, only its owner, group, permissions and other attributes are looked after.
  - Nothing is fetched that the host has already. What an interrupted download has left, what the older version at the
    destination has in common with the new one, and what is found in O(reuse) is verified piece by piece and copied; on
    filesystems that can share blocks between files, such as XFS and Btrfs, it takes no space.
  - With O(keep) the destination is a symbolic link to one of several releases, and O(state=rolledback) goes back to an
    earlier one.
extends_documentation_fragment:
  - corvus.murder.murder
  - corvus.murder.murder.daemon
  - corvus.murder.murder.reach
  - corvus.murder.murder.attributes
attributes:
  diff_mode:
    description: Will return details on what has changed, when in diff mode.
    support: full
    details:
      - The difference names attributes, infohash, and how many files of a directory are added, changed and removed, with the
        names of the first hundred of each. It never shows content.
      - Files are told apart by size and modification time; only those that have the same size and another time are read.
options:
  state:
    description:
      - With V(present) the artifact is in place when the task is done.
      - With V(started) the task only begins the download. A later task with V(present) and otherwise the same options
        waits for it and returns its result.
      - With V(stopped) neither downloads nor seeds this host any more.
      - With V(absent) the same, and what is half downloaded, the record of what was deployed to O(dest), and all other state
        is removed too. The artifact always stays. With O(keep), where no deploy has come to its end yet, so is the directory
        C(releases), if the module has made it and nothing else is in it.
      - With V(rolledback) a destination that was deployed with O(keep) leads to the release before the current one again, or to
        O(release). Nothing is downloaded. Without O(release) each such task goes back by one.
    type: str
    choices: [present, started, stopped, absent, rolledback]
    default: present
  torrent:
    description:
      - Path of the C(.torrent) on the host. This, O(torrent_content) or O(infohash) is needed with O(state=present) and
        O(state=started).
    type: path
  torrent_content:
    description:
      - The C(.torrent) itself in base64, as M(corvus.murder.murder_seed) returns it.
    type: str
  infohash:
    description:
      - The infohash of a torrent, as M(corvus.murder.murder_seed) returns it. The host gets the C(.torrent) from O(tracker),
        which has it from the seeder, and verifies it by the infohash.
      - The tracker has to be M(corvus.murder.murder_tracker).
    type: str
  dest:
    description:
      - Where the artifact shall be. The directory that it goes into has to exist.
      - With a slash at its end it is a directory that exists, and a file goes into it under its own name. A tree becomes
        O(dest) itself.
    type: path
    required: true
  tracker:
    description:
      - Tracker to use instead of the one that the torrent names, as V(HOST:PORT) or as an announce URL.
      - It is needed with O(infohash).
    type: str
  verify:
    description:
      - How to find out whether the artifact is in place already.
      - With V(quick) a record in O(state_dir) is believed, which says that the artifact was verified, as long as every
        file still has the inode, size, modification time and change time (ctime) that it had then. This trusts the kernel
        to note every write, and the disk to keep what was written. Where anything differs, everything is hashed.
      - With V(full) everything is always hashed, which also finds what a failing disk has damaged.
        What a call with O(state=started) has brought, and no call has waited for since, counts as verified when it came.
    type: str
    choices: [quick, full]
    default: quick
  reuse:
    description:
      - Files and directories of the host that may hold parts of the artifact, such as an older version at another
        place. What is at O(dest) is always looked at, and comes first.
      - A file is found by its path below a directory, or by its size, whatever it is called. Of one that has changed, the
        pieces are taken that are still at their place in it. Of a large file (256 pieces or more) 64 of its pieces are tried
        first; when none of them is the same, as in an archive that was compressed anew, the rest is not looked at.
      - Paths that are not there are passed over. Nothing in them is changed, and nothing is linked to them.
    type: list
    elements: path
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
    description:
      - Most bytes of the artifact to receive in a second, V(64K) or more. V(10M) are 10 MiB, or 84 Mbit; V(0) means no limit.
      - Headers of TCP and Ethernet come on top, about 4.6 percent.
    type: bytes
    default: 0
  upload_limit:
    description:
      - Most bytes of the artifact to send in a second, V(64K) or more. V(10M) are 10 MiB, or 84 Mbit; V(0) means no limit.
      - Headers of TCP and Ethernet come on top, about 4.6 percent.
    type: bytes
    default: 0
  owner:
    description:
      - User that shall own the artifact. By default that of what was there before, else the user that runs the module.
    type: str
  group:
    description:
      - Group that shall own the artifact. By default that of what was there before, else the group of the user that runs the
        module.
    type: str
  mode:
    description:
      - Permissions of the artifact's files, as V('0644') (quote it), V(u=rw,g=rX) or V(preserve).
      - By default a file that is replaced keeps its permissions, and a new one has those of the source. The files of a directory
        have those of the source. V(preserve) means those of the source in any case.
    type: raw
  directory_mode:
    description:
      - Permissions of the artifact's directories, likewise. By default the directory O(dest), if there is one, keeps its own,
        and those in it have the ones of the source.
      - A directory that is there already keeps its ACLs and other extended attributes, as far as the user that runs the module
        may set them. The permissions of the group are the mask of an ACL.
    type: raw
  attributes:
    description:
      - File attributes that the artifact's files and directories shall have, as C(chattr) takes them, such as V(+d) or V(=A).
        Without an operator it is V(=).
      - What has the attribute C(i) or C(a), and a directory that holds anything that has, cannot be replaced; the module says so
        before anything is downloaded. With O(backup) what is inside does not matter, and with O(keep) old releases that are not
        kept any longer lose these attributes and go.
    type: str
    aliases: [attr]
  seuser:
    description:
      - User part of the SELinux context, V(_default) for the one of the policy.
      - What an option does not say is as it was for what is replaced and, for what is new, as the policy says, if the program
        C(matchpathcon) is there to ask it, or as the kernel decides. A context that the policy does not know is refused before
        anything is fetched.
      - On a host without SELinux, and on a file system that keeps no labels, these options mean nothing.
    type: str
  serole:
    description: Role part of the SELinux context, V(_default) for the one of the policy.
    type: str
  setype:
    description: Type part of the SELinux context, V(_default) for the one of the policy.
    type: str
  selevel:
    description: Level part of the SELinux context, V(_default) for the one of the policy.
    type: str
  force:
    description:
      - With V(false) a destination that exists, whatever it is, is left as it is. The artifact is put in place only where nothing
        is yet.
    type: bool
    default: true
  backup:
    description:
      - Keep what was at the destination beside it, under its name with process number and date. A file becomes a hard link, a
        directory is moved, so that this takes no space. What stays in a directory without O(delete) is in both, as hard links.
      - The last part of O(dest) can have 226 bytes at most then, so that the name of the backup is no longer than 255.
    type: bool
    default: false
  validate:
    description:
      - Command that must succeed before the artifact is put in place. C(%s) in it becomes the path of the file or directory,
        which has its owner and permissions by then. If it fails, what was there before stays, and the message has its return code
        and what it wrote.
      - It is run without a shell, by the user that runs the module. What is left of O(timeout) bounds it, or 30 seconds.
    type: str
  checksum:
    description:
      - SHA-1 that a single file must have. If the torrent names another one nothing is downloaded. What has been downloaded is
        checked too before it is put in place.
    type: str
  unsafe_writes:
    description:
      - Write into a single file that cannot be replaced by a rename, such as one that is mounted into a container. A reader may
        see it half written then, and a crash may leave it so.
      - Where a rename is possible it is done all the same.
    type: bool
    default: false
  partial_dir:
    description:
      - Directory that unfinished data lies in, by default the one that O(dest) is in. It has to exist.
      - It has to be on the file system of O(dest), so that the artifact can be put in place by a rename. Only with
        O(unsafe_writes) a single file may come from another one.
      - It cannot lie inside a directory that the artifact replaces.
    type: path
  keep:
    description:
      - Number of old releases to keep beside the current one. O(dest) is a symbolic link then, to
        C(releases/NAME-INFOHASH) in the same directory, with the first eight digits of the infohash. It is switched in one step
        when the new release is complete.
      - Releases that were rolled back from are removed first, then the oldest. What else lies in C(releases) stays, and so does
        a release that another O(dest) in the same directory leads to or may go back to, and one that any symbolic link there
        leads into, for as long as it does. To give up an O(dest), remove its link and C(releases/.LINK.murder), the record of it.
      - C(NAME) is the artifact's, cut if it is long, with underscores for what is no UTF-8 in it. The last part of O(dest) can
        have 242 bytes at most then.
      - With V(0) O(dest) is the artifact itself. It excludes O(backup) and O(unsafe_writes).
    type: int
    default: 0
  delete:
    description:
      - Remove from a directory at the destination what the artifact does not have, as M(ansible.posix.synchronize) does;
        also what the seeder has left out by its O(corvus.murder.murder_seed#module:exclude).
      - With V(false) what others have put there stays, as it is when the new directory takes the place of the old one. For a
        single file it means nothing.
      - What the user that runs the module could not keep, such as files of others that the kernel does not let it link, is named
        before anything is downloaded; with O(unpack), as what is in the archive is not known then, directories of others only.
        Move it away, or run with C(become).
      - Nor can files of others be kept on a file system without hard links, such as vfat and exfat. That too is said before
        anything is downloaded, but not in check mode, as only a try tells; and with O(unpack) only when the archive has come.
    type: bool
    default: false
  release:
    description:
      - With O(state=rolledback), name of the release to go back to, so that the task changes nothing when it is run again.
        By default it is the one that was current before.
    type: str
  unpack:
    description:
      - The artifact is an archive, and O(dest) becomes the directory of what is in it, as with M(ansible.builtin.unarchive), but
        whole and in one step, like any directory. What is there beside the archive's files stays.
      - Archives are tar, plain or compressed with gzip or zstd, and zip; which one it is its first bytes tell, not its name.
      - Tar archives are unpacked while they come, from the beginning as far as it is verified; a zip archive, whose table of
        contents is at its end, when all of it is there.
      - The archive lies beside O(dest) meanwhile. Its name goes when its content is in place, its space when seeding is over.
      - Blocks of zeros become holes of a sparse file. The disk must have room for them all the same.
      - As root, owners and all permission bits are those in a tar archive; otherwise the umask applies and set-user-ID bits do
        not count, nor do they with zip. O(owner), O(group), O(mode) and O(directory_mode) apply to everything that was unpacked.
      - Refused, before anything is changed, are archives with absolute names, names with C(..), names beneath symbolic links,
        hard links to what the archive has not brought before, names that the filesystem takes for the same, encrypted or
        damaged archives, and those whose content does not fit on the disk.
      - What was unpacked is remembered in O(state_dir), so that a later run finds it as O(verify) says, and sets permissions and
        owners right. If the content is not as it was, the archive is fetched again.
    type: bool
    default: false
  unpack_devices:
    description:
      - Make the device nodes and named pipes that an archive holds. Without it such an archive is refused.
    type: bool
    default: false
notes:
  - While the task waits for a download, and O(tracker) and O(infohash) are given, it is told every ten seconds on standard
    error how far all hosts of the swarm are, as the tracker knows it, once for all tasks of a run. The variable
    C(murder_progress) has the seconds, V(0) for none.
  - Where the filesystem cannot exchange two directories, one that is there already is replaced by two renames instead of
    one step. For a moment a reader may find nothing at O(dest), and after a kill or crash between the two that lasts until
    the next run, which puts one whole version there.
  - In a container, overlayfs does not rename directories that the image has. One at O(dest) has to be made a new one first. It
    does not show before the artifact has come, but that is kept for the next run. With O(keep), or where nothing is at O(dest),
    it does not matter.
  - The directory that was replaced, and releases that are not kept, go when the new artifact is in place. When something in them
    cannot be removed, such as a directory of another user, the task does not fail but warns, and says where it is. What is left
    of a directory is called C(.NAME.murder-left-NUMBER) then; of a release the next run tries to remove the rest.
  - So is the directory that was replaced called when others have put something there in the very moment of the switch that
    cannot be brought into the new one. The new one is in place then, but the task fails and says where the old one is.
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

- name: Fetch only what is new since the last release, which is in another directory
  corvus.murder.murder_peer:
    torrent: /srv/releases/app-2.4.torrent
    dest: /opt/app-2.4
    reuse:
      - /opt/app-2.3

- name: Have every byte hashed once a month, also if nothing has been written since
  corvus.murder.murder_peer:
    torrent: /srv/releases/app-2.4.tar.torrent
    dest: /opt/app-2.4.tar
    verify: full

# Hosts that Ansible works on at the same time are as many as it has forks. The others would come when these are done.
- name: Begin everywhere
  corvus.murder.murder_peer:
    state: started
    infohash: "{{ seed.infohash }}"
    tracker: tracker.example.com:8998
    dest: /srv/www

- name: Wait for all
  corvus.murder.murder_peer:
    infohash: "{{ seed.infohash }}"
    tracker: tracker.example.com:8998
    dest: /srv/www

- name: Put a configuration in place that its program accepts, and keep the old one
  corvus.murder.murder_peer:
    torrent: /srv/releases/sudoers.torrent
    dest: /etc/sudoers
    validate: visudo -cf %s
    backup: true

- name: Have a directory that holds nothing else
  corvus.murder.murder_peer:
    torrent_content: "{{ seed.torrent_content }}"
    dest: /srv/www
    delete: true

- name: Deploy a release, and keep three old ones
  corvus.murder.murder_peer:
    torrent_content: "{{ seed.torrent_content }}"
    dest: /srv/app/current
    keep: 3

- name: Go back to the release before
  corvus.murder.murder_peer:
    state: rolledback
    dest: /srv/app/current

- name: Have what is in an archive in a directory
  corvus.murder.murder_peer:
    torrent: /srv/releases/app-2.4.tar.gz.torrent
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
  description: Where the artifact is; with O(keep) the symbolic link to it.
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
  returned: when O(state=present) or O(state=started) and it is known
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
  description:
    - Bytes of the artifact that were on the host already, in whole verified pieces, and did not come over the network.
  returned: when O(state=present) or O(state=started)
  type: int
  sample: 0
unpacked:
  description: That O(dest) is the directory of an archive's content.
  returned: when O(state=present) or O(state=started) and O(unpack=true)
  type: bool
  sample: true
files:
  description: Files and links that the archive holds, V(0) as long as it is not known.
  returned: when O(state=present) or O(state=started) and O(unpack=true)
  type: int
  sample: 4711
unpacked_size:
  description: Bytes of these files, V(0) as long as it is not known. RV(size) is that of the archive.
  returned: when O(state=present) or O(state=started) and O(unpack=true)
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
  description: V(present), V(started), V(stopped), V(absent) or V(rolledback).
  returned: success
  type: str
  sample: present
owner:
  description: User that owns the artifact.
  returned: when O(state=present) or O(state=started) and it is in place
  type: str
  sample: app
group:
  description: Group that owns the artifact.
  returned: when O(state=present) or O(state=started) and it is in place
  type: str
  sample: app
uid:
  description: Number of the user that owns the artifact.
  returned: when O(state=present) or O(state=started) and it is in place
  type: int
  sample: 1000
gid:
  description: Number of the group that owns the artifact.
  returned: when O(state=present) or O(state=started) and it is in place
  type: int
  sample: 1000
mode:
  description: Permissions of the artifact.
  returned: when O(state=present) or O(state=started) and it is in place
  type: str
  sample: "0644"
secontext:
  description: SELinux context of the artifact, as user, role, type and level.
  returned: when O(state=present) or O(state=started) and it is in place on a host with SELinux
  type: list
  elements: str
  sample: [system_u, object_r, usr_t, s0]
backup_file:
  description: Where what was at the destination before is now.
  returned: when O(state=present) or O(state=started) and O(backup=true) and something was replaced
  type: str
  sample: /opt/app-2.4.tar.4711.2026-01-31@12:00:00~
release:
  description: Name of the release that the destination leads to, as the option O(release) takes it.
  returned: when O(state=present), O(state=started) or O(state=rolledback) and the artifact is in place with O(keep)
  type: str
  sample: app-2.4-5d1a1a8b
releases:
  description: Names of the releases that can be gone back to and of the current one, oldest first.
  returned: when O(state=present), O(state=started) or O(state=rolledback) and the artifact is in place with O(keep)
  type: list
  elements: str
  sample: [app-2.3-77c0ffee, app-2.4-5d1a1a8b]
"""
