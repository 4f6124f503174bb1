"""`firmwaremanagement.cgi`."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from aiohttp import BodyPartReader, web

from farsite_edge.axis_os.container import BadImage
from farsite_edge.axis_os.image import ImageInfo, read_image
from farsite_edge.simulator.device import SimulatedDevice
from farsite_edge.simulator.faults import hang_up
from farsite_edge.simulator.firmware import Options, Refusal
from farsite_edge.simulator.image import is_signed

BLOCK = 256 * 1024


async def firmware(device: SimulatedDevice, request: web.Request) -> web.StreamResponse:
    if request.content_type.startswith("multipart/"):
        return await _upgrade(device, request)
    try:
        body = json.loads(await request.read())
    except ValueError:
        return _error(None, Refusal(400, "Invalid JSON."))
    method = str(body.get("method")) if isinstance(body, dict) else ""
    try:
        return _answer(method, _perform(device, method, body))
    except Refusal as refusal:
        return _error(method, refusal)


def _perform(device: SimulatedDevice, method: str, body: dict[str, Any]) -> dict[str, Any]:
    running = device.firmware
    acts: dict[str, Callable[[], object]] = {
        "commit": running.commit,
        "rollback": device.roll_back,
        "purge": running.purge,
        "stopAuto": running.stop_timer,
        "reboot": device.reboot,
    }
    if method == "getSupportedVersions":
        return {"apiVersions": ["1.4"]}
    if method == "status":
        return running.status(device.now())
    if method == "factoryDefault":
        params = body.get("params")
        mode = params.get("factoryDefaultMode", "soft") if isinstance(params, dict) else "soft"
        if mode not in ("soft", "hard"):
            raise Refusal(400, "Unknown factory default mode.")
        device.reset(factory_default=True)
        device.reboot()
    elif method in acts:
        acts[method]()
    else:
        raise Refusal(405, "Method not supported.")
    return {}


async def _upgrade(device: SimulatedDevice, request: web.Request) -> web.StreamResponse:
    boot = device.boot_id
    with tempfile.TemporaryDirectory(prefix="farsite-simulator-") as folder:
        path = Path(folder) / "image.bin"
        try:
            options = await _receive(device, request, path)
            if options is None:
                return await hang_up(request)
            info = await _checked(device, path)
            device.install(info.release, options)
        except Refusal as refusal:
            return _error("upgrade", refusal)
    await asyncio.sleep(device.description.install_seconds)
    if device.boot_id != boot or device.upgrade_faults.answer_lost:
        return await hang_up(request)
    return _answer("upgrade", {"firmwareVersion": info.release})


async def _receive(device: SimulatedDevice, request: web.Request, path: Path) -> Options | None:
    """`None`: the power went off meanwhile, or the caller did."""
    boot = device.boot_id
    try:
        reader = await request.multipart()
        call, image = await reader.next(), None
        if not isinstance(call, BodyPartReader):
            raise Refusal(400, "The first part is not JSON.")
        options = _options(await call.read())
        image = await reader.next()
        if not isinstance(image, BodyPartReader):
            raise Refusal(400, "There is no image.")
        with path.open("wb") as file:
            whole = await _save(device, image, file, boot)
        await reader.next()
    except (ValueError, ConnectionError, EOFError, web.RequestPayloadError):
        return None
    return options if whole else None


async def _save(device: SimulatedDevice, image: BodyPartReader, file: BinaryIO, boot: str) -> bool:
    while block := await image.read_chunk(BLOCK):
        if device.boot_id != boot:
            return False
        device.received += len(block)
        device.uploading.set()
        file.write(block)
        if device.upload_gate is not None:
            await device.upload_gate.wait()
    return device.boot_id == boot


def _options(call: bytes | bytearray) -> Options:
    try:
        body = json.loads(bytes(call))
    except ValueError:
        raise Refusal(400, "Invalid JSON.") from None
    if not isinstance(body, dict) or body.get("method") != "upgrade":
        raise Refusal(405, "Method not supported.")
    params = body.get("params") or {}
    return Options(
        str(params.get("autoCommit", "default")),
        str(params.get("autoRollback", "default")),
        str(params.get("factoryDefaultMode", "none")),
    )


async def _checked(device: SimulatedDevice, path: Path) -> ImageInfo:
    if device.upgrade_faults.refuse is not None:
        raise Refusal(device.upgrade_faults.refuse, "Refused.")
    try:
        _, info = await asyncio.to_thread(read_image, path)
    except BadImage as error:
        garbage = path.read_bytes()[:2] != b"\x1f\x8b"
        raise Refusal(421 if garbage else 415, str(error)) from None
    if device.model.number not in info.models:
        raise Refusal(421, "The firmware does not match this product.")
    if not await asyncio.to_thread(is_signed, path):
        raise Refusal(422, "The signature is missing.")
    return info


def _answer(method: str, data: dict[str, Any]) -> web.Response:
    return web.json_response({"apiVersion": "1.4", "method": method, "data": data})


def _error(method: str | None, refusal: Refusal) -> web.Response:
    error = {"code": refusal.code, "message": refusal.message}
    return web.json_response({"apiVersion": "1.4", "method": method, "error": error})
