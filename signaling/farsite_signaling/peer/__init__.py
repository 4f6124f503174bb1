"""One end of a tunnel: signaling client, WebRTC, streams as asyncio transports. The only code that touches aiortc."""
