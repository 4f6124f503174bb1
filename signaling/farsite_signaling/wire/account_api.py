"""REST schemas of one's own account: name and address."""

from __future__ import annotations

from farsite_signaling.wire.cloud_api import Email, Secret, Title
from farsite_signaling.wire.factor_api import FactorProof
from farsite_signaling.wire.schema import _Request


class AccountChange(_Request):
    name: Title


class AddressChange(FactorProof):
    """With the password, and a second factor where one is on. `email` is the new address."""

    email: Email


class AddressConfirmation(_Request):
    """The code that was mailed to the new address."""

    code: Secret
