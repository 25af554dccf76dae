"""The middleware between the network and the page."""

import socket

from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from melbo_app.hosts import Host, read_host
from melbo_app.library.uploads import Uploads
from melbo_app.settings import Settings
from melbo_app.web.access_token import AccessToken, new_token
from melbo_app.web.allowed_hosts import AllowedHosts
from melbo_app.web.below_prefix import BelowPrefix
from melbo_app.web.bodies import Bodies
from melbo_app.web.presence import Presence
from melbo_app.web.proxies import Proxies
from melbo_app.web.security_headers import SecurityHeaders


def token_of(settings: Settings) -> str | None:
    """The token that requests need: the operator's, a new one if other machines can reach the server, or None."""
    if settings.no_token:
        return None
    if settings.token is not None:
        return settings.token.get_secret_value()
    return None if _is_here(settings) else new_token()


def address_of(settings: Settings, port: int, token: str | None) -> str:
    """The address to open, with the token; the machine's name if the server listens on all addresses."""
    listens = Host(settings.host)
    everywhere = listens.address is not None and listens.address.is_unspecified
    name = socket.gethostname().lower() if everywhere else listens.written
    return f"http://{name}:{port}{settings.root_path}/{f'?token={token}' if token else ''}"


def warnings_of(settings: Settings, token: str | None) -> list[str]:
    """Warnings to the operator about open access."""
    if token:
        return []
    if not _is_here(settings):
        return ["Anybody who can reach this address can use the page without a token (--no-token)."]
    if settings.allow_host:
        names = " or ".join(settings.allow_host)
        return [f"Anybody who can reach {names} gets in without a token. Set MELBO_TOKEN unless the proxy has a login."]
    return []


def own_address(settings: Settings, port: int) -> str:
    """The address at which the server reaches itself."""
    listens = Host(settings.host)
    if listens.address is not None and listens.address.is_unspecified:
        listens = Host("127.0.0.1" if listens.address.version == 4 else "::1")
    return f"http://{listens.written}:{port}"


def guards(settings: Settings, port: int, token: str | None, own: str = "") -> list[Middleware]:
    """The middleware, outermost first. ``own`` is the secret of the server's own requests."""
    named = [read_host(text, pattern=True) for text in settings.allow_host]
    if not _is_here(settings):
        named += [read_host(Host(settings.host).written), read_host(socket.gethostname())]
    allowed = [host for host in named if host is not None]
    embedded = bool(settings.embed)
    return [
        Middleware(SecurityHeaders, settings.embed),
        Middleware(Proxies, settings.trusted_proxy, own),
        Middleware(AllowedHosts, allowed, any_address=not _is_here(settings), embedded=embedded),
        Middleware(BelowPrefix, settings.root_path),
        *([Middleware(AccessToken, token, port, embedded)] if token else []),
        Middleware(Bodies, Uploads(settings.uploads)),
        Middleware(Presence, "/gradio_api/mcp"),
        Middleware(CORSMiddleware, allow_origins=()),  # keeps Gradio from adding its own headers
    ]


def _is_here(settings: Settings) -> bool:
    return Host(settings.host.lower()).is_loopback
