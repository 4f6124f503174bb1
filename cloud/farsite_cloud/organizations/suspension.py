"""An organization that the operator suspended: it is seen, and not changed; nobody connects to its edge hosts."""

from __future__ import annotations

from farsite_cloud.organizations.models import Organization
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

# Taking one's data along, and somebody's access away, is never held up.
_ENDINGS = ("/users/", "/service-accounts/", "/support-access/", "/invitations/", "/sessions/")


def check_active(organization: Organization) -> None:
    """Raises `organization_suspended`."""
    if organization.suspended_at is None:
        return
    reason = f" ({organization.suspended_reason})" if organization.suspended_reason else ""
    detail = (
        f"The organization {organization.name!r} was suspended by the operator of this cloud on "
        f"{organization.suspended_at:%Y-%m-%d}{reason}: it is seen, and not changed. Ask the operator."
    )
    raise FarsiteError(ErrorCode.ORGANIZATION_SUSPENDED, detail)


def is_free(method: str, path: str) -> bool:
    return path.endswith("/exports") or (method == "DELETE" and any(part in path for part in _ENDINGS))
