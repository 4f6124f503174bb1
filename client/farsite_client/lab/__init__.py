"""Sites behind routers, on one Linux machine: network namespaces that touch nothing outside themselves.

    async with Lab() as lab:
        office = await lab.site(Nat.HARD)
        process = await asyncio.create_subprocess_exec(*office.host.command("farsite", "edge", "run"))

Used by `farsite demo --nat` and by the NAT grid of the tests. Needs root and Linux; `missing()` says what else.
"""

from __future__ import annotations

from farsite_client.lab.namespaces import Namespace, missing, sweep
from farsite_client.lab.proxy import Proxy
from farsite_client.lab.rules import Nat
from farsite_client.lab.topology import CLOUD_ADDRESS, TURN_ADDRESS, Lab, Site

__all__ = ["CLOUD_ADDRESS", "TURN_ADDRESS", "Lab", "Namespace", "Nat", "Proxy", "Site", "missing", "sweep"]
