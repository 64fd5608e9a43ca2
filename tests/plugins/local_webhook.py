"""An incoming webhook on this machine."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SECRET = "T012345/B012345/s3cr3tt0k3n"


class Webhook:
    """An incoming webhook: what it was sent, by path; it answers with ``status``."""

    def __init__(self) -> None:
        self.status = 200
        self.posted: list[tuple[str, dict[str, Any]]] = []
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.posted.append((self.path, json.loads(body)))
                self.send_response(hook.status)
                if hook.status == 302:
                    self.send_header("Location", "/elsewhere")
                self.end_headers()
                self.wfile.write(f"no_such_token {SECRET}".encode())

            def log_message(self, *args: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/services"

    @property
    def texts(self) -> list[str]:
        return [body["text"] for _, body in self.posted]
