"""An organization's policy templates; every version that was ever applied stays readable."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from farsite_cloud.database import Scope
from farsite_cloud.ids import new_id
from farsite_cloud.policies.models import PolicyTemplate, PolicyTemplateVersion
from farsite_signaling.wire import policy_templates_api as wire
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.policy_api import PolicyTemplate as Document

MOST = 500


class Templates:
    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def page(self, after: str | None, limit: int) -> list[PolicyTemplate]:
        """Oldest first; one more than `limit`, if there are."""
        statement = self._scope.select(PolicyTemplate)
        if after is not None:
            statement = statement.where(PolicyTemplate.id > after)
        return await self._scope.all(statement.order_by(PolicyTemplate.id).limit(limit + 1))

    async def get(self, template_id: str) -> PolicyTemplate:
        """Raises `not_found`."""
        return await self._scope.get(PolicyTemplate, template_id, "policy template")

    async def versions(self, template_id: str) -> list[PolicyTemplateVersion]:
        """Newest first."""
        statement = self._scope.select(PolicyTemplateVersion).where(
            PolicyTemplateVersion.template_id == template_id
        )
        return await self._scope.all(statement.order_by(PolicyTemplateVersion.version.desc()).limit(500))

    async def version(self, template: PolicyTemplate, version: int | None) -> PolicyTemplateVersion:
        """The newest without a number. Raises `not_found`."""
        statement = self._scope.select(PolicyTemplateVersion).where(
            PolicyTemplateVersion.template_id == template.id
        )
        if version is not None:
            statement = statement.where(PolicyTemplateVersion.version == version)
        found = await self._scope.first(statement.order_by(PolicyTemplateVersion.version.desc()))
        if found is None:
            raise FarsiteError(ErrorCode.NOT_FOUND, f"{template.name!r} has no version {version}.")
        return found

    async def create(self, request: wire.TemplateRequest, by: str, now: datetime) -> PolicyTemplate:
        """Raises `conflict` for a name in use, `too_large`."""
        await self._check_name(request.name, "")
        if await self._scope.count(self._scope.select(PolicyTemplate)) >= MOST:
            raise FarsiteError(ErrorCode.CONFLICT, f"There are {MOST} templates; that is the most.")
        template = PolicyTemplate(
            id=new_id(now),
            name=request.name,
            description=request.description,
            kind=request.kind,
            revision=1,
            created_at=now,
            changed_at=now,
            changed_by=by,
        )
        self._scope.add(template)
        await self._scope.session.flush()
        values = {"mode": request.mode, "settings": request.settings}
        self._keep(template, 1, values, by, now)
        await self._scope.session.flush()
        return template

    async def change(
        self, template: PolicyTemplate, change: wire.TemplateChange, by: str, now: datetime
    ) -> None:
        """Raises `conflict` for a name in use, `too_large`."""
        newest = await self.version(template, None)
        if change.name is not None:
            await self._check_name(change.name, template.id)
            template.name = change.name
        if change.description is not None:
            template.description = change.description
        changed = change.model_dump(include={"mode", "settings"}, exclude_none=True)
        values = {"mode": newest.document["mode"], "settings": newest.document["settings"]} | changed
        if changed or change.name is not None:
            self._keep(template, newest.version + 1, values, by, now)
        template.revision += 1
        template.changed_at, template.changed_by = now, by
        await self._scope.session.flush()

    def _keep(
        self, template: PolicyTemplate, version: int, values: dict[str, Any], by: str, now: datetime
    ) -> None:
        document = Document(
            id=template.id, revision=version, kind=template.kind, name=template.name, **values
        ).model_dump(mode="json")
        if len(json.dumps(document)) > wire.MAX_DOCUMENT:
            detail = f"The template has more than {wire.MAX_DOCUMENT} bytes. Leave out some settings."
            raise FarsiteError(ErrorCode.TOO_LARGE, detail)
        row = PolicyTemplateVersion(
            id=new_id(now),
            template_id=template.id,
            version=version,
            document=document,
            created_at=now,
            created_by=by,
        )
        self._scope.add(row)

    async def remove(self, template: PolicyTemplate) -> None:
        """Policies made from it stay where they are."""
        versions = self._scope.delete(PolicyTemplateVersion)
        await self._scope.change(versions.where(PolicyTemplateVersion.template_id == template.id))
        await self._scope.change(self._scope.delete(PolicyTemplate).where(PolicyTemplate.id == template.id))

    async def _check_name(self, name: str, own: str) -> None:
        statement = self._scope.select(PolicyTemplate).where(
            PolicyTemplate.name == name, PolicyTemplate.id != own
        )
        if await self._scope.first(statement) is not None:
            raise FarsiteError(ErrorCode.CONFLICT, f"There is a template called {name!r} already.")


async def order_of(scope: Scope, parameters: dict[str, Any]) -> dict[str, Any]:
    """What edge hosts are told, for a campaign that applies a template. Raises `not_found`."""
    given = wire.PolicyParameters.model_validate(parameters)
    templates = Templates(scope)
    found = await templates.version(await templates.get(given.template), given.version)
    document = Document.model_validate(found.document)
    return wire.PolicyOrder(document=document, replace=given.replace).model_dump(mode="json")
