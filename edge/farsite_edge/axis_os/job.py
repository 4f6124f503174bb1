"""Carries out what the machine asks, with a real device."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, BinaryIO

from farsite_edge.axis_os import exchange as x
from farsite_edge.axis_os.fitness import SIGNED_ONLY
from farsite_edge.axis_os.folder import ImageFile, ImageFolder
from farsite_edge.axis_os.limits import Limits
from farsite_edge.axis_os.machine import UpgradeMachine
from farsite_edge.axis_os.memory import Memory, Stage
from farsite_edge.axis_os.plan import Plan
from farsite_edge.axis_os.upload import blocks
from farsite_edge.devices import DeviceManager
from farsite_edge.store.failures import storage_errors
from farsite_edge.tasks.driver import Driver
from farsite_edge.tasks.record import Outcome
from farsite_edge.tasks.steady import steady
from farsite_edge.tasks.work import Work
from farsite_edge.vapix import ApiError, UpgradeFirmware
from farsite_edge.vapix.applications import ListApplications
from farsite_edge.vapix.errors import Refused
from farsite_signaling.wire.edge_tasks import WorkState
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.os_versions import parse

UPLOAD_SECONDS = 3600.0
IDLE_SECONDS = 60.0
ANSWER_SECONDS = 600.0
MIB = 1024 * 1024
_OURS = (ErrorCode.STORAGE_FAILED, ErrorCode.DISK_FULL, ErrorCode.NOT_FOUND, ErrorCode.CONFLICT)
Ensure = Callable[
    [list[str], Callable[[], Awaitable[list[ImageFile]]], Work, dict[str, Any]], Awaitable[bool]
]
"""Downloads what is missing; False when the work was cancelled meanwhile."""
logger = logging.getLogger(__name__)


class OsJob:
    """`os.upgrade` and `os.rollback`. `ensure` gets images that are in the catalogue only."""

    def __init__(
        self,
        manager: DeviceManager,
        folder: ImageFolder,
        limits: Limits,
        *,
        ensure: Ensure | None = None,
        clock: Callable[[], float] = steady,
        idle: float = IDLE_SECONDS,
    ) -> None:
        self._manager = manager
        self._folder = folder
        self._limits = limits
        self._ensure = ensure
        self._clock = clock
        self._idle = idle

    def hold(self, device: str) -> None:
        self._manager.hold(device)

    async def release(self, device: str) -> None:
        await self._manager.release(device)

    async def __call__(self, work: Work) -> Outcome:
        if not work.payload:  # of a task tried again
            return Outcome.skipped("It was left out when the task was made. Start a new one for it.")
        plan = Plan.model_validate(work.payload)
        now = self._clock()
        if work.memory is None:
            machine = UpgradeMachine.begin(plan, self._limits, now)
        else:
            memory = Memory.model_validate(work.memory)
            machine = UpgradeMachine.resume(plan, memory, self._limits, now)
            logger.info("device %s: resumed at %s", work.device, machine.stage)
        if not await self._have_images(plan, machine, work):
            return Outcome(
                WorkState.CANCELLED, "Cancelled while the image was downloaded; nothing was installed."
            )
        return await Run(self._manager, self._folder, machine, work, self._clock, self._idle).run()

    async def _have_images(self, plan: Plan, machine: UpgradeMachine, work: Work) -> bool:
        if self._ensure is None or plan.kind != "upgrade":
            return True
        images = [hop.image for hop in plan.hops[machine.memory.hop :]]
        memory = machine.memory.model_dump(mode="json")
        return await self._ensure(images, self._folder.usable, work, memory)


class Run(Driver[x.Action, x.Event]):
    """One device on its way to another version."""

    def __init__(
        self,
        manager: DeviceManager,
        folder: ImageFolder,
        machine: UpgradeMachine,
        work: Work,
        clock: Callable[[], float],
        idle: float,
    ) -> None:
        super().__init__(machine, work, clock)
        self._manager = manager
        self._folder = folder
        self._machine = machine
        self._idle = idle
        self._sent = 0

    async def run(self) -> Outcome:
        await self._manager.updating(self._work.device)
        outcome = await self.drive()
        installed = self._machine.memory.installed
        if installed and outcome.state is not WorkState.CANCELLED:
            await self._manager.updating(self._work.device, version=installed[-1])
        return outcome

    @property
    def _begun(self) -> bool:
        """One that was sent an image counts among those under upgrade until its end."""
        return self._machine.memory.touched

    async def _save(self, action: x.Action) -> None:
        if isinstance(action, x.Upload):
            self._machine.upload_begins()
        memory = self._machine.memory.model_dump(mode="json")
        if memory == self._work.memory:
            return
        await self._work.checkpoint(memory, self._machine.stage.value, self._sentence(action))

    def _sentence(self, action: x.Action) -> str:
        memory = self._machine.memory
        match action:
            case x.Upload(hop=hop):
                return f"Sends {hop.version} ({hop.size / MIB:.0f} MiB), attempt {memory.uploads}."
            case x.Commit():
                return f"Commits {self._machine.hop.version}."
            case x.Rollback():
                return f"Goes back to {memory.back_to or 'the version before'}. {memory.reason}".strip()
            case x.AskStatus():
                return f"It runs {memory.before}." if memory.before else "Asks for the firmware status."
        return _SENTENCES.get(self._machine.stage, "")

    def _cancelled(self) -> Outcome:
        done = self._machine.memory.installed
        detail = f"Cancelled after {done[-1]} was installed." if done else "Cancelled; nothing was installed."
        return Outcome(WorkState.CANCELLED, detail)

    async def _ask(self, action: x.Action) -> x.Event | None:
        """`None`: cancelled in the middle of the upload."""
        if isinstance(action, x.Upload):
            return await self._upload(action)
        try:
            async with asyncio.timeout(self._manager.contact.timeout):
                return await self._simple(action)
        except TimeoutError:
            return x.Unreachable("The device does not answer in time.")
        except ApiError as error:
            if error.code is ErrorCode.DEVICE_CREDENTIALS:
                return await self._login_refused(error)
            return x.Refused(error.api_code, error.detail)
        except FarsiteError as error:
            return await self._event_of(error)

    async def _simple(self, action: x.Action) -> x.Event:
        match action:
            case x.AskReady():
                async with self._client(anonymous=True) as client:
                    seen = await client.system_ready()
                return x.Ready(seen.ready, seen.setup_required, seen.boot_id)
            case x.AskInfo(public=public):
                info = await self._info(public)
                unsigned = () if public else await self._unsigned()
                return x.Info(info.version, info.model, info.soc, unsigned)
            case x.AskStatus():
                async with self._client() as client:
                    status = await client.firmware_status()
                return x.Status(status.active, status.inactive, status.committed)
            case x.Commit():
                async with self._client() as client:
                    await client.commit()
            case x.Rollback():
                async with self._client() as client:
                    await client.rollback()
        return x.Accepted()

    async def _info(self, public: bool) -> Any:
        if public:
            try:
                async with self._client(anonymous=True) as client:
                    return await client.unrestricted_info()
            except FarsiteError as error:
                if error.code is not ErrorCode.DEVICE_ANSWER:
                    raise  # firmware before 8.50 tells it only to who logs in
        async with self._client() as client:
            return await client.info()

    async def _unsigned(self) -> tuple[str, ...]:
        """Asked only where it matters; a device that lists no apps has none."""
        if self._machine.stage is not Stage.INFO or parse(self._machine.plan.target) < SIGNED_ONLY:
            return ()
        async with self._client() as client:
            try:
                apps = await client.send(ListApplications())
            except Refused:
                return ()
        return tuple(app.title or app.name for app in apps if app.signed is False and not app.bundled)

    def _client(self, *, anonymous: bool = False) -> Any:
        wiped = self._machine.plan.factory_default != "none" and self._machine.memory.touched
        # A factory default makes the device a new certificate; without an account nothing secret is sent.
        pinned = not (anonymous and wiped)
        return self._manager.held_client(self._work.device, anonymous=anonymous, pinned=pinned)

    async def _event_of(self, error: FarsiteError) -> x.Event:
        if error.code is ErrorCode.DEVICE_CREDENTIALS:
            return await self._login_refused(error)
        if error.code is ErrorCode.DEVICE_UNREACHABLE:
            return x.Unreachable(error.detail)
        if error.code in _OURS or error.code is ErrorCode.DEVICE_UNKNOWN:
            raise error
        return x.Wrong(error.detail)

    async def _login_refused(self, error: FarsiteError) -> x.Event:
        if not self._machine.memory.touched:
            # Afterwards the device may only be starting: the same credentials work on the version before.
            await self._manager.refused(self._work.device)
        return x.LoginRefused(error.detail)

    # The image

    async def _upload(self, action: x.Upload) -> x.Event | None:
        self._sent = 0
        size = action.hop.size
        try:
            return await self._send(action)
        except FarsiteError as error:
            if error.code in _OURS or error.code is ErrorCode.DEVICE_UNKNOWN:
                raise
            if error.code is ErrorCode.DEVICE_CREDENTIALS:
                return x.LoginRefused(error.detail)
            if isinstance(error, ApiError):
                return x.Refused(error.api_code, error.detail)
            return x.Broken(error.detail, complete=self._sent >= size)
        except TimeoutError:
            said = "It did not answer." if self._sent >= size else "It stopped taking data."
            return x.Broken(f"The upload broke off at {self._sent // MIB} MiB. {said}", self._sent >= size)

    async def _send(self, action: x.Upload) -> x.Event | None:
        file = await self._folder.by_id(action.hop.image)
        with storage_errors(file.path):
            opened = file.path.open("rb")
        # Closed here: who gives up an upload does not end what reads the file.
        with opened:
            return await self._send_file(action, file, opened)

    async def _send_file(self, action: x.Upload, file: ImageFile, opened: BinaryIO) -> x.Event | None:
        async with self._client() as client, asyncio.timeout(self._idle) as deadline:
            request = UpgradeFirmware(
                lambda: blocks(opened, file.path, file.image.bytes, file.image.id),
                file.image.bytes,
                auto_commit=action.auto_commit,
                auto_rollback=action.auto_rollback,
                factory_default=action.factory_default,
                on_sent=lambda sent: self._told(sent, file.image.bytes, deadline),
            )
            return await self._or_cancelled(client.upgrade(request, timeout=UPLOAD_SECONDS))

    def _told(self, sent: int, size: int, deadline: asyncio.Timeout) -> None:
        self._sent = sent
        wait = ANSWER_SECONDS if sent >= size else self._idle
        deadline.reschedule(asyncio.get_running_loop().time() + wait)
        share = sent / size if size else 1.0
        hops = max(1, len(self._machine.plan.hops))
        self._work.progress((self._machine.memory.hop + share * 0.6) / hops)

    async def _or_cancelled(self, upload: Awaitable[Any]) -> x.Event | None:
        """An upload the device has not got completely may be broken off: it installs nothing."""
        async with asyncio.TaskGroup() as group:
            sending = group.create_task(_caught(upload), name="upload")
            cancelling = group.create_task(self._work.cancelling.wait(), name="cancel-upload")
            try:
                await asyncio.wait({sending, cancelling}, return_when=asyncio.FIRST_COMPLETED)
                whole = self._sent >= self._machine.hop.size
                if not sending.done() and not whole and self._machine.memory.uploads == 1:
                    sending.cancel()
                    return None
                await asyncio.wait({sending})
            finally:
                cancelling.cancel()
        if (error := sending.result()) is not None:
            raise error
        return x.Accepted()


async def _caught(work: Awaitable[Any]) -> Exception | None:
    """Its exception as a result: in a group it would end the others."""
    try:
        await work
    except Exception as error:
        return error
    return None


_SENTENCES = {
    Stage.READY: "Asks whether the device is ready.",
    Stage.INFO: "Logs in and reads model and version.",
    Stage.RESTART: "Waits for the device to restart.",
    Stage.LOOK: "Checks version and log-in.",
    Stage.REVERT: "Waits for the version before.",
    Stage.REVERT_LOOK: "Checks whether the version before runs.",
}
