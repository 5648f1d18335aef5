"""A proxy of the kind that firms have: it tunnels to names that only it knows, and may want a password."""

from __future__ import annotations

import base64
import select
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Proxy:
    """Answers CONNECT by a tunnel to ``target``, whatever host is asked for; ``asked`` keeps what that was."""

    def __init__(self, target: tuple[str, int], password: str = "") -> None:
        self.target, self.asked = target, list[str]()
        self.expected = f"Basic {base64.b64encode(password.encode()).decode()}" if password else None
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self.server.daemon_threads = True
        self.server.proxy = self  # type: ignore[attr-defined]  # the handler's way to it
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def url(self, password: str = "") -> str:
        return f"http://{password}{'@' * bool(password)}127.0.0.1:{self.server.server_port}"

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: object) -> None:
        pass

    def do_CONNECT(self) -> None:
        proxy: Proxy = self.server.proxy  # type: ignore[attr-defined]
        proxy.asked.append(self.path)
        if proxy.expected and self.headers.get("Proxy-Authorization") != proxy.expected:
            self.send_response(407, "Proxy Authentication Required")
            self.send_header("Proxy-Authenticate", 'Basic realm="firm"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        with socket.create_connection(proxy.target) as there:
            self.send_response(200)
            self.end_headers()
            ends = {self.connection: there, there: self.connection}
            while True:
                for end in select.select(list(ends), [], [], 60)[0]:
                    data = end.recv(1 << 16)
                    if not data:
                        self.close_connection = True
                        return
                    ends[end].sendall(data)
