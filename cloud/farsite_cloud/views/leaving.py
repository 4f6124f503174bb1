"""What becomes of views when their maker leaves."""

from __future__ import annotations

from farsite_cloud.database import Scope
from farsite_cloud.views.models import SavedView


async def forget_views(scope: Scope, account_id: str) -> None:
    """Own ones go; what was shared stays."""
    own = scope.delete(SavedView).where(SavedView.account_id == account_id, SavedView.shared.is_(False))
    await scope.change(own)
