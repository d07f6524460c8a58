"""A certificate, and what ends TLS in front of a server, as an ingress does."""

import asyncio
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def make_certificate(folder: Path, *, names: str = "IP:127.0.0.1", days: int = 2) -> Path:
    """Write ca.pem, an authority of one's own, and cert.pem and key.pem, which it has signed for these names and days.

    With no days, the certificate has expired already."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl, which makes the certificate, is not on this machine")

    def openssl(line: str, *words: str) -> None:
        subprocess.run(["openssl", *line.split(), *words], cwd=folder, check=True, capture_output=True)

    new = "-newkey rsa:2048 -nodes -days 2"
    openssl(f"req -x509 {new} -keyout ca.key -out ca.pem -subj", "/CN=an authority of one's own")
    extensions = ["-addext", f"subjectAltName={names}", "-addext", "basicConstraints=critical,CA:FALSE"]
    openssl(f"req {new} -keyout key.pem -out request.pem -subj /CN=server", *extensions)
    authority = "-CA ca.pem -CAkey ca.key -CAcreateserial"
    openssl(f"x509 -req -in request.pem {authority} -days {days} -copy_extensions copy -out cert.pem")
    return folder


@contextmanager
def tls_terminator(certificate: Path, port: int, protocol: str = "http/1.1") -> Iterator[int]:
    """Accept TLS with "http/1.1" or "h2" and pass the bytes on to a port of this machine; gives its own port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    context.set_alpn_protocols([protocol])
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)  # handshakes that clients refuse

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            plain_reader, plain_writer = await asyncio.open_connection("127.0.0.1", port)
            await asyncio.gather(pump(reader, plain_writer), pump(plain_reader, writer))
        except (OSError, asyncio.CancelledError):
            writer.close()

    async def stop() -> None:
        server.close()
        await asyncio.sleep(0.05)  # a task that is cancelled before it has begun would not close its connection
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0.05)  # the closed connections end

    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    starting = asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    server = asyncio.run_coroutine_threadsafe(starting, loop).result(10)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        asyncio.run_coroutine_threadsafe(stop(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
