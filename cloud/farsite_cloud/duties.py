"""What the cloud does without being asked."""

from __future__ import annotations

from farsite_cloud.audit.keeping import AuditKeeping
from farsite_cloud.exports.worker import export_one
from farsite_cloud.notices.delivering import deliver_due
from farsite_cloud.notices.telling import tell_one
from farsite_cloud.notices.watch import EdgeWatch
from farsite_cloud.organizations.erasing import erase_one
from farsite_cloud.periodic import every
from farsite_cloud.services import Services
from farsite_cloud.sessions.telling import LOOK_SECONDS, EndedElsewhere
from farsite_cloud.support.sweep import cut_one
from farsite_cloud.sweeper import Duty
from farsite_cloud.work.dispatcher import bring_one_forward

AUDIT_SECONDS = 3600.0
LICENCE_SECONDS = 900.0


def duties_of(services: Services) -> dict[str, Duty]:
    days = services.settings.audit_retention_days
    keeping = AuditKeeping(services.database, services.vault, services.clock, days)
    ended = EndedElsewhere(services.database, services.clock, services.peers)
    return {
        "support access": lambda: cut_one(services),
        "ended sessions": every(LOOK_SECONDS, ended.look),
        "edge hosts": EdgeWatch(services).look,
        "notices": lambda: tell_one(services),
        "webhooks": lambda: deliver_due(services),
        "campaigns": lambda: bring_one_forward(services),
        "deletions": lambda: erase_one(services),
        "exports": lambda: export_one(services),
        "last uses": lambda: services.used.write(services.database),
        "audit logs": every(AUDIT_SECONDS, keeping.run),
        "licences": every(LICENCE_SECONDS, services.licence_watch.run),
    }
