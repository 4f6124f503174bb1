"""The sign-in of one user on one machine: token, organization, and the key that proves this machine.

    <home>/profile.json            cloud, token, organization, what enrolling gave
    <home>/identity/identity.key   the private key, made here, never sent
    <home>/identity/identity.crt   its certificate from the organization's authority
    <home>/run/                    what `farsite status` reads
    <home>/networks.json           which networks let no UDP through

Everything is readable by its owner only and written whole or not at all.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, Field, ValidationError

from farsite_client.cloud import CloudClient
from farsite_client.exclusive import exclusive
from farsite_signaling.wire.cloud_api import Enrolment, Organization, SignInResult
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.rights import Right

# Keys and certificates cost time to load that commands about the cloud alone have no use for.
if TYPE_CHECKING:
    from farsite_signaling.identity import Identity, OrganizationTrust

PROFILE_FILE = "profile.json"
IDENTITY_FOLDER = "identity"
RUNTIME_FOLDER = "run"
NETWORKS_FILE = "networks.json"
RENEW_BEFORE = timedelta(days=30)
SIGN_IN = "Sign in with: farsite login"
_NEEDED = Right.REMOTE_ACCESS


class Stored(BaseModel):
    """Contents of `profile.json`."""

    url: str
    token: str = Field(repr=False)
    token_expires_at: datetime
    account_id: str
    email: str
    organization_id: str
    organization_name: str
    role: str
    name: str = Field(default="", description="URN of this machine's certificate; empty: it has none")
    ca: str = ""
    hub_url: str = ""
    certificate_expires_at: datetime = datetime.min.replace(tzinfo=UTC)
    proxy: str | None = Field(default=None, repr=False)
    ca_file: str | None = None

    @property
    def enrolled(self) -> bool:
        """False for an access token that may not open sessions: it does all that the cloud does by itself."""
        return bool(self.name)

    @property
    def authority(self) -> str:
        """The organization's, as this machine was told when it enrolled (PEM). Raises `forbidden`."""
        if not self.enrolled:
            lacks = f"the access token it is signed in with lacks the right {_NEEDED}"
            raise FarsiteError(
                ErrorCode.FORBIDDEN, f"This machine has no certificate: {lacks}.", right=_NEEDED
            )
        return self.ca


