"""The pages a person signs a device in with, and the one about passkeys. Made here, nothing loaded from elsewhere.

Forms are plain; scripts are files of ours and do what forms cannot: ask the browser for a passkey.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar
from urllib.parse import parse_qsl, urlencode

from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy.exc import InvalidRequestError

from farsite_cloud.accounts.endings import organizations_of
from farsite_cloud.accounts.models import Account
from farsite_cloud.api.call import Call, call_of
from farsite_cloud.browser import service
from farsite_cloud.browser.credentials import prove
from farsite_cloud.browser.models import BrowserSignIn, DeviceSignIn
from farsite_cloud.browser.routes import ACCOUNT, PAGE
from farsite_cloud.browser.sessions import Visit
from farsite_cloud.passkeys.signing import prove_alone
from farsite_signaling.rest import PUBLIC, Api
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.passkeys import PasskeyAssertion

pages = Api(prefix="")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
ModelT = TypeVar("ModelT", bound=BaseModel)
POLICY = "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Frame-Options": "DENY",
    # Not less: without a referrer browsers send no origin with forms either.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_STYLE = f"{PAGE}.css"
# Of pages that speak to the API for passkeys.
SCRIPTED = HEADERS | {"Content-Security-Policy": f"{POLICY}; script-src 'self'; connect-src 'self'"}
SCRIPTS = f"{PAGE}-scripts"
_FORM = "application/x-www-form-urlencoded"
_templates = Environment(
    loader=PackageLoader("farsite_cloud", "browser/templates"), undefined=StrictUndefined, autoescape=True
)


class SignInForm(BaseModel):
    model_config = ConfigDict(extra="forbid")

    form: str = Field(default="", max_length=100)
    user_code: str = Field(default="", max_length=50)
    email: str = Field(min_length=3, max_length=254)
    password: str = Field(min_length=1, max_length=1024, repr=False)
    code: str = Field(default="", max_length=64, repr=False)


class CodeForm(BaseModel):
    model_config = ConfigDict(extra="forbid")

    form: str = Field(default="", max_length=100)
    user_code: str = Field(min_length=1, max_length=50)


class AnswerForm(CodeForm):
    answer: str = Field(pattern="^(approve|deny)$")


class PasskeyForm(BaseModel):
    model_config = ConfigDict(extra="forbid")

    form: str = Field(default="", max_length=100)
    user_code: str = Field(default="", max_length=50)
    credential: str = Field(min_length=1, max_length=40_000, repr=False)


def page(name: str, status: int = 200, script: str | None = None, **values: object) -> web.Response:
    """`script`: a file of ours that the page may run, and which may speak to this cloud alone."""
    source = f"{SCRIPTS}/{script}"
    text = _templates.get_template(f"{name}.html").render(page=PAGE, style=_STYLE, script=source, **values)
    headers = HEADERS if script is None else SCRIPTED
    return web.Response(text=text, content_type="text/html", status=status, headers=headers)


@pages.route("GET", f"{SCRIPTS}/{{name}}", need=PUBLIC)
async def script(request: web.Request) -> web.Response:
    """What the pages about passkeys run."""
    name = request.match_info["name"]
    if name not in ("account.js", "device.js", "webauthn.js"):
        raise FarsiteError(ErrorCode.NOT_FOUND, "There is no such script.")
    text = _templates.get_template(name).render()
    return web.Response(text=text, content_type="text/javascript")


@pages.route("GET", ACCOUNT, need=PUBLIC)
async def account_page(request: web.Request) -> web.Response:
    """Add, use, rename and remove passkeys."""
    return page("account", script="account.js")


@pages.route("GET", _STYLE, need=PUBLIC)
async def style(request: web.Request) -> web.Response:
    """How the pages look."""
    return web.Response(text=_templates.get_template("style.css").render(), content_type="text/css")


@pages.route("GET", PAGE, need=PUBLIC)
async def show(request: web.Request) -> web.Response:
    """Sign in, type the code, or see what asks: whatever comes next."""
    call = call_of(request)
    visit = Visit(request, call)
    user_code = request.query.get("user_code", "")[:50]
    signed_in = await visit.signed_in()
    if signed_in is None:
        response = page("sign_in", script="device.js", form=visit.form_token, user_code=user_code)
    else:
        response = await ask(call, visit, signed_in, user_code)
    visit.keep(response)
    return response


async def ask(call: Call, visit: Visit, by: BrowserSignIn, user_code: str) -> web.Response:
    account = await _account(call, by)
    if not user_code:
        return page("code", form=visit.form_token, email=account.email, problem="")
    waiting = await _waiting(call, account, user_code)
    return page(
        "answer",
        form=visit.form_token,
        email=account.email,
        user_code=user_code,
        device=waiting.name,
        agent=waiting.agent,
        source=waiting.source,
        here=call.source == waiting.source,
        at=f"{waiting.created_at:%H:%M:%S} UTC",
    )


async def _account(call: Call, by: BrowserSignIn) -> Account:
    account = await call.session.get(Account, by.account_id)
    assert account is not None, "a foreign key says so"
    return account


async def _waiting(call: Call, account: Account, user_code: str) -> DeviceSignIn:
    """Guesses count against the account and the address. Raises `code_invalid`, `rate_limited`, `forbidden`."""
    limits = call.services.limits.user_codes
    keys = (f"account {account.id}", f"address {call.source}")
    for key in keys:
        await limits.check(key)
    waiting = await service.find(call.session, user_code, call.services.vault, call.now)
    if waiting is None:
        for key in keys:
            await limits.failed(key)
        raise service.used()
    if waiting.email and waiting.email != account.email:
        detail = "This sign-in is for another account than the one you are signed in with here."
        raise FarsiteError(ErrorCode.FORBIDDEN, detail)
    return waiting


@pages.route("POST", f"{PAGE}/sign-in", need=PUBLIC)
async def sign_in(request: web.Request) -> web.Response:
    """Password and second factor."""
    call = call_of(request)
    visit = Visit(request, call)
    form = await _read(request, SignInForm)
    visit.check_form(form.form)
    account, mfa = await prove(call, form.email, form.password, form.code)
    return _welcome(visit, account, form.user_code, mfa=mfa)


@pages.route("POST", f"{PAGE}/passkey", need=PUBLIC)
async def sign_in_by_passkey(request: web.Request) -> web.Response:
    """A passkey, which is a second factor as well."""
    call = call_of(request)
    visit = Visit(request, call)
    form = await _read(request, PasskeyForm)
    visit.check_form(form.form)
    account = await prove_alone(call, _credential(form.credential), "account.browser_sign_in")
    return _welcome(visit, account, form.user_code, mfa=True)


def _credential(text: str) -> PasskeyAssertion:
    """Raises `invalid_request`."""
    try:
        return PasskeyAssertion.model_validate_json(text)
    except ValidationError:
        raise FarsiteError(
            ErrorCode.INVALID_REQUEST, "This is not a passkey's answer. Start again."
        ) from None


def _welcome(visit: Visit, account: Account, user_code: str, *, mfa: bool) -> web.Response:
    visit.sign_in(account, mfa=mfa)
    where = PAGE + (f"?{urlencode({'user_code': user_code})}" if user_code else "")
    response = web.Response(status=303, headers=HEADERS | {"Location": where})
    visit.keep(response)
    return response


@pages.route("POST", f"{PAGE}/code", need=PUBLIC)
async def type_code(request: web.Request) -> web.Response:
    """The code was typed: show what asks."""
    call = call_of(request)
    visit = Visit(request, call)
    form = await _read(request, CodeForm)
    visit.check_form(form.form)
    return await ask(call, visit, await _signed_in(visit), form.user_code)


async def _signed_in(visit: Visit) -> BrowserSignIn:
    signed_in = await visit.signed_in()
    if signed_in is None:
        raise _gone()
    return signed_in


def _gone() -> FarsiteError:
    return FarsiteError(
        ErrorCode.UNAUTHENTICATED, "You are not signed in here (any more). Open the page again."
    )


@pages.route("POST", f"{PAGE}/answer", need=PUBLIC)
async def answer(request: web.Request) -> web.Response:
    """Approve or deny. Either way this browser is signed out: it was signed in for this."""
    call = call_of(request)
    visit = Visit(request, call)
    form = await _read(request, AnswerForm)
    visit.check_form(form.form)
    account, by = await _held(call, await _signed_in(visit))
    approved = form.answer == "approve"
    action = "account.device_approved" if approved else "account.device_denied"
    organizations = await organizations_of(call, account.id)
    with call.act(action, actor=account.email, organizations=organizations) as act:
        waiting = await _waiting(call, account, form.user_code)
        act.target, act.details["device_source"] = waiting.name or waiting.agent, waiting.source
        await service.decide(call.session, waiting, by, call.now, approved=approved)
    await call.session.delete(by)
    response = page("done", approved=approved, email=account.email)
    visit.forget(response)
    return response


async def _held(call: Call, by: BrowserSignIn) -> tuple[Account, BrowserSignIn]:
    """Both, locked: whoever signs the account out everywhere has done so before, which is seen here, or ends what is
    approved now. SQLite has one writer at a time. Raises `unauthenticated`."""
    account = await call.session.get(Account, by.account_id, with_for_update={"key_share": True})
    assert account is not None, "a foreign key says so"
    if call.services.database.kind != "sqlite":
        try:
            await call.session.refresh(by, with_for_update=True)
        except InvalidRequestError:
            raise _gone() from None
    return account, by


async def _read(request: web.Request, model: type[ModelT]) -> ModelT:
    """Raises `invalid_request`."""
    if request.content_type != _FORM:
        raise FarsiteError(ErrorCode.INVALID_REQUEST, "This is not a form of this page.")
    try:
        text = (await request.read()).decode()
        fields = parse_qsl(text, keep_blank_values=True, max_num_fields=20)
        return model.model_validate(dict(fields))
    except (ValidationError, ValueError):
        detail = "The form is not filled in as it should be. Go back and look again."
        raise FarsiteError(ErrorCode.INVALID_REQUEST, detail) from None


@web.middleware
async def problem_pages(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Around units of work: what a person is refused is a page too."""
    if not is_page(request.path):
        return await handler(request)
    try:
        return await handler(request)
    except FarsiteError as error:
        response = page("problem", status=error.status, detail=error.detail)
        if error.retry_after is not None:
            response.headers["Retry-After"] = str(max(1, round(error.retry_after)))
        return response


def is_page(path: str) -> bool:
    return path == PAGE or path.startswith(f"{PAGE}/")
