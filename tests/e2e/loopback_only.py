"""Runs a command where there is no network but loopback, and says whom it and its descendants tried to reach."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from pathlib import Path

from tests.e2e import within_loopback

ROOT = Path(__file__).parents[2]
# Root may unshare at once; others where the kernel lets them be root of a namespace of users.
UNSHARE = ["unshare", "--net", "--uts", *(() if os.geteuid() == 0 else ("--user", "--map-root-user"))]
PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
HOME_VARIABLES = ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME")
# A library that finds itself in a CI (by one of dozens of variables) behaves as it does for nobody else.
OF_ANY_USER = ("PATH", "LANG", "LC_ALL", "TERM", "TMPDIR", "USER")
ADDRESS = re.compile(r'sin6?_port=htons\((\d+)\).*?inet_(?:addr\(|pton\(AF_INET6, )"([^"]+)"')
DNS, SYSTEMD_RESOLVER = "53", 'sun_path="/run/systemd/resolve/'


@dataclass(frozen=True)
class LoopbackOnly:
    """One run of a command; `folder` gets the record and must not exist."""

    folder: Path

    @property
    def home(self) -> Path:
        return self.folder / "home"

    def start(
        self, command: Sequence[str], variables: Mapping[str, str] | None = None, *, proxy: bool = False
    ) -> "subprocess.Popen[str]":
        """The command at the repository's root, with pipes of text and an empty home folder.

        Its environment is a user's, not this process's: the few variables that everybody has, and `variables`; with
        `proxy`, it names one that refuses everything.
        """
        self.home.mkdir(parents=True)
        environment = {name: os.environ[name] for name in OF_ANY_USER if name in os.environ}
        environment |= dict.fromkeys(HOME_VARIABLES, str(self.home))
        if proxy:
            environment |= dict.fromkeys(PROXY_VARIABLES, "http://{}:{}".format(*within_loopback.PROXY))
        return subprocess.Popen(
            [*UNSHARE, sys.executable, within_loopback.__file__, str(self.folder), *command],
            cwd=ROOT,
            env=environment | dict(variables or {}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @property
    def tried_beyond(self) -> list[str]:
        """The calls that name an address beyond loopback, or a resolver of names anywhere: it would ask beyond."""
        return [line for line in (self.folder / "calls").read_text().splitlines() if goes_beyond(line)]

    @property
    def asked_of_proxy(self) -> list[str]:
        """The first line of each request that the proxy got."""
        return (self.folder / "asked").read_text().splitlines()

    @property
    def left_at_home(self) -> list[str]:
        return [str(path.relative_to(self.home)) for path in self.home.rglob("*")]


def goes_beyond(call: str) -> bool:
    addresses = ADDRESS.findall(call)
    return SYSTEMD_RESOLVER in call or any(port == DNS or not is_this_machine(host) for port, host in addresses)


def is_this_machine(host: str) -> bool:
    address = ip_address(host)
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return address.is_loopback or address.is_unspecified
