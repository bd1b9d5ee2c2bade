"""What a Redis URL says, checked once; no message and no repr shows its password."""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, unquote

from featurestore.errors import ConfigurationError, closest_first
from featurestore.urls import without_secrets

SCHEMES = ("redis", "rediss", "unix", "redis+cluster", "rediss+cluster")

_PORT = 6379
_OPTIONS = (
    "buckets", "ca", "cert", "connect_timeout", "db", "key", "prefix", "timeout", "verify",
)  # fmt: skip
_EXAMPLES = {
    "unix": "unix:///run/redis.sock?db=0",
    "redis+cluster": "redis+cluster://host1:7000,host2:7000",
    "rediss+cluster": "rediss+cluster://host1:7000,host2:7000",
}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where one server listens: a host and port, or the path of a socket."""

    host: str
    port: int = 0

    @property
    def is_socket(self) -> bool:
        """Whether `host` is the path of a Unix socket."""
        return self.port == 0

    def __str__(self) -> str:
        if self.is_socket:
            return self.host
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """Where a Redis is and how it is spoken to.

    `timeout_s` bounds a lookup and each step of a publish, `connect_timeout_s` the making of a connection. All keys
    begin with `prefix`. `buckets` is among how many hashes a cluster spreads a namespace.
    """

    scheme: str
    endpoints: tuple[Endpoint, ...]
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    database: int = 0
    timeout_s: float = 1.0
    connect_timeout_s: float = 1.0
    prefix: str = "featurestore"
    buckets: int = 128
    tls: ssl.SSLContext | None = field(default=None, repr=False)

    @property
    def is_cluster(self) -> bool:
        """Whether the servers form a cluster."""
        return self.scheme.endswith("+cluster")

    def __str__(self) -> str:
        hosts = ",".join(map(str, self.endpoints))
        return f"{self.scheme}://{hosts}" + (f"/{self.database}" if self.database else "")


def parse_address(url: str, root: Path) -> RedisAddress:
    """The address in a URL; a relative socket path starts at `root`. Raises ConfigurationError without its password."""
    scheme, _, rest = url.partition("://")
    location, _, query = rest.partition("?")
    userinfo, _, place = location.rpartition("@")
    shown = without_secrets(url)
    user, has_password, password = userinfo.partition(":")
    options = _options(query, shown)
    path = "" if scheme == "unix" else place.partition("/")[2]
    if path and "db" in options:
        raise ConfigurationError(f"The online store '{shown}' names its database twice; leave out db=.")
    if scheme == "unix":
        endpoints: tuple[Endpoint, ...] = (Endpoint(str(root / unquote(place))),) if place else ()
    else:
        hosts = place.partition("/")[0].split(",") if scheme.endswith("+cluster") else [place.partition("/")[0]]
        endpoints = tuple(_endpoint(host, shown) for host in hosts if host)
    if not endpoints:
        example = _EXAMPLES.get(scheme, f"{scheme}://localhost:6379/0")
        raise ConfigurationError(f"The online store '{shown}' names no server; write {example}.")
    database = _whole(path or options.get("db", "0"), "database", shown, least=0)
    if database and scheme.endswith("+cluster"):
        raise ConfigurationError(
            f"The online store '{shown}' names database {database}; a cluster has database 0 only."
        )
    return RedisAddress(
        scheme=scheme,
        endpoints=endpoints,
        username=unquote(user) or None,
        password=unquote(password) if has_password else None,
        database=database,
        timeout_s=_seconds(options, "timeout", "1", shown),
        connect_timeout_s=_seconds(options, "connect_timeout", options.get("timeout", "1"), shown),
        prefix=_prefix(options.get("prefix", "featurestore"), shown),
        buckets=_whole(options.get("buckets", "128"), "buckets", shown, least=1, most=16_384),
        tls=_tls(scheme, options, root, shown),
    )


def _options(query: str, shown: str) -> dict[str, str]:
    options = dict(parse_qsl(query, keep_blank_values=True))
    for name, value in options.items():
        if name not in _OPTIONS and "@" in f"{name}{value}":  # the rest of a password, perhaps
            raise ConfigurationError(
                f"The online store '{shown}' has a '?' before an '@'; in a user or a password write it as %3F."
            )
        if name not in _OPTIONS:
            raise ConfigurationError(
                f"The online store '{shown}' has no option '{name}'. Options: "
                f"{', '.join(closest_first(name, _OPTIONS))}."
            )
    return options


def _endpoint(text: str, shown: str) -> Endpoint:
    matched = re.fullmatch(r"(?:\[(?P<v6>[^\]]+)\]|(?P<host>[^:\[\]]+))(?::(?P<port>\d+))?", text)
    port = int(matched["port"] or _PORT) if matched else 0
    if matched is None or not 0 < port < 65_536:
        raise ConfigurationError(f"The online store '{shown}': '{text}' is no host:port.")
    return Endpoint(matched["v6"] or matched["host"], port)


def _whole(text: str, name: str, shown: str, *, least: int, most: int = 2**31) -> int:
    if not text.isdecimal() or not least <= int(text) <= most:
        raise ConfigurationError(
            f"The online store '{shown}': {name} must be a whole number from {least} on, got '{text}'."
        )
    return int(text)


def _seconds(options: dict[str, str], name: str, default: str, shown: str) -> float:
    text = options.get(name, default)
    if not re.fullmatch(r"\d+(\.\d+)?|\.\d+", text) or float(text) <= 0:
        raise ConfigurationError(f"The online store '{shown}': {name} must be seconds, such as 0.5, got '{text}'.")
    return float(text)


def _prefix(text: str, shown: str) -> str:
    if not re.fullmatch(r"[\w.:/-]{1,64}", text):
        raise ConfigurationError(
            f"The online store '{shown}': prefix must be 1 to 64 letters, digits or any of . : / _ -, got '{text}'."
        )
    return text


def _tls(scheme: str, options: dict[str, str], root: Path, shown: str) -> ssl.SSLContext | None:
    given = [name for name in ("ca", "cert", "key", "verify") if name in options]
    if not scheme.startswith("rediss"):
        if given:
            raise ConfigurationError(f"The online store '{shown}' has {given[0]}= without TLS; write rediss://.")
        return None
    verify = options.get("verify", "full")
    if verify not in ("full", "ca", "none"):
        raise ConfigurationError(
            f"The online store '{shown}': verify must be full, ca (any host name) or none, got '{verify}'."
        )
    files = {name: str(root / options[name]) for name in ("ca", "cert", "key") if name in options}
    try:
        context = ssl.create_default_context(cafile=files.get("ca"))
        if "cert" in files:
            context.load_cert_chain(files["cert"], files.get("key"))
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            f"The online store '{shown}': the TLS files {', '.join(files.values())} cannot be used ({error})."
        ) from error
    context.check_hostname = verify == "full"
    if verify == "none":
        context.verify_mode = ssl.CERT_NONE
    return context
