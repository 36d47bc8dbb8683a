"""What to do when the other end of a command is not reached, or is not what it is taken for."""

from __future__ import annotations

import grpc

from braid.client import BraidError

SIGNS = (
    (
        "WRONG_VERSION_NUMBER",
        "{target} speaks without TLS: so must you (--insecure, or BRAID_INSECURE=1), if you trust"
        " the network.",
    ),
    (
        "certificate has expired",
        "The certificate of {target}, or its authority's, has expired: it must be renewed there.",
    ),
    (
        "certificate is not yet valid",
        "The certificate of {target}, or its authority's, is not valid yet: is a clock wrong?",
    ),
    (
        "CERTIFICATE_VERIFY_FAILED",
        "The certificate of {target} is not signed by an authority that you believe: --ca is the"
        " file of the right one.",
    ),
    (
        "Hostname Verification",
        "The certificate of {target} is not for this name: --target must be one that it is for.",
    ),
    ("security handshaker", "--cert and --key cannot be used, or are not a pair."),
    (
        ": Socket closed",
        "{target} may speak TLS only (then without --insecure, and with --ca), and want to see a"
        " certificate (--cert and --key).",
    ),
    (
        "Connection refused",
        "Nobody listens at {target}: is --target (or BRAID_TARGET) right? A server says on its"
        " first line where it listens.",
    ),
    ("errors resolving", "--target (or BRAID_TARGET) is host:port, or ipv4:HOST:PORT,HOST:PORT."),
)
"""Words of gRPC, and what they mean here; the first that fits."""
STRANGER = (
    "What listens at {target} does not know this command: an agent where an orchestrator is meant,"
    " or another version?"
)


def advice(error: BraidError, target: str) -> str:
    """What to do about a call to ``target`` that failed; empty when nobody knows."""
    if (error.code, error.message) == (grpc.StatusCode.UNIMPLEMENTED, "Method not found!"):
        return STRANGER.format(target=target)
    if error.code is not grpc.StatusCode.UNAVAILABLE:
        return ""
    found = (advice for sign, advice in SIGNS if sign in error.message)
    return next(found, "").format(target=target)
