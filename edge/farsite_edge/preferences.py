"""What users switch while the edge host runs: Settings > Edge host connections."""

from __future__ import annotations

from farsite_edge.settings import EdgeSettings
from farsite_edge.store import Facts, Vault
from farsite_signaling.peer.proxy import parse_proxy
from farsite_signaling.wire.edge_api import ClaimRequest, Settings, SettingsChange

PROXY_SECRET = "proxy_address"
REVISION = "settings_revision"


class Preferences:
    """Name, remote access, proxy address. The proxy's password is kept like a device's."""

    def __init__(self, settings: EdgeSettings, facts: Facts, vault: Vault) -> None:
        self._settings = settings
        self._facts = facts
        self._vault = vault

    @property
    def name(self) -> str:
        return self._facts.get("name") or self._settings.name

    @property
    def remote_access(self) -> bool:
        """Off until switched on."""
        return self._facts.get("remote_access") == "on"

    @property
    def revision(self) -> int:
        """Counts edits, also those of which nothing is shown: the proxy's password."""
        return int(self._facts.get(REVISION) or 0)

    async def proxy_address(self) -> str | None:
        """With its password: for connecting, never for answering."""
        if self._facts.get("proxy_set") is not None:
            return await self._vault.get(PROXY_SECRET)
        given = self._settings.proxy_address
        return given.get_secret_value() or None if given is not None else None

    async def shown(self) -> Settings:
        proxy = await self.proxy_address()
        redacted = parse_proxy(proxy).redacted if proxy else None
        return Settings(name=self.name, remote_access=self.remote_access, proxy_address=redacted)

    async def change(self, change: SettingsChange) -> list[str]:
        """The names of what changed. Raises `setting_invalid` before anything is written."""
        if change.proxy_address is not None and change.proxy_address.get_secret_value():
            parse_proxy(change.proxy_address.get_secret_value())
        values = self._changed(change)
        changed = list(values)
        if change.proxy_address is not None:
            await self._keep_proxy(change.proxy_address.get_secret_value())
            values["proxy_set"] = "yes"
            changed.append("proxy_address")
        if values:
            await self._facts.set(values | {REVISION: str(self.revision + 1)})
        return changed

    async def claimed_values(self, request: ClaimRequest, name: str) -> dict[str, str | None]:
        """What a claim brings along, to be stored together with it."""
        values: dict[str, str | None] = {"name": name}
        values["remote_access"] = "on" if request.remote_access else "off"
        values[REVISION] = str(self.revision + 1)
        if request.proxy_address is not None:
            await self._keep_proxy(request.proxy_address.get_secret_value())
            values["proxy_set"] = "yes"
        return values

    def _changed(self, change: SettingsChange) -> dict[str, str | None]:
        values: dict[str, str | None] = {}
        if change.name is not None and change.name != self.name:
            values["name"] = change.name
        if change.remote_access is not None and change.remote_access != self.remote_access:
            values["remote_access"] = "on" if change.remote_access else "off"
        return values

    async def _keep_proxy(self, address: str) -> None:
        if address:
            await self._vault.put(PROXY_SECRET, parse_proxy(address).url)
        else:
            await self._vault.forget(PROXY_SECRET)
