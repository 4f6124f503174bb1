"""Simulated devices as a process of their own, with a switch for the power of each: `python -m tests.edge.device_rack N`.

Takes a JSON object a line: `{"power": SERIAL}` cuts it, `{"set": {NAME: VALUE}}` writes parameters of all devices,
`{"tell": true}` answers with what each device is. The first line it prints says where they are.
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import replace
from typing import Any

from farsite_edge.simulator import SimulatedDevice, Simulator, describe

MODEL = "P3265-V"
IGNORED = "Network.ZeroConf.Enabled"
"""Every third device does not take this parameter."""


def say(value: Any) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def told(device: SimulatedDevice) -> dict[str, Any]:
    firmware = device.firmware
    return {
        "serial": device.serial,
        "address": device.address,
        "port": device.http_port,
        "version": device.version,
        "committed": firmware.committed and firmware.installing is None,
        "installs": firmware.installs,
        "refused": device.failed_logins,
        "stubborn": IGNORED in device.parameters.faults.ignores,
        "parameters": {name: device.parameters.get(name) for name in ("System.AccessLog", IGNORED)},
    }


def obey(devices: dict[str, SimulatedDevice], order: dict[str, Any]) -> None:
    if "power" in order:
        devices[order["power"]].lose_power()
    for device in devices.values():
        for name, value in order.get("set", {}).items():
            device.parameters[name] = value
    if "tell" in order:
        say([told(device) for device in devices.values()])


async def main(count: int) -> None:
    described = [replace(one, boot_seconds=0.3, install_seconds=0.1) for one in describe(count, (MODEL,))]
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with Simulator(described, https=False) as simulator:
        devices = {one.serial: one for one in simulator.devices}
        for number, device in enumerate(simulator.devices):
            if number % 3 == 0:
                device.parameters.faults.ignores = {IGNORED}
        say([told(device) for device in simulator.devices])
        while line := await reader.readline():
            obey(devices, json.loads(line))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
