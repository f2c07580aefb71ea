"""A real web server with everything that goes wrong on the web."""

from __future__ import annotations

import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Web:
    """Serves ``files`` by path, and faults under fixed paths; ``asked`` counts requests, ``most`` those at one time."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.asked: Counter[str] = Counter()
        self.hosts: set[str] = set()
        self.now = self.most = 0
        self._lock = threading.Lock()
        self._stop = threading.Event()
        web = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                with web._lock:
                    web.asked[self.path] += 1
                    web.hosts.add(self.headers["Host"])
                    web.now += 1
                    web.most = max(web.most, web.now)
                try:
                    web._answer(self)
                except OSError:  # the other side has had enough
                    self.close_connection = True
                finally:
                    with web._lock:
                        web.now -= 1

            def log_message(self, format: str, *args: object) -> None:
                return None

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: object, client_address: object) -> None:
                return None

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    def __enter__(self) -> Web:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _answer(self, to: BaseHTTPRequestHandler) -> None:  # noqa: C901
        path = to.path
        if path == "/loop":
            self._send(to, 302, headers={"Location": "/loop"})
        elif path.startswith("/to/"):
            self._send(to, 302, headers={"Location": path.removeprefix("/to/")})
        elif path.startswith("/busy/") and self.asked[path] <= 2:
            self._send(to, 503, headers={"Retry-After": "0"})
        elif path == "/always-busy":
            self._send(to, 500)
        elif path.startswith("/short/") and self.asked[path] == 1:
            self._send(to, 200, b"half", {"Content-Length": "1000"})
            to.close_connection = True
        elif path == "/drip":
            self._send(to, 200, headers={"Content-Length": "1000000"})
            while not self._stop.wait(0.05):
                to.wfile.write(b"x")
        elif path == "/flood":
            self._send(to, 200, headers={"Content-Length": "0", "Transfer-Encoding": "chunked"})
            while not self._stop.is_set():
                to.wfile.write(b"10000\r\n" + bytes(0x10000) + b"\r\n")
        elif path == "/hang":
            self._stop.wait(5)
        elif path == "/gzip.jpg":
            self._send(to, 200, b"\x1f\x8b", {"Content-Encoding": "gzip"})
        elif path == "/large":
            self._send(to, 200, headers={"Content-Length": str(10**9)})
        else:
            name = "/" + path.rsplit("/", 1)[-1]
            if path.startswith("/slow/"):
                time.sleep(0.05)
            if name in self.files:
                self._send(to, 200, self.files[name])
            else:
                self._send(to, 404, b"<html>not found</html>")

    def _send(
        self, to: BaseHTTPRequestHandler, status: int, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> None:
        headers = {"Content-Length": str(len(body)), **(headers or {})}
        if "Transfer-Encoding" in headers:
            del headers["Content-Length"]
        to.send_response(status)
        for name, value in headers.items():
            to.send_header(name, value)
        to.end_headers()
        to.wfile.write(body)
