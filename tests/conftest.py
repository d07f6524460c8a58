"""What tests of several packages share."""

import shutil
import signal
import ssl
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from server.launching import free_ports

TESTS = Path(__file__).parent
# Each process takes the next folder when it has finished one: the last folders should be short ones, or else the others
# have nothing to do at the end. Folders that are not named have few minutes.
LONGEST_FIRST = ("e2e", "deploy", "finetune", "export", "benchmarks", "clients", "gateway", "chaos")
SHARED = TESTS.parents[1] / "shared"
_LONGEST_ID = 100


def pytest_configure() -> None:
    """Have Ctrl-C work in what the tests start: background jobs of a shell, and their children, ignore it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_make_parametrize_id(val: object) -> str | None:
    """Short ids for long values: a whole file in an id is sent between processes, and printed."""
    if isinstance(val, bytes | str) and len(val) > _LONGEST_ID:
        return f"{type(val).__name__} of {len(val)}"
    return None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of a folder in one process: they share its servers, exports and environments."""
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_folder(item)))
    items.sort(key=lambda item: (*LONGEST_FIRST, _folder(item)).index(_folder(item)))


def _folder(item: pytest.Item) -> str:
    return item.path.relative_to(TESTS).parts[0]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real images and models beside the checkout."""
    if not SHARED.is_dir():
        pytest.skip("the shared test data lies outside the repository, in ../shared, and is not here")
    return SHARED


@pytest.fixture(scope="session", name="free_ports")
def free_ports_fixture() -> Callable[[int], list[int]]:
    """Loopback ports on which no process listens."""
    return free_ports


@dataclass(frozen=True)
class Certificate:
    """A certificate for this machine's loopback addresses, which only itself vouches for.

    Attributes:
        certificate: PEM file.
        key: PEM file of its key.
        encrypted_key: the same, encrypted with `password`.
    """

    certificate: Path
    key: Path
    encrypted_key: Path
    password: str = "correct horse"

    def context(self) -> ssl.SSLContext:
        """For a client that trusts it and nobody else."""
        return ssl.create_default_context(cafile=self.certificate)


@pytest.fixture(scope="session")
def make_certificate(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Certificate]:
    """Make a certificate with a key of its own."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("certificates are made by the command openssl, which is not here")

    def run(*arguments: str | Path) -> None:
        subprocess.run([openssl, *arguments], check=True, capture_output=True)

    def make() -> Certificate:
        folder = tmp_path_factory.mktemp("tls")
        made = Certificate(folder / "cert.pem", folder / "key.pem", folder / "encrypted.pem")
        new = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
        names = ["-subj", "/CN=triton-sod test", "-addext", "subjectAltName=IP:127.0.0.1,IP:::1,DNS:localhost"]
        run(*new, *names, "-keyout", made.key, "-out", made.certificate)
        run("pkey", "-in", made.key, "-aes256", "-passout", f"pass:{made.password}", "-out", made.encrypted_key)
        return made

    return make


@pytest.fixture(scope="session")
def certificate(make_certificate: Callable[[], Certificate]) -> Certificate:
    return make_certificate()
