"""Organizations are kept apart in one place: code that goes around `Scope` is refused here."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import farsite_cloud
from farsite_cloud import models
from farsite_cloud.database import OrganizationOwned

PACKAGE = Path(farsite_cloud.__file__).parent
OWNED = {
    name
    for name in models.__all__
    if isinstance(model := getattr(models, name), type) and issubclass(model, OrganizationOwned)
}
STATEMENTS = {"select", "update", "delete", "insert", "exists", "text", "table", "lambda_stmt", "union"}
# These query what belongs to no organization: accounts, tokens, codes, memberships, mails, kept answers.
UNSCOPED = {
    # Whether anybody writes to a database that is carried to another place: no organization's rows.
    "moving/quiet.py",
    "database/scope.py",
    "database/erase.py",
    "catalogue/service.py",
    "accounts/service.py",
    "accounts/tokens.py",
    "browser/service.py",
    "accounts/mailed.py",
    "accounts/mfa.py",
    "accounts/factors.py",
    "accounts/guessing.py",
    "accounts/mail_codes.py",
    "passkeys/challenges.py",
    "passkeys/service.py",
    "users/service.py",
    "mail/queue.py",
    "organizations/service.py",
    "api/idempotency.py",
    "api/system.py",
    "audit/append.py",
    "audit/ledger.py",
    # Sizes of tables, for who runs the database.
    "database/sizes.py",
}
# Credentials are known before their organization is.
OWNER_LOOKUPS = {
    "providers/service.py",
    "setup_codes/service.py",
    "invitations/service.py",
    "support/service.py",
    "sessions/endings.py",
    "accounts/removal.py",
    # What comes and goes by the hundred is looked at together; each organization's part of it through its Scope.
    "work/reports.py",
    "notices/watch.py",
    "notices/storage.py",
}
# Many peers at once say who they are, and whose each is is looked at there; presence is of those who have proven it.
MANY_PEERS = {
    "anybodys_rows": {"signaling/admission.py", "signaling/reports.py"},
    "touch_rows": {"signaling/presence.py", "signaling/reports.py"},
}
# A whole database that is carried to another one, table by table, whosever its rows are.
CARRIED = {"database/moved.py", "moving/misfits.py", "moving/tables.py"}
# Work that nobody asked for goes over all organizations, one row after another.
SWEEPS = {
    "support/sweep.py",
    "exports/worker.py",
    "work/dispatcher.py",
    "notices/telling.py",
    "sessions/telling.py",
    "notices/delivering.py",
    "notices/watch.py",
}
# Numbers of every organization, for who runs the cloud.
NUMBERS = {"commands/organizations.py"}
# Edge hosts and folders are read where the caller's reach narrows them; the hub and claims have no caller.
REACHED = {
    "EdgeHost": {
        "edge_hosts/service.py",
        # No two are called the same, whoever sees them.
        "edge_hosts/naming.py",
        "signaling/admission.py",
        "claims/service.py",
    },
    "Folder": {"folders/service.py", "folders/tree.py"},
}
# Ids given by those who may see every folder are checked there.
FOLDER_CHECKS = {"edge_hosts/service.py", "setup_codes/service.py", "users/service.py"}
SESSION_READS = {"get", "get_one", "query", "merge", "refresh"}


def violations(source: str, path: str) -> list[str]:
    tree = ast.parse(source)
    found = []
    for node in ast.walk(tree):
        line = f"{path}:{getattr(node, 'lineno', 0)}"
        match node:
            case ast.ImportFrom(module=str(module), names=names) if module.split(".")[0] == "sqlalchemy":
                taken = {name.name for name in names} & STATEMENTS
                if taken and path not in UNSCOPED:
                    found.append(f"{line} builds statements with {sorted(taken)}; use a Scope")
            case ast.ImportFrom(module=str(module), names=names) if module.endswith("database.kept") and any(
                name.name == "run" for name in names
            ):
                if path != "database/scope.py":
                    found.append(f"{line} runs a kept statement past its Scope")
            case ast.ImportFrom(module=str(module), names=names) if module.endswith("database.scope"):
                if (
                    any(name.name in ("owner_of", "owners_of") for name in names)
                    and path not in OWNER_LOOKUPS
                ):
                    found.append(f"{line} looks up owners of rows")
                if any(name.name == "due_rows" for name in names) and path not in SWEEPS:
                    found.append(f"{line} looks for rows of every organization")
                if any(name.name == "by_owner" for name in names) and path not in NUMBERS:
                    found.append(f"{line} counts rows of every organization")
                if any(path not in MANY_PEERS.get(name.name, {path}) for name in names):
                    found.append(f"{line} goes to rows of whichever organization")
            case ast.Import(names=names) if any(name.name.startswith("sqlalchemy") for name in names):
                if path not in CARRIED:
                    found.append(f"{line} imports the whole of SQLAlchemy")
            case ast.Attribute(attr="__table__" | "exec_driver_sql") if not path.startswith("database/"):
                found.append(f"{line} goes below the models")
            case ast.Call(
                func=ast.Attribute(attr="select" | "get" | "find"), args=[ast.Name(id=name), *_]
            ) if name in REACHED and path not in REACHED[name] | FOLDER_CHECKS:
                found.append(f"{line} reads {name} past the caller's reach")
            case ast.Call() if path != "database/scope.py" and _reads_owned(node):
                found.append(f"{line} reads an organization's row without a Scope")
    return found


def _reads_owned(call: ast.Call) -> bool:
    names = {node.id for argument in call.args for node in ast.walk(argument) if isinstance(node, ast.Name)}
    if not names & OWNED:
        return False
    match call.func:
        case ast.Name(id=name):
            return name in STATEMENTS
        case ast.Attribute(value=ast.Name(id="session" | "unit"), attr=attr):
            return attr in SESSION_READS | {"scalars", "scalar", "execute"}
        case ast.Attribute(value=ast.Attribute(attr="session"), attr=attr):
            return attr in SESSION_READS | {"scalars", "scalar", "execute"}
    return False


def test_the_models_that_belong_to_organizations_are_known():
    assert {
        "EdgeHost",
        "ClientDevice",
        "Folder",
        "FolderAccess",
        "Invitation",
        "SetupCode",
        "SupportAccess",
        "Export",
        "ExportChunk",
        "RemoteSession",
        "AuditEvent",
        "Licence",
        "LicenceRecord",
        "LicenceReservation",
        "ExternalIdentity",
        "IdentityProvider",
        "ProviderDomain",
        "ProviderSignIn",
        "Campaign",
        "CampaignDevice",
        "CampaignOrder",
        "CampaignStep",
        "Notice",
        "NoticeChoice",
        "NoticeEvent",
        "NoticeSettings",
        "PolicyTemplate",
        "PolicyTemplateVersion",
        "Webhook",
        "WebhookDelivery",
        "EdgeHostTask",
        "EdgeHostWork",
        "EdgeImage",
        "InventoryCount",
        "InventoryPosition",
        "ManagedDevice",
        "ModelRelease",
        "SavedView",
        "ThingTag",
    } == OWNED


def test_nothing_goes_around_the_scope():
    found = []
    for file in sorted(PACKAGE.rglob("*.py")):
        path = file.relative_to(PACKAGE).as_posix()
        if not path.startswith("migrations/"):
            found += violations(file.read_text(), path)
    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        "from sqlalchemy import select",
        "import sqlalchemy as sa",
        "from sqlalchemy.sql import text as words",
        "async def f(session): return await session.get(EdgeHost, 'x')",
        "async def f(call): return await call.session.get(EdgeHost, 'x')",
        "from farsite_cloud.database.scope import owner_of",
        "from farsite_cloud.database.scope import anybodys_rows",
        "EdgeHost.__table__.select()",
    ],
)
def test_ways_around_are_noticed(source):
    assert violations(source, "edge_hosts/service.py")


@pytest.mark.parametrize("statement", ["call.scope.select(EdgeHost)", "scope.get(Folder, x, 'folder')"])
def test_the_callers_reach_is_not_gone_past(statement):
    assert violations(statement, "sessions/routes.py")
    assert not violations("call.scope.select(RemoteSession)", "sessions/routes.py")


@pytest.mark.parametrize("statement", ["select(EdgeHost)", "update(RemoteSession)", "delete(AuditEvent)"])
def test_modules_for_accounts_may_not_query_organizations_rows(statement):
    assert violations(statement, "accounts/service.py")
    assert not violations("select(Account)", "accounts/service.py")
