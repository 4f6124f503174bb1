"""The hub's half of the handshake, without I/O: hello, challenge, proof, welcome."""

from __future__ import annotations

import logging
import secrets
from enum import StrEnum

from pydantic import BaseModel

from farsite_signaling.identity.keys import PublicKey, verify
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.hub import Bye, Challenge, Hello, Proof, Welcome, proof_bytes
from farsite_signaling.wire.ids import parse_name
from farsite_signaling.wire.version import negotiate

log = logging.getLogger(__name__)

NONCE_BYTES = 24
# Refusals that may pass by themselves; after any other one the peer waits long before it tries again.
_PASSING = {
    ErrorCode.UNAVAILABLE,
    ErrorCode.TIMEOUT,
    ErrorCode.RATE_LIMITED,
    ErrorCode.INTERNAL,
    ErrorCode.PEER_TIMEOUT,
}


class HandshakeState(StrEnum):
    WAIT_HELLO = "wait_hello"
    WAIT_PROOF = "wait_proof"
    WAIT_KEY = "wait_key"
    DONE = "done"


class Handshake:
    """Call `hello`, `proof` and `accept` in this order with what came in; each says what to send.

    All raise `FarsiteError`; the connection is to be refused with it (`refusal`). The challenge is sent before
    the certificate is judged, so that even a refused peer learns the hub's time.
    """

    def __init__(self, nonce: str | None = None) -> None:
        self._nonce = nonce or secrets.token_urlsafe(NONCE_BYTES)
        self._state = HandshakeState.WAIT_HELLO
        self._hello: Hello | None = None
        self._proof: Proof | None = None
        self.version = 0

    @property
    def state(self) -> HandshakeState:
        return self._state

    def _move(self, before: HandshakeState, after: HandshakeState) -> None:
        assert self._state is before, f"{after} cannot follow {self._state}"
        log.debug("handshake %s -> %s", before, after)
        self._state = after

    def hello(self, message: BaseModel, now: float) -> Challenge:
        """`now`: Unix seconds."""
        if not isinstance(message, Hello):
            raise _unexpected(message, "hello")
        parse_name(message.name)
        self.version = negotiate(message.versions, here="the cloud", there="the edge host or client")
        self._move(HandshakeState.WAIT_HELLO, HandshakeState.WAIT_PROOF)
        self._hello = message
        return Challenge(nonce=self._nonce, time=now)

    def proof(self, message: BaseModel) -> Hello:
        """The hello to ask the authorizer about; then call `accept` with the key."""
        if not isinstance(message, Proof):
            raise _unexpected(message, "proof")
        self._move(HandshakeState.WAIT_PROOF, HandshakeState.WAIT_KEY)
        self._proof = message
        assert self._hello is not None
        return self._hello

    def accept(self, key: PublicKey, *, heartbeat: float, now: float) -> Welcome:
        assert self._hello is not None and self._proof is not None
        verify(key, proof_bytes(self._nonce, self._hello.name), self._proof.signature)
        self._move(HandshakeState.WAIT_KEY, HandshakeState.DONE)
        return Welcome(version=self.version, heartbeat=heartbeat, time=now)


def refusal(error: FarsiteError) -> Bye:
    retry = error.code in _PASSING
    return Bye(code=error.code, detail=error.detail, retry=retry, retry_after=error.retry_after)


def _unexpected(message: BaseModel, wanted: str) -> FarsiteError:
    kind = str(getattr(message, "type", "?"))[:50]
    return FarsiteError(ErrorCode.PROTOCOL_ERROR, f"Expected {wanted}, not {kind}.")
