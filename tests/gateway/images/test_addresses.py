"""Which addresses are public, which spellings are addresses, and what an allow-list lets through."""

import ipaddress
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.images.addresses import AllowList, interleaved, is_global, parse_address, parse_host

NOT_GLOBAL = """
    0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.100.100.200 100.127.255.255 127.0.0.1 127.255.255.254
    168.63.129.16 169.254.169.254 172.16.0.1 172.31.255.255 192.0.0.1 192.0.0.192 192.0.2.1 192.88.99.1 192.168.0.1
    198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.250 240.0.0.1 255.255.255.255
    :: ::1 ::127.0.0.1 ::8.8.8.8 ::ffff:127.0.0.1 ::ffff:7f00:1 ::ffff:10.0.0.1 ::ffff:0:8.8.8.8 64:ff9b::127.0.0.1
    64:ff9b::a9fe:a9fe 64:ff9b:1::8.8.8.8 100::1 2001::1 2001:0:808:808::f7f7:f7f7 2001:2::1 2001:10::1 2001:20::1
    2001:db8::1 2002:7f00:1:: 2002:0a00:0001::1 2002:c0a8:0101::1 3fff::1 4000::1 5f00::1 fc00::1 fd00:ec2::254
    fd20:ce::254 fe80::1 fe80::1%eth0 2606:4700::1111%eth0 fec0::1 ff02::1 ff0e::1
"""
GLOBAL = """
    1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.1 168.63.129.15
    169.253.255.255 172.15.255.255 172.32.0.0 192.0.1.0 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0
    203.0.114.0 223.255.255.255
    2001:4860:4860::8888 2606:4700:4700::1111 2a00:1450:4001:80b::200e ::ffff:8.8.8.8 64:ff9b::8.8.8.8 2002:808:808::1
"""


@pytest.mark.parametrize("text", NOT_GLOBAL.split())
def test_not_global(text: str) -> None:
    assert not is_global(ipaddress.ip_address(text))
    assert not is_global(parse_address(text))


@pytest.mark.parametrize("text", GLOBAL.split())
def test_global(text: str) -> None:
    assert is_global(ipaddress.ip_address(text))
    assert is_global(parse_address(text))


V4 = st.integers(0, 2**32 - 1).map(IPv4Address)
PREFIXES = [
    "::",
    "::ffff:0:0",
    "64:ff9b::",
    "2001::",
    "2001:db8::",
    "2002::",
    "2606:4700::",
    "fc00::",
    "fe80::",
    "ff00::",
]
V6 = st.one_of(
    st.integers(0, 2**128 - 1),
    st.builds(lambda prefix, low: int(IPv6Address(prefix)) | low, st.sampled_from(PREFIXES), st.integers(0, 2**40 - 1)),
).map(IPv6Address)


@given(st.one_of(V4, V6))
def test_never_laxer_than_python(address: IPv4Address | IPv6Address) -> None:
    if is_global(address):
        plain = parse_address(str(address))
        assert plain.is_global
        assert not plain.is_multicast
        assert not plain.is_unspecified
        assert not plain.is_loopback
        assert not plain.is_link_local


@given(V4)
def test_an_address_in_an_address_counts_as_itself(address: IPv4Address) -> None:
    low = int(address)
    for around in (
        int(IPv6Address("::ffff:0:0")) | low,
        int(IPv6Address("64:ff9b::")) | low,
        int(IPv6Address("2002::")) | low << 80 | 1,
    ):
        assert is_global(IPv6Address(around)) == is_global(address)


@pytest.mark.parametrize(
    ("host", "parsed"),
    [
        ("example.com", "example.com"),
        ("EXAMPLE.com.", "example.com"),
        ("my_host", "my_host"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("1.2.3.4", IPv4Address("1.2.3.4")),
        ("1.2.3.4.", IPv4Address("1.2.3.4")),
        ("::1", IPv6Address("::1")),
        ("::ffff:1.2.3.4", IPv4Address("1.2.3.4")),
        ("1.2.3.4.example", "1.2.3.4.example"),
        ("0x7f.example", "0x7f.example"),
    ],
)
def test_hosts(host: str, parsed: object) -> None:
    assert parse_host(host) == parsed


NO_HOSTS = """
    2130706433 0x7f000001 0X7F000001 017700000001 127.1 127.0.1 0177.0.0.1 0x7f.0.0.1 127.0.0.0x1 0 0x 1.2.3.4.5
    256.256.256.256 1.2.3.04 a.1 . .. a..b .a a/b a%20b a@b a:b [::1] fe80::1%eth0 ::1%25lo ::g é.example
"""


@pytest.mark.parametrize("host", [*NO_HOSTS.split(), "", " ", "a b", "a" * 64, "a." * 127 + "a", "x" * 10_000])
def test_hosts_that_are_none(host: str) -> None:
    with pytest.raises(ValueError, match=r"no host name|a zone|Expected|At least|not permitted|Only hex"):
        parse_host(host)


def test_rules() -> None:
    allow = AllowList.parse(" Minio.Corp , *.lan,10.1.0.0/16, 192.168.0.7 ,[::1], fd00::/8,bücher.example,")
    assert [allow.has_name(name) for name in ("minio.corp", "a.lan", "a.b.lan", "xn--bcher-kva.example")] == [True] * 4
    assert not any(map(allow.has_name, ("corp", "x.minio.corp", "lan", "xlan", "minio.corp.evil.example", "10.1.0.1")))
    assert all(
        map(allow.has_address, map(parse_address, ("10.1.2.3", "::ffff:10.1.2.3", "192.168.0.7", "::1", "fd01::1")))
    )
    assert not any(map(allow.has_address, map(parse_address, ("10.2.0.1", "192.168.0.8", "::2", "64:ff9b::10.1.2.3"))))
    assert AllowList.parse("") == AllowList.parse(" , ") == AllowList()
    assert not AllowList().has_name("localhost")


NO_RULES = """
    http://host host:8080 host/path 10.0.0.1/8 10.0.0.0/33 10.0.0.0/ 127.1 2130706433 1.2.3.4.5 * *. *.* *.10.0.0.1
    a..b user@host ::ffff:10.0.0.0/104 ::ffff:10.0.0.1 fe80::1%eth0/10 [::1
"""


@pytest.mark.parametrize("rule", [*NO_RULES.split(), "two hosts"])
def test_rules_that_are_none(rule: str) -> None:
    with pytest.raises(ValueError, match=r"is no host name, \*.suffix, address or network"):
        AllowList.parse(f"good.example,{rule}")


@given(st.one_of(V4, V6), st.integers(0, 32))
def test_a_network_allows_what_is_in_it(address: IPv4Address | IPv6Address, bits: int) -> None:
    address = parse_address(str(address))
    kind = IPv4Network if isinstance(address, IPv4Address) else IPv6Network
    network = kind((int(address), bits), strict=False)
    assert AllowList.parse(str(network)).has_address(address)


def test_kinds_are_tried_by_turns() -> None:
    texts = ["2606::1", "2606::2", "2606::1", "1.1.1.1", "2606::3", "1.1.1.2"]
    tried = interleaved(map(parse_address, texts))
    assert list(map(str, tried)) == ["2606::1", "1.1.1.1", "2606::2", "1.1.1.2", "2606::3"]
    assert list(interleaved([])) == []
