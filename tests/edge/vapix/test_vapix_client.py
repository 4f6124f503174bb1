"""The client against simulated devices of every generation, and against servers that mean harm."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import aiohttp
import pytest

from farsite_edge.simulator import MODELS, DeviceDescription, SimulatedDevice, Simulator, describe, find_model
from farsite_edge.vapix import ApiMissing, Credentials, DeviceClient, Role
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

HTTPS_MODELS = [number for number, model in MODELS.items() if model.quirks.https]
Respond = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


@asynccontextmanager
async def running(model: str, **changes: object) -> AsyncIterator[SimulatedDevice]:
    description: DeviceDescription = replace(describe(1, [model])[0], **changes)  # type: ignore[arg-type]
    async with Simulator([description]) as simulator:
        yield simulator.devices[0]


def client(
    device: SimulatedDevice,
    session: aiohttp.ClientSession,
    *,
    https: bool = False,
    password: str | None = None,
    pin: str | None = None,
    **options: bool,
) -> DeviceClient:
    return DeviceClient(
        device.address,
        http_port=device.http_port,
        https_port=device.https_port if https else None,
        credentials=Credentials(device.username, password or device.password),
        pin=pin,
        session=session,
        serial=device.serial,
        **options,
    )


@asynccontextmanager
async def server(respond: Respond) -> AsyncIterator[int]:
    """A TCP server on loopback that says what a test wants."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await respond(reader, writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listening:
        yield listening.sockets[0].getsockname()[1]


def saying(data: bytes) -> Respond:
    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(data)
        await writer.drain()

    return respond


@pytest.mark.parametrize("model", MODELS)
async def test_every_generation_over_http(model: str, session: aiohttp.ClientSession) -> None:
    async with running(model) as device:
        talk = client(device, session)
        assert (await talk.system_ready()).ready
        info = await talk.info()
        assert (info.serial, info.model, info.version) == (device.serial, model, device.version)
        assert (await talk.rights()).admin
        assert [user.name for user in await talk.users()] == ["root"]
        assert await talk.update_parameters({"Network.Bonjour.FriendlyName": "Gate 3 = Ö"}) == {
            "Network.Bonjour.FriendlyName": "Gate 3 = Ö"
        }
        assert device.friendly_name == "Gate 3 = Ö"
        assert device.failed_logins == 0


@pytest.mark.parametrize("model", HTTPS_MODELS)
async def test_every_generation_over_https(model: str, session: aiohttp.ClientSession) -> None:
    async with running(model) as device:
        talk = client(device, session, https=True)
        assert (await talk.info()).serial == device.serial
        assert len(await talk.parameters()) > 200
        assert talk.pin is not None
        again = client(device, session, https=True, pin=talk.pin)
        assert (await again.rights()).admin


async def test_api_lists(session: aiohttp.ClientSession) -> None:
    for model, expected in (("M3024-L", 0), ("M1065-LW", 9), ("P3265-V", 17)):
        async with running(model) as device:
            assert len(await client(device, session).apis()) == expected


async def test_a_snapshot_is_a_picture(session: aiohttp.ClientSession) -> None:
    async with running("P3265-V") as device:
        assert (await client(device, session).snapshot("320x240")).startswith(b"\xff\xd8")


async def test_a_speaker_has_no_snapshot(session: aiohttp.ClientSession) -> None:
    async with running("C1310-E") as device:
        with pytest.raises(ApiMissing):
            await client(device, session).snapshot()


async def test_groups_the_device_has_not_are_named(session: aiohttp.ClientSession) -> None:
    async with running("C1310-E") as device:
        found = await client(device, session).read_parameters("Brand.Brand", "Image", "HTTPS.Enabled")
    assert found.values == {"Brand.Brand": "AXIS", "HTTPS.Enabled": "yes"}
    assert found.missing == ("Image",)


async def test_accounts_are_added_changed_and_removed(session: aiohttp.ClientSession) -> None:
    async with running("P3245-LVE") as device:
        talk = client(device, session)
        await talk.add_user("eve", "first", Role.VIEWER, ptz=False)
        await talk.update_user("eve", password="second", role=Role.OPERATOR)
        names = {user.name: user.role for user in await talk.users()}
        assert names == {"root": Role.ADMIN, "eve": Role.OPERATOR}
        await talk.remove_user("eve")
        with pytest.raises(FarsiteError, match="account user name"):
            await talk.remove_user("eve")


