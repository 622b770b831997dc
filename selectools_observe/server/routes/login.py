"""The page, and the login for browsers when there is a token."""

from __future__ import annotations

import os
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response

from ..responses import Problem
from ..security import cookie_of, is_equal, is_known, session_of, wrong_guess
from ..state import state_of

STATIC = os.path.join(os.path.dirname(os.path.dirname(__file__)), "static")

_INDEX = os.path.join(STATIC, "index.html")
_HAS_PAGE = os.path.exists(_INDEX)
_LONGEST_FORM = 8 * 1024  # bytes

_FORM = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>selectools-observe</title>
<form method="post" action="login">
<p><label>Token: <input type="password" name="token" autocomplete="current-password" required
autofocus></label> <button>Open</button></p>
<p>{note}</p>
</form>
</html>
"""

# A page that leads on, rather than a redirect: after a redirect from a link on another site,
# browsers would not send a cookie that is for this site only.
_ONWARD = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="refresh" content="0; url=./">
<title>selectools-observe</title>
<p><a href="./">Continue</a></p>
</html>
"""


async def page(request: Request) -> Response:
    """The page; the form, if who asks is not known."""
    state = state_of(request)
    token = state.token
    if token is not None and "code" in request.query_params:
        if state.codes.take(request.query_params["code"]):
            return _entered(request, token)
        return _form("This link was used before, or is too old.")
    if token is not None and "token" in request.query_params:
        return await _enter(request, token, request.query_params["token"])
    if not is_known(request.scope, token):
        return _form("This page is protected by a token.")
    if not _HAS_PAGE:
        raise Problem(404, "not_found", "The page is not installed", "The API is at api/")
    return FileResponse(_INDEX)


async def login(request: Request) -> Response:
    """The form, sent."""
    token = state_of(request).token
    if token is None:
        return HTMLResponse(_ONWARD)
    async with state_of(request).bodies.body(request, _LONGEST_FORM) as body:
        fields = dict(parse_qsl(body.decode("utf-8", "replace")))
    return await _enter(request, token, fields.get("token", ""))


async def _enter(request: Request, token: str, shown: str) -> Response:
    if not is_equal(shown, token):
        await wrong_guess(state_of(request).guesses, request.scope)
        return _form("Wrong token.")
    return _entered(request, token)


def _entered(request: Request, token: str) -> Response:
    response = HTMLResponse(_ONWARD, headers={"Cache-Control": "no-store"})
    is_secure = "https" in (request.url.scheme, request.headers.get("origin", "")[:5])
    response.set_cookie(
        cookie_of(token),
        session_of(token),
        path=f"{request.scope.get('root_path', '')}/",
        secure=is_secure,
        httponly=True,
        samesite="strict",
    )
    return response


def _form(note: str) -> Response:
    headers = {"Cache-Control": "no-store", "WWW-Authenticate": "Bearer"}
    return HTMLResponse(_FORM.format(note=note), 401, headers)
