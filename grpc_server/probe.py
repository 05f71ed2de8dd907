"""A health probe of the server on this machine: `python -m grpc_server.probe` exits with 0 if the server is serving.

It is for servers with TLS, which Kubernetes' own gRPC probe cannot reach: that probe speaks plain text only. It reads
the server's settings from the same variables and file, and so finds its port and its certificate.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from grpc_server.settings import ServerSettings
from qtr_runtime.settings import usage_error

if TYPE_CHECKING:
    import grpc

_LOOPBACK_OF = {"0.0.0.0": "127.0.0.1", "::": "::1", "[::]": "::1"}  # noqa: S104 - not bound, only replaced


class ProbeSettings(ServerSettings):
    """Checks the health of a server on this machine, with the server's own settings."""

    prog: ClassVar[str] = "python -m grpc_server.probe"

    service: str = Field(
        default="",
        description="Health service to check; the server as a whole if absent. liveness is the state of the process "
        "alone, which neither load nor draining changes.",
    )
    seconds: float = Field(default=4.0, gt=0, description="Time limit of the check.")
    tls_ca: Path | None = Field(
        default=None,
        description="PEM file of the authorities to trust; --tls-client-ca if absent, or else the certificate itself.",
    )
    tls_name: str = Field(default="localhost", description="Name that the server's certificate must have.")


def main(argv: Sequence[str] | None = None) -> int:
    """Check once; return 0 if the status is SERVING, and 1 otherwise, with a sentence on stderr."""
    settings = ProbeSettings.parse(sys.argv[1:] if argv is None else argv)
    # Otherwise gRPC's core writes lines of its own to stderr when a connection fails.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    host = _LOOPBACK_OF.get(settings.host, settings.host)
    target = f"[{host}]:{settings.port}" if ":" in host else f"{host}:{settings.port}"
    # The server is on this machine: do not use a proxy that the environment names.
    options: list[tuple[str, object]] = [("grpc.enable_http_proxy", 0)]
    if settings.tls_cert and settings.tls_key:
        credentials = _credentials(settings, settings.tls_cert, settings.tls_key)
        options.append(("grpc.ssl_target_name_override", settings.tls_name))
        channel = grpc.secure_channel(target, credentials, options=options)
    else:
        channel = grpc.insecure_channel(target, options=options)
    request = health_pb2.HealthCheckRequest(service=settings.service)
    with channel:
        try:
            check = health_pb2_grpc.HealthStub(channel).Check  # type: ignore[attr-defined]  # missing in the stubs
            answer = check(request, timeout=settings.seconds)
        except grpc.RpcError as error:
            print(f"{target}: {error.code().name}: {error.details()}", file=sys.stderr)
            return 1
    if answer.status != health_pb2.HealthCheckResponse.SERVING:
        print(f"{target}: {health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)}", file=sys.stderr)
        return 1
    return 0


def _credentials(settings: ProbeSettings, certificate: Path, key: Path) -> grpc.ChannelCredentials:
    """Return credentials that present the server's own certificate, in case it requires one."""
    import grpc

    trusted = settings.tls_ca or settings.tls_client_ca or certificate
    try:
        return grpc.ssl_channel_credentials(
            root_certificates=trusted.read_bytes(),
            private_key=key.read_bytes(),
            certificate_chain=certificate.read_bytes(),
        )
    except OSError as error:
        usage_error(settings.prog, f"{error.filename} cannot be read ({error.strerror})")


if __name__ == "__main__":
    raise SystemExit(main())
