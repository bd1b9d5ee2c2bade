"""The URL of a store as it may be shown."""

from __future__ import annotations

_WITHOUT_SECRETS = ("lmdb", "memory")


def without_secrets(url: str) -> str:
    """Where a store is, without user, password and options; the scheme alone where these cannot be told apart."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return f"...{url[url.rindex('@') :]}" if "@" in url else url
    if scheme in _WITHOUT_SECRETS:
        return url
    location, _, options = rest.partition("?")
    shown = "..." if "@" in options else location.rpartition("@")[2]
    return f"{scheme}{separator}{shown}"
