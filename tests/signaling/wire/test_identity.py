"""Keys, certificates and grants: what is trusted, and what is said about everything else."""

from __future__ import annotations

import base64
import stat
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from farsite_signaling.identity import (
    CertificateAuthority,
    Identity,
    OrganizationTrust,
    fingerprint,
    generate_key,
    load_private_key,
    load_public_key,
    make_request,
    private_pem,
    public_pem,
    sign,
    sign_grant,
    verify,
    verify_grant,
)
from farsite_signaling.identity.certificates import certificate_pem, load_certificate
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.grant import Grant
from farsite_signaling.wire.ids import EdgeId, EdgeName, OrgId
from farsite_signaling.wire.rights import ROLE_RIGHTS, Right, Role

NAME = EdgeName(OrgId("acme"), EdgeId("e1"))
NOW = datetime(2026, 6, 1, tzinfo=UTC)
KEY = generate_key()
POSITION = st.integers(0, 999)  # the length of a signature, and so of what it signs, varies by a byte or two


@pytest.fixture(scope="module")
def authority() -> CertificateAuthority:
    return CertificateAuthority.create("acme", NOW)


@pytest.fixture(scope="module")
def leaf(authority: CertificateAuthority) -> str:
    return authority.issue(make_request(KEY, "e1"), NAME, now=NOW)


@pytest.fixture(scope="module")
def trust(authority: CertificateAuthority) -> OrganizationTrust:
    return OrganizationTrust(authority.pem)


def refused_with(code: ErrorCode, call: Any, *arguments: Any, **options: Any) -> FarsiteError:
    with pytest.raises(FarsiteError) as refused:
        call(*arguments, **options)
    assert refused.value.code is code
    return refused.value


class TestCertificates:
    def test_issued_certificate_is_trusted(self, trust: OrganizationTrust, leaf: str) -> None:
        name, certificate = trust.verify(leaf, NOW)
        assert name == NAME
        assert public_pem(certificate.public_key()) == public_pem(KEY.public_key())  # type: ignore[arg-type]
        assert len(fingerprint(certificate)) == 95

    @pytest.mark.parametrize("offset", [-14 * 60, 0, 90 * 86400 + 4 * 60])
    def test_leeway(self, trust: OrganizationTrust, leaf: str, offset: int) -> None:
        """Backdated by ten minutes, valid for ninety days, five minutes of leeway either way."""
        assert trust.verify(leaf, NOW + timedelta(seconds=offset))[0] == NAME

    def test_expired_names_the_date_and_the_clock(self, trust: OrganizationTrust, leaf: str) -> None:
        late = NOW + timedelta(days=91)
        error = refused_with(ErrorCode.CERTIFICATE_EXPIRED, trust.verify, leaf, late)
        assert "2026-08-30" in error.detail and "86400 s ago" in error.detail and "clock" in error.detail

    def test_not_yet_valid_names_the_seconds(self, trust: OrganizationTrust, leaf: str) -> None:
        early = NOW - timedelta(hours=1)
        error = refused_with(ErrorCode.CLOCK_SKEW, trust.verify, leaf, early)
        assert "3000 s" in error.detail and "behind" in error.detail

    def test_other_authority_of_the_same_name(self, leaf: str) -> None:
        other = OrganizationTrust(CertificateAuthority.create("acme", NOW).pem)
        refused_with(ErrorCode.CERTIFICATE_INVALID, other.verify, leaf, NOW)

    def test_authority_is_no_peer(self, authority: CertificateAuthority, trust: OrganizationTrust) -> None:
        refused_with(ErrorCode.CERTIFICATE_INVALID, trust.verify, authority.pem, NOW)

    def test_peer_is_no_authority(self, trust: OrganizationTrust, leaf: str) -> None:
        """A certificate signed with a peer's key is not the organization's."""
        forged = CertificateAuthority(KEY, load_certificate(leaf)).issue(
            make_request(generate_key(), "x"), NAME, now=NOW
        )
        refused_with(ErrorCode.CERTIFICATE_INVALID, trust.verify, forged, NOW)

    @pytest.mark.filterwarnings("ignore:Parsed a serial number")
    @settings(max_examples=300)
    @given(data=st.data())
    def test_damaged(self, trust: OrganizationTrust, leaf: str, data: st.DataObject) -> None:
        """Whatever byte changes: a `FarsiteError`, or nothing that was signed has changed.

        (The unused bits of the signature's BIT STRING may be written in two ways: fingerprints identify no peer.)
        """
        der = bytearray(load_certificate(leaf).public_bytes(serialization.Encoding.DER))
        der[data.draw(POSITION) % len(der)] ^= data.draw(st.integers(1, 255))
        text = "-----BEGIN CERTIFICATE-----\n" + _base64(bytes(der)) + "-----END CERTIFICATE-----\n"
        with pytest.raises(FarsiteError):
            trust.verify(text, NOW)

    @pytest.mark.parametrize(
        "text", ["", "x", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"]
    )
    def test_no_certificate(self, trust: OrganizationTrust, text: str) -> None:
        refused_with(ErrorCode.CERTIFICATE_INVALID, trust.verify, text, NOW)

    @pytest.mark.parametrize(
        "names", [[], ["urn:farsite:acme:edge:a", "urn:farsite:acme:edge:b"], ["https://x"]]
    )
    def test_exactly_one_farsite_name(self, names: list[str]) -> None:
        certificate, trust = _self_made(names, generate_key())
        refused_with(ErrorCode.CERTIFICATE_INVALID, trust.verify, certificate, NOW)

    def test_reloaded_authority_issues_the_same(self, authority: CertificateAuthority, leaf: str) -> None:
        again = CertificateAuthority.load(authority.private_pem(), authority.pem)
        issued = again.issue(make_request(KEY, "e1"), NAME, now=NOW)
        assert OrganizationTrust(authority.pem).verify(issued, NOW)[0] == NAME


class TestRequests:
    def test_damaged(self, authority: CertificateAuthority) -> None:
        for text in ("", "x", make_request(KEY, "e")[:-60]):
            refused_with(ErrorCode.INVALID_REQUEST, authority.issue, text, NAME)

    @pytest.mark.filterwarnings("ignore:Parsed a serial number")
    @given(data=st.data())
    def test_any_damage(self, authority: CertificateAuthority, data: st.DataObject) -> None:
        """Whatever byte changes: refused, or the key is still the one that signed."""
        lines = make_request(KEY, "e").split("\n")
        der = bytearray(base64.b64decode("".join(lines[1:-2])))
        der[data.draw(POSITION) % len(der)] ^= data.draw(st.integers(1, 255))
        text = "\n".join([lines[0], _base64(bytes(der)).strip(), lines[-2], ""])
        try:
            issued = load_certificate(authority.issue(text, NAME))
        except FarsiteError as error:
            assert error.code is ErrorCode.INVALID_REQUEST
            return
        assert issued.public_key() == KEY.public_key()

    def test_other_kinds_of_keys(self, authority: CertificateAuthority) -> None:
        for key in (rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP384R1())):
            subject = x509.Name([])
            request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
            text = request.public_bytes(serialization.Encoding.PEM).decode()
            refused_with(ErrorCode.INVALID_REQUEST, authority.issue, text, NAME)

    def test_lifetime_ends_with_the_authority(self, authority: CertificateAuthority) -> None:
        issued = authority.issue(make_request(KEY, "e"), NAME, now=NOW, lifetime=timedelta(days=99999))
        assert load_certificate(issued).not_valid_after_utc == authority.certificate.not_valid_after_utc


