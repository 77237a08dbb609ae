"""The fault proxy passes everything on but for the fault that it was given, which happens at the very byte."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

import pytest

from bokehwire.testing.conformance.wire import Opcode, encode_frame

from .leaks import no_leaks
from .live import DEADLINE, HOST
from .proxy import Action, Direction, Fault, FaultProxy, Frame, Position, Splitter
from .sockets import set_reset_on_close, unused_port

HEAD = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"
SMALL, LARGE, EMPTY = encode_frame("ab"), encode_frame(bytes(70_000)), encode_frame(b"", Opcode.PING)
STREAM = HEAD + SMALL + LARGE + EMPTY
SIZES = [(len(b"GET / HTTP/1.1\r\n"), len(HEAD)), (2, 4), (10, 70_010), (2, 2)]
ENDS = [len(HEAD), len(HEAD + SMALL), len(HEAD + SMALL + LARGE), len(STREAM)]

pytestmark = pytest.mark.once


@contextmanager
def linked() -> Iterator[tuple[FaultProxy, socket.socket, socket.socket]]:
    """A proxy with one connection through it; nothing may be left of it afterwards."""
    with no_leaks(), socket.create_server((HOST, 0)) as listener:
        listener.settimeout(DEADLINE)
        with (
            FaultProxy(listener.getsockname()[1]) as proxy,
            socket.create_connection((HOST, proxy.port), DEADLINE) as client,
            closing(listener.accept()[0]) as peer,
        ):
            peer.settimeout(DEADLINE)
            yield proxy, client, peer


def read(sock: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size and (more := sock.recv(size - len(data))):
        data += more
    return bytes(data)


def send(sock: socket.socket, data: bytes) -> threading.Thread:
    """Sends in a thread, since what is stalled is not read."""

    def run() -> None:
        with suppress(OSError):  # reset, as it should be
            sock.sendall(data)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


@pytest.mark.parametrize("size", [1, 3, 1000, len(STREAM)])
def test_frames_are_found_however_they_arrive(size: int) -> None:
    splitter = Splitter()
    pieces = [piece for i in range(0, len(STREAM), size) for piece in splitter.feed(STREAM[i : i + size])]
    assert b"".join(piece for _, piece in pieces) == STREAM
    assert [sizes for sizes, _ in pieces if sizes] == SIZES
    assert splitter.rest() == b""


def test_a_masked_header_is_longer() -> None:
    splitter = Splitter()
    masked = bytes([0x82, 0x80 | 3]) + b"mask" + b"abc"
    assert splitter.feed(HEAD + masked + masked[:5]) == [(SIZES[0], HEAD), ((6, 9), masked)]
    assert splitter.rest() == masked[:5]


def test_everything_passes_both_ways_and_is_noted() -> None:
    with linked() as (proxy, client, server):
        proxy.arm(None)
        proxy.enter("there")
        thread = send(client, STREAM)
        assert read(server, len(STREAM)) == STREAM
        thread.join()
        proxy.enter("back")
        server.sendall(HEAD + SMALL)
        assert read(client, len(HEAD + SMALL)) == HEAD + SMALL
        there = [Frame("there", Direction.TO_SERVER, number, *sizes) for number, sizes in enumerate(SIZES)]
        back = [Frame("back", Direction.TO_CLIENT, number, *sizes) for number, sizes in enumerate(SIZES[:2])]
        assert proxy.frames == there + back
        client.shutdown(socket.SHUT_WR)
        assert server.recv(1) == b""
        server.sendall(SMALL)
        assert read(client, len(SMALL)) == SMALL


@pytest.mark.parametrize("direction", Direction)
@pytest.mark.parametrize("position", Position)
@pytest.mark.parametrize("number", range(len(SIZES)))
@pytest.mark.parametrize("action", Action)
def test_each_fault_happens_at_its_byte(action: Action, number: int, position: Position, direction: Direction) -> None:
    with linked() as (proxy, client, server):
        source, sink = (client, server) if direction is Direction.TO_SERVER else (server, client)
        proxy.enter("phase")
        proxy.arm(Fault("phase", direction, number, position, action))
        thread = send(source, STREAM)
        begin = ENDS[number - 1] if number else 0
        passed = begin + Frame("phase", direction, number, *SIZES[number]).offset(position)
        assert read(sink, passed) == STREAM[:passed]
        proxy.wait()
        match action:
            case Action.RESET:
                with pytest.raises(ConnectionResetError):
                    sink.recv(1)
            case Action.FIN:
                assert sink.recv(1) == b""
                assert source.recv(1) == b""
            case Action.STALL:
                sink.setblocking(False)
                with pytest.raises(BlockingIOError):
                    sink.recv(1)
                sink.settimeout(DEADLINE)
                sink.sendall(HEAD)
                assert read(source, len(HEAD)) == HEAD  # the other direction goes on
                proxy.release()
                assert read(sink, len(STREAM) - passed) == STREAM[passed:]
            case Action.DELAY | Action.SPLIT:
                assert read(sink, len(STREAM) - passed) == STREAM[passed:]
        thread.join()


@pytest.mark.parametrize("reset", [False, True])
def test_the_end_of_one_side_is_the_end_of_the_other(reset: bool) -> None:
    with linked() as (_, client, server):
        client.sendall(HEAD)
        assert read(server, len(HEAD)) == HEAD
        if reset:
            set_reset_on_close(client)
        client.close()
        if reset:
            with pytest.raises(ConnectionResetError):
                server.recv(1)
        else:
            assert server.recv(1) == b""


def test_what_is_blocked_waits() -> None:
    with linked() as (proxy, client, server):
        proxy.block()
        client.sendall(HEAD)
        server.sendall(HEAD)
        for sock in (client, server):
            sock.setblocking(False)
            with pytest.raises(BlockingIOError):
                sock.recv(1)
            sock.settimeout(DEADLINE)
        proxy.unblock()
        assert read(server, len(HEAD)) == read(client, len(HEAD)) == HEAD


def test_dropping_resets_even_what_is_stalled() -> None:
    with linked() as (proxy, client, server):
        proxy.arm(Fault("", Direction.TO_SERVER, 0, Position.BEFORE, Action.STALL))
        client.sendall(HEAD)
        proxy.wait()
        proxy.drop()
        for sock in (client, server):
            with pytest.raises(ConnectionResetError):
                sock.recv(1)


def test_a_server_that_is_not_there_is_a_reset_and_can_be_another() -> None:
    with no_leaks(), FaultProxy(unused_port()) as proxy:
        with pytest.raises(ConnectionResetError), socket.create_connection((HOST, proxy.port), DEADLINE) as client:
            client.recv(1)
        with socket.create_server((HOST, 0)) as listener:
            proxy.retarget(listener.getsockname()[1])
            listener.settimeout(DEADLINE)
            with (
                socket.create_connection((HOST, proxy.port), DEADLINE) as client,
                closing(listener.accept()[0]) as peer,
            ):
                peer.sendall(HEAD)
                assert read(client, len(HEAD)) == HEAD
