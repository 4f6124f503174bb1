"""HTTPS certificates on firmware without the REST API for them (AXIS OS 7.x to 11.5), by SOAP."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from farsite_edge.policies.certificates.ways import SOAP
from farsite_edge.simulator.certificate import self_signed
from farsite_edge.simulator.certificates import OWN
from farsite_edge.vapix.errors import ApiMissing, Refused
from farsite_edge.vapix.request import Answer
from farsite_edge.vapix.soap import SOAP as ENVELOPE
from farsite_edge.vapix.soap_certificates import GetRequestFor, ListStored, LoadWithKey
from farsite_signaling.wire.edge_api import DeviceState
from farsite_signaling.wire.edge_tasks import TaskState
from farsite_signaling.wire.errors import FarsiteError
from farsite_signaling.wire.policy_api import PolicyState
from tests.edge.conftest import SmallCloud
from tests.edge.policies.conftest import Rig, rig_of
from tests.edge.policies.test_certificates_policy import certified, claimed, cloud, record, shown
from tests.edge.policies.test_policy_crashes import MOMENTS, Moment, hit

__all__ = ["cloud"]
GENERATIONS = ("Q1615-Mk-II", "M1065-LW", "M3058-PLVE")


@pytest.fixture
async def rig(tmp_path: Path, cloud: SmallCloud) -> AsyncIterator[Rig]:
    async with rig_of(tmp_path, "M3058-PLVE", https=True) as made:
        await claimed(made, cloud)
        yield made


@pytest.mark.parametrize("model", GENERATIONS)
async def test_each_generation_before_gets_its_certificate(
    model: str, tmp_path: Path, cloud: SmallCloud
) -> None:
    async with rig_of(tmp_path, model, https=True) as rig:
        await claimed(rig, cloud)
        policy = await certified(rig)
        task, row = await rig.run(policy)
        assert task.state is TaskState.SUCCEEDED, row.detail
        (await shown(rig.device)).verify_directly_issued_by(cloud.ca.certificate)
        now = record(rig)
        assert now.state is DeviceState.REACHABLE and now.next_pin is None
        await rig.run(policy)
        assert len(cloud.device_requests) == 1
        assert set(rig.device.certificates.stored) == {OWN, rig.device.certificates.bound}


@pytest.mark.parametrize(("beside", "end"), [(False, ""), (True, "-s"), (None, "-k")])
async def test_however_the_device_takes_what_is_signed(
    rig: Rig, cloud: SmallCloud, beside: bool | None, end: str
) -> None:
    """In the place of the certificate that carries the key, beside it, or only together with its key."""
    store = rig.device.certificates
    store.signed_beside = beside
    policy = await certified(rig)
    task, row = await rig.run(policy)
    assert task.state is TaskState.SUCCEEDED, row.detail
    first = store.bound
    assert first.startswith("farsite-") and first.endswith(end or first)
    (await shown(rig.device)).verify_directly_issued_by(cloud.ca.certificate)
    assert isinstance(store.stored[first].key, rsa.RSAPrivateKey) is (beside is None)
    # What shares its key is not a leftover: it would take the key with it.
    assert {OWN, first} <= set(store.stored)
    assert len(store.stored) == (3 if beside else 2)
    assert rig.setting(policy, "leftovers").state is not PolicyState.FAILED
    # Renewed: all of the former one goes.
    cloud.device_age = timedelta()
    await rig.edge.host.registry.update(rig.device.serial, hostname="x")
    rig.device.network.host_name = "gate"
    task, row = await rig.run(policy)
    assert task.state is TaskState.SUCCEEDED, row.detail
    assert store.bound != first and first not in store.stored
    names = (await shown(rig.device)).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "gate.local" in names.get_values_for_type(x509.DNSName)
    assert record(rig).state is DeviceState.REACHABLE


async def test_a_key_never_goes_over_plain_http(tmp_path: Path, cloud: SmallCloud) -> None:
    async with rig_of(tmp_path, "M3058-PLVE", https=True) as rig:
        await claimed(rig, cloud)
        await rig.edge.host.registry.update(rig.device.serial, https_port=None, pin=None)
        rig.device.certificates.signed_beside = None
        policy = await certified(rig)
        task, _ = await rig.run(policy)
        assert task.state is TaskState.FAILED
        assert "HTTPS only" in rig.setting(policy, "certificate").detail
        assert all(
            isinstance(one.key, ec.EllipticCurvePrivateKey) for one in rig.device.certificates.stored.values()
        )


@pytest.mark.parametrize("fault", ["killed", "power"])
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize(("state", "number"), [("apply", 1), ("apply", 2), ("verify", 2)])
async def test_crashes(rig: Rig, cloud: SmallCloud, state: str, number: int, moment: str, fault: str) -> None:
    policy = await certified(rig)
    at = Moment(rig, state, moment, number)
    task = await rig.begin(policy)
    await hit(rig, at, fault)
    done = await rig.finished(task)
    assert done.state is TaskState.SUCCEEDED, (await rig.row(task)).detail
    (await shown(rig.device)).verify_directly_issued_by(cloud.ca.certificate)
    now = record(rig)
    assert now.state is DeviceState.REACHABLE and now.next_pin is None
    assert len(rig.device.certificates.stored) == 2


# Answers


def answer(body: str, status: int = 200) -> Answer:
    names = 'xmlns:tds="http://www.onvif.org/ver10/device/wsdl" xmlns:tt="http://www.onvif.org/ver10/schema"'
    text = f'<e:Envelope xmlns:e="{ENVELOPE}" {names}><e:Body>{body}</e:Body></e:Envelope>'
    return Answer(status, text.encode())


def entry(name: str, data: str) -> str:
    return (
        f"<tds:NvtCertificate><tt:CertificateID>{name}</tt:CertificateID>"
        f"<tt:Certificate><tt:Data>{data}</tt:Data></tt:Certificate></tds:NvtCertificate>"
    )


def test_lists_of_certificates() -> None:
    """DER as ONVIF says, PEM as some do; what is neither is a certificate without content."""
    made = self_signed(ec.generate_private_key(ec.SECP256R1()), "axis", "10.0.0.1", datetime.now(UTC))
    der, pem = made.public_bytes(Encoding.DER), made.public_bytes(Encoding.PEM)
    lines = base64.encodebytes(der).decode().replace("\n", "\r\n")
    entries = (
        entry("a", lines) + entry("b", base64.b64encode(pem).decode()) + entry("c", "%%") + entry("", "AA==")
    )
    found = ListStored().parse(
        answer(f"<tds:GetCertificatesResponse>{entries}</tds:GetCertificatesResponse>")
    )
    assert list(found) == ["a", "b", "c"] and found["c"] == ""
    assert {x509.load_pem_x509_certificate(found[name].encode()) for name in "ab"} == {made}


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        ("<e:Fault><e:Code><e:Value>e:Receiver</e:Value><e:Subcode><e:Value>ter:ActionNotSupported</e:Value></e:Subcode>"
         "</e:Code><e:Reason><e:Text>Optional Action Not Implemented</e:Text></e:Reason></e:Fault>", 500, ApiMissing),
        ("<e:Fault><e:Code><e:Value>e:Sender</e:Value></e:Code><e:Reason><e:Text>no\x85pe</e:Text></e:Reason>"
         "<e:Detail>secret</e:Detail></e:Fault>", 400, Refused),
        ("<nothing/>", 200, FarsiteError),
        ("", 500, FarsiteError),
    ],
)  # fmt: skip
def test_faults(body: str, status: int, kind: type[FarsiteError]) -> None:
    with pytest.raises(kind) as caught:
        ListStored().parse(answer(body, status))
    assert type(caught.value) is kind and "secret" not in caught.value.detail


@pytest.mark.parametrize("content", [b"", b"<a", b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", b"\xff"])
def test_answers_that_are_no_soap(content: bytes) -> None:
    with pytest.raises(FarsiteError):
        ListStored().parse(Answer(200, content))


def test_a_request_that_is_none() -> None:
    body = '<c:Pkcs10Request xmlns:c="http://www.axis.com/vapix/ws/certificates">%%%</c:Pkcs10Request>'
    with pytest.raises(FarsiteError, match="none"):
        GetRequestFor("a", "b").parse(answer(body))


def test_names_cannot_leave_their_element() -> None:
    body = LoadWithKey("</tt:CertificateID><x>", b"certificate", b"key").body()
    assert b"<x>" not in body and b"&lt;x&gt;" in body
    assert SOAP not in body.decode().replace("soap-envelope", "")
