"""A real MLflow server that can be stopped and started again, and a real HTTP proxy before it that has faults."""

from __future__ import annotations

import http.client
import os
import random
import signal
import subprocess
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.tracking_samples import local_store
from tracking.ui import free_port, ui_command

_OWN = {"host", "transfer-encoding", "content-length"}  # of each of the two connections


class Server:
    """MLflow's own server on an SQLite file in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port(0)
        self.store = local_store(folder)
        self.address = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it and waits until it answers."""
        with (self.folder / "log").open("a") as log:
            self._process = subprocess.Popen(
                ui_command(self.store, self.port),
                cwd=self.folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=dict(os.environ),
            )
        for _ in range(1800):
            try:
                with urllib.request.urlopen(f"{self.address}/health", timeout=5):
                    return
            except OSError:
                assert self._process.poll() is None, (self.folder / "log").read_text()
                time.sleep(0.1)
        raise AssertionError(f"the server did not start: {(self.folder / 'log').read_text()}")

    def stop(self) -> None:
        """Kills it and its workers."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


class Proxy:
    """Hands requests on to a server. faults: share of requests answered with 500, half of them after the server has
    carried them out. delay: seconds before each answer. left: requests until it is down; None for ever."""

    def __init__(self, port: int) -> None:
        self.faults, self.delay, self.requests = 0.0, 0.0, 0
        self.left: int | None = None
        self.lost: list[str] = []  # requests that were carried out and answered with 500
        self._random, self._lock = random.Random(5), threading.Lock()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                proxy.answer(self, port)

            do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, request: BaseHTTPRequestHandler, port: int) -> None:
        body = _body(request)
        with self._lock:
            self.requests += 1
            draw = self._random.random()
            down = self.left is not None and self.left <= 0
            self.left = None if self.left is None else self.left - 1
        if down:
            request.close_connection = True
            request.connection.close()
            return
        time.sleep(self.delay)
        if draw < self.faults / 2:
            self._reply(request, 500, b"{}")
            return
        upstream = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _OWN}
        upstream.request(request.command, request.path, body, headers)
        response = upstream.getresponse()
        status, content = response.status, response.read()
        upstream.close()
        if draw < self.faults:
            self.lost.append(f"{request.command} {request.path}")
            status, content = 500, b"{}"
        self._reply(request, status, content)

    def _reply(self, request: BaseHTTPRequestHandler, status: int, content: bytes) -> None:
        request.send_response(status)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content)


def _body(request: BaseHTTPRequestHandler) -> bytes:
    """What was sent, whether its length was said before or each piece has its own, as that of an empty file has."""
    if request.headers.get("Transfer-Encoding", "").lower() != "chunked":
        return request.rfile.read(int(request.headers.get("Content-Length") or 0))
    pieces = []
    while size := int(request.rfile.readline().split(b";")[0], 16):
        pieces.append(request.rfile.read(size))
        request.rfile.readline()
    request.rfile.readline()
    return b"".join(pieces)
