"""The access token that every request needs if other machines can reach the server, as in Jupyter."""

import html
import secrets
from urllib.parse import parse_qs, parse_qsl, quote, urlencode

from starlette.datastructures import Headers
from starlette.requests import Request, cookie_parser
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from melbo_app.web.proxies import OWN
from melbo_app.web.refusal import asks_for_a_page, page, refuse

FIELD = "token"
SENTENCE = (
    "This server needs its access token: open the address that it printed when it started, "
    "or send the header “Authorization: Bearer TOKEN”."
)
_BYTES = 24
_DAYS = 30
_LONGEST_FORM = 4096
_FORM = """<p>The server printed it when it started, at the end of its address. This browser will remember it.</p>
<form method="post" action="{action}"><input name="token" type="password" aria-label="Access token" autofocus required
autocomplete="current-password"> <button>Open</button></form>{wrong}"""
_WRONG = '<p role="alert">This is not the server\'s token.</p>'


def new_token() -> str:
    """A token nobody can guess: 192 random bits."""
    return secrets.token_urlsafe(_BYTES)


class AccessToken:
    """Answers 401 to every request without the token in the address (which becomes a cookie), in that cookie, or in
    ``Authorization: Bearer``. ``port`` is part of the cookie's name, because servers on one machine share cookies."""

    def __init__(self, app: ASGIApp, token: str, port: int, embedded: bool = False) -> None:
        self._app, self._token, self._embedded = app, token, embedded
        self._cookie = f"melbo-token-{port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, remember the token, or answer 401."""
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        headers = Headers(scope=scope)
        given, rest = _taken_from_query(scope)
        in_address = any(self._is_right(token) for token in given)
        if in_address and asks_for_a_page(scope):
            return await self._remember(scope, receive, send, rest)
        if in_address or scope.get(OWN) or self._is_carried(headers):
            return await self._app({**scope, "query_string": rest.encode("latin-1")}, receive, send)
        if await self._is_typed(scope, headers, receive):
            return await self._remember(scope, receive, send, "")
        is_form = _is_form(scope, headers)
        if asks_for_a_page(scope) or is_form:
            form = _FORM.format(action=html.escape(_root(scope)), wrong=_WRONG if given or is_form else "")
            return await page("Access token", form, 401)(scope, receive, send)
        await refuse(scope, receive, send, 401, SENTENCE)

    def _is_right(self, token: str) -> bool:
        return secrets.compare_digest(token.encode(), self._token.encode())

    def _is_carried(self, headers: Headers) -> bool:
        kept = [cookie_parser(value).get(self._cookie, "") for value in headers.getlist("cookie")]
        said = [value.partition(" ") for value in headers.getlist("authorization")]
        return any(map(self._is_right, kept)) or any(
            scheme.lower() == "bearer" and self._is_right(token.strip()) for scheme, _, token in said
        )

    async def _is_typed(self, scope: Scope, headers: Headers, receive: Receive) -> bool:
        """Whether the request is the login form with the right token."""
        length = headers.get("content-length", "")
        if not _is_form(scope, headers) or not length.isdecimal() or int(length) > _LONGEST_FORM:
            return False
        body = (await Request(scope, receive).body()).decode("utf-8", "replace")
        return any(self._is_right(token.strip()) for token in parse_qs(body).get(FIELD, []))

    async def _remember(self, scope: Scope, receive: Receive, send: Send, query: str) -> None:
        """Redirect to the same address without the token, which goes into a cookie that scripts cannot read."""
        path = _root(scope) if scope["method"] == "POST" else scope["path"]
        # one leading slash, because //host would lead to another server
        to = quote("/" + path.lstrip("/\\")) + (f"?{query}" if query else "")
        answer = RedirectResponse(to, 303, {"Cache-Control": "no-store"})
        secure = "https" in (scope.get("scheme"), Headers(scope=scope).get("x-forwarded-proto", "").split(",")[0])
        # in a frame of another site, browsers only send cookies with "none", which requires https
        beyond = self._embedded and secure
        answer.set_cookie(
            self._cookie, self._token, max_age=_DAYS * 24 * 3600, path=quote(_root(scope)), secure=secure,
            httponly=True, samesite="none" if beyond else "lax",
        )  # fmt: skip
        await answer(scope, receive, send)


def _taken_from_query(scope: Scope) -> tuple[list[str], str]:
    """The tokens in the address, and its query without them (unchanged if there are none)."""
    query = scope.get("query_string", b"").decode("latin-1")
    if FIELD not in query:
        return [], query
    pairs = parse_qsl(query, keep_blank_values=True)
    tokens = [value for name, value in pairs if name == FIELD]
    return tokens, urlencode([pair for pair in pairs if pair[0] != FIELD]) if tokens else query


def _is_form(scope: Scope, headers: Headers) -> bool:
    """Whether the request is a form posted to the root, such as the login form."""
    kind = headers.get("content-type", "").partition(";")[0].strip()
    is_posted = scope.get("method") == "POST" and scope["path"] == _root(scope)
    return is_posted and kind == "application/x-www-form-urlencoded"


def _root(scope: Scope) -> str:
    return f"{scope.get('root_path', '')}/"
