"""The device's own small web pages and its UPnP description."""

from __future__ import annotations

from html import escape
from string import Template
from xml.sax.saxutils import escape as escape_xml

from aiohttp import web

from farsite_edge.simulator.device import SimulatedDevice, url_host
from farsite_edge.simulator.entry import require

_STYLE = """body{font:16px system-ui,sans-serif;margin:2rem auto;max-width:44rem;padding:0 1rem;color:#222;
background:#fafafa}
img{width:100%;border-radius:8px;background:#ccc}dl{display:grid;grid-template-columns:auto 1fr;gap:.2rem 1rem}
dt{color:#666}dd{margin:0}input,button{font:inherit;padding:.4rem .6rem}"""
_FRONT = Template("""<!doctype html><html lang="en"><head><meta charset="utf-8"><title>$name</title>
<meta name="viewport" content="width=device-width"><style>$style</style></head><body>
<h1 id="name">$name</h1>$video
<dl><dt>Model</dt><dd>$full_name</dd><dt>Serial number</dt><dd>$serial</dd><dt>AXIS OS</dt><dd>$version</dd></dl>
<form id="settings"><label>Name <input name="friendly" maxlength="60" value="$name"></label>
<button>Save</button> <output></output></form>
<script>
const form = document.getElementById("settings"), output = form.querySelector("output");
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const body = new URLSearchParams({action: "update", "root.Network.Bonjour.FriendlyName": form.friendly.value});
  const answer = await (await fetch("/axis-cgi/param.cgi", {method: "POST", body})).text();
  output.textContent = answer.trim() === "OK" ? "Saved" : answer;
  if (answer.trim() === "OK") document.getElementById("name").textContent = form.friendly.value;
});
</script></body></html>
""")
_SETUP = Template("""<!doctype html><html lang="en"><head><meta charset="utf-8"><title>$product</title>
<style>$style</style></head><body><h1>$product</h1><p>This device is factory new. Create its first account.</p>
<form method="post" action="/axis-cgi/pwdgrp.cgi"><input type="hidden" name="action" value="add">
<input type="hidden" name="grp" value="root"><input type="hidden" name="sgrp" value="admin:operator:viewer:ptz">
<p><label>Account <input name="user" value="root"></label>
<p><label>Password <input name="pwd" type="password"></label> <button>Create</button></form></body></html>
""")
_VIDEO = '<img alt="Live picture" src="/axis-cgi/mjpg/video.cgi?resolution=640x360">'
_UPNP = Template("""<?xml version="1.0"?>
<root xmlns="urn:schemas-upnp-org:device-1-0"><specVersion><major>1</major><minor>0</minor></specVersion>
<device><deviceType>urn:schemas-upnp-org:device:Basic:1</deviceType><friendlyName>$name - $serial</friendlyName>
<manufacturer>AXIS</manufacturer><manufacturerURL>http://www.axis.com/</manufacturerURL>
<modelDescription>$full_name</modelDescription><modelName>$product</modelName><modelNumber>$number</modelNumber>
<modelURL>http://www.axis.com/</modelURL><serialNumber>$serial</serialNumber>
<UDN>uuid:Upnp-BasicDevice-1_0-$serial</UDN><serviceList><service>
<serviceType>urn:axis-com:service:BasicService:1</serviceType>
<serviceId>urn:axis-com:serviceId:BasicServiceId</serviceId><controlURL>/upnp/control/BasicServiceId</controlURL>
<eventSubURL>/upnp/event/BasicServiceId</eventSubURL><SCPDURL>/scpd_basic.xml</SCPDURL></service></serviceList>
<presentationURL>http://$host:$port/</presentationURL></device></root>
""")


async def front(device: SimulatedDevice, request: web.Request) -> web.Response:
    if device.needs_setup:
        text = _SETUP.substitute(product=escape(device.model.product), style=_STYLE)
        return web.Response(text=text, content_type="text/html", headers={"AXIS-Setup": "vapix"})
    require(device, request, "viewer")
    return web.Response(text=_front(device), content_type="text/html")


def _front(device: SimulatedDevice) -> str:
    return _FRONT.substitute(
        name=escape(device.friendly_name),
        style=_STYLE,
        video=_VIDEO if device.model.video else "<p>This device has no video.</p>",
        full_name=escape(device.model.full_name),
        serial=device.serial,
        version=escape(device.version),
    )


async def upnp_description(device: SimulatedDevice, request: web.Request) -> web.Response:
    if device.parameters.get("Network.UPnP.Enabled") != "yes":
        raise web.HTTPNotFound
    text = _UPNP.substitute(
        name=escape_xml(device.friendly_name),
        serial=device.serial,
        product=escape_xml(device.model.product),
        full_name=escape_xml(device.model.full_name),
        number=escape_xml(device.model.number),
        host=url_host(device.address),
        port=device.http_port,
    )
    return web.Response(text=text, content_type="text/xml")
