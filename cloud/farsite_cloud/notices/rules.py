"""What is told of, to whom, how soon and how often."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from farsite_signaling.wire.notices_api import Channel, NoticeKind
from farsite_signaling.wire.rights import Right


@dataclass(frozen=True)
class Rule:
    """Members with `right` are told. Events of a kind are gathered for `gather`, and nobody is told of a kind more often
    than every `pause`: two hundred at once are one notice, one mail, one message. `many` is its title then.

    Those who may manage edge hosts also get a mail without asking for it when `mailed`.
    """

    title: str
    right: Right
    many: str
    gather: timedelta = timedelta(seconds=5)
    pause: timedelta = timedelta(minutes=1)
    mailed: bool = False

    def channels(self, rights: frozenset[Right]) -> set[Channel]:
        """Without a choice of the member's own."""
        mail = {Channel.MAIL} if self.mailed and Right.EDGE_MANAGE in rights else set()
        return {Channel.PRODUCT, Channel.WEBHOOK} | mail


_GATHER, _PAUSE = timedelta(minutes=1), timedelta(minutes=5)
RULES: dict[NoticeKind, Rule] = {
    NoticeKind.EDGE_OFFLINE: Rule(
        "Edge host offline", Right.EDGE_READ, "{count} edge hosts are offline", _GATHER, _PAUSE, mailed=True
    ),
    NoticeKind.EDGE_ONLINE: Rule(
        "Edge host back", Right.EDGE_READ, "{count} edge hosts are back", _GATHER, _PAUSE
    ),
    # A switch that restarts takes its devices away for a minute or two: that is no news yet.
    NoticeKind.DEVICES_UNREACHABLE: Rule(
        "Many devices unreachable",
        Right.DEVICE_READ,
        "{count} sites lost many devices",
        timedelta(minutes=3),
        _PAUSE,
        mailed=True,
    ),
    NoticeKind.DEVICES_REACHABLE: Rule(
        "Devices reachable again", Right.DEVICE_READ, "The devices of {count} sites are back", _GATHER, _PAUSE
    ),
    NoticeKind.EDGE_STORAGE_FAILING: Rule(
        "Edge host cannot store", Right.EDGE_READ, "{count} edge hosts cannot store anything", mailed=True
    ),
    NoticeKind.EDGE_STORAGE_RECOVERED: Rule(
        "Edge host stores again", Right.EDGE_READ, "The storage of {count} edge hosts works again"
    ),
    NoticeKind.REMOTE_ACCESS_ACTIVE: Rule(
        "Remote access active", Right.EDGE_READ, "Remote access is active on {count} edge hosts"
    ),
    NoticeKind.CERTIFICATE_EXPIRING: Rule(
        "Certificate expiring",
        Right.EDGE_MANAGE,
        "The certificates of {count} edge hosts expire soon",
        _GATHER,
        _PAUSE,
        mailed=True,
    ),
    NoticeKind.UPGRADE_FAILED: Rule(
        "Upgrade failed", Right.DEVICE_READ, "{count} upgrades failed", _GATHER, _PAUSE, mailed=True
    ),
    NoticeKind.CAMPAIGN_STOPPED: Rule(
        "Campaign stopped", Right.DEVICE_READ, "{count} campaigns were stopped", mailed=True
    ),
    NoticeKind.CAMPAIGN_FAILED: Rule(
        "Campaign failed", Right.DEVICE_READ, "{count} campaigns failed", mailed=True
    ),
    NoticeKind.CAMPAIGN_SUCCEEDED: Rule(
        "Campaign succeeded", Right.DEVICE_READ, "{count} campaigns succeeded"
    ),
    NoticeKind.INVITATION: Rule("Invitation", Right.USER_MANAGE, "{count} invitations"),
    NoticeKind.LICENCE_EXPIRING: Rule(
        "Licence running out", Right.ORGANIZATION_READ, "{count} licences are running out", mailed=True
    ),
    NoticeKind.WEBHOOK_DISABLED: Rule(
        "Webhook switched off", Right.ORGANIZATION_READ, "{count} webhooks were switched off", mailed=True
    ),
}
