"""A webhook on loopback that remembers what it was told."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import ClassVar


class Webhook(BaseHTTPRequestHandler):
    """Answers with `status`."""

    bodies: ClassVar[list[dict[str, object]]] = []
    status = 204

    def do_POST(self) -> None:
        """Remember the body."""
        self.bodies.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        self.send_response(self.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def listening() -> Iterator[str]:
    """The address of a webhook that was told nothing yet."""
    Webhook.bodies, Webhook.status = [], 204
    with HTTPServer(("127.0.0.1", 0), Webhook) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/alert"
        server.shutdown()
        thread.join()
