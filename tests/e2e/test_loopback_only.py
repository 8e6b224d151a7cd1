"""What shows that the loop keeps to loopback would also show it if it did not."""

import subprocess
import sys
import time
from pathlib import Path

from tests.e2e.loopback_only import LoopbackOnly

REACHES_OUT = """
import socket
from contextlib import suppress
def reach(family, kind, address):
    with suppress(OSError):
        socket.socket(family, kind).connect(address)
reach(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 9))
reach(socket.AF_INET6, socket.SOCK_STREAM, ("::1", 9))
reach(socket.AF_INET6, socket.SOCK_STREAM, ("::ffff:127.0.0.1", 9))
reach(socket.AF_UNIX, socket.SOCK_STREAM, "/run/anything")
reach(socket.AF_INET, socket.SOCK_STREAM, ("192.0.2.1", 443))
reach(socket.AF_INET6, socket.SOCK_STREAM, ("2001:db8::1", 443))
reach(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.53", 53))
reach(socket.AF_UNIX, socket.SOCK_STREAM, "/run/systemd/resolve/io.systemd.Resolve")
with suppress(OSError):
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"hello", ("192.0.2.2", 123))
"""
ASKS_THROUGH_ITS_PROXY = """
import sys, urllib.error, urllib.request
if sys.argv[1:] == ["configured"]:
    import infra
try:
    urllib.request.urlopen("http://127.0.0.1:9/health")
except urllib.error.URLError as error:
    print(error)
"""


def output_of(process: "subprocess.Popen[str]") -> str:
    with process:
        output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    return output


def test_each_way_beyond_loopback_is_recorded_and_none_that_stays(tmp_path: Path) -> None:
    place = LoopbackOnly(tmp_path / "record")
    assert output_of(place.start([sys.executable, "-c", REACHES_OUT])) == ""

    tried = place.tried_beyond

    whither = ["192.0.2.1", "2001:db8::1", "127.0.0.53", "io.systemd.Resolve", "192.0.2.2"]
    assert len(tried) == len(whither)
    assert all(where in line for where, line in zip(whither, tried, strict=True)), tried


def test_who_asks_this_machine_through_the_proxy_is_counted_and_a_configured_process_is_not(tmp_path: Path) -> None:
    as_is, configured = LoopbackOnly(tmp_path / "as is"), LoopbackOnly(tmp_path / "configured")
    command = [sys.executable, "-c", ASKS_THROUGH_ITS_PROXY]

    assert "403" in output_of(as_is.start([*command, "as is"], proxy=True))
    assert "Connection refused" in output_of(configured.start([*command, "configured"], proxy=True))

    assert as_is.asked_of_proxy == ["GET http://127.0.0.1:9/health HTTP/1.1"]
    assert configured.asked_of_proxy == []


def test_onnx_runtime_reports_home_as_it_is_and_not_when_configured(loads_of_a_model: dict[str, LoopbackOnly]) -> None:
    """It tries some ten seconds after a model was loaded; the configured process has lived longer by then."""
    as_is, configured = loads_of_a_model["as is"], loads_of_a_model["configured"]
    deadline = time.monotonic() + 60

    while not as_is.tried_beyond:
        assert time.monotonic() < deadline, "does it report home otherwise now? then look for its new switch"
        time.sleep(0.1)

    assert any(path.endswith("deviceid") for path in as_is.left_at_home)
    assert configured.tried_beyond == []
    assert configured.left_at_home == []
