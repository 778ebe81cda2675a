"""Server processes: each in a process group of its own, ended in every case."""

import os
import signal
import socket
import subprocess

from support.waiting import wait_until

PASSED_ON = ("PATH", "LANG", "ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS", "LSAN_OPTIONS")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def clean_environment(work, settings):
    """The caller's own AWS settings, HOME and the like must not change what a test sees."""
    env = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    env.update(HOME=str(work), TMPDIR=str(work), PYTHONDONTWRITEBYTECODE="1")
    env.update({name: str(value) for name, value in settings.items() if value is not None})
    return env


class Server:
    """A started program. Its output goes to files, which a failed run leaves to be read, or to the
    descriptor `stdout`; its input is `stdin`."""

    def __init__(self, name, command, work, settings, stdin=subprocess.DEVNULL, stdout=None):
        self.name = name
        self.stdout_path = work / f"{name}.stdout"
        self.stderr_path = work / f"{name}.stderr"
        # Should this process be killed outright, the kernel ends the server with it.
        command = ["setpriv", "--pdeathsig", "KILL", *map(str, command)]
        with open(self.stdout_path, "wb") as out, open(self.stderr_path, "wb") as err:
            self.process = subprocess.Popen(
                command,
                stdin=stdin,
                stdout=out if stdout is None else stdout,
                stderr=err,
                env=clean_environment(work, settings),
                start_new_session=True,
            )

    @property
    def pid(self):
        return self.process.pid

    def stderr(self):
        return self.stderr_path.read_text(errors="replace")

    def output(self):
        return self.stdout_path.read_text(errors="replace")

    def memory_bytes(self, name):
        """A row of /proc/<pid>/status: VmRSS, VmHWM."""
        with open(f"/proc/{self.pid}/status", encoding="ascii") as status:
            row = next(line for line in status if line.startswith(name + ":"))
        return int(row.split()[1]) * 1024

    def is_running(self):
        return self.process.poll() is None

    def wait_ready(self, is_ready, timeout_s):
        def check():
            assert self.is_running(), (
                f"{self.name} ended with {self.process.returncode} instead of starting:\n"
                f"{self.output()[-2000:]}\n{self.stderr()[-4000:]}"
            )
            return is_ready()

        wait_until(check, timeout_s, f"{self.name} is ready", every_s=0.05)

    def kill(self):
        """Ends the whole group, also what it started."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
