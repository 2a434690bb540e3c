"""Wrong options: every message names the option, says why, and what to write instead."""

from __future__ import annotations

import subprocess

import pytest

WRONG = [
    ("peer", {"dest": "/tmp/x", "torent": "/tmp/x.torrent"}, ["Unknown option torent", "did you mean torrent"]),
    ("peer", {"dest": "/tmp/x", "nonsense": 1}, ["Unknown option nonsense", "torrent_content"]),
    ("peer", {"torrent": "/tmp/x.torrent"}, ["dest", "required"]),
    ("peer", {"dest": "/tmp/x"}, ["torrent", "torrent_content", "required"]),
    ("peer", {"dest": "/tmp/x", "torrent": "/x", "torrent_content": "eA=="}, ["torrent", "torrent_content", "exclude"]),
    ("peer", {"dest": "/tmp/x", "torrent": "/x", "seed_time": "soon"}, ["seed_time", '"soon"', "whole number"]),
    ("peer", {"dest": "/tmp/x", "torrent": "/x", "timeout": -1}, ["timeout", "-1"]),
    ("peer", {"dest": "/tmp/x", "torrent": "/x", "state": "runing"}, ["state", '"runing"', "present", "absent"]),
    ("peer", {"dest": "/tmp/x", "torrent": "/x", "download_limit": "fast"}, ["download_limit", '"fast"', "10M"]),
    ("peer", {"dest": "/tmp/x", "torrent": "/x", "download_limit": "-1"}, ["download_limit", '"-1"', "10M"]),
    ("peer", {"dest": "/tmp/x", "torrent": "/x", "download_limit": "10Mbit"}, ["download_limit", '"10Mbit"', "10M"]),
    ("peer", {"dest": "/tmp/x", "torrent": "/x", "download_limit": "10K"}, ["download_limit", "10240 bytes a second", "64K"]),
    ("peer", {"dest": "/tmp/x", "torrent": "/x", "upload_limit": 100}, ["upload_limit", "100 bytes a second", "64K"]),
    ("seed", {"src": "/tmp/x", "tracker": "127.0.0.1:1", "upload_limit": "65535"}, ["upload_limit", "65535 bytes", "64K"]),
    ("peer", {"dest": "/tmp/x", "torrent": "/x", "port_range": "10500-10000"}, ["port_range", "10500-10000", "FIRST-LAST"]),
    ("peer", {"dest": "/tmp/x", "torrent": "/x", "mode": "rw everything"}, ["mode", "rw everything"]),
    ("peer", {"dest": "/tmp/x", "torrent": "/x", "ip": "999.1.2.3"}, ["ip", "999.1.2.3", "IP address"]),
    ("seed", {}, ["src", "required"]),
    ("seed", {"src": "/tmp/x"}, ["tracker", "required"]),
    ("seed", {"src": "/tmp/x", "tracker": "ftp://x:1/"}, ["ftp", "http"]),
    ("seed", {"src": "/tmp/x", "tracker": "127.0.0.1:1", "piece_size": "-1"}, ["piece_size", "-1"]),
    ("tracker", {"port": 70000}, ["port", "70000", "65535"]),
    ("tracker", {"port": "eighty"}, ["port", '"eighty"', "whole number"]),
    ("tracker", {"allow": ["10.0.0.0/99"]}, ["allow", "10.0.0.0/99", "192.0.2.0/24"]),
    ("tracker", {"listen": "everywhere"}, ["listen", "everywhere", "IP address"]),
]


@pytest.mark.parametrize(("module", "options", "said"), WRONG, ids=lambda value: str(value)[:60])
def test_wrong_option_is_named(sandbox, module, options, said):
    message = sandbox.fails(module, **options)
    for words in said:
        assert words in message
    assert not sandbox.state.exists()


def test_every_wrong_option_is_named_at_once(sandbox):
    message = sandbox.fails("tracker", port=0, idle_timeout="x", alow="10.0.0.0/8")
    assert "port" in message and "idle_timeout" in message and "alow" in message


def test_unknown_keys_of_ansible_are_no_options(sandbox):
    result = sandbox.succeeds("tracker", state="stopped", _ansible_from_the_future=True)
    assert result["changed"] is False


def test_secret_is_shown_nowhere(sandbox):
    secret = "open-sesame-9317"
    answer = sandbox.call("tracker", token=secret, port="none", allow=[secret])
    assert secret not in str(answer.result) + answer.errors
    assert answer["invocation"]["module_args"]["token"] == "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"


def test_argument_file_that_is_no_json(sandbox):
    done = subprocess.run(
        [sandbox.programs / "murder_peer", "-"], input="{dest:", capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 1
    assert '"failed":true' in done.stdout.replace(" ", "")
    assert "JSON object of options" in done.stdout
