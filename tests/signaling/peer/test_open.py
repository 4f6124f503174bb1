"""Dialer and listener back to back: what opens, what is refused, and with which words."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from farsite_signaling.wire.path import Path
from farsite_signaling.wire.stream import ApiTarget

StartSite = Callable[..., Awaitable[Any]]


async def test_a_tunnel_opens_and_streams_flow_both_ways(start_site: StartSite) -> None:
    site = await start_site()
    async with await site.dial() as tunnel:
        reader, writer = await tunnel.open_stream(ApiTarget())
        payload = bytes(range(256)) * 4096
        writer.write(payload)
        writer.write_eof()
        assert await reader.read() == payload
        assert tunnel.status().path is Path.LAN
        assert [opened.status().remote for opened in site.opened] == [site.organization.client.urn]
        writer.close()
    _, error = await site.closed.get()
    assert error is None or error.code == "closed"
    assert site.listener.tunnels == []