class TestKeys:
    @given(st.binary(max_size=200))
    @settings(max_examples=25)
    def test_signatures(self, data: bytes) -> None:
        signature = sign(KEY, data)
        assert len(signature) == 86
        verify(KEY.public_key(), data, signature)
        refused_with(ErrorCode.SIGNATURE_INVALID, verify, KEY.public_key(), data + b"x", signature)

    @given(st.text(max_size=100))
    def test_any_text_as_signature(self, text: str) -> None:
        with pytest.raises(FarsiteError):
            verify(KEY.public_key(), b"data", text)

    def test_signature_of_zeros(self) -> None:
        refused_with(ErrorCode.SIGNATURE_INVALID, verify, KEY.public_key(), b"data", "A" * 86)

    def test_key_files_round_trip(self, tmp_path: Path, leaf: str) -> None:
        identity = Identity.from_pem(KEY, leaf)
        identity.save(tmp_path / "new")
        loaded = Identity.load(tmp_path / "new")
        assert loaded.urn == identity.urn == str(NAME)
        modes = {stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "new").iterdir()}
        assert modes == {0o600}

    def test_key_of_another(self, leaf: str) -> None:
        refused_with(ErrorCode.CERTIFICATE_INVALID, Identity.from_pem, generate_key(), leaf)

    def test_damaged_and_foreign_keys(self) -> None:
        other = ec.generate_private_key(ec.SECP384R1())
        for pem in (b"", b"x", private_pem(other), private_pem(KEY)[:100]):
            refused_with(ErrorCode.STORAGE_FAILED, load_private_key, pem)
        for text in ("", "x", public_pem(other.public_key())):
            refused_with(ErrorCode.CERTIFICATE_INVALID, load_public_key, text)
        assert public_pem(load_public_key(public_pem(KEY.public_key()))) == public_pem(KEY.public_key())


