"""What the stand-ins share: a threaded HTTP/1.1 server in this process, with answers by script.

A stand-in names its `Connection`, whose `_one_request` reads one request, records it and answers.
"""

import socket
import struct
import threading
from collections import defaultdict, deque

HEAD_MAX_BYTES = 65536
PIECE_BYTES = 65536
BACKLOG = 256
TLS_HANDSHAKE = 0x16


class Gone(Exception):
    """The connection has ended, or is to be ended."""


class Connection:
    """One connection of a client, kept alive from request to request."""

    def __init__(self, server, s):
        self.server = server
        self.s = s
        self.buffered = b""

    def run(self):
        try:
            while True:
                self._one_request()
        except (OSError, Gone):
            pass
        finally:
            self.server._release(self.s)

    def _one_request(self):
        raise NotImplementedError

    def _receive(self):
        piece = self.s.recv(PIECE_BYTES)
        if not piece or self.server.is_down:
            raise Gone
        return piece

    def _read_head(self):
        while b"\r\n\r\n" not in self.buffered:
            if len(self.buffered) > HEAD_MAX_BYTES:
                raise Gone
            self.buffered += self._receive()
            if self.buffered[0] == TLS_HANDSHAKE:
                self.s.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                raise Gone
        head, self.buffered = self.buffered.split(b"\r\n\r\n", 1)
        lines = head.decode("latin-1").split("\r\n")
        method, target, _ = lines[0].split(" ", 2)
        headers = {}
        for line in lines[1:]:
            name, value = line.split(":", 1)
            headers[name.strip().lower()] = value.strip()
        return method, target, headers

    def _body_pieces(self, size):
        """What comes of a body of `size` bytes; raises when the connection ends before it does."""
        while size > 0:
            self.buffered = self.buffered or self._receive()
            piece, self.buffered = self.buffered[:size], self.buffered[size:]
            size -= len(piece)
            yield piece

    def _hang(self):
        """Reads on, and never answers, until the other side gives up."""
        while True:
            self._receive()

    def _reset(self):
        """Ends the connection, by an RST."""
        self.s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise Gone

    def _send(self, status, headers, body=b""):
        head = f"HTTP/1.1 {status} Scripted\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self.s.sendall(head.encode() + b"\r\n" + body)


class ScriptedServer:
    """The server; a context manager. `lock` guards all of what tests look at."""

    NAME = "the server"
    CONNECTION = Connection

    def __init__(self):
        self.lock = threading.Condition()
        self.stopping = threading.Event()
        self.is_down = False
        self._requests = []
        self._scripts = defaultdict(deque)
        self._always = {}
        self._sockets = set()
        self._threads = set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self):
        self._start(self._accept, self._listener)
        return self

    def __exit__(self, *exception):
        self.stopping.set()
        with self.lock:
            self._close_listener()
            for s in self._sockets:
                _shut_down(s)
            threads = list(self._threads)
        for thread in threads:
            thread.join(5)

    def _start(self, run, *arguments):
        def run_and_leave():
            try:
                run(*arguments)
            finally:
                with self.lock:
                    self._threads.discard(threading.current_thread())

        thread = threading.Thread(target=run_and_leave, daemon=True)
        with self.lock:
            self._threads.add(thread)
        thread.start()

    def _accept(self, listener):
        while True:
            try:
                s, _ = listener.accept()
            except OSError:
                return
            with self.lock:
                if self.stopping.is_set() or listener is not self._listener:
                    s.close()
                    return
                self._sockets.add(s)
            self._start(self.CONNECTION(self, s).run)

    def _close_listener(self):
        _shut_down(self._listener)
        self._listener.close()

    def _release(self, s):
        with self.lock:
            self._sockets.discard(s)
            s.close()
            self.lock.notify_all()

    # What a test says

    def stop_listening(self):
        """From now on connections are refused, and those that are open are reset."""
        with self.lock:
            self.is_down = True
            self._close_listener()
            # Bound, so that nobody else takes the port, and not listening.
            self._listener = socket.socket()
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._listener.bind(("127.0.0.1", self.port))
            for s in self._sockets:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                _shut_down(s, socket.SHUT_RD)  # its thread wakes and closes it, by an RST
            assert self.lock.wait_for(lambda: not self._sockets, 5), "a connection stays open"

    def listen_again(self):
        with self.lock:
            self.is_down = False
            self._listener.listen(BACKLOG)
            self._start(self._accept, self._listener)

    def script(self, operation, *answers):
        with self.lock:
            self._scripts[operation].extend(answers)

    def script_always(self, operation, answer):
        """After what script() gave for the operation; "*" is for every operation."""
        with self.lock:
            self._always[operation] = answer

    def script_clear(self, operation):
        """Takes back what script() gave and was not used up."""
        with self.lock:
            self._scripts[operation].clear()

    # What a test asks

    def requests(self, operation=None):
        with self.lock:
            return [r for r in self._requests if operation in (None, r.operation)]

    def operations(self):
        return [r.operation for r in self.requests()]

    def wait_for(self, operation, count=1, timeout_s=5):
        """Waits until that many requests of the operation were read; returns them."""
        with self.lock:
            found = self.lock.wait_for(
                lambda: sum(r.operation == operation for r in self._requests) >= count, timeout_s
            )
        assert found, (
            f"{self.NAME} saw {self.operations()}, no {count} {operation} in {timeout_s} s"
        )
        return self.requests(operation)

    # What connections call

    def next_answer(self, operation):
        with self.lock:
            if self._scripts[operation]:
                return self._scripts[operation].popleft()
            return self._always.get(operation, self._always.get("*"))

    def record(self, request):
        with self.lock:
            self._requests.append(request)
            self.lock.notify_all()


def _shut_down(s, how=socket.SHUT_RDWR):
    try:
        s.shutdown(how)
    except OSError:
        pass
