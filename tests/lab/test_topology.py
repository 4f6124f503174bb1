"""The lab itself: each kind of NAT is what it says, the proxy is the only way out, nothing is left behind."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from farsite_client.lab import CLOUD_ADDRESS, TURN_ADDRESS, Lab, Namespace, Nat, Site, sweep
from farsite_client.lab.namespaces import run
from farsite_signaling.wire.errors import FarsiteError

pytestmark = [pytest.mark.lab, pytest.mark.asyncio(loop_scope="module")]
HERE = Path(__file__).parent


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def relay(lab: Lab) -> AsyncIterator[None]:
    pipe = asyncio.subprocess.PIPE
    command = lab.internet.command(sys.executable, str(HERE / "relay_main.py"), TURN_ADDRESS, CLOUD_ADDRESS)
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
    assert process.stdout is not None
    assert (await asyncio.wait_for(process.stdout.readline(), 50)).strip() == b"ready"
    yield
    await asyncio.wait_for(process.communicate(b""), 30)


async def probe(host: Namespace) -> dict[str, Any]:
    script = str(HERE / "probe_main.py")
    answer: dict[str, Any] = json.loads(
        await host.run(sys.executable, "-I", "-S", script, TURN_ADDRESS, CLOUD_ADDRESS)
    )
    return answer


async def test_a_host_without_nat_has_its_own_address(lab: Lab, relay: None) -> None:
    site = await lab.site(Nat.NONE)
    report = await probe(site.host)
    assert report["mapped"] == [[site.public_address, report["local_port"]]] * 2


async def test_easy_nat_maps_alike_for_every_destination(lab: Lab, relay: None) -> None:
    site = await lab.site(Nat.EASY)
    one, other = (await probe(site.host))["mapped"]
    assert one == other
    assert one[0] == site.public_address


async def test_hard_nat_maps_anew_for_every_destination(lab: Lab, relay: None) -> None:
    site = await lab.site(Nat.HARD)
    report = await probe(site.host)
    one, other = report["mapped"]
    assert one[0] == other[0] == site.public_address
    assert len({one[1], other[1], report["local_port"]}) == 3


async def test_udp_blocked_leaves_tcp(lab: Lab, relay: None) -> None:
    site = await lab.site(Nat.UDP_BLOCKED)
    report = await probe(site.host)
    assert report["mapped"] == [None, None]
    assert report["tcp"] == {"3478": True, "5349": True, "443": True}


async def test_proxy_only_leaves_the_proxy(lab: Lab, relay: None) -> None:
    site = await lab.site(Nat.PROXY_ONLY, password="open: sesame/1")
    report = await probe(site.host)
    assert report["mapped"] == [None, None]
    assert not any(report["tcp"].values())
    assert site.proxy is not None
    assert await _through(site, site.proxy.url(), 443) == "200"
    assert await _through(site, site.proxy.url("wrong"), 443) == "407"
    assert await _through(site, site.proxy.url(), 5349) == "403"


async def _through(site: Site, proxy: str, port: int) -> str:
    """Status of a CONNECT to the relay."""
    script = (
        "import base64, sys, urllib.parse as u, socket\n"
        "p = u.urlsplit(sys.argv[1]); s = socket.create_connection((p.hostname, p.port), 20)\n"
        "a = base64.b64encode(f'{p.username}:{u.unquote(p.password)}'.encode()).decode()\n"
        "t = sys.argv[2]\n"
        "s.sendall(f'CONNECT {t} HTTP/1.1\\r\\nHost: {t}\\r\\nProxy-Authorization: Basic {a}\\r\\n\\r\\n'.encode())\n"
        "print(s.recv(4096).split()[1].decode())\n"
    )
    target = f"{TURN_ADDRESS}:{port}"
    return (await site.host.run(sys.executable, "-I", "-S", "-c", script, proxy, target)).strip()


async def test_hosts_of_one_lan_reach_one_another_and_no_other_site(lab: Lab) -> None:
    site, other = await lab.site(Nat.EASY), await lab.site(Nat.EASY)
    second = await lab.add_host(site)
    await second.run("ping", "-c1", "-W10", site.address)
    with pytest.raises(FarsiteError):
        await second.run("ping", "-c1", "-W1", other.address)


async def test_a_thread_that_entered_makes_its_sockets_inside(lab: Lab, relay: None) -> None:
    site = await lab.site(Nat.NONE)
    with site.host.entered():
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            asyncio.DatagramProtocol, remote_addr=(TURN_ADDRESS, 3478)
        )
    assert transport.get_extra_info("sockname")[0] == site.public_address
    transport.close()
    # Back outside, the lab's internet is nowhere.
    with pytest.raises(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as outside:
        outside.bind((site.public_address, 0))


async def test_the_machine_itself_keeps_its_links_and_routes() -> None:
    before = [await run("ip", "address"), await run("ip", "route"), await run("nft", "list", "ruleset")]
    async with Lab() as built:
        await built.site(Nat.HARD)
        names = await run("ip", "netns", "list")
        assert built.internet.name in names
        assert [await run("ip", "route"), await run("nft", "list", "ruleset")] == before[1:]
    assert [
        await run("ip", "address"),
        await run("ip", "route"),
        await run("nft", "list", "ruleset"),
    ] == before
    assert built.internet.name not in await run("ip", "netns", "list")


async def test_what_runs_inside_ends_with_the_lab() -> None:
    async with Lab() as built:
        command = built.internet.command("sh", "-c", "echo inside; exec sleep 600")
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        assert process.stdout is not None
        assert await process.stdout.readline() == b"inside\n"
    await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == -9


async def test_namespaces_of_a_crashed_owner_are_swept() -> None:
    script = (
        "import asyncio, os\n"
        "from farsite_client.lab import Lab, Nat\n"
        "async def main():\n"
        "    lab = await Lab().__aenter__()\n"
        "    await lab.site(Nat.EASY)\n"
        "    print(lab.internet.name, flush=True)\n"
        "    os._exit(1)\n"
        "asyncio.run(main())\n"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await asyncio.wait_for(process.communicate(), 30)
    name = output.decode().strip()
    assert name in await run("ip", "netns", "list")
    assert name in await sweep()
    assert name not in await run("ip", "netns", "list")
