"""The modules by hand with ansible, from the checkout: short names, strings for every option."""

from __future__ import annotations

import pytest
from artifacts import MB, make_file, manifest
from traces import Trace, assert_nothing_left

FILE, DEST = "/srv/adhoc.bin", "/srv/adhoc deployed.bin"


@pytest.fixture(scope="module")
def source(fleet) -> dict:
    make_file(fleet.controller.path(FILE), 2 * MB)
    return manifest(FILE, fleet.controller)


def test_short_names(lab, fleet, source):
    peers = fleet.peers[:2]
    traces = [Trace.of(host) for host in [fleet.controller, *peers]]
    inventory = lab.inventory(*peers)
    for host in [fleet.controller, *peers]:
        host.run("iptables", "-I", "INPUT", "-s", "10.77.0.0/16", "-j", "ACCEPT")
    on_controller = {"pattern": "localhost"}

    tracker = lab.module(inventory, "murder_tracker", "port=9000 address=10.77.0.1 idle_timeout=60", **on_controller)
    assert tracker["localhost"]["changed"] is True
    assert tracker["localhost"]["announce_url"] == "http://10.77.0.1:9000/announce"
    seed = lab.module(inventory, "murder_seed", f"src={FILE} tracker=10.77.0.1:9000 ip=10.77.0.1", **on_controller)
    assert seed["localhost"]["torrent"] == f"{FILE}.torrent"

    copied = lab.module(inventory, "copy", f"src={FILE}.torrent dest=/tmp/a.torrent")
    assert set(copied) == {"h1", "h2"}
    wanted = f"torrent=/tmp/a.torrent dest='{DEST}' seed_time=1 mode=0640 port_range=10000-10010"
    checked = lab.module(inventory, "murder_peer", wanted, "--check")
    assert all(answer["changed"] is True for answer in checked.values())
    first = lab.module(inventory, "murder_peer", wanted)
    for peer in peers:
        answer = first[peer.name]
        assert (answer["changed"], answer["size"], answer["mode"], answer["dest"]) == (True, 2 * MB, "0640", DEST)
        assert answer["bytes_from_seed"] + answer["bytes_from_peers"] >= 2 * MB
        assert answer["infohash"] == seed["localhost"]["infohash"]
        assert manifest(DEST, peer)["."] == ["file", "0o640", source["."][2]]
        assert answer["checksum"] == peer.run("sha1sum", DEST).stdout.split()[0]
    again = lab.module(inventory, "murder_peer", wanted)
    assert all(answer["changed"] is False for answer in again.values())

    for module, options in {"murder_seed": f"src={FILE} tracker=10.77.0.1:9000", "murder_tracker": "port=9000"}.items():
        stopped = [lab.module(inventory, module, f"{options} state=stopped", **on_controller) for _ in "12"]
        assert [answer["localhost"]["changed"] for answer in stopped] == [True, False]
    for host in [fleet.controller, *peers]:
        host.run("iptables", "-D", "INPUT", "-s", "10.77.0.0/16", "-j", "ACCEPT")
    for path, hosts in {f"{FILE}.torrent": [fleet.controller], "/tmp/a.torrent": peers, DEST: peers}.items():
        for host in hosts:
            host.run("rm", path)
    assert_nothing_left(traces)
