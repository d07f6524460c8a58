"""How the launcher asks the gateway: by http or https, on this machine, without a proxy."""

import socket
import ssl
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from server import ready
from server.banner import banner


@pytest.fixture
def gateway():
    """What answers as a gateway does; `start(tls, status)` gives its port."""
    started = []

    def start(tls=None, status=200):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(status if self.path == "/health/ready" else 404)
                self.end_headers()

            def log_message(self, *_):
                pass

        class Server(HTTPServer):
            def handle_error(self, *_):
                pass  # a client that speaks no TLS

        http = Server(("127.0.0.1", 0), Handler)
        if tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls.certificate, tls.key)
            http.socket = context.wrap_socket(http.socket, server_side=True)
        thread = threading.Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        started.append((http, thread))
        return http.server_port

    yield start
    for http, thread in started:
        http.shutdown()
        thread.join()
        http.server_close()


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in ("SOD_TLS_CERTIFICATE", "SOD_TLS_KEY", "SOD_API_KEYS"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("host", "http", "https"),
    [
        ("127.0.0.1", "http://127.0.0.1:80", "https://127.0.0.1:80"),
        ("0.0.0.0", "http://127.0.0.1:80", "https://127.0.0.1:80"),
        ("::", "http://[::1]:80", "https://[::1]:80"),
        ("192.0.2.7", "http://192.0.2.7:80", "https://192.0.2.7:80"),
        ("gateway", "http://gateway:80", "https://gateway:80"),
    ],
)
def test_the_address(host, http, https, monkeypatch):
    assert ready.local_url(host, 80) == http
    monkeypatch.setenv("SOD_TLS_CERTIFICATE", "")  # counts as absent, as in the gateway
    assert ready.local_url(host, 80) == http
    monkeypatch.setenv("sod_Tls_Certificate", "c.pem")  # in any case, as in the gateway
    assert ready.local_url(host, 80) == https


@pytest.mark.parametrize("secure", [False, True])
def test_ready_or_not(secure, gateway, certificate, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    tls = certificate if secure else None
    if secure:
        monkeypatch.setenv("SOD_TLS_CERTIFICATE", str(certificate.certificate))
    port = gateway(tls)
    assert ready.is_ready(ready.local_url("127.0.0.1", port))
    assert ready.main(["--port", str(port)]) == 0
    assert ready.main(["--port", str(gateway(tls, status=503))]) == 1


def test_no_gateway_or_one_that_speaks_otherwise(gateway, certificate, free_ports):
    (port,) = free_ports(1)
    assert not ready.is_ready(f"http://127.0.0.1:{port}")
    assert not ready.is_ready(f"https://127.0.0.1:{gateway()}")
    assert not ready.is_ready(f"http://127.0.0.1:{gateway(certificate)}")


def test_liveness_is_any_answer_in_time(gateway, certificate, free_ports):
    (port,) = free_ports(1)
    assert ready.liveness(f"http://127.0.0.1:{port}", 5) == "refused"
    assert ready.liveness(f"http://127.0.0.1:{gateway(status=503)}", 5) == "alive"
    assert ready.liveness(f"https://127.0.0.1:{gateway(certificate)}", 5) == "alive"
    assert ready.liveness(f"https://127.0.0.1:{gateway()}", 5) == "alive", "it reacts, though not as it should"
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        assert ready.liveness(f"http://127.0.0.1:{silent.getsockname()[1]}", 0.3) == "silent"


@pytest.mark.parametrize(("keys", "header"), [("", ""), ("a:0", ' -H "X-API-Key: $KEY"')])
@pytest.mark.parametrize(("scheme", "option"), [("http", "-s"), ("https", "-sk")])
def test_the_banner_s_curl_fits_the_settings(keys, header, scheme, option, monkeypatch):
    monkeypatch.setenv("SOD_API_KEYS", keys)
    told = banner(f"{scheme}://127.0.0.1:1", "cpu_regular", ("demo",), {})
    assert f"curl {option} {scheme}://127.0.0.1:1/small-object-detection{header} -H 'content-type" in told
