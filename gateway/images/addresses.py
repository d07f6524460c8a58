"""Rules for the hosts and addresses that images may be fetched from; this module performs no DNS lookups.

The tables follow IANA's registries of special-purpose addresses, read strictly: only plain unicast addresses of the
public internet are global. Python's own `is_global` differs between releases.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

import httpx

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_NAME = re.compile(r"(?=.{1,253}\Z)([a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}")
# The last label of spellings that resolvers or browsers read as an IPv4 address: 2130706433, 0x7f.1, 127.1
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")

_SPECIAL_V4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT; Alibaba's metadata is 100.100.100.200
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's virtual host
        "169.254.0.0/16",  # link-local, with the metadata services of most clouds
        "172.16.0.0/12",
        "192.0.0.0/24",  # protocol assignments; Oracle's metadata is 192.0.0.192
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)
# Every other address is loopback, unspecified, mapped, unique or site local, link-local, multicast or unassigned.
_UNICAST_V6 = IPv6Network("2000::/3")
_SPECIAL_V6 = tuple(
    IPv6Network(text)
    for text in (
        "2001::/23",  # protocol assignments: Teredo, benchmarks, ORCHID
        "2001:db8::/32",  # documentation
        "3fff::/20",  # documentation
    )
)
_MAPPED = IPv6Network("::ffff:0:0/96")
_NAT64 = IPv6Network("64:ff9b::/96")


def is_global(address: Address) -> bool:
    """Whether an address is plain unicast of the public internet; an embedded IPv4 address is checked instead."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _SPECIAL_V4)
    if address.scope_id is not None:
        return False
    if (mapped := address.ipv4_mapped) is not None:
        return is_global(mapped)
    if address in _NAT64:
        return is_global(IPv4Address(int(address) & 0xFFFFFFFF))
    if (sixtofour := address.sixtofour) is not None:
        return is_global(sixtofour)
    return address in _UNICAST_V6 and not any(address in network for network in _SPECIAL_V6)


def parse_address(text: str) -> Address:
    """Parse an address as a resolver writes it, perhaps with a zone; a mapped IPv4 address becomes plain IPv4.

    Raises:
        ValueError: The text is not an address.
    """
    if ":" not in text:
        return IPv4Address(text)
    address = IPv6Address(text)
    return address.ipv4_mapped or address


def parse_host(host: str) -> Address | str:
    """Parse the host of a URL: an address, or a name in lower case without a trailing dot.

    Args:
        host: In the form of `httpx.URL.raw_host`: ASCII, IDNA applied, an IPv6 address without brackets.

    Raises:
        ValueError: It is neither, or an address in a spelling that programs interpret differently; the text says why.
    """
    if ":" in host:
        if "%" in host:
            raise ValueError("an IPv6 address with a zone (%) is none that others know")
        return parse_address(host)
    name = host.lower().removesuffix(".")
    if not _NAME.fullmatch(name):
        raise ValueError(f"{_shown(host)} is no host name")
    if _NUMBER.fullmatch(name.rpartition(".")[2]):
        try:
            return IPv4Address(name)
        except ValueError:
            raise ValueError(f"{_shown(host)} is no host name; addresses are written as 192.0.2.1") from None
    return name


@dataclass(frozen=True, slots=True)
class AllowList:
    """Hosts that may be contacted although their addresses are not global.

    Attributes:
        names: Hosts that may resolve to any address.
        suffixes: The same for every host whose name ends with the suffix; each begins with a dot.
        networks: Addresses that may be contacted, whatever name resolves to them.
    """

    names: frozenset[str] = frozenset()
    suffixes: tuple[str, ...] = ()
    networks: tuple[Network, ...] = ()

    @classmethod
    def parse(cls, text: str) -> "AllowList":
        """Parse a comma-separated list of host names, `*.suffix`, addresses and CIDR networks.

        Raises:
            ValueError: An entry is none of these; the text says which.
        """
        names, suffixes, networks = set(), [], []
        for rule in filter(None, map(str.strip, text.split(","))):
            try:
                if rule.startswith("*."):
                    suffixes.append("." + _parse_name(rule[2:]))
                elif (network := _parse_network(rule)) is not None:
                    networks.append(network)
                else:
                    names.add(_parse_name(rule))
            except ValueError as error:
                raise ValueError(
                    f"{_shown(rule)} is no host name, *.suffix, address or network ({error}); "
                    "scheme, port and path do not belong here"
                ) from None
        return cls(frozenset(names), tuple(suffixes), tuple(networks))

    def has_name(self, name: str) -> bool:
        """Whether a host may resolve to any address; `name` is in the form that `parse_host` returns."""
        return name in self.names or name.endswith(self.suffixes)

    def has_address(self, address: Address) -> bool:
        """Whether an address, in the form that `parse_address` returns, may be contacted."""
        return any(address in network for network in self.networks)


def shown_addresses(addresses: Iterable[Address]) -> str:
    """Addresses as text for a log line."""
    return ", ".join(map(str, addresses)) or "none"


def interleaved(addresses: Iterable[Address]) -> Iterator[Address]:
    """Each address once, alternating between IPv6 and IPv4, because one of the two may not be routed."""
    remaining = list(dict.fromkeys(addresses))
    version = remaining[0].version if remaining else 0
    while remaining:
        address = next((one for one in remaining if one.version == version), remaining[0])
        remaining.remove(address)
        version = 6 if address.version == 4 else 4
        yield address


def _parse_network(text: str) -> Network | None:
    """The network, or None if the text looks like a host name."""
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
    if "/" not in text and ":" not in text and not _NUMBER.fullmatch(text.rpartition(".")[2]):
        return None
    network = ip_network(text)
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        raise ValueError("write it as the IPv4 addresses it stands for")
    return network


def _parse_name(text: str) -> str:
    try:
        name = parse_host(httpx.URL(scheme="http", host=text).raw_host.decode("ascii"))
    except httpx.InvalidURL as error:
        raise ValueError(error) from None
    if not isinstance(name, str):
        raise ValueError("an address stands alone")
    return name


def _shown(text: str) -> str:
    return ascii(text if len(text) <= 100 else text[:100] + "…")