async def test_a_viewer_is_told_what_it_may_not(session: aiohttp.ClientSession) -> None:
    async with running("P3245-LVE") as device:
        await client(device, session).add_user("eve", "look", Role.VIEWER)
        eve = DeviceClient(
            device.address,
            http_port=device.http_port,
            credentials=Credentials("eve", "look"),
            session=session,
        )
        assert not (await eve.rights()).operator
        with pytest.raises(FarsiteError, match="administrator") as caught:
            await eve.users()
        assert caught.value.code is ErrorCode.DEVICE_CREDENTIALS


@pytest.mark.parametrize("https", [False, True])
@pytest.mark.parametrize("model", ["P3265-V", "M1065-LW"])
async def test_a_wrong_password_is_sent_once(model: str, https: bool, session: aiohttp.ClientSession) -> None:
    async with running(model) as device:
        talk = client(device, session, https=https, password="wrong")
        with pytest.raises(FarsiteError, match=device.serial) as caught:
            await talk.info()
        assert caught.value.code is ErrorCode.DEVICE_CREDENTIALS
        assert device.failed_logins == 1


async def test_a_password_changed_behind_our_back_is_sent_once(session: aiohttp.ClientSession) -> None:
    async with running("P3245-LVE") as device:
        talk = client(device, session)
        await talk.rights()
        account = device.accounts.get("root")
        assert account is not None
        account.password = "changed"
        with pytest.raises(FarsiteError, match="refused the password"):
            await talk.rights()
        assert device.failed_logins == 1


async def test_a_restart_makes_nonces_stale_and_nobody_notices(session: aiohttp.ClientSession) -> None:
    async with running("P3245-LVE") as device:
        talk = client(device, session)
        before = await talk.system_ready()
        await talk.rights()
        device.restart()
        assert (await talk.rights()).admin
        assert (await talk.system_ready()).boot_id != before.boot_id
        assert device.failed_logins == 0


async def test_requests_side_by_side(session: aiohttp.ClientSession) -> None:
    async with running("P3245-LVE") as device:
        talk = client(device, session)
        answers = await asyncio.gather(
            *(talk.rights() for _ in range(8)), *(talk.parameters("Brand") for _ in range(8))
        )
        assert len(answers) == 16
        assert device.failed_logins == 0


async def test_a_booting_device_is_unreachable_for_now(session: aiohttp.ClientSession) -> None:
    async with running("P3265-V") as device:
        device.restart(60)
        talk = client(device, session)
        assert not (await talk.system_ready()).ready
        with pytest.raises(FarsiteError, match="starting") as caught:
            await talk.info()
        assert caught.value.code is ErrorCode.DEVICE_UNREACHABLE


@pytest.mark.parametrize("model", MODELS)
async def test_a_factory_new_device_gets_its_first_account(
    model: str, session: aiohttp.ClientSession
) -> None:
    async with running(model, factory_default=True) as device:
        talk = client(device, session)
        with pytest.raises(FarsiteError) as caught:
            await talk.info()
        assert caught.value.code is ErrorCode.DEVICE_SETUP_REQUIRED
        await talk.add_first_user("root", device.password)
        assert not device.needs_setup
        assert (await talk.info()).serial == device.serial
        with pytest.raises(FarsiteError):
            await talk.add_first_user("second", "password")


async def test_first_accounts_before_11_5_are_root(session: aiohttp.ClientSession) -> None:
    async with running("M3058-PLVE", factory_default=True) as device:
        with pytest.raises(FarsiteError, match="not a valid initial admin user"):
            await client(device, session).add_first_user("joe", "secret")
    async with running("P3245-LVE", factory_default=True) as device:
        await client(device, session).add_first_user("joe", "secret")
        assert device.accounts.get("joe") is not None


async def test_setup_is_asked_for_by_every_factory_new_device_that_can_say(
    session: aiohttp.ClientSession,
) -> None:
    async with running("P3265-V", factory_default=True) as device:
        assert (await client(device, session).system_ready()).setup_required


async def test_basic_over_plain_http_is_refused_and_can_be_allowed(session: aiohttp.ClientSession) -> None:
    async with running("M1065-LW", parameters={"Network.HTTP.AuthenticationPolicy": "basic"}) as device:
        with pytest.raises(FarsiteError, match="Switch on HTTPS"):
            await client(device, session).rights()
        assert (await client(device, session, allow_basic_http=True).rights()).admin
        assert (await client(device, session, https=True).rights()).admin