class TestGrants:
    edge = "urn:farsite:acme:edge:e1"
    client = "urn:farsite:acme:user:anna:device:laptop"

    def grant(self, **changes: Any) -> Grant:
        now = int(NOW.timestamp())
        fields: dict[str, Any] = {
            "iss": "urn:farsite:acme:cloud",
            "aud": self.edge,
            "sub": self.client,
            "sid": "s1",
            "org": "acme",
            "role": Role.OPERATOR,
            "rights": ROLE_RIGHTS[Role.OPERATOR],
            "iat": now,
            "nbf": now,
            "exp": now + 60,
            "until": now + 3600,
        }
        return Grant(**(fields | changes))

    def check(self, token: str, *, key: Any = None, **changes: Any) -> Grant:
        options: dict[str, Any] = {
            "audience": self.edge,
            "subject": self.client,
            "now": NOW.timestamp(),
        }
        return verify_grant(token, key or KEY.public_key(), **(options | changes))

    @pytest.mark.parametrize("devices", [None, frozenset({"00408C123456"}), frozenset()])
    def test_round_trip(self, devices: frozenset[str] | None) -> None:
        grant = self.grant(devices=devices)
        assert self.check(sign_grant(KEY, grant)) == grant

    def test_other_key(self) -> None:
        token = sign_grant(generate_key(), self.grant())
        refused_with(ErrorCode.GRANT_INVALID, self.check, token)

    @pytest.mark.parametrize(
        "changes", [{"audience": "urn:farsite:acme:edge:e2"}, {"subject": "urn:farsite:acme:edge:e1"}]
    )
    def test_for_somebody_else(self, changes: dict[str, str]) -> None:
        refused_with(ErrorCode.GRANT_INVALID, self.check, sign_grant(KEY, self.grant()), **changes)

    def test_times(self) -> None:
        token, start = sign_grant(KEY, self.grant()), NOW.timestamp()
        assert self.check(token, now=start - 299) and self.check(token, now=start + 359)
        assert "400 s" in refused_with(ErrorCode.CLOCK_SKEW, self.check, token, now=start - 400).detail
        assert "340 s" in refused_with(ErrorCode.GRANT_EXPIRED, self.check, token, now=start + 400).detail

    @pytest.mark.parametrize(
        "forge",
        [
            lambda claims: jwt.encode(claims, "", algorithm="none", headers={"typ": "farsite-grant+jwt"}),
            lambda claims: jwt.encode(
                claims, "k" * 32, algorithm="HS256", headers={"typ": "farsite-grant+jwt"}
            ),
            lambda claims: jwt.encode(claims, KEY, algorithm="ES256"),
            lambda claims: jwt.encode(
                {"aud": 5}, KEY, algorithm="ES256", headers={"typ": "farsite-grant+jwt"}
            ),
            lambda claims: "a.b.c",
            lambda claims: "",
        ],
        ids=["none", "hmac", "type", "claims", "text", "empty"],
    )
    def test_forged(self, forge: Any) -> None:
        claims = self.grant().model_dump(mode="json")
        refused_with(ErrorCode.GRANT_INVALID, self.check, forge(claims))

    @given(st.text(max_size=200))
    def test_any_text(self, text: str) -> None:
        refused_with(ErrorCode.GRANT_INVALID, self.check, text)

    def test_never_more_than_the_role(self) -> None:
        grant = self.grant(role=Role.VIEWER, rights=frozenset(Right), devices=frozenset({"a"}))
        assert grant.allows(Right.DEVICE_VIEW, "a")
        assert not grant.allows(Right.DEVICE_VIEW, "b")
        assert not grant.allows(Right.DEVICE_MANAGE, "a")


def _base64(data: bytes) -> str:
    return base64.encodebytes(data).decode()


def _self_made(names: list[str], key: ec.EllipticCurvePrivateKey) -> tuple[str, OrganizationTrust]:
    """A leaf with any names, and the trust that would accept its signature."""
    authority = CertificateAuthority.create("acme", NOW)
    alternative = [x509.UniformResourceIdentifier(name) for name in names]
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(authority.certificate.subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    )
    if alternative:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternative), critical=False)
    signer = load_private_key(authority.private_pem())
    return certificate_pem(builder.sign(signer, hashes.SHA256())), OrganizationTrust(authority.pem)


def test_clock_is_read_when_none_is_given() -> None:
    authority = CertificateAuthority.create("acme")
    issued = authority.issue(make_request(KEY, "e"), NAME)
    assert OrganizationTrust(authority.pem).verify(issued)[0] == NAME
    assert load_certificate(issued).not_valid_before_utc.timestamp() < time.time()
