"""What the cloud knows of an edge host's devices, forgotten."""

from __future__ import annotations

from farsite_cloud.database import Scope
from farsite_cloud.inventory import edge_tasks, images
from farsite_cloud.inventory.counting import Changes
from farsite_cloud.inventory.ingest import drop
from farsite_cloud.inventory.models import EdgeHostTask, InventoryPosition, ManagedDevice, ThingTag
from farsite_cloud.notices.site_losses import forget_losses


async def devices_of(scope: Scope, edge_id: str) -> int:
    return await scope.count(scope.select(ManagedDevice).where(ManagedDevice.edge_host_id == edge_id))


async def forget_devices(scope: Scope, edge_id: str) -> int:
    """How many there were. An edge host that comes back is asked for everything."""
    rows = await scope.all(scope.select(ManagedDevice).where(ManagedDevice.edge_host_id == edge_id))
    changes = Changes()
    await drop(scope, rows, changes)
    await changes.write(scope)
    await scope.change(scope.delete(InventoryPosition).where(InventoryPosition.id == edge_id))
    await forget_losses(scope, edge_id)
    return len(rows)


async def forget_edge_host(scope: Scope, edge_id: str) -> None:
    """With its tasks, images and tags."""
    await forget_devices(scope, edge_id)
    await images.forget(scope, edge_id)
    tasks = scope.select(EdgeHostTask).where(EdgeHostTask.edge_host_id == edge_id)
    await edge_tasks.forget(scope, [task.id for task in await scope.all(tasks)])
    await scope.change(scope.delete(ThingTag).where(ThingTag.edge_host_id == edge_id))