async def test_a_changed_certificate_gets_no_password(session: aiohttp.ClientSession) -> None:
    async with running("P3265-V") as device:
        with pytest.raises(FarsiteError, match="accept the new one") as caught:
            await client(device, session, https=True, pin="ab" * 32).rights()
        assert caught.value.code is ErrorCode.DEVICE_CERTIFICATE_CHANGED
        assert device.requests == 0


async def test_the_pin_is_the_certificate_the_device_has(session: aiohttp.ClientSession) -> None:
    async with running("P3265-V") as device:
        talk = client(device, session, https=True)
        assert await talk.read_pin() == talk.pin
        assert await client(device, session, https=True).read_pin() == talk.pin


async def test_another_device_at_the_address_gets_no_password(session: aiohttp.ClientSession) -> None:
    async with running("M1065-LW") as device:
        talk = DeviceClient(
            device.address,
            http_port=device.http_port,
            credentials=Credentials("root", device.password),
            session=session,
            serial="ACCC8E000000",
        )
        with pytest.raises(FarsiteError, match=f"Another device \\({device.serial}\\)"):
            await talk.rights()


async def test_a_closed_port_is_unreachable(session: aiohttp.ClientSession) -> None:
    async with server(saying(b"")) as port:
        pass
    with pytest.raises(FarsiteError, match="cannot be reached") as caught:
        await DeviceClient("127.0.0.1", http_port=port, session=session).system_ready()
    assert caught.value.code is ErrorCode.DEVICE_UNREACHABLE
    with pytest.raises(FarsiteError) as caught:
        await DeviceClient("127.0.0.1", https_port=port, session=session).system_ready()
    assert caught.value.code is ErrorCode.DEVICE_UNREACHABLE


async def test_a_silent_device_is_unreachable(session: aiohttp.ClientSession) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with server(silent) as port:
        with pytest.raises(FarsiteError, match=r"within 0\.2 s") as caught:
            await DeviceClient("127.0.0.1", http_port=port, session=session, timeout=0.2).info()
    assert caught.value.code is ErrorCode.DEVICE_UNREACHABLE


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"\x00\xff\xfe" * 100,
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 999 What\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://192.0.2.66/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n" + b"x" * 400_000,
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhal",
        b'HTTP/1.1 401 No\r\nWWW-Authenticate: Digest realm="\r\nContent-Length: 0\r\n\r\n',
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello",
    ],
)
async def test_answers_that_are_not_ones(data: bytes, session: aiohttp.ClientSession) -> None:
    async with server(saying(data)) as port:
        talk = DeviceClient(
            "127.0.0.1", http_port=port, credentials=Credentials("root", "secret"), session=session, timeout=2
        )
        with pytest.raises(FarsiteError, match=f"127.0.0.1:{port}") as caught:
            await talk.info()
    assert caught.value.code in (ErrorCode.DEVICE_ANSWER, ErrorCode.DEVICE_UNREACHABLE)
    assert "secret" not in caught.value.detail


async def test_redirections_are_not_followed(session: aiohttp.ClientSession) -> None:
    called: list[bytes] = []

    async def victim(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        called.append(await reader.read(1))

    async with server(victim) as target:
        data = f"HTTP/1.1 307 Moved\r\nLocation: http://127.0.0.1:{target}/\r\nContent-Length: 0\r\n\r\n"
        async with server(saying(data.encode())) as port:
            with pytest.raises(FarsiteError, match="not followed"):
                await DeviceClient("127.0.0.1", http_port=port, session=session).system_ready()
    assert called == []


@pytest.mark.parametrize("address", ["", "a b", "user@host", "host/path", "1.2.3.4:80", "-x", "ho\nst"])
async def test_an_address_cannot_change_the_url(address: str, session: aiohttp.ClientSession) -> None:
    with pytest.raises(FarsiteError, match="not an address"):
        DeviceClient(address, session=session)


async def test_ipv6(session: aiohttp.ClientSession) -> None:
    async with Simulator(describe(1), bind="::1") as simulator:
        device = simulator.devices[0]
        assert (await client(device, session, https=True).info()).serial == device.serial
        assert (await client(device, session).info()).serial == device.serial


def test_models_are_found_by_short_names() -> None:
    assert find_model("axis p3265-v").number == "P3265-V"
