"""`featurestore serve`: a supervisor, and worker processes that share one socket."""

from __future__ import annotations

import ipaddress
import logging
import logging.config
import os
import socket
import ssl
import tempfile
import time
from collections.abc import Callable

from uvicorn.config import Config
from uvicorn.supervisors.multiprocess import Multiprocess

from featurestore.errors import ConfigurationError
from featurestore.project.configuration import Serving

log = logging.getLogger("featurestore.serving")

_BACKLOG = 2048
METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s [%(process)d] %(name)s: %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "loggers": {
        "uvicorn": {"handlers": ["stderr"], "level": "WARNING", "propagate": False},
        "featurestore.serving": {"handlers": ["stderr"], "level": "INFO", "propagate": False},
    },
}


def serve(settings: Serving, announce: Callable[[str], None], *, has_keys: bool = False) -> int:
    """Serve until SIGTERM or SIGINT, then drain; the exit code: 0, or 2 when a worker could not start.

    `announce` is called with the URL when the socket is open. The project is the one that FEATURESTORE_ROOT names.
    `has_keys`: a key was made, so that requests need one. Raises ConfigurationError for an address that would be open
    to others without keys, or without TLS, and for a certificate that cannot be used.
    """
    check_address(settings, has_keys=has_keys)
    _check_tls(settings)
    logging.config.dictConfig(LOGGING)
    config = Config(
        "serving.app:worker",
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        loop="uvloop",
        http="serving.protocol:Protocol",
        ssl_certfile=settings.tls_certificate,
        ssl_keyfile=settings.tls_key,
        ws="none",
        lifespan="on",
        log_config=LOGGING,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=max(1, round(settings.drain_seconds)),
    )
    opened = _open_socket(settings)
    host, port = opened.getsockname()[:2]
    scheme = "http" if settings.tls_certificate is None else "https"
    announce(f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}")
    supervisor = Supervisor(config, opened, settings.drain_seconds)
    with tempfile.TemporaryDirectory(prefix="featurestore-metrics-") as shared:
        os.environ[METRICS_FOLDER] = shared  # where the workers count, each in files of its own
        supervisor.run()
    return 2 if supervisor.failed else 0


def check_address(settings: Serving, *, has_keys: bool) -> None:
    """Refuse an address beyond this machine unless requests need keys, and keys travel under TLS."""
    if (settings.tls_certificate is None) != (settings.tls_key is None):
        raise ConfigurationError("TLS needs both a certificate and its key: give tls_certificate and tls_key.")
    if _is_loopback(settings.host):
        return
    what = f"{settings.host} can be reached from other machines"
    if not (has_keys or settings.require_keys):
        raise ConfigurationError(
            f"{what}, and no key exists, so anybody could ask. Make one with `featurestore keys create`, or serve on "
            "127.0.0.1."
        )
    if settings.tls_certificate is None and not settings.behind_proxy:
        raise ConfigurationError(
            f"{what}, and without TLS keys could be read on the way. Give --tls-certificate and --tls-key, or "
            "--behind-proxy when a proxy in front of this server ends TLS."
        )


def _check_tls(settings: Serving) -> None:
    """Refuse a certificate and a key that no worker could use."""
    certificate, key = settings.tls_certificate, settings.tls_key
    if certificate is None or key is None:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=lambda: "")
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"The certificate '{certificate}' with the key '{key}' cannot be used for TLS: {error}. Give two files in "
            "PEM that belong together, the key without a passphrase."
        ) from error


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Supervisor(Multiprocess):
    """Keeps the workers alive; when asked to stop, refuses new connections at once and lets the workers finish."""

    def __init__(self, config: Config, opened: socket.socket, drain_seconds: float) -> None:
        super().__init__(config, [opened])
        self._drain_seconds = drain_seconds
        self._asked_to_stop = False

    @property
    def failed(self) -> bool:
        """Whether serving ended because a worker could not start."""
        return not self._asked_to_stop

    def handle_int(self) -> None:
        """Drain."""
        self._stop()

    def handle_term(self) -> None:
        """Drain."""
        self._stop()

    def _stop(self) -> None:
        log.info("Draining: no new requests, up to %g s for those in flight.", self._drain_seconds)
        self._asked_to_stop = True
        for opened in self.sockets:
            opened.close()
        self.should_exit.set()

    def join_all(self) -> None:
        """Wait for the workers to end, and end those that take longer than the drain may."""
        until = time.monotonic() + self._drain_seconds + 2
        for process in self.processes:
            process.process.join(max(0.0, until - time.monotonic()))
            if process.process.is_alive():
                log.error("Worker %s did not end in time; ending it.", process.pid)
                process.process.kill()
                process.process.join()


def _open_socket(settings: Serving) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    opened = socket.socket(family)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        opened.bind((settings.host, settings.port))
    except OSError as error:
        opened.close()
        raise ConfigurationError(
            f"{settings.host}:{settings.port} cannot be listened on: {os.strerror(error.errno or 0)}; choose another "
            "with --host and --port, or end what listens there."
        ) from error
    opened.listen(_BACKLOG)  # from now on who comes waits for a worker, and is not refused
    opened.set_inheritable(True)
    return opened
