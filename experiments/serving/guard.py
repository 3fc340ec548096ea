"""Refuses requests that other sites make through a browser, and adds security headers to every response."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

Message = MutableMapping[str, Any]

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class Guard:
    """ASGI middleware.

    A site can let its own name resolve to 127.0.0.1 (DNS rebinding); its page then has the same origin as this server.
    Such requests have the site's name in the Host header, so only names that were given at the start are accepted, and
    IP addresses, which need no name. Requests that the browser marks as coming from another site are also refused.

    Args:
        app: The application.
        hosts: The accepted names, in addition to localhost.
    """

    def __init__(self, app: Callable[..., Awaitable[None]], hosts: Sequence[str] = ()) -> None:
        self._app, self._hosts = app, {"localhost", *(name.lower().rstrip(".") for name in hosts)}

    async def __call__(self, scope: Message, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                added = [(name.lower().encode(), value.encode()) for name, value in _HEADERS.items()]
                message = {**message, "headers": [*message.get("headers", []), *added]}
            await send(message)

        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        status, line = self._refusal(headers, scope["path"])
        if not status:
            await self._app(scope, receive, with_headers)
            return
        body = json.dumps({"error": line}).encode()
        start = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await with_headers({"type": "http.response.start", "status": status, "headers": start})
        await send({"type": "http.response.body", "body": body})

    def _refusal(self, headers: dict[str, str], path: str) -> tuple[int, str]:
        """The status and one line; status 0 on a request that is accepted."""
        host = _name_of(headers.get("host", ""))
        if host not in self._hosts and not _is_address(host):
            found = repr(host) if host else "none"
            return 400, f"Host: found {found}, expected localhost or an IP address (--allowed_host accepts a name)"
        site = headers.get("sec-fetch-site", "none")
        if site not in ("same-origin", "none") and path != "/":  # a link to the page is no harm
            return 403, f"Sec-Fetch-Site: found {site!r}, expected a request from this server's page"
        return 0, ""


def _name_of(host: str) -> str:
    """The name or address in a Host header, without the port."""
    host = host.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].rstrip(".")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
