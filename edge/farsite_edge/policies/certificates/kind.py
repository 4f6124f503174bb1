"""The kind `certificates`: the key is made on the device, the cloud signs, the device shows it, the edge host follows.

    issue -> bind -> clean

The certificate the edge host is to meet next is written down (`next_pin` of the device) before the device is told to show
it: after a crash either of the two is the device's, and no other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from farsite_edge.identity.device_certificates import DeviceCertificates
from farsite_edge.policies.access import DeviceAccess
from farsite_edge.policies.certificates.facts import (
    CERTIFICATE,
    LEFTOVERS,
    CertificateFacts,
    evaluate,
    host_label,
    new_alias,
    pin_of_pem,
    usable,
)
from farsite_edge.policies.certificates.ways import SOAP, way_of
from farsite_edge.policies.kind import Finding, Settings, Step, Wanted
from farsite_edge.vapix.device_config import DiscoverApis
from farsite_edge.vapix.errors import ApiMissing, Refused
from farsite_edge.vapix.web_server import GetWebServer, SetWebServer
from farsite_signaling.identity.device_certificates import is_issued_by
from farsite_signaling.wire.device_certificates import MAX_DAYS
from farsite_signaling.wire.edge_tasks import MAX_DEVICES, Rollout
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.policy_api import PolicyState, SettingInfo, SettingKind
from farsite_signaling.wire.refusals import plain

CERTIFICATES = "certificates"
PARALLEL = 8
ISSUE_SECONDS = 120.0


class CertificateSettings(BaseModel):
    """`days` a certificate is good for; it is renewed after two thirds of them."""

    model_config = ConfigDict(extra="forbid")

    days: int = Field(default=365, ge=7, le=MAX_DAYS)
    remove_old: bool = True


class CertificatesKind:
    """See `farsite_edge.policies.kind.Kind`."""

    name = CERTIFICATES
    title = "HTTPS certificates"
    exclusive = True
    secrets: tuple[str, ...] = ()

    def __init__(
        self, signer: DeviceCertificates, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._signer = signer
        self._now = now

    def describe(self) -> list[SettingInfo]:
        return [
            SettingInfo(
                name="days",
                title="Days a certificate is good for",
                kind=SettingKind.NUMBER,
                recommended=365,
                sure="D",
            ),
            SettingInfo(
                name="remove_old",
                title="Remove our own old certificates",
                kind=SettingKind.SWITCH,
                recommended=True,
                warning="certificates of others are never removed",
                sure="D",
            ),
        ]

    def recommended(self) -> Settings:
        return CertificateSettings().model_dump()

    def validate(self, settings: Settings, secrets: Mapping[str, str]) -> Settings:
        try:
            return CertificateSettings.model_validate(settings).model_dump()
        except ValidationError as error:
            found = error.errors(include_input=False, include_url=False)[:5]
            said = "; ".join(f"{'.'.join(map(str, one['loc']))}: {plain(one['msg'])}" for one in found)
            detail = f"The certificates policy makes no sense: {said}."
            raise FarsiteError(ErrorCode.INVALID_REQUEST, detail) from None

    def rollout(self, settings: Settings) -> Rollout:
        return Rollout(parallel=PARALLEL, max_failures=MAX_DEVICES)

    async def warnings(self, settings: Settings) -> list[str]:
        return []

    async def read(self, access: DeviceAccess, wanted: Wanted) -> CertificateFacts:
        facts = CertificateFacts(self._signer.authority, access.device, self._now())
        await access.settle_pin(forget=True)
        async with access.client() as client:
            facts.root = await _root(client)
            try:
                facts.stored = await way_of(facts.root).stored(client)
                facts.server = await client.send(GetWebServer())
            except Refused as error:
                await client.rights()
                facts.lacks = error.detail
                return facts
            network = await client.network()
            facts.host_name = host_label(network.hostname)
        facts.addresses = [access.record.address]
        facts.shown = await access.shown_pin()
        return facts

    def evaluate(self, wanted: Wanted, facts: CertificateFacts) -> list[Finding]:
        return evaluate(wanted.settings, facts)

    def plan(
        self, wanted: Wanted, facts: CertificateFacts, findings: Sequence[Finding], *, careful: bool
    ) -> list[Step]:
        off = {one.setting for one in findings if one.state is PolicyState.DEVIATING}
        steps: list[Step] = []
        if CERTIFICATE in off:
            there = usable(facts)
            alias = there or new_alias(facts.now)
            values = {
                "root": facts.root,
                "alias": alias,
                "host": facts.host_name,
                "addresses": facts.addresses,
            }
            if there is None:
                title = "Has a certificate signed by the organization's authority."
                steps.append(_step("issue", title, CERTIFICATE, values, {}))
            before = {"alias": facts.bound, "pin": facts.shown}
            title = "Shows the new certificate."
            steps.append(_step("bind", title, CERTIFICATE, values, before, risky=True))
        elif LEFTOVERS in off:
            values = {"root": facts.root, "old": facts.leftovers}
            steps.append(_step("clean", "Removes old certificates.", LEFTOVERS, values, {}))
        return steps

    async def apply(self, access: DeviceAccess, wanted: Wanted, step: Step) -> None:
        match step.name:
            case "issue":
                await self._issue(access, step, wanted.settings["days"])
            case "bind":
                await self._bind(access, step)
            case _:
                await _clean(access, step)

    async def _issue(self, access: DeviceAccess, step: Step, days: int) -> None:
        """What is done already is not done again."""
        alias, device = step.values["alias"], access.device
        way, values = way_of(step.values["root"]), step.values

        async def sign(csr: str) -> str:
            return await self._signer.sign(csr, device, values["host"], values["addresses"], days)

        async with access.client() as client:
            if self._signed(await way.stored(client), alias):
                return
            csr = await way.request(client, alias, f"axis-{device.lower()}", self._now())
        signed = await sign(csr)
        async with access.client() as client:
            await way.install(client, alias, signed, sign)

    async def _bind(self, access: DeviceAccess, step: Step) -> None:
        async with access.client() as client:
            alias, pem = await self._new(client, step)
            server = await client.send(GetWebServer())
        pin = pin_of_pem(pem)
        if pin is None:
            raise Refused("The new certificate is not on the device.")
        await access.expect_pin(pin)
        async with access.client() as client:
            await client.send(SetWebServer(replace(server, certificates=(alias,))))

    async def _new(self, client: Any, step: Step) -> tuple[str, str]:
        """Alias and PEM of the certificate a step is about; empty when it is not there."""
        stored = await way_of(step.values["root"]).stored(client)
        alias = self._signed(stored, step.values["alias"])
        return alias, stored.get(alias, "")

    def _signed(self, stored: Mapping[str, str], alias: str) -> str:
        """Under the alias itself, or one that was made from it."""
        return next(
            (name for name, pem in stored.items() if name.startswith(alias) and self._is_ours(pem)), ""
        )

    def _is_ours(self, pem: str) -> bool:
        return self._signer.authority is not None and is_issued_by(pem, self._signer.authority)

    async def verify(self, access: DeviceAccess, wanted: Wanted, step: Step) -> str | None:
        async with access.client() as client:
            if step.name == "clean":
                left = set(await way_of(step.values["root"]).stored(client)) & set(step.values["old"])
                return f"Still there: {', '.join(sorted(left))}." if left else None
            await client.rights()
            _, pem = await self._new(client, step)
        if not pem:
            return "The signed certificate is not on the device."
        if step.name == "bind":
            if await access.shown_pin() != pin_of_pem(pem):
                return "The device shows another certificate than the new one."
            await access.settle_pin(forget=True)
        return None

    async def undo(self, access: DeviceAccess, wanted: Wanted, step: Step) -> None:
        if step.name != "bind" or not step.before.get("alias"):
            return
        async with access.client() as client:
            server = await client.send(GetWebServer())
            await client.send(SetWebServer(replace(server, certificates=(step.before["alias"],))))
        await access.settle_pin(forget=True)


async def _root(client: Any) -> str:
    """Of the REST API, where the firmware has it."""
    try:
        return (await client.send(DiscoverApis())).get("cert") or SOAP
    except ApiMissing:
        return SOAP


async def _clean(access: DeviceAccess, step: Step) -> None:
    way = way_of(step.values["root"])
    async with access.client() as client:
        server = await client.send(GetWebServer())
        for alias in step.values["old"]:
            # One that had the same key may have gone with another.
            if alias not in server.certificates and alias in await way.stored(client):
                await way.delete(client, alias)


def _step(
    name: str,
    title: str,
    setting: str,
    values: dict[str, Any],
    before: dict[str, Any],
    *,
    risky: bool = False,
) -> Step:
    return Step(
        name=name,
        title=title,
        settings=[setting],
        values=values,
        before=before,
        risky=risky,
        seconds=ISSUE_SECONDS,
    )
