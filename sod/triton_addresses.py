"""Addresses of Tritons as `SOD_TRITON_URL` has them, which the gateway and `sod export --load` read."""

import re
from dataclasses import dataclass
from typing import Self

_DNS = "dns:///"
_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.%\w]+\]|[^\s/:\[\]]+):(\d{1,5})")
_EXPECTED = (
    "give host:port, several of them separated by commas, or dns:///host:port for every address that the name has"
)


@dataclass(frozen=True, slots=True)
class TritonAddresses:
    """Where Tritons are.

    Attributes:
        fixed: One Triton each, host:port.
        names: DNS names and ports; each address that a name has is a Triton, such as those of a headless Service of
            Kubernetes.
    """

    fixed: tuple[str, ...]
    names: tuple[tuple[str, int], ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `host:port` or `dns:///host:port`, or several of them separated by commas.

        Raises:
            ValueError: It is something else; the text says what is expected.
        """
        fixed: dict[str, None] = {}
        names: dict[tuple[str, int], None] = {}
        for part in (part.strip() for part in text.split(",")):
            match = _ADDRESS.fullmatch(part.removeprefix(_DNS))
            if match is None or not 0 < int(match[2]) < 2**16:
                raise ValueError(f"{part!r} is not the address of a Triton: {_EXPECTED}")
            if part.startswith(_DNS):
                names[match[1].strip("[]"), int(match[2])] = None
            else:
                fixed[part] = None
        return cls(tuple(fixed), tuple(names))

    @property
    def single(self) -> bool:
        """Whether there is one Triton, and never another."""
        return len(self.fixed) == 1 and not self.names


def join_port(host: str, port: int) -> str:
    """host:port, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
