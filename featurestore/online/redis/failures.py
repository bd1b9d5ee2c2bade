"""What went wrong with a Redis, in one sentence that names the remedy."""

from __future__ import annotations

import socket
import ssl

from featurestore.errors import OnlineStoreError

_SHARE = "what was published before stays live"
_ANSWERS = {
    "OOM": f"is out of memory (maxmemory is reached); {_SHARE}. Raise maxmemory, or free some with "
    "`featurestore maintain`",
    "LOADING": "is loading its data after a start; ask again in a moment",
    "BUSY": "is busy with a script of somebody else; ask again in a moment",
    "READONLY": "is a replica, which takes no writes; name the primary",
    "MASTERDOWN": "is a replica that has lost its primary; name another server",
    "CLUSTERDOWN": "is a cluster of which a part is down; ask again when all its slots are served",
    "TRYAGAIN": "is moving some of its slots between its nodes; ask again in a moment",
    "MOVED": "is a node of a cluster; write redis+cluster:// instead of redis://",
    "CROSSSLOT": "is a node of a cluster; write redis+cluster:// instead of redis://",
    "MISCONF": "refuses writes because it cannot save to its disk; mend that",
    "NOAUTH": "asks for a password; write it as scheme://:PASSWORD@... or scheme://USER:PASSWORD@...",
    "WRONGPASS": "refuses this user or password",
    "NOPERM": "does not permit this user what is needed",
    "NOREPLICAS": "refuses writes because too few replicas are connected",
}


class Unreachable(Exception):
    """A connection could not be made, or was lost; `sent` tells whether the server may have got the commands."""

    def __init__(self, reason: str, *, sent: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.sent = sent


def unreachable(error: OSError, seconds: float, *, sent: bool) -> Unreachable:
    """A failed connection in words."""
    match error:
        case TimeoutError():
            reason = f"did not answer within {seconds:g} s"
        case ssl.SSLCertVerificationError():
            reason = f"has a certificate that is not trusted ({error.verify_message}); give its authority by ca="
        case ssl.SSLError():
            reason = f"does not speak TLS as asked ({(error.reason or str(error)).lower().replace('_', ' ')})"
        case ConnectionRefusedError() | FileNotFoundError():
            reason = "is not running there; start it, or correct [online] url"
        case PermissionError():
            reason = "may not be reached by this user; give him the right to the socket"
        case socket.gaierror():
            reason = f"has no known address ({error.strerror})"
        case ConnectionError() | EOFError():
            reason = "closed the connection"
        case _:
            reason = f"cannot be reached ({error.strerror or error})"
    return Unreachable(reason, sent=sent)


def lost(where: object, error: Unreachable, *, publishing: bool = False) -> OnlineStoreError:
    """The error for a server that cannot be reached."""
    unknown = "; what was being published may have arrived, so publish it again" if publishing and error.sent else ""
    return OnlineStoreError(f"The online store at {where} {error.reason}{unknown}.")


def refused(where: object, answer: Exception) -> OnlineStoreError:
    """The error for a command that the server refuses."""
    text = str(answer)
    known = _ANSWERS.get(text.partition(" ")[0])
    if known is None:
        return OnlineStoreError(f"The online store at {where} refuses a command: {text.rstrip('.')}.")
    if text.startswith("NOPERM"):
        known += f" ({text.partition(' ')[2].rstrip('.')})"
    return OnlineStoreError(f"The online store at {where} {known}.")
