"""The section `dns`: a name gets another address, and the gateway finds the Triton there."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.fleet.load import load
from benchmarks.fleet.options import Options
from benchmarks.fleet.processes import gateway, tritons, wait_for
from benchmarks.performance.errors import BenchmarkError

# resolv.conf names no port, so the name server has an address of its own and port 53.
_SERVER = "127.77.0.53"
_OLD, _NEW = "127.77.0.1", "127.77.0.2"
_NAME = "tritons.fleet.test"
_CLIENTS = 4
_SETTLE_S = 5.0
_TIMEOUT_S = 60.0
# In a mount namespace of its own the gateway's system resolver asks our name server, and nobody else's does.
_IN_NAMESPACE = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'


def problem() -> str:
    """Why the section cannot run here, as a sentence; empty if it can."""
    if _dnsmasq() is None:
        return "dns needs dnsmasq (apt-get install dnsmasq-base), which is not installed"
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return "dns needs root and unshare: the name server has port 53, and the gateway a resolv.conf of its own"
    if subprocess.run(["unshare", "--mount", "true"], check=False, capture_output=True).returncode != 0:
        return "dns needs a mount namespace for the gateway's resolv.conf, which this machine does not allow"
    return ""


def measure(options: Options) -> dict[str, Any]:
    """Two Tritons at two addresses; the name has the first one's, and then the second one's.

    Raises:
        BenchmarkError: it cannot run here, or the new address is not used within a minute.
    """
    if reason := problem():
        raise BenchmarkError(reason)
    options.folder.mkdir(parents=True, exist_ok=True)
    resolv = options.folder / "resolv.conf"
    resolv.write_text(f"nameserver {_SERVER}\n", encoding="utf-8")
    with ExitStack() as stack:
        old, new = stack.enter_context(tritons(options.folder, [options.sleep_s] * 2, (_OLD, _NEW)))
        hosts = stack.enter_context(_name_server(options.folder))
        prefix = ("unshare", "--mount", "sh", "-c", _IN_NAMESPACE, str(resolv))
        url = f"dns:///{_NAME}:{old.address.rpartition(':')[2]}"
        one = stack.enter_context(gateway(options.folder, url, prefix=prefix))
        with load([one.url], _CLIENTS) as record:
            time.sleep(_SETTLE_S)
            hosts.change(_NEW)
            taken_s = wait_for(lambda: one.answered(new.address) > 0, "the new address to be used", _TIMEOUT_S)
            time.sleep(_SETTLE_S)
    return {
        "requests": len(record.served) + len(record.failures),
        "failed": len(record.failures),
        "failures": record.failures[:3],
        "taken_s": round(taken_s, 1),
    }


class _Hosts:
    """The file of names that dnsmasq serves."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.process: subprocess.Popen[bytes] | None = None
        self.change(_OLD)

    def change(self, address: str) -> None:
        """Give the name another address; dnsmasq reads the file when it gets SIGHUP."""
        self._path.write_text(f"{address} {_NAME}\n", encoding="utf-8")
        if self.process is not None:
            self.process.send_signal(signal.SIGHUP)


@contextmanager
def _name_server(folder: Path) -> Iterator[_Hosts]:
    path, log = folder / "hosts", folder / "dnsmasq.log"
    hosts = _Hosts(path)
    line = [_dnsmasq() or "", "--keep-in-foreground", "--no-resolv", "--no-hosts", f"--addn-hosts={path}", "--port=53"]
    line += [f"--listen-address={_SERVER}", "--bind-interfaces", "--conf-file=/dev/null", "--pid-file=", "--user=root"]
    with log.open("wb") as output:
        hosts.process = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        time.sleep(0.5)
        if hosts.process.poll() is not None:
            raise BenchmarkError(f"dnsmasq does not start: {log.read_text(errors='replace').strip()}")
        yield hosts
    finally:
        hosts.process.terminate()
        hosts.process.wait()


def _dnsmasq() -> str | None:
    return shutil.which("dnsmasq") or shutil.which("dnsmasq", path="/usr/sbin:/sbin")
