"""Addresses of Tritons, from the setting to host:port."""

import pytest

from sod.triton_addresses import TritonAddresses


@pytest.mark.parametrize(
    ("text", "fixed", "names"),
    [
        ("127.0.0.1:8001", ("127.0.0.1:8001",), ()),
        ("a:1, b:2 ,a:1", ("a:1", "b:2"), ()),
        ("[::1]:8001", ("[::1]:8001",), ()),
        ("dns:///triton-headless:8001", (), (("triton-headless", 8001),)),
        ("a:1,dns:///b:2", ("a:1",), (("b", 2),)),
    ],
)
def test_what_an_address_may_be(text: str, fixed: tuple[str, ...], names: tuple[tuple[str, int], ...]) -> None:
    addresses = TritonAddresses.parse(text)
    assert (addresses.fixed, addresses.names) == (fixed, names)
    assert addresses.single == (len(fixed) == 1 and not names)


@pytest.mark.parametrize(
    "text", ["", "a", "a:", "a:0", "a:65536", "a:1,", "http://a:8000", "dns://1.2.3.4/a:1", "dns:///a", "::1:8001"]
)
def test_what_it_may_not_be(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not the address of a Triton: give host:port, several"):
        TritonAddresses.parse(text)
