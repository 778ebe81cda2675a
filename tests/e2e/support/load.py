"""Many requests at once, from threads of this process, each on a connection that is kept."""

import http.client
import threading
import time


class Load:
    """Asks for paths until they are used up; `errors` is empty when each had a good answer."""

    def __init__(self, port, paths, threads=8):
        self.errors = []
        self.slowest_s = 0.0
        self.asked = []  # (request id, status)
        self._paths = iter(paths)
        self._lock = threading.Lock()
        self._port = port
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]

    def run(self):
        for thread in self._threads:
            thread.start()
        for thread in self._threads:
            thread.join()
        assert not self.errors, self.errors[:3]
        return self

    def _next(self):
        with self._lock:
            return next(self._paths, None)

    def _run(self):
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        try:
            while (path := self._next()) is not None:
                begin = time.monotonic()
                connection.request("GET", path)
                answer = connection.getresponse()
                answer.read()
                with self._lock:
                    self.slowest_s = max(self.slowest_s, time.monotonic() - begin)
                    self.asked.append((answer.headers["X-Request-Id"], answer.status))
        except (OSError, http.client.HTTPException) as error:
            with self._lock:
                self.errors.append(error)
        finally:
            connection.close()
