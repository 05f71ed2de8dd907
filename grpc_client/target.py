"""Valid forms of a target, and the targets that are called without a proxy.

A mistyped target is an error at once. gRPC itself accepts nearly any text, and fails only at a call's deadline.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address

from grpc_client.errors import ConfigError

KUBERNETES = re.compile(r"k8s:///(?P<namespace>[a-z0-9.-]+)/(?P<service>[a-z0-9.-]+):(?P<port>[a-z0-9-]+)")

_EXPECTED = (
    "expected HOST:PORT, such as localhost:8001, dns:///HOST:PORT, ipv4:ADDRESS:PORT,… or k8s:///NAMESPACE/SERVICE:PORT"
)
_WITH_SLASHES = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_WITHOUT_SLASHES = re.compile(r"(dns|ipv4|ipv6|k8s|unix|unix-abstract|vsock|xds):(.*)", re.DOTALL)
_HOST_AND_PORT = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%A-Za-z]+\]|[^\s:/,\[\]@?#]+):(?P<port>[0-9]{1,5})")
# gRPC resolves them; they have no port.
_OPAQUE = frozenset({"unix", "unix-abstract", "vsock", "xds", "google-c2p"})


def check_target(target: str) -> None:
    """Check the form of a target.

    Raises
    ------
    ConfigError
        If it is invalid; the sentence quotes the target and says what was expected.

    Examples
    --------
    >>> check_target("dns:///relevance.search.svc:8001")
    >>> check_target("relevance")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    grpc_client.errors.ConfigError: the target relevance has no port; expected HOST:PORT, such as localhost:8001, ...
    """
    if not target.strip():
        raise ConfigError(f"the target is empty; {_EXPECTED}")
    scheme, _ = _split(target)
    shown = target if target.isprintable() and " " not in target else repr(target)
    if scheme == "k8s":
        if KUBERNETES.fullmatch(target) is None:
            raise ConfigError(f"the target {shown} has another shape than k8s:///NAMESPACE/SERVICE:PORT")
        return
    if scheme in _OPAQUE:
        return
    if scheme not in {"", "dns", "ipv4", "ipv6"}:
        raise ConfigError(f"the target {shown} begins with {scheme}:, which gRPC does not know; {_EXPECTED}")
    for address in _addresses(target):
        _check_address(shown, scheme, address)


def needs_no_proxy(target: str) -> bool:
    """Return whether all addresses of a valid target are on this machine."""
    scheme, _ = _split(target)
    if scheme in {"unix", "unix-abstract", "vsock"}:
        return True
    if scheme not in {"", "dns", "ipv4", "ipv6"}:
        return False
    hosts = [address.rpartition(":")[0] for address in _addresses(target)]
    return all(map(_is_loopback, hosts))


def _split(target: str) -> tuple[str, str]:
    """Return the scheme in lower case, or "" if there is none, and the rest after its colon and slashes."""
    found = _WITH_SLASHES.fullmatch(target) or _WITHOUT_SLASHES.fullmatch(target)
    return (found[1].lower(), found[2]) if found else ("", target)


def _addresses(target: str) -> list[str]:
    scheme, rest = _split(target)
    if scheme == "dns":
        # dns://AUTHORITY/HOST:PORT, dns:///HOST:PORT and dns:HOST:PORT
        return [rest.partition("/")[2] if target.startswith("dns://") else rest]
    if scheme in {"ipv4", "ipv6"}:
        return rest.removeprefix("/").split(",")
    return [rest]


def _check_address(shown: str, scheme: str, address: str) -> None:
    if scheme in {"", "dns"} and "," in address:
        raise ConfigError(f"the target {shown} names several addresses; write them as ipv4:ADDRESS:PORT,ADDRESS:PORT")
    found = _HOST_AND_PORT.fullmatch(address)
    if found is None:
        if _ip(address) is not None and ":" in address:
            raise ConfigError(f"the target {shown} has an IPv6 address without brackets; write [{address}]:PORT")
        if re.fullmatch(r"\[[^\]]*\]|[^\s:/,\[\]@?#]+", address):
            raise ConfigError(f"the target {shown} has no port; {_EXPECTED}")
        raise ConfigError(f"the target {shown} is no address; {_EXPECTED}")
    if not 1 <= int(found["port"]) <= 65535:
        raise ConfigError(f"the target {shown} has the port {found['port']}, expected 1 to 65535")
    kind = {"ipv4": IPv4Address, "ipv6": IPv6Address}.get(scheme)
    if kind is not None and not isinstance(_ip(found["host"]), kind):
        raise ConfigError(f"the target {shown} names {found['host']}, which is no {scheme} address")


def _is_loopback(host: str) -> bool:
    if host.lower().rstrip(".") == "localhost":
        return True
    address = _ip(host)
    return address is not None and address.is_loopback


def _ip(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None
