"""Passkeys of the signed-in account, and signing in with one."""

from __future__ import annotations

import json

from aiohttp import web
from webauthn import generate_authentication_options, generate_registration_options, options_to_json
from webauthn.helpers import base64url_to_bytes
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from farsite_cloud.accounts.changing import FactorChange, begin_change
from farsite_cloud.accounts.guessing import place
from farsite_cloud.accounts.models import Account
from farsite_cloud.accounts.own import own_account
from farsite_cloud.accounts.signing_in import signed_in
from farsite_cloud.api.call import Call, call_of
from farsite_cloud.api.etags import IF_MATCH, check_unchanged, etag
from farsite_cloud.passkeys import service
from farsite_cloud.passkeys.challenges import Purpose, new_challenge, spoil, use_challenge
from farsite_cloud.passkeys.checking import (
    ALGORITHMS,
    Refused,
    Registered,
    challenge_in,
    check_registration,
)
from farsite_cloud.passkeys.models import Passkey
from farsite_cloud.passkeys.party import NAME, party_of
from farsite_cloud.passkeys.signing import prove_alone
from farsite_signaling.rest import INTERACTIVE, PUBLIC, Answer, Api
from farsite_signaling.wire import factor_api as wire
from farsite_signaling.wire.cloud_api import SignInResult
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.passkeys import PasskeyAttestation, PasskeyOptions

api = Api()
_PASSKEYS = "/me/passkeys"


@api.route("POST", "/auth/passkey/options", need=PUBLIC, response=PasskeyOptions)
async def passkey_options(request: web.Request) -> PasskeyOptions:
    """A challenge for whatever passkey of this cloud somebody has. No address is named, so none is told."""
    call = call_of(request)
    party = party_of(call.services.urls)
    await call.services.limits.passkeys.begin(place(call.source))
    challenge = await new_challenge(call.session, Purpose.PROVE, call.now)
    options = generate_authentication_options(
        rp_id=party.id, challenge=challenge, user_verification=UserVerificationRequirement.REQUIRED
    )
    return PasskeyOptions(public_key=json.loads(options_to_json(options)))


@api.route(
    "POST",
    "/auth/passkey",
    need=PUBLIC,
    request=wire.PasskeySignIn,
    response=SignInResult,
    errors=(ErrorCode.SIGN_IN_FAILED,),
)
async def sign_in_with_passkey(request: web.Request, body: wire.PasskeySignIn) -> SignInResult:
    """Exchange a passkey's answer for a token, without a password. It counts as a second factor."""
    call = call_of(request)
    account = await prove_alone(call, body.credential, "account.sign_in")
    return await signed_in(call, account, mfa=True)


@api.route("GET", _PASSKEYS, need=INTERACTIVE, response=wire.PasskeyList)
async def list_passkeys(request: web.Request) -> wire.PasskeyList:
    """One's passkeys, oldest first."""
    call = call_of(request)
    found = await service.passkeys_of(call.session, call.caller.account_id)
    return wire.PasskeyList(passkeys=[_answer(passkey) for passkey in found])


def _answer(passkey: Passkey) -> wire.Passkey:
    return wire.Passkey(
        id=passkey.id,
        name=passkey.name,
        synced=passkey.backed_up,
        created_at=passkey.created_at,
        used_at=passkey.used_at,
    )


@api.route(
    "POST", f"{_PASSKEYS}/options", need=INTERACTIVE, request=wire.PasskeyRequest, response=PasskeyOptions
)
async def start_passkey(request: web.Request, body: wire.PasskeyRequest) -> PasskeyOptions:
    """Begin to register a passkey: what the browser's `navigator.credentials.create` takes."""
    call = call_of(request)
    account = await own_account(call)
    party = party_of(call.services.urls)
    await begin_change(call, account, body)
    await service.check_room(call.session, account.id)
    challenge = await new_challenge(call.session, Purpose.REGISTER, call.now, account.id)
    known = await service.passkeys_of(call.session, account.id)
    options = generate_registration_options(
        rp_id=party.id,
        rp_name=NAME,
        user_id=account.id.encode(),
        user_name=account.email,
        user_display_name=account.name or account.email,
        challenge=challenge,
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.REQUIRED,
            require_resident_key=True,
            user_verification=UserVerificationRequirement.REQUIRED,
        ),
        exclude_credentials=[
            PublicKeyCredentialDescriptor(id=base64url_to_bytes(passkey.credential_id)) for passkey in known
        ],
        supported_pub_key_algs=ALGORITHMS,
    )
    return PasskeyOptions(public_key=json.loads(options_to_json(options)))


