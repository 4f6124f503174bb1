"""Where notices about licences go. What is told here is told once."""

from __future__ import annotations

import logging
from datetime import datetime

from farsite_cloud.audit.log import Act, write
from farsite_cloud.database import Scope
from farsite_cloud.licences.warnings import Warning
from farsite_cloud.notices.events import emit
from farsite_signaling.wire.notices_api import NoticeKind

logger = logging.getLogger(__name__)
ACTOR = "farsite"


async def tell(scope: Scope, warning: Warning, now: datetime) -> None:
    """In the unit of work that remembers that it was told."""
    details: dict[str, object] = {"text": warning.text, "at": warning.at.isoformat()}
    if warning.days is not None:
        details["days"] = warning.days
    act = Act(f"licence.{warning.event}", ACTOR, "", [scope.organization_id], details=details)
    write(scope.session, act, now)
    key = f"licence {warning.key}"
    await emit(scope, NoticeKind.LICENCE_EXPIRING, warning.text, key=key, now=now, details=details)
    logger.info("organization %s: %s", scope.organization_id, warning.text)
