"""One end of a link, a process of its own: `python -m tests.bench.wan_end CARRIER dial|accept ARGUMENTS`.

Lines of JSON. In: `{"signal": …}` from the other end, `{"do": "flow"|"send"|"receive"|"trips"|"cpu", …}`. Out:
`{"signal": …}`, `{"did": …, "result": …}`. Ends with its input, whatever is under way.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from tests.bench.edge_process import lines, say
from tests.bench.harness import loop_factory
from tests.bench.rig import cpu_seconds
from tests.bench.wan_carriers import CARRIERS, Carrier
from tests.bench.wan_chromium import ChromiumDial


async def signal(line: str) -> None:
    say(json.dumps({"signal": line}))


async def do(carrier: Carrier, order: dict[str, Any]) -> Any:
    match order["do"]:
        case "flow":
            await carrier.flow()
        case "send":
            await (await carrier.flow()).send(order["bytes"], order["seconds"])
        case "receive":
            return await (await carrier.flow()).arrivals.receive(order["bytes"], order["seconds"])
        case "trips":
            return await carrier.trips(order["bytes"], order["seconds"])
        case "cpu":
            return cpu_seconds()
    return None


async def obey(carrier: Carrier, order: dict[str, Any]) -> None:
    result = await do(carrier, order)
    say(json.dumps({"did": order["do"], "result": result}))


def carrier_of(name: str, role: str) -> type[Carrier]:
    return ChromiumDial if (name, role) == ("chromium", "dial") else CARRIERS[name, role]


async def main(carrier_name: str, role: str, arguments: str) -> None:
    reader = await lines()
    async with (
        carrier_of(carrier_name, role)(json.loads(arguments), signal) as carrier,
        asyncio.TaskGroup() as group,
    ):
        tasks = [group.create_task(carrier.start(), name="start")]
        if role == "accept":
            await tasks[0]
            say(json.dumps({"did": "start", "result": None}))
        while line := await reader.readline():
            order = json.loads(line)
            if "signal" in order:
                await carrier.signalled(order["signal"])
            else:
                tasks.append(group.create_task(obey(carrier, order), name=order["do"]))
        for task in tasks:
            task.cancel()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(main(*sys.argv[1:]))
