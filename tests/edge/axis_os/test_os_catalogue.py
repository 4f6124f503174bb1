"""Images from a catalogue: fetched through proxies, taken up where they broke off, checked, once for all devices."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from farsite_edge.core import EdgeCore
from farsite_edge.os_catalogue.catalogue import Catalogue
from farsite_edge.os_catalogue.downloads import Downloads
from farsite_edge.os_catalogue.index import Entry, checked_url, read_index
from farsite_edge.os_catalogue.make import make_index
from farsite_edge.os_catalogue.outside import Outside
from farsite_edge.simulator.image import make_image
from farsite_edge.testing import test_settings
from farsite_signaling.wire.edge_api import SettingsChange
from farsite_signaling.wire.edge_tasks import TaskState
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.os_catalogue_api import DownloadRequest
from tests.edge.axis_os.conftest import MODEL, NEW, OLD, Rig, rig_of
from tests.signaling.peer.conftest import squid  # noqa: F401
from tests.signaling.peer.test_signaling_network import SocksServer

SIZE = 300_000
Headers = dict[str, str]


@dataclass
class Vendor:
    """A web server with an index and images. `cut` breaks the next answers off after so many bytes."""

    folder: Path
    images: dict[str, Path] = field(default_factory=dict)
    said: dict[str, Any] = field(default_factory=dict)
    issued: str | None = None
    key: Ed25519PrivateKey | None = None
    cut: list[int] = field(default_factory=list)
    hold: asyncio.Event | None = None
    ranges: bool = True
    tag: str = '"one"'
    asked: list[tuple[str, Headers]] = field(default_factory=list)
    url: str = ""
    ca: Path | None = None

    def add(self, version: str = NEW, said: dict[str, Any] | None = None) -> Entry:
        name = f"{version}.bin"
        file = make_image(self.folder / name, (MODEL,), version, size=SIZE)
        self.images[name] = file
        self.said[name] = said or {}
        [entry] = [one for one in self.index().entries.values() if one.url.endswith(name)]
        return entry

    def index(self) -> Any:
        return read_index(self.document(), self.url or "https://vendor.invalid/catalogue.json")

    def document(self) -> bytes:
        images = [self._image(name, path) | self.said[name] for name, path in self.images.items()]
        whole = {"format": "farsite-os-images/1", "images": images}
        return json.dumps(whole | ({"issued": self.issued} if self.issued else {})).encode()

    def _image(self, name: str, path: Path) -> dict[str, Any]:
        data = path.read_bytes()
        return {
            "file": f"images/{name}",
            "version": name.removesuffix(".bin"),
            "models": [MODEL],
            "bytes": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
        }

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/catalogue.json", self._index)
        app.router.add_get("/catalogue.json.sig", self._signature)
        app.router.add_get("/images/{name}", self._serve)
        return app

    async def _index(self, request: web.Request) -> web.Response:
        self.asked.append((request.path, dict(request.headers)))
        document = self.document()
        tag = f'"{hashlib.sha256(document).hexdigest()[:16]}"'
        if request.headers.get("If-None-Match") == tag:
            return web.Response(status=304, headers={"ETag": tag})
        return web.Response(body=document, headers={"ETag": tag})

    async def _signature(self, request: web.Request) -> web.Response:
        if self.key is None:
            raise web.HTTPNotFound
        return web.Response(body=base64.b64encode(self.key.sign(self.document())))

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((request.path, dict(request.headers)))
        if request.match_info["name"] not in self.images:
            raise web.HTTPNotFound
        data = self.images[request.match_info["name"]].read_bytes()
        wanted = request.headers.get("Range")
        valid = request.headers.get("If-Range", self.tag) == self.tag
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and valid and self.ranges else 0
        headers = {"ETag": self.tag, "Content-Length": str(len(data) - start)}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        answer = web.StreamResponse(status=206 if start else 200, headers=headers)
        await answer.prepare(request)
        end = start + self.cut.pop(0) if self.cut else len(data)
        await answer.write(data[start:end])
        if end < len(data):
            if self.hold is not None:
                await self.hold.wait()
            assert request.transport is not None
            request.transport.close()
        return answer

    def downloads_of(self, name: str = NEW) -> list[Headers]:
        return [headers for path, headers in self.asked if path == f"/images/{name}.bin"]


@pytest.fixture
async def vendor(tmp_path: Path) -> AsyncIterator[Vendor]:
    folder = tmp_path / "vendor"
    folder.mkdir()
    made = Vendor(folder)
    async with TestServer(made.app()) as server:
        made.url = f"http://127.0.0.1:{server.port}/catalogue.json"
        yield made


@pytest.fixture
async def core(tmp_path: Path, vendor: Vendor) -> AsyncIterator[EdgeCore]:
    async with EdgeCore(test_settings(tmp_path / "edge", os_catalogue=vendor.url)) as made:
        yield made


def catalogue_of(core: EdgeCore, **changes: Any) -> Catalogue:
    settings = core.settings.model_copy(update=changes)
    return Catalogue(settings, core.facts, Outside(settings, core.preferences))


def downloads_of(core: EdgeCore, limit: int = 2**30, needed: tuple[str, ...] = ()) -> Downloads:
    outside = Outside(core.settings, core.preferences)
    return Downloads(core.settings.data_dir / "os-downloads", outside, limit, lambda: needed, pause=0.01)


def files(downloads: Downloads) -> list[str]:
    return sorted(path.name for path in downloads.folder.iterdir())


# The index


async def test_it_is_fetched_kept_and_there_without_a_network(core: EdgeCore, vendor: Vendor) -> None:
    entry = vendor.add()
    catalogue = catalogue_of(core)
    await catalogue.refresh()
    assert list(catalogue.entries()) == [entry] and catalogue.problem is None
    await catalogue.refresh()
    assert vendor.asked[-1][1]["If-None-Match"]
    later = catalogue_of(core)
    await later.load()
    assert list(later.entries()) == [entry] and later.fetched_at is not None
    vendor.images[NEW + ".bin"].unlink()
    gone = catalogue_of(core, os_catalogue=vendor.url.replace("catalogue", "nothing"))
    await gone.load()
    assert list(gone.entries()) == []
    with pytest.raises(FarsiteError, match="404"):
        await gone.refresh()


async def test_without_a_network_it_says_so_and_keeps_what_it_knew(
    core: EdgeCore, vendor: Vendor, unused_tcp_port: int
) -> None:
    vendor.add()
    catalogue = catalogue_of(core)
    await catalogue.refresh()
    catalogue.url = f"http://127.0.0.1:{unused_tcp_port}/catalogue.json"
    with pytest.raises(FarsiteError) as caught:
        await catalogue.refresh()
    assert caught.value.code is ErrorCode.UNAVAILABLE
    assert catalogue.problem and "127.0.0.1" in catalogue.problem
    assert len(list(catalogue.entries())) == 1


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (b"<html>no", "not understood"),
        (b"[]", "not understood"),
        (b'{"format": "other/1", "images": []}', "farsite-os-images/1"),
        (b'{"format": "farsite-os-images/1"}', "images"),
    ],
)
def test_what_is_no_index(document: bytes, reason: str) -> None:
    with pytest.raises(FarsiteError, match=reason):
        read_index(document, "https://vendor.invalid/c.json")


def test_bad_entries_are_left_out_with_the_reason() -> None:
    good = {"file": "a.bin", "version": "12.1", "models": ["P1"], "bytes": 5, "sha256": "a" * 64}
    wrong = [
        good | {"sha256": "short"},
        good | {"version": "../../x"},
        good | {"models": []},
        good | {"bytes": -1},
        good | {"file": "http://elsewhere.invalid/a.bin"},
        good | {"file": "https://name:word@elsewhere.invalid/a.bin"},
        good | {"file": "file:///etc/passwd"},
        "nonsense",
        None,
    ]
    document = json.dumps({"format": "farsite-os-images/1", "images": [*wrong, good]}).encode()
    index = read_index(document, "https://vendor.invalid/sub/c.json")
    assert [entry.url for entry in index.entries.values()] == ["https://vendor.invalid/sub/a.bin"]
    assert len(index.skipped) == len(wrong) and index.skipped[0].startswith("image 1: sha256")


@pytest.mark.parametrize(
    "url", ["ftp://x/c", "http://site.example/c", "https://u:p@x/c", "https://x/c#a", "x", "https://["]
)
def test_addresses_that_are_not_used(url: str) -> None:
    with pytest.raises(FarsiteError) as caught:
        checked_url(url, signed=False)
    assert caught.value.code is ErrorCode.SETTING_INVALID and "p@" not in caught.value.detail
    assert checked_url("http://site.example/c", signed=True)


async def test_a_signed_index(core: EdgeCore, vendor: Vendor) -> None:
    vendor.add()
    vendor.key = Ed25519PrivateKey.generate()
    public = base64.b64encode(vendor.key.public_key().public_bytes_raw()).decode()
    vendor.issued = "2026-05-02T00:00:00Z"
    catalogue = catalogue_of(core, os_catalogue_key=public)
    await catalogue.refresh()
    assert catalogue.signed and catalogue.index.issued == datetime(2026, 5, 2, tzinfo=UTC)
    vendor.issued = "2026-05-01T00:00:00Z"
    with pytest.raises(FarsiteError, match="older"):
        await catalogue.refresh()
    vendor.issued, vendor.key = "2026-05-03T00:00:00Z", Ed25519PrivateKey.generate()
    with pytest.raises(FarsiteError) as caught:
        await catalogue.refresh()
    assert caught.value.code is ErrorCode.SIGNATURE_INVALID
    assert catalogue.index.issued == datetime(2026, 5, 2, tzinfo=UTC)
    other = catalogue_of(core)  # what was signed for one key is not taken for another
    await other.load()
    assert list(other.entries()) == []


async def test_an_index_is_made_of_a_folder(core: EdgeCore, vendor: Vendor, tmp_path: Path) -> None:
    """What the command writes is what an edge host reads."""
    folder, key = tmp_path / "served", Ed25519PrivateKey.generate()
    (folder / "12").mkdir(parents=True)
    make_image(folder / "12" / "P3265-V 12.bin", [MODEL], NEW, size=SIZE)
    (folder / "broken.bin").write_bytes(b"no image")
    private = tmp_path / "key.pem"
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    made = make_index(folder, private)
    assert made["images"] == 1 and "broken.bin" in made["left_out"][0]
    app = web.Application()
    app.router.add_static("/", folder)
    async with TestServer(app) as server:
        url = f"http://127.0.0.1:{server.port}/catalogue.json"
        catalogue = catalogue_of(core, os_catalogue=url, os_catalogue_key=made["os_catalogue_key"])
        await catalogue.refresh()
        [entry] = catalogue.entries()
        downloads = downloads_of(core)
        await downloads.fetch(entry)
    assert downloads.stored(entry) and entry.version == NEW
    private.write_bytes(b"nothing")
    with pytest.raises(FarsiteError, match="private key"):
        make_index(folder, private)


# Downloads


async def test_one_download_for_many(core: EdgeCore, vendor: Vendor) -> None:
    entry = vendor.add()
    downloads = downloads_of(core)
    async with asyncio.TaskGroup() as group:
        for number in range(8):
            group.create_task(downloads.fetch(entry), name=f"fetch-{number}")
    assert len(vendor.downloads_of()) == 1
    [name] = files(downloads)
    data = (downloads.folder / name).read_bytes()
    assert hashlib.sha256(data).hexdigest() == entry.id and name.startswith("P3265-V_12_10_1_")


async def test_it_goes_on_where_it_broke_off(core: EdgeCore, vendor: Vendor) -> None:
    entry = vendor.add()
    vendor.cut = [100_000, 50_000]
    await downloads_of(core).fetch(entry)
    first, second, third = vendor.downloads_of()
    assert "Range" not in first
    assert (second["Range"], second["If-Range"]) == ("bytes=100000-", '"one"')
    assert third["Range"] == "bytes=150000-"


async def test_it_goes_on_after_a_crash(core: EdgeCore, vendor: Vendor) -> None:
    entry = vendor.add()
    downloads = downloads_of(core)
    part = downloads.folder / f"{entry.id}.part"
    # As kill -9 leaves it: a part of the file, and what is known of it.
    downloads.folder.mkdir(parents=True)
    part.write_bytes(vendor.images[f"{NEW}.bin"].read_bytes()[:120_000])
    part.with_suffix(".about").write_text(json.dumps({"validator": '"one"'}))
    await downloads_of(core).fetch(entry)
    assert [headers.get("Range") for headers in vendor.downloads_of()] == ["bytes=120000-"]
    assert len(files(downloads)) == 1


@pytest.mark.parametrize("change", ["tag", "ranges", "longer"])
async def test_what_is_there_is_of_no_use(core: EdgeCore, vendor: Vendor, change: str) -> None:
    """Another file by now, a server that knows no ranges, more than there should be: from the beginning."""
    entry = vendor.add()
    downloads = downloads_of(core)
    downloads.folder.mkdir(parents=True)
    part = downloads.folder / f"{entry.id}.part"
    part.write_bytes(bytes(entry.bytes + 1 if change == "longer" else 5000))
    part.with_suffix(".about").write_text(json.dumps({"validator": '"one"'}))
    vendor.tag, vendor.ranges = ('"two"' if change == "tag" else '"one"'), change != "ranges"
    await downloads.fetch(entry)
    assert downloads.stored(entry)


async def test_a_server_that_brings_nothing_is_given_up(core: EdgeCore, vendor: Vendor) -> None:
    entry = vendor.add()
    vendor.cut = [100_000] + [0] * 20
    downloads = downloads_of(core)
    with pytest.raises(FarsiteError) as caught:
        await downloads.fetch(entry)
    assert caught.value.code is ErrorCode.UNAVAILABLE and "broke off" in caught.value.detail
    assert (downloads.folder / f"{entry.id}.part").stat().st_size == 100_000
    vendor.cut = []
    await downloads.fetch(entry)
    assert vendor.downloads_of()[-1]["Range"] == "bytes=100000-"


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"sha256": "0" * 64}, "checksum"),
        ({"bytes": SIZE // 2}, "more than"),
        ({"version": "12.10.2"}, "12.10.1"),
        ({"models": [MODEL, "Q6135-LE"]}, "not for Q6135-LE"),
    ],
    ids=["checksum", "length", "version", "model"],
)
async def test_what_is_not_what_was_promised_is_thrown_away(
    core: EdgeCore, vendor: Vendor, said: dict[str, Any], reason: str
) -> None:
    entry = vendor.add(NEW, said)
    downloads = downloads_of(core)
    with pytest.raises(FarsiteError, match=reason) as caught:
        await downloads.fetch(entry)
    assert caught.value.code is ErrorCode.CONFLICT
    assert files(downloads) in ([], [f"{entry.id}.about", f"{entry.id}.part"])
    assert not downloads.stored(entry)


async def test_the_oldest_give_way(core: EdgeCore, vendor: Vendor) -> None:
    entries = [vendor.add(f"12.10.{number}") for number in range(1, 5)]
    size = max(entry.bytes for entry in entries)
    downloads = downloads_of(core, limit=size * 2 + 1000, needed=(entries[0].id,))
    for entry in entries[:3]:
        await downloads.fetch(entry)
    assert [downloads.stored(entry) for entry in entries] == [True, False, True, False]
    assert downloads.used() <= downloads.limit
    kept = downloads_of(core, limit=size * 2 + 1000, needed=(entries[0].id, entries[2].id))
    with pytest.raises(FarsiteError) as caught:
        await kept.fetch(entries[3])
    assert caught.value.code is ErrorCode.DISK_FULL
    with pytest.raises(FarsiteError) as caught:
        await downloads_of(core, limit=1000).fetch(entries[3])
    assert caught.value.code is ErrorCode.TOO_LARGE


async def test_an_answer_that_is_final_is_not_asked_for_again(core: EdgeCore, vendor: Vendor) -> None:
    entry = vendor.add()
    missing = Entry(
        entry.id, vendor.url.replace("catalogue", "away"), entry.version, entry.models, entry.bytes
    )
    with pytest.raises(FarsiteError, match="404"):
        await downloads_of(core).fetch(missing)
    assert vendor.downloads_of() == []


# Through proxies


@pytest.fixture
async def tls_vendor(tmp_path: Path) -> AsyncIterator[Vendor]:
    authority, folder = trustme.CA(), tmp_path / "tls-vendor"
    folder.mkdir()
    made = Vendor(folder, ca=folder / "ca.pem")
    authority.cert_pem.write_to_path(str(made.ca))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    server = TestServer(made.app(), scheme="https")
    await server.start_server(ssl=context)
    made.url = f"https://localhost:{server.port}/catalogue.json"
    yield made
    await server.close()


async def through(proxy: str, vendor: Vendor, folder: Path) -> Downloads:
    settings = test_settings(folder / "edge", os_catalogue=vendor.url, cloud_ca=vendor.ca)
    async with EdgeCore(settings) as core:
        await core.preferences.change(SettingsChange.model_validate({"proxy_address": proxy}))
        catalogue = catalogue_of(core)
        await catalogue.refresh()
        [entry] = catalogue.entries()
        downloads = downloads_of(core)
        await downloads.fetch(entry)
        assert downloads.stored(entry)
        return downloads


async def test_through_squid(squid: int, tls_vendor: Vendor, tmp_path: Path) -> None:  # noqa: F811
    tls_vendor.add()
    await through(f"http://edge:pass%20word@127.0.0.1:{squid}", tls_vendor, tmp_path)


async def test_squid_and_a_wrong_password(squid: int, tls_vendor: Vendor, tmp_path: Path) -> None:  # noqa: F811
    tls_vendor.add()
    with pytest.raises(FarsiteError) as caught:
        await through(f"http://edge:canary-wrong@127.0.0.1:{squid}", tls_vendor, tmp_path)
    assert caught.value.code is ErrorCode.PROXY_AUTHENTICATION and "canary" not in caught.value.detail


async def test_through_socks(tls_vendor: Vendor, tmp_path: Path) -> None:
    tls_vendor.add()
    async with SocksServer() as socks:
        await through(f"socks5://127.0.0.1:{socks.port}", tls_vendor, tmp_path)


async def test_a_certificate_nobody_trusts(tls_vendor: Vendor, tmp_path: Path) -> None:
    tls_vendor.add()
    async with EdgeCore(test_settings(tmp_path / "edge", os_catalogue=tls_vendor.url)) as core:
        with pytest.raises(FarsiteError) as caught:
            await catalogue_of(core).refresh()
    assert caught.value.code is ErrorCode.CERTIFICATE_INVALID


# All of it


async def test_devices_are_upgraded_from_the_catalogue(vendor: Vendor, tmp_path: Path) -> None:
    entry = vendor.add()
    async with rig_of(tmp_path, count=3, os_catalogue=vendor.url) as rig:
        host = rig.edge.host
        await host.images.catalogue.refresh()
        [row] = (await host.os.inventory(lambda _device: True)).rows
        assert (row.recommended, [one.stored for one in row.available]) == (NEW, [False])
        assert await told(rig) == {f"catalogue/P3265-V_12_10_1_{entry.id[:8]}.bin"}
        task, _ = await rig.run()
        assert task.state is TaskState.SUCCEEDED
        assert {one.version for one in host.registry.all()} == {NEW}
        assert len(vendor.downloads_of()) == 1
        steps = [step.step for device in await host.tasks.devices(task.id) for step in device.steps]
        assert "image" in steps
        shown = host.images.service.shown()
        assert [one.stored for one in shown.images] == [True] and shown.stored_bytes == entry.bytes
        [name] = files(host.images.service.downloads)
        assert [one.file for one in await host.images.folder.images()] == [f"downloads/{name}"]
        assert await told(rig) == {f"downloads/{name}"}


async def told(rig: Rig) -> set[str]:
    """Images the cloud is told of."""
    host = rig.edge.host
    await host.images.folder.images()
    delta = await host.journal.next(always=True)
    assert delta is not None
    return {one.file for one in delta.images}


async def test_without_a_network_the_reason_and_the_folder_are_told(vendor: Vendor, tmp_path: Path) -> None:
    vendor.add()
    async with rig_of(tmp_path, os_catalogue=vendor.url) as rig:
        host = rig.edge.host
        await host.images.catalogue.refresh()
        vendor.images.clear()
        task, row = await rig.run()
        assert task.state is TaskState.FAILED and str(rig.folder / "images") in row.detail
        assert host.registry.all()[0].version == OLD


async def test_without_a_catalogue_the_folder_is_told(tmp_path: Path) -> None:
    async with rig_of(tmp_path) as rig:
        service = rig.edge.host.images.service
        request = DownloadRequest(model=MODEL)
        with pytest.raises(FarsiteError, match="folder"):
            await service.download(request, actor="test", session=None, idempotency=None)
        with pytest.raises(FarsiteError, match="os_catalogue"):
            await service.refresh()
        assert service.shown().url == ""


async def test_downloads_as_tasks(vendor: Vendor, tmp_path: Path) -> None:
    vendor.add("12.10.1")
    vendor.add("12.10.2")
    async with rig_of(tmp_path, os_catalogue=vendor.url) as rig:
        service = rig.edge.host.images.service
        request = DownloadRequest(model="AXIS P3265-V")
        shown = await service.refresh()
        assert [(one.version, one.wanted, one.stored) for one in shown.images] == [
            ("12.10.2", True, False),
            ("12.10.1", True, False),
        ]
        made = await service.download(request, actor="test", session=None, idempotency=None)
        task = await rig.finished(made.id)
        assert task.state is TaskState.SUCCEEDED
        assert [one.stored for one in service.shown().images] == [True, False]
        with pytest.raises(FarsiteError, match=r"12\.10\.2, 12\.10\.1"):
            wrong = DownloadRequest(model="P3265-V", version="12.99")
            await service.download(wrong, actor="test", session=None, idempotency=None)


async def test_a_download_is_cancelled_and_taken_up(vendor: Vendor, tmp_path: Path) -> None:
    entry = vendor.add()
    vendor.cut, vendor.hold = [entry.bytes - 1000], asyncio.Event()
    async with rig_of(tmp_path, os_catalogue=vendor.url) as rig:
        host = rig.edge.host
        await host.images.catalogue.refresh()
        made = await host.images.service.download(
            DownloadRequest(images=[entry.id]), actor="test", session=None, idempotency=None
        )
        while not vendor.downloads_of():
            await host.tasks.changed(1)
        await host.tasks.cancel(made.id)
        assert (await rig.finished(made.id)).state is TaskState.CANCELLED
        vendor.hold.set()
        again = await host.tasks.retry(made.id, [], "test", None, None)
        assert (await rig.finished(again.id)).state is TaskState.SUCCEEDED