@dataclass(frozen=True)
class Profile:
    """Where a sign-in is kept. `proxy` and `ca_file` of the settings win over what was stored at sign-in."""

    home: Path
    proxy: str | None = None
    ca_file: str | None = None

    @property
    def runtime(self) -> Path:
        return self.home / RUNTIME_FOLDER

    @property
    def networks(self) -> Path:
        """What is remembered of networks: see `peer.network_memory`."""
        return self.home / NETWORKS_FILE

    @property
    def file(self) -> Path:
        return self.home / PROFILE_FILE

    def load(self) -> Stored:
        """Raises `FarsiteError`: `unauthenticated` when nobody signed in here, `storage_failed` when damaged."""
        try:
            text = self.file.read_bytes()
        except FileNotFoundError:
            raise FarsiteError(
                ErrorCode.UNAUTHENTICATED, f"Nobody is signed in on this machine. {SIGN_IN} CLOUD-ADDRESS"
            ) from None
        try:
            return Stored.model_validate_json(text)
        except ValidationError:
            raise FarsiteError(
                ErrorCode.STORAGE_FAILED, f"{self.file} is damaged. Remove it and sign in again."
            ) from None

    def known(self) -> Stored | None:
        """What is stored, if anything that can be read is."""
        try:
            return self.load()
        except FarsiteError:
            return None

    def save(self, stored: Stored) -> None:
        from farsite_signaling.identity.keys import write_private

        write_private(self.file, stored.model_dump_json(indent=2).encode())

    def remove(self) -> bool:
        """Forget token, key and certificate; what runs keeps its state files. False: nothing was there."""
        there = self.file.exists()
        self.file.unlink(missing_ok=True)
        shutil.rmtree(self.home / IDENTITY_FOLDER, ignore_errors=True)
        return there

    def identity(self) -> Identity:
        from farsite_signaling.identity import Identity

        try:
            return Identity.load(self.home / IDENTITY_FOLDER)
        except (FileNotFoundError, UnicodeDecodeError):
            raise FarsiteError(
                ErrorCode.UNAUTHENTICATED, f"This machine's key is missing. {SIGN_IN}"
            ) from None

    def trust(self) -> OrganizationTrust:
        from farsite_signaling.identity import OrganizationTrust

        return OrganizationTrust(self.load().authority)

    def cloud(self, stored: Stored | None = None) -> CloudClient:
        """A client signed in as the stored user; enter it with `async with`."""
        stored = stored or self.load()
        return CloudClient(
            stored.url, stored.token, proxy=self.proxy or stored.proxy, ca_file=self.ca_file or stored.ca_file
        )

    async def enrol(
        self, cloud: CloudClient, signed_in: SignInResult, organization: Organization, device_name: str | None
    ) -> Stored:
        """Make a key, have it certified, and store the sign-in: all of it or nothing.

        An access token that may not open sessions is stored without: sessions are all a certificate is for.
        """
        enrolled = await self._enrolled(cloud, organization, device_name or machine_name())
        stored = Stored(
            url=cloud.url,
            token=signed_in.token,
            token_expires_at=signed_in.expires_at,
            account_id=signed_in.account.id,
            email=signed_in.account.email,
            organization_id=organization.id,
            organization_name=organization.name,
            role=organization.role,
            proxy=self.proxy,
            ca_file=self.ca_file and str(Path(self.ca_file).resolve()),
            **(_of_enrolment(enrolled[1]) if enrolled else {}),
        )
        await asyncio.to_thread(self._write, enrolled and enrolled[0], stored)
        return stored

    async def _enrolled(
        self, cloud: CloudClient, organization: Organization, name: str
    ) -> tuple[Identity, Enrolment] | None:
        from farsite_signaling.identity import Identity, generate_key, make_request

        key = generate_key()
        try:
            enrolment = await cloud.enrol(organization.id, make_request(key, name), name)
        except FarsiteError as error:
            if error.code is ErrorCode.FORBIDDEN and error.right == _NEEDED:
                return None
            raise
        return Identity.from_pem(key, enrolment.certificate), enrolment

    async def renewed(self, cloud: CloudClient, now: datetime | None = None) -> Stored:
        """The stored sign-in, its certificate renewed for a new key when less than 30 days are left."""
        stored = self.load()
        if not _runs_out(stored, now):
            return stored
        # Each new certificate replaces the one before: two commands that renew at once would revoke one another's.
        async with exclusive(self.runtime / "renewal.lock"):
            stored = self.load()
            return await self._renew(cloud, stored) if _runs_out(stored, now) else stored

    async def _renew(self, cloud: CloudClient, stored: Stored) -> Stored:
        from farsite_signaling.identity import Identity, generate_key, make_request

        key = generate_key()
        enrolment = await cloud.enrol(
            stored.organization_id, make_request(key, machine_name()), machine_name()
        )
        stored = stored.model_copy(update=_of_enrolment(enrolment))
        await asyncio.to_thread(self._write, Identity.from_pem(key, enrolment.certificate), stored)
        return stored

    def _write(self, identity: Identity | None, stored: Stored) -> None:
        # The new pair is made beside the old one, so that key and certificate always belong together.
        self.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder = self.home / IDENTITY_FOLDER
        if identity is None:
            shutil.rmtree(folder, ignore_errors=True)
            self.save(stored)
            return
        fresh = folder.with_name("identity.new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        identity.save(fresh)
        shutil.rmtree(folder, ignore_errors=True)
        fresh.rename(folder)
        self.save(stored)


def _runs_out(stored: Stored, now: datetime | None) -> bool:
    return stored.certificate_expires_at - (now or datetime.now(UTC)) <= RENEW_BEFORE


def machine_name() -> str:
    return socket.gethostname()[:100] or "this machine"


def _of_enrolment(enrolment: Enrolment) -> dict[str, object]:
    return {
        "name": enrolment.name,
        "ca": enrolment.ca,
        "hub_url": enrolment.hub_url,
        "certificate_expires_at": enrolment.expires_at,
    }
