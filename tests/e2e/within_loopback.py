"""The program inside a network namespace of its own: brings loopback up, offers a proxy that refuses, records calls.

`python within_loopback.py FOLDER COMMAND...` leaves what `strace` saw in FOLDER/calls and what the proxy was asked for
in FOLDER/asked. It imports nothing of the repository, so that the command gets the environment as it was.
"""

import fcntl
import socket
import struct
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PROXY = ("127.0.0.1", 3128)  # nobody else has a port of this namespace
STRACE = ["strace", "--follow-forks", "--seccomp-bpf", "--quiet=all", "--decode-pids=comm", "--string-limit=0"]
CALLS = ["--signal=none", "--trace=connect,sendto,sendmsg,sendmmsg"]
SIOCSIFFLAGS, IFF_UP = 0x8914, 0x1


class RefusingProxy(ThreadingHTTPServer):
    """Answers whatever it is asked for with 403, and writes that down."""

    def __init__(self, address: tuple[str, int], asked: Path) -> None:
        super().__init__(address, Refusal)
        self.asked = asked
        asked.touch()


class Refusal(BaseHTTPRequestHandler):
    def refuse(self) -> None:
        assert isinstance(self.server, RefusingProxy)
        with self.server.asked.open("a") as file:
            file.write(f"{self.requestline}\n")
        self.send_error(403)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_CONNECT = refuse  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


def set_up_namespace() -> None:
    """Bring loopback up. The machine gets a name that is known on it: BentoML's supervisor looks its own name up."""
    socket.sethostname("localhost")
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))


def main(folder: Path, command: list[str]) -> int:
    set_up_namespace()
    with RefusingProxy(PROXY, folder / "asked") as proxy:
        threading.Thread(target=proxy.serve_forever, args=(0.01,), daemon=True).start()
        recorded = [*STRACE, *CALLS, f"--output={folder / 'calls'}", "--", *command]
        code = subprocess.run(recorded, check=False).returncode
        proxy.shutdown()
    return code


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
