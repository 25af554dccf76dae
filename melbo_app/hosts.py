"""Host names, as browsers send them in ``Host`` and ``Origin`` and as an operator allows them."""

import ipaddress
import re
from dataclasses import dataclass

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_WRITTEN = re.compile(
    rf"(?P<name>\[[0-9a-f:.]+\]|(?:\*\.)?{_LABEL}(?:\.{_LABEL})*)(?::(?P<port>[0-9]{{1,5}}))?", re.ASCII
)
_LONGEST = 260
LOOPBACK_NAME = "localhost"


@dataclass(frozen=True)
class Host:
    """A host's name in lower case or its address without brackets, and the port if given."""

    name: str
    port: int | None = None

    @property
    def address(self) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
        """The IP address, or None for a name."""
        try:
            return ipaddress.ip_address(self.name)
        except ValueError:
            return None

    @property
    def written(self) -> str:
        """The name as in a URL, without the port."""
        return f"[{self.name}]" if ":" in self.name else self.name

    @property
    def is_loopback(self) -> bool:
        """Whether this can only mean this machine: 127.0.0.0/8, ::1 or exactly ``localhost``."""
        return self.name == LOOPBACK_NAME if self.address is None else self.address.is_loopback

    def allows(self, asked: "Host") -> bool:
        """Whether ``asked`` is this host, with any port unless this one has a port; ``*.`` matches any subdomain."""
        if self.port is not None and self.port != asked.port:
            return False
        if self.name.startswith("*."):
            return asked.name.endswith(self.name[1:])
        mine = self.address
        return self.name == asked.name if mine is None else mine == asked.address


def read_host(text: str, *, pattern: bool = False) -> Host | None:
    """Parse ``lab.example:8080``, ``10.0.0.5`` or ``[::1]:80``, and ``*.lab.example`` as a ``pattern``; None for
    anything else, including a final dot, which would make another name."""
    if len(text) > _LONGEST:
        return None
    found = _WRITTEN.fullmatch(text.strip().lower())
    if found is None or (not pattern and found["name"].startswith("*")):
        return None
    port = int(found["port"]) if found["port"] else None
    if port is not None and not 0 < port < 65536:
        return None
    host = Host(found["name"].strip("[]"), port)
    return None if found["name"].startswith("[") and host.address is None else host


def read_origin(text: str) -> Host | None:
    """The host of an ``Origin``, with the scheme's default port if none is given; None for ``null`` and others."""
    scheme, mark, rest = text.strip().lower().partition("://")
    standard = {"http": 80, "https": 443}.get(scheme)
    host = read_host(rest) if mark and standard else None
    return None if host is None else Host(host.name, host.port or standard)


def read_network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    """Parse ``10.0.0.0/8``, or an address as a network of one; None for anything else."""
    try:
        return ipaddress.ip_network(text.strip())
    except ValueError:
        return None


def read_embedder(text: str) -> str | None:
    """``text`` if it is an origin for Content-Security-Policy, such as ``https://*.lab.example:8443``, else None."""
    scheme, mark, rest = text.strip().lower().partition("://")
    return text if mark and scheme in ("http", "https") and read_host(rest, pattern=True) else None


def client_of(address: str) -> str:
    """The part of a client's address that its owner cannot vary: the first half of IPv6, all of IPv4; "" for anything
    that is not an address."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is None:
            return str(ipaddress.ip_network((found, 64), strict=False))
        found = found.ipv4_mapped
    return str(found)


def is_loopback(name: str) -> bool:
    """Whether a host name or address can only mean this machine."""
    return Host(name.lower()).is_loopback
