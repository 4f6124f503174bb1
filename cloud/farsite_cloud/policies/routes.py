"""Policy templates: list, read, make, change, remove."""

from __future__ import annotations

from aiohttp import web

from farsite_cloud.api.call import Call, call_of
from farsite_cloud.api.etags import IF_MATCH, check_unchanged, etag
from farsite_cloud.api.idempotency import HEADER, once
from farsite_cloud.api.paging import next_cursor, read_page
from farsite_cloud.policies.models import PolicyTemplate
from farsite_cloud.policies.service import Templates
from farsite_signaling.rest import Answer, Api
from farsite_signaling.wire import policy_templates_api as wire
from farsite_signaling.wire.cloud_api import Page
from farsite_signaling.wire.policy_api import PolicyTemplate as Document
from farsite_signaling.wire.rights import Right

api = Api()
_LIST = "/organizations/{org}/policy-templates"
_ONE = _LIST + "/{template}"


async def _answer(call: Call, template: PolicyTemplate) -> wire.Template:
    newest = await Templates(call.scope).version(template, None)
    return wire.Template(
        id=template.id,
        name=template.name,
        description=template.description,
        kind=template.kind,
        version=newest.version,
        document=Document.model_validate(newest.document),
        created_at=template.created_at,
        changed_at=template.changed_at,
        changed_by=template.changed_by,
    )


@api.route("GET", _LIST, need=Right.DEVICE_READ, response=wire.TemplateList, query=Page)
async def list_templates(request: web.Request) -> wire.TemplateList:
    """Policy templates, oldest first."""
    call = call_of(request)
    after, limit = read_page(request)
    rows = await Templates(call.scope).page(after, limit)
    shown = [await _answer(call, row) for row in rows[:limit]]
    return wire.TemplateList(templates=shown, next_cursor=next_cursor(rows, limit))


@api.route(
    "POST",
    _LIST,
    need=Right.POLICY_MANAGE,
    request=wire.TemplateRequest,
    response=wire.Template,
    status=201,
    headers=(HEADER,),
)
async def create_template(request: web.Request, body: wire.TemplateRequest) -> wire.Template:
    """Keep settings of a policy as a template for campaigns."""
    call = call_of(request)
    return await once(request, call.caller.account_id, wire.Template, lambda: _create(call, body))


async def _create(call: Call, body: wire.TemplateRequest) -> wire.Template:
    with call.act("policy_template.created", body.name) as act:
        template = await Templates(call.scope).create(body, call.caller.email, call.now)
        act.details["template"] = template.id
    return await _answer(call, template)


@api.route("GET", _ONE, need=Right.DEVICE_READ, response=wire.Template)
async def get_template(request: web.Request) -> Answer:
    """One template in its newest version."""
    call = call_of(request)
    template = await Templates(call.scope).get(request.match_info["template"])
    return Answer(await _answer(call, template), etag(template.revision))


@api.route("GET", f"{_ONE}/versions", need=Right.DEVICE_READ, response=wire.TemplateVersionList)
async def list_versions(request: web.Request) -> wire.TemplateVersionList:
    """All of its versions, newest first."""
    call = call_of(request)
    templates = Templates(call.scope)
    rows = await templates.versions((await templates.get(request.match_info["template"])).id)
    return wire.TemplateVersionList(
        versions=[
            wire.TemplateVersion(
                version=row.version,
                document=Document.model_validate(row.document),
                created_at=row.created_at,
                created_by=row.created_by,
            )
            for row in rows
        ]
    )


@api.route(
    "PATCH",
    _ONE,
    need=Right.POLICY_MANAGE,
    request=wire.TemplateChange,
    response=wire.Template,
    headers=(IF_MATCH,),
)
async def change_template(request: web.Request, body: wire.TemplateChange) -> Answer:
    """Change a template: a new version. Edge hosts get it with the next campaign."""
    call = call_of(request)
    with call.act("policy_template.changed", request.match_info["template"]) as act:
        templates = Templates(call.scope)
        template = await templates.get(request.match_info["template"])
        await check_unchanged(request, template)
        await templates.change(template, body, call.caller.email, call.now)
        act.details |= body.model_dump(mode="json", exclude_none=True)
    return Answer(await _answer(call, template), etag(template.revision))


@api.route("DELETE", _ONE, need=Right.POLICY_MANAGE, headers=(IF_MATCH,))
async def remove_template(request: web.Request) -> None:
    """Remove a template. Policies made from it stay on their edge hosts."""
    call = call_of(request)
    with call.act("policy_template.removed", request.match_info["template"]):
        templates = Templates(call.scope)
        template = await templates.get(request.match_info["template"])
        await check_unchanged(request, template)
        await templates.remove(template)
