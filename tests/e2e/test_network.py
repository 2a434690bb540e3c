"""Trackers that are not there, are none or are full, and ports that are taken."""

from __future__ import annotations

import http.server
import socket
import threading
from contextlib import contextmanager

import pytest
from artifacts import make_file
from program import free_port
from torrents import option, single


@pytest.fixture
def artifact(sandbox) -> str:
    path = sandbox.directory / "artifact"
    make_file(path, 100_000)
    return str(path)


@contextmanager
def web_server(status: int, body: bytes):
    """Run an HTTP server that answers everything alike, and yield its address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_PUT = do_DELETE = do_GET

        def log_message(self, *_arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_tracker_is_not_there_for_the_seeder(sandbox, artifact):
    address = f"127.0.0.1:{free_port()}"
    message = sandbox.fails("seed", src=artifact, tracker=address, ip="127.0.0.1")
    assert address in message
    assert "connection refused" in message
    assert sandbox.falls_silent()


def test_tracker_is_not_there_for_the_peer(sandbox):
    address = f"127.0.0.1:{free_port()}"
    dest = sandbox.directory / "dest"
    message = sandbox.fails(
        "peer", torrent_content=option(single()), tracker=address, dest=str(dest), ip="127.0.0.1", timeout=5, stall_timeout=3
    )
    assert address in message
    assert not dest.exists()
    assert sandbox.falls_silent()


@pytest.mark.parametrize(
    ("status", "body"),
    [(200, b"<html>It works!</html>"), (404, b"not found"), (500, b"oops"), (200, b""), (200, b"d5:peers3:abce")],
)
def test_tracker_is_none(sandbox, artifact, status, body):
    with web_server(status, body) as address:
        message = sandbox.fails("seed", src=artifact, tracker=address, ip="127.0.0.1")
    assert address in message
    assert "tracker" in message.lower()
    assert sandbox.falls_silent()


def test_tracker_refuses_a_torrent_that_no_seeder_registered(sandbox):
    port = free_port()
    sandbox.succeeds("tracker", listen="127.0.0.1", port=port)
    message = sandbox.fails(
        "peer",
        torrent_content=option(single()),
        tracker=f"127.0.0.1:{port}",
        dest=str(sandbox.directory / "dest"),
        ip="127.0.0.1",
        timeout=20,
        stall_timeout=3,
    )
    assert "registered" in message


def test_tracker_wants_the_token(sandbox, artifact):
    port = free_port()
    sandbox.succeeds("tracker", listen="127.0.0.1", port=port, token="the right one")
    message = sandbox.fails("seed", src=artifact, tracker=f"127.0.0.1:{port}", ip="127.0.0.1", token="a wrong one")
    assert "token" in message
    assert "wrong one" not in message


def test_port_of_the_tracker_is_taken(sandbox):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        message = sandbox.fails("tracker", listen="127.0.0.1", port=port)
    assert str(port) in message
    assert "taken by another program" in message
    assert sandbox.falls_silent()


def test_whole_port_range_is_taken(sandbox, artifact):
    tracker = free_port()
    sandbox.succeeds("tracker", listen="127.0.0.1", port=tracker)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        message = sandbox.fails("seed", src=artifact, tracker=f"127.0.0.1:{tracker}", ip="127.0.0.1", port_range=f"{port}-{port}")
    assert f"{port}-{port}" in message
    assert "free" in message


def test_taken_port_in_the_range_is_stepped_over(sandbox, artifact):
    tracker = free_port()
    sandbox.succeeds("tracker", listen="127.0.0.1", port=tracker)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        seed = sandbox.succeeds(
            "seed", src=artifact, tracker=f"127.0.0.1:{tracker}", ip="127.0.0.1", port_range=f"{port}-{min(port + 50, 65535)}"
        )
    assert port < seed["port"] <= port + 50


def test_running_tracker_with_other_options_is_named(sandbox):
    port = free_port()
    first = sandbox.succeeds("tracker", listen="127.0.0.1", port=port)
    assert first["changed"] is True
    again = sandbox.succeeds("tracker", listen="127.0.0.1", port=port)
    assert again["changed"] is False
    assert again["pid"] == first["pid"]
    message = sandbox.fails("tracker", listen="127.0.0.1", port=port, idle_timeout=7)
    assert "idle_timeout" in message
    assert "7" in message
    assert sandbox.succeeds("tracker", port=port, state="stopped")["changed"] is True
    assert sandbox.succeeds("tracker", port=port, state="stopped")["changed"] is False
    assert sandbox.falls_silent()
