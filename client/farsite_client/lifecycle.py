"""The cloud's REST API about an end, for `CloudClient`: deletion, and export of all data."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from urllib.parse import quote

from pydantic import SecretStr

from farsite_client.calls import CloudCalls, organization_path
from farsite_signaling.wire.cloud_api import Organization
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.lifecycle_api import (
    AccountDeletion,
    Export,
    ExportList,
    ExportState,
    OrganizationDeletion,
)

LOOK_EVERY = 1.0


class LifecycleCalls(CloudCalls):
    async def delete_organization(self, organization: str, name: str) -> Organization:
        """After `deletes_at` all is erased. `name` is its name, as it stands. Raises `invalid_request`, `conflict`."""
        path = f"{organization_path(organization)}/deletion"
        return await self._ask("POST", path, Organization, OrganizationDeletion(name=name))

    async def restore_organization(self, organization: str) -> Organization:
        return await self._ask("DELETE", f"{organization_path(organization)}/deletion", Organization)

    async def delete_account(self, password: str, code: str | None = None) -> None:
        """One's own, at once and for good. Raises `conflict` for the only owner of an organization."""
        body = AccountDeletion(password=SecretStr(password))
        if code is not None:
            body = AccountDeletion(password=SecretStr(password), code=SecretStr(code))
        await self._send("POST", "/me/deletion", body)
        self.token = None

    async def exports(self, organization: str) -> list[Export]:
        """Newest first."""
        return (await self._ask("GET", _exports(organization), ExportList)).exports

    async def request_export(self, organization: str) -> Export:
        """Raises `conflict` while one is being made."""
        return await self._ask("POST", _exports(organization), Export)

    async def export(self, organization: str, export: str) -> Export:
        return await self._ask("GET", f"{_exports(organization)}/{quote(export, safe='')}", Export)

    async def remove_export(self, organization: str, export: str) -> None:
        await self._send("DELETE", f"{_exports(organization)}/{quote(export, safe='')}")

    async def wait_for_export(
        self, organization: str, export: str, progress: Callable[[Export], None] | None = None
    ) -> Export:
        """Until its file is there. Raises `unavailable` for one that failed, `not_found` for one removed."""
        while True:
            found = await self.export(organization, export)
            if progress is not None:
                progress(found)
            if found.state is ExportState.DONE:
                return found
            if found.state not in (ExportState.QUEUED, ExportState.RUNNING):
                raise FarsiteError(ErrorCode.UNAVAILABLE, found.problem or f"The export is {found.state}.")
            await asyncio.sleep(LOOK_EVERY)

    def download_export(self, organization: str, export: str) -> AsyncIterator[bytes]:
        """The ZIP, piece by piece; compare it with the export's `sha256`."""
        return self._download(f"{_exports(organization)}/{quote(export, safe='')}/file")


def _exports(organization: str) -> str:
    return f"{organization_path(organization)}/exports"