@api.route(
    "POST",
    _PASSKEYS,
    need=INTERACTIVE,
    request=wire.NewPasskey,
    response=wire.AddedPasskey,
    status=201,
)
async def add_passkey(request: web.Request, body: wire.NewPasskey) -> wire.AddedPasskey:
    """Register what the browser made. The first second factor ends other sign-ins and gives recovery codes, once."""
    call = call_of(request)
    account = await own_account(call)
    async with FactorChange(call, account, "account.passkey_added", body.name) as change:
        made = await _registered(call, account, body.credential)
        await service.check_room(call.session, account.id)
        known = [way for way in body.credential.response.transports if way.isascii() and len(way) < 30]
        passkey = await service.add(call.session, account.id, body.name, made, known, call.now)
        change.details["passkey"] = passkey.id
        codes = await change.turned_on(f"A passkey was added: {body.name}")
    return wire.AddedPasskey(**dict(_answer(passkey)), recovery_codes=codes)


async def _registered(call: Call, account: Account, credential: PasskeyAttestation) -> Registered:
    """Raises `invalid_request`, the same for whatever is wrong."""
    try:
        challenge = challenge_in(credential)
        call.even_refused(lambda session: spoil(session, challenge))
        if not await use_challenge(call.session, challenge, Purpose.REGISTER, call.now, account.id):
            raise Refused("the challenge is not this account's, was answered before or has expired")
        return check_registration(credential, challenge, party_of(call.services.urls))
    except Refused as refusal:
        detail = f"The passkey cannot be registered ({refusal}). Ask for new options and try again."
        raise FarsiteError(ErrorCode.INVALID_REQUEST, detail) from None


@api.route(
    "PATCH",
    f"{_PASSKEYS}/{{passkey}}",
    need=INTERACTIVE,
    request=wire.PasskeyChange,
    response=wire.Passkey,
    headers=(IF_MATCH,),
)
async def rename_passkey(request: web.Request, body: wire.PasskeyChange) -> Answer:
    """Call a passkey something else."""
    passkey = await _own(request)
    await check_unchanged(request, passkey)
    passkey.name = body.name
    passkey.revision += 1
    return Answer(_answer(passkey), etag(passkey.revision))


@api.route("GET", f"{_PASSKEYS}/{{passkey}}", need=INTERACTIVE, response=wire.Passkey)
async def get_passkey(request: web.Request) -> Answer:
    """One passkey."""
    passkey = await _own(request)
    return Answer(_answer(passkey), etag(passkey.revision))


@api.route("POST", f"{_PASSKEYS}/{{passkey}}/remove", need=INTERACTIVE, request=wire.PasskeyRequest)
async def remove_passkey(request: web.Request, body: wire.PasskeyRequest) -> None:
    """Remove a passkey, with the password and a second factor, which may be this passkey."""
    call = call_of(request)
    account = await own_account(call)
    passkey = await _own(request)
    async with FactorChange(call, account, "account.passkey_removed", passkey.name) as change:
        change.details["passkey"] = passkey.id
        await begin_change(call, account, body)
        await service.remove(call.session, passkey)
        await change.turned_off(f"A passkey was removed: {passkey.name}")


async def _own(request: web.Request) -> Passkey:
    call = call_of(request)
    return await service.own_passkey(call.session, call.caller.account_id, request.match_info["passkey"])
