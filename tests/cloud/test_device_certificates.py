"""What the cloud signs for devices, and for whom."""

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from farsite_signaling.identity import Identity, OrganizationTrust, generate_key, make_request
from farsite_signaling.identity.certificates import load_certificate
from farsite_signaling.identity.device_certificates import is_issued_by, request_key
from farsite_signaling.identity.renewals import sign_device_request
from farsite_signaling.wire.device_certificates import DeviceCertificateRequest
from farsite_signaling.wire.errors import FarsiteError
from farsite_signaling.wire.inventory import DeviceFacts, InventoryAccepted, InventoryDelta

SERIAL = "B8A44F000001"
PATH = "/edge/device-certificates"


def asked(identity: Identity, world, **changes):
    csr = changes.pop("csr", None) or make_request(generate_key(), "device")
    values = {"certificate": identity.certificate_pem, "csr": csr, "device": SERIAL, "proof": ""} | changes
    request = DeviceCertificateRequest.model_validate(values)
    return request.model_dump() | {
        "proof": sign_device_request(identity, request.signed(), world.clock().timestamp())
    }


@pytest.fixture
async def identity(world):
    """Of an edge host that has reported the device."""
    _, made = await world.edge()
    peer = await world.connect(made)
    facts = DeviceFacts(serial=SERIAL, address="192.0.2.7", name="Door", model="P3265-V", state="reachable")
    await peer.send(InventoryDelta(epoch="e1", after=0, last=1, devices=[facts]))
    assert isinstance(await peer.receive(), InventoryAccepted)
    return made


async def test_it_names_the_device_and_nothing_else(world, identity):
    addresses = ["10.0.0.7", "8.8.8.8", "fd00::7", "nonsense"]
    body = asked(identity, world, host_name="Door-1", addresses=addresses, days=30)
    signed = await world.stranger.ok("POST", PATH, body)
    certificate = load_certificate(signed["certificate"])
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    own = f"axis-{SERIAL.lower()}"
    assert names.get_values_for_type(x509.DNSName) == [own, f"{own}.local", "door-1", "door-1.local"]
    assert [str(one) for one in names.get_values_for_type(x509.IPAddress)] == ["10.0.0.7", "fd00::7"]
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert (certificate.not_valid_after_utc - world.clock()).days == 30
    trust = OrganizationTrust(await _authority(world))
    assert is_issued_by(signed["certificate"], trust.ca_pem)
    with pytest.raises(FarsiteError, match=r"carries no name|0 names"):
        trust.verify(signed["certificate"], world.clock())


async def _authority(world) -> str:
    from farsite_cloud.organizations.service import find_organization

    async with world.services.database.reading() as session:
        organization = await find_organization(session, world.owner.org)
        return organization.authority_certificate


async def test_who_is_refused(world, identity):
    post = world.stranger
    other = await post("POST", PATH, asked(identity, world, device="B8A44F00FFFF"))
    assert (other.status, other.code) == (404, "device_unknown")
    _, stranger = await world.edge(name="Other")
    assert (await post("POST", PATH, asked(stranger, world))).code == "device_unknown"
    client = await world.client()
    assert (await post("POST", PATH, asked(client, world))).code == "forbidden"
    body = asked(identity, world)
    for change in ({"host_name": "other"}, {"addresses": ["10.0.0.9"]}, {"days": 800}):
        assert (await post("POST", PATH, body | change)).code == "signature_invalid"
    assert (await post("POST", PATH, body | {"host_name": "www.example.com"})).code == "invalid_request"
    assert (await post("POST", PATH, body | {"days": 9999})).code == "invalid_request"


async def test_an_audit_row_says_so(world, identity):
    await world.stranger.ok("POST", PATH, asked(identity, world))
    rows = (await world.owner.ok("GET", "~/audit"))["rows"]
    assert any(row["action"] == "device.certificate_signed" and row["target"] == SERIAL for row in rows)


def _rsa_request(bits: int) -> str:
    key = rsa.generate_private_key(65537, bits)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    signed = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM).decode()


def test_keys_that_are_signed() -> None:
    assert request_key(_rsa_request(2048))
    for bad in (_rsa_request(1024), "nonsense"):
        with pytest.raises(FarsiteError):
            request_key(bad)
