"""The simulated devices, asked the way any HTTP client would."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import re
import resource
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from PIL import Image

from farsite_edge.simulator import MODELS, SimulatedDevice, Simulator, describe, load
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

PARAM = "/axis-cgi/param.cgi"


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


def url(device: SimulatedDevice, path: str, *, https: bool = False) -> str:
    if https:
        return f"https://{device.address}:{device.https_port}{path}"
    return f"http://{device.address}:{device.http_port}{path}"


def login(device: SimulatedDevice) -> aiohttp.DigestAuthMiddleware:
    """aiohttp's own Digest, as a second opinion on the simulator's."""
    return aiohttp.DigestAuthMiddleware(device.username, device.password)


async def fetch(session: aiohttp.ClientSession, device: SimulatedDevice, path: str) -> str:
    async with session.get(url(device, path), middlewares=[login(device)]) as response:
        assert response.status == 200
        return await response.text()


async def call(
    session: aiohttp.ClientSession, device: SimulatedDevice, cgi: str, body: Any
) -> dict[str, Any]:
    async with session.post(url(device, f"/axis-cgi/{cgi}.cgi"), json=body) as response:
        assert response.status == 200
        answer: dict[str, Any] = json.loads(await response.text())
        return answer


def site(*models: str, **options: Any) -> Simulator:
    return Simulator(describe(len(models), models, **options))


def test_ten_models_over_six_generations() -> None:
    assert len(MODELS) >= 8
    assert {model.generation for model in MODELS.values()} == {"5.51", "8.45", "9.80", "10.12", "11.11", "12"}
    assert {"Network Horn Speaker", "Radar"} <= {model.device_type for model in MODELS.values()}


@pytest.mark.parametrize("model", MODELS)
async def test_the_challenge_names_the_serial_number(model: str, session: aiohttp.ClientSession) -> None:
    async with site(model) as simulator:
        device = simulator.devices[0]
        async with session.get(url(device, PARAM)) as response:
            assert response.status == 401
            challenge = response.headers["WWW-Authenticate"]
    assert challenge.startswith("Digest ")
    assert f'realm="AXIS_{device.serial}"' in challenge
    assert ('qop="auth"' in challenge) == MODELS[model].quirks.qop


@pytest.mark.parametrize(("model", "scheme"), [("P3265-V", "Basic"), ("P3245-LVE", "Digest")])
async def test_the_scheme_over_https(model: str, scheme: str, session: aiohttp.ClientSession) -> None:
    async with site(model) as simulator:
        address = url(simulator.devices[0], PARAM, https=True)
        async with session.get(address, ssl=False) as response:
            assert response.headers["WWW-Authenticate"].startswith(scheme)


async def test_basic_over_https_on_12(session: aiohttp.ClientSession) -> None:
    async with site("P3265-V") as simulator:
        device = simulator.devices[0]
        pair = base64.b64encode(f"root:{device.password}".encode()).decode()
        headers = {"Authorization": f"Basic {pair}"}
        address = url(device, f"{PARAM}?action=list&group=Brand.Brand", https=True)
        async with session.get(address, ssl=False, headers=headers) as response:
            assert await response.text() == "Brand.Brand=AXIS\n"
        async with session.get(url(device, PARAM), headers=headers) as response:
            assert response.status == 401  # not over plain HTTP


async def test_digest_signs_the_request_target(session: aiohttp.ClientSession) -> None:
    async with site("P3245-LVE") as simulator:
        device = simulator.devices[0]
        seen: list[str] = []

        async def spy(
            request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
        ) -> aiohttp.ClientResponse:
            seen.append(request.headers.get("Authorization", ""))
            return await handler(request)

        async with session.get(url(device, PARAM), middlewares=[login(device), spy]) as response:
            assert response.status == 200
        async with session.get(
            url(device, f"{PARAM}?action=list"), headers={"Authorization": seen[-1]}
        ) as response:
            assert response.status == 401
    assert device.failed_logins == 1


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        ("M3058-PLVE", {"systemready", "needsetup"}),
        ("P3245-LVE", {"systemready", "needsetup", "uptime", "bootid"}),
        ("P3265-V", {"systemready", "needsetup", "uptime", "bootid", "passphrasepolicy"}),
    ],
)
async def test_readiness_per_generation(model: str, fields: set[str], session: aiohttp.ClientSession) -> None:
    async with site(model) as simulator:
        answer = await call(session, simulator.devices[0], "systemready", {"method": "systemready"})
    assert set(answer["data"]) == fields


async def test_a_restart_changes_the_boot_id(session: aiohttp.ClientSession) -> None:
    async with site("P3265-V") as simulator:
        device = simulator.devices[0]
        first = await call(session, device, "systemready", {"method": "systemready"})
        device.restart(60)
        second = await call(session, device, "systemready", {"method": "systemready"})
        async with session.get(url(device, "/")) as response:
            assert response.status == 503
    assert first["data"]["bootid"] != second["data"]["bootid"]
    assert (first["data"]["systemready"], second["data"]["systemready"]) == ("yes", "no")


async def test_what_firmware_does_not_have_is_not_found(session: aiohttp.ClientSession) -> None:
    async with site("M3024-L", "Q1615-Mk-II") as simulator:
        oldest, old = simulator.devices
        for device, cgi in ((oldest, "basicdeviceinfo"), (oldest, "apidiscovery"), (old, "systemready")):
            async with session.post(url(device, f"/axis-cgi/{cgi}.cgi"), json={}) as response:
                assert response.status == 404
                assert response.content_type == "text/html"
        answer = await call(session, old, "basicdeviceinfo", {"method": "getAllUnrestrictedProperties"})
        assert answer["error"]["code"] == 2004


async def test_device_information(session: aiohttp.ClientSession) -> None:
    async with site("P3265-V") as simulator:
        device = simulator.devices[0]
        answer = await call(session, device, "basicdeviceinfo", {"method": "getAllUnrestrictedProperties"})
        assert "method" not in answer
        assert answer["data"]["propertyList"]["SerialNumber"] == device.serial
        assert "Architecture" not in answer["data"]["propertyList"]
        versions = await call(session, device, "basicdeviceinfo", {"method": "getSupportedVersions"})
        assert versions["data"]["apiVersions"] == ["1.3"]
        body = {"method": "getProperties", "params": {"propertyList": ["Soc", "Version"]}}
        async with session.post(
            url(device, "/axis-cgi/basicdeviceinfo.cgi"), json=body, middlewares=[login(device)]
        ) as response:
            assert (await response.json())["data"]["propertyList"] == {
                "Version": "12.9.57",
                "Soc": "Axis Artpec-8",
            }


async def test_bodies_that_are_not_json(session: aiohttp.ClientSession) -> None:
    async with site("P3265-V") as simulator:
        for cgi in ("basicdeviceinfo", "systemready", "apidiscovery"):
            for body in (b"{", b"[]", b"\xff", b"[" * 50_000):
                async with session.post(
                    url(simulator.devices[0], f"/axis-cgi/{cgi}.cgi"), data=body
                ) as response:
                    assert "error" in await response.json()


async def test_parameters(session: aiohttp.ClientSession) -> None:
    async with site("P3245-LVE") as simulator:
        device = simulator.devices[0]
        everything = await fetch(session, device, f"{PARAM}?action=list")
        assert len(everything.splitlines()) > 300
        assert all(line.startswith("root.") for line in everything.splitlines())
        assert "root.SOCKS.Password=******" in everything
        wild = await fetch(
            session, device, f"{PARAM}?action=list&group=root.Image.*.Name,Brand.Brand,Nothing"
        )
        assert wild.splitlines() == [
            *(f"root.Image.I{view}.Name=View Area {view + 1}" for view in range(4)),
            "Brand.Brand=AXIS",
            "# Error: Error -1 getting param in group 'Nothing'",
        ]


async def test_parameters_that_may_not_be_set(session: aiohttp.ClientSession) -> None:
    async with site("M1065-LW") as simulator:
        device = simulator.devices[0]
        for change in ("Brand.Brand=x", "No.Such=1", "Network.SSH.Enabled=maybe"):
            assert (await fetch(session, device, f"{PARAM}?action=update&{change}")).startswith(
                "# Error: Error setting"
            )
        policy = "Network.HTTP.AuthenticationPolicy"
        assert "Error" in await fetch(session, device, f"{PARAM}?action=update&{policy}=recommended")
        assert await fetch(session, device, f"{PARAM}?action=update&network.ssh.enabled=yes") == "OK"
        assert device.parameters["Network.SSH.Enabled"] == "yes"


async def test_secrets_are_masked_once_set(session: aiohttp.ClientSession) -> None:
    async with site("P3265-V") as simulator:
        device = simulator.devices[0]
        name = "root.RemoteService.ProxyPassword"
        assert await fetch(session, device, f"{PARAM}?action=update&{name}=hush") == "OK"
        assert await fetch(session, device, f"{PARAM}?action=list&group={name}") == f"{name}=******\n"


async def test_guessing_is_slowed_down(session: aiohttp.ClientSession) -> None:
    throttle = "System.PreventDoSAttack."
    description = replace(
        describe(1, ["P3245-LVE"])[0],
        parameters={f"{throttle}DoSPageCount": "3", f"{throttle}DoSPageInterval": "60"},
    )
    async with Simulator([description]) as simulator:
        device = simulator.devices[0]
        for _ in range(3):
            wrong = aiohttp.DigestAuthMiddleware("root", "wrong")
            async with session.get(url(device, PARAM), middlewares=[wrong]) as response:
                assert response.status == 401
        async with session.get(url(device, PARAM), middlewares=[login(device)]) as response:
            assert response.status == 401  # the right password, too late
        device.parameters[f"{throttle}ActivatePasswordThrottling"] = "Off"


async def test_a_factory_new_device_shows_a_setup_page(session: aiohttp.ClientSession) -> None:
    async with site("P3265-V", factory_default=1) as simulator:
        device = simulator.devices[0]
        async with session.get(url(device, "/")) as response:
            assert response.headers["AXIS-Setup"] == "vapix"
            assert "factory new" in await response.text()
        async with session.get(url(device, PARAM)) as response:
            assert (response.status, response.headers["AXIS-Setup"]) == (401, "vapix")
        form = {"action": "remove", "user": "root"}
        async with session.post(url(device, "/axis-cgi/pwdgrp.cgi"), data=form) as response:
            assert "initial admin user must be created first" in await response.text()


async def test_the_page_of_a_device(session: aiohttp.ClientSession) -> None:
    description = replace(describe(1, ["P3265-V"])[0], name="<Gate> & co")
    async with Simulator([description]) as simulator:
        page = await fetch(session, simulator.devices[0], "/")
    assert "&lt;Gate&gt; &amp; co" in page
    assert "<Gate>" not in page
    assert "/axis-cgi/mjpg/video.cgi" in page


async def picture(session: aiohttp.ClientSession, device: SimulatedDevice, query: str) -> bytes:
    async with session.get(
        url(device, f"/axis-cgi/jpg/image.cgi{query}"), middlewares=[login(device)]
    ) as response:
        assert response.content_type == "image/jpeg"
        return await response.read()


async def test_snapshots_have_the_size_asked_for(session: aiohttp.ClientSession) -> None:
    async with site("P3265-V") as simulator:
        device = simulator.devices[0]
        small = Image.open(io.BytesIO(await picture(session, device, "?resolution=320x240")))
        assert small.size == (320, 240)
        assert Image.open(io.BytesIO(await picture(session, device, ""))).size == (640, 360)
        wrong = url(device, "/axis-cgi/jpg/image.cgi?resolution=99999x1")
        async with session.get(wrong, middlewares=[login(device)]) as response:
            assert response.status == 400


def test_the_picture_moves_and_is_drawn_once_per_frame() -> None:
    from farsite_edge.simulator.picture import TestPicture

    drawn = TestPicture("AXIS P1", "ACCC8E010203")
    first = drawn.frame(320, 240, 100.0)
    assert drawn.frame(320, 240, 100.01) is first
    assert drawn.frame(320, 240, 101.0) != first


async def test_the_stream_moves_and_ends_with_the_device(session: aiohttp.ClientSession) -> None:
    async with site("P3265-V") as simulator:
        device = simulator.devices[0]
        stream = url(device, "/axis-cgi/mjpg/video.cgi?resolution=160x120&fps=10")
        async with session.get(stream, middlewares=[login(device)]) as response:
            assert response.headers["Content-Type"] == "multipart/x-mixed-replace; boundary=myboundary"
            frames = [await _part(response) for _ in range(3)]
            assert len(set(frames)) > 1
            assert all(frame.startswith(b"\xff\xd8") for frame in frames)
            await device.stop()
            await response.content.read()


async def _part(response: aiohttp.ClientResponse) -> bytes:
    head = await response.content.readuntil(b"\r\n\r\n")
    match = re.search(rb"Content-Length: (\d+)", head)
    assert match is not None
    return await response.content.readexactly(int(match[1]))


async def test_switched_off_and_on_again_at_the_same_port(session: aiohttp.ClientSession) -> None:
    async with site("P3265-V") as simulator:
        device = simulator.devices[0]
        port = device.http_port
        await device.stop()
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.get(url(device, "/"))
        await device.start()
        assert device.http_port == port
        assert (await call(session, device, "systemready", {"method": "systemready"}))["data"][
            "systemready"
        ] == "yes"


async def test_a_hundred_devices_in_one_process(session: aiohttp.ClientSession) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    async with Simulator(describe(100)) as simulator:
        assert len({device.serial for device in simulator.devices}) == 100
        assert len({device.http_port for device in simulator.devices}) == 100
        cameras = [device for device in simulator.devices if device.model.video]
        pictures = await asyncio.gather(
            *(picture(session, device, "?resolution=320x240") for device in cameras)
        )
        assert len(set(pictures)) == len(cameras)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown < 200  # MiB


async def test_an_address_for_each_device() -> None:
    async with Simulator(describe(3), bind="127.0.77.0/24", first_port=8077, https=False) as simulator:
        places = [(device.address, device.http_port) for device in simulator.devices]
    assert places == [("127.0.77.1", 8077), ("127.0.77.2", 8077), ("127.0.77.3", 8077)]


async def test_a_port_that_is_taken_is_named_and_nothing_stays_open(session: aiohttp.ClientSession) -> None:
    async with site("P3265-V") as simulator:
        taken = simulator.devices[0].http_port
        first, second = describe(2)
        clash = Simulator([first, replace(second, http_port=taken)])
        with pytest.raises(FarsiteError, match=str(taken)) as caught:
            async with clash:
                pass
    assert caught.value.code is ErrorCode.PORT_TAKEN
    assert not any(device.running for device in clash.devices)


def test_a_site_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "site.toml"
    path.write_text(
        '[[device]]\nmodel = "P3265-V"\nname = "Gate"\n'
        '[device.parameters]\n"Network.SSH.Enabled" = "yes"\n'
        '[[device]]\nmodel = "M1065-LW"\nversion = "9.80.3.12"\nfactory_default = true\n'
    )
    gate, other = load(path)
    assert (gate.name, gate.parameters) == ("Gate", {"Network.SSH.Enabled": "yes"})
    assert (other.model.version, other.factory_default) == ("9.80.3.12", True)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('[[device]]\nmodel = "P3265-V"\nnmae = "x"\n', ErrorCode.SETTING_UNKNOWN),
        ('[[device]]\nmodel = "Q9"\n', ErrorCode.NOT_FOUND),
        ("device = 1\n", ErrorCode.SETTING_INVALID),
        ('[[device]]\nmodel = "P3265-V"\nhttp_port = "80"\n', ErrorCode.SETTING_INVALID),
        ('[[device]]\nmodel = "P3265-V"\nserial = "x"\n', ErrorCode.SETTING_INVALID),
        ('[[device]]\nmodel = "P3265-V"\nparameters = {a = 1}\n', ErrorCode.SETTING_INVALID),
        ('[[device]]\nmodel = "P3265-V"\ngeneration = "4"\n', ErrorCode.SETTING_INVALID),
        ("= nonsense", ErrorCode.SETTING_INVALID),
    ],
)
def test_a_wrong_file_is_explained(text: str, code: ErrorCode, tmp_path: Path) -> None:
    path = tmp_path / "site.toml"
    path.write_text(text)
    with pytest.raises(FarsiteError) as caught:
        load(path)
    assert caught.value.code is code


@pytest.mark.parametrize(
    ("bind", "port"),
    [
        ("nonsense", 0),
        ("127.0.1.0/30", 0),
        ("300.1.1.1/24", 0),
        ("127.0.0.1", 65530),
        ("127.0.1.0/24", 65400),
    ],
)
def test_wrong_places_are_explained(bind: str, port: int) -> None:
    with pytest.raises(FarsiteError) as caught:
        Simulator(describe(5), bind=bind, first_port=port)
    assert caught.value.code is ErrorCode.INVALID_REQUEST
