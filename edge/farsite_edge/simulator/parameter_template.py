"""The parameters a device of a model has, in the order and shape of real ones; a few hundred of them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from farsite_edge.simulator.hardening_template import hardening
from farsite_edge.simulator.models import DeviceDescription, DeviceModel, Kind
from farsite_edge.simulator.overlay import Defaults, Overlay
from farsite_edge.simulator.parameter_store import MASK

Pairs = Iterator[tuple[str, str]]

_IMAGE = """
Enabled=yes|Source=0|Appearance.ColorEnabled=yes|Appearance.Compression=30|Appearance.MirrorEnabled=no
Appearance.Resolution={resolution}|Appearance.Rotation=0|MPEG.Complexity=50|MPEG.ConfigHeaderInterval=1
MPEG.FrameSkipMode=drop|MPEG.ICount=1|MPEG.PCount=31|MPEG.UserDataEnabled=no|MPEG.UserDataInterval=1
MPEG.ZChromaQPMode=off|MPEG.ZFpsMode=fixed|MPEG.ZGopMode=fixed|MPEG.ZMaxGopLength=300|MPEG.ZMinFps=0
MPEG.ZStrength=10|MPEG.H264.Profile=high|MPEG.H264.PSEnabled=no|Overlay.Enabled=no|Overlay.XPos=0|Overlay.YPos=0
RateControl.MaxBitrate=0|RateControl.Mode=vbr|RateControl.Priority=framerate|RateControl.TargetBitrate=0
SizeControl.MaxFrameSize=0|Stream.Duration=0|Stream.FPS=0|Stream.NbrOfFrames=0|Text.BGColor=black
Text.ClockEnabled=no|Text.Color=white|Text.DateEnabled=no|Text.Position=top|Text.String=|Text.TextEnabled=no
Text.TextSize=medium|TriggerData.AudioEnabled=yes|TriggerData.MotionDetectionEnabled=yes
TriggerData.MotionLevelEnabled=no|TriggerData.TamperingEnabled=yes|TriggerData.UserTriggers=
"""
_SENSOR = """
CaptureFrequency=50Hz|Name=Camera|DayNight.IrCutFilter=auto|DayNight.ShiftLevel=100|Sensor.AspectRatio=16:9
Sensor.Brightness=50|Sensor.ColorLevel=50|Sensor.Contrast=50|Sensor.Exposure=auto|Sensor.ExposurePriority=50
Sensor.ExposureValue=50|Sensor.MaxExposureTime=-1|Sensor.MaxGain=100|Sensor.MinExposureTime=31|Sensor.MinGain=0
Sensor.Sharpness=50|Sensor.WDR=on|Sensor.WhiteBalance=auto
"""
_LAYOUT = """
Axis=yes|DefaultStreamProfile=|DefaultVideoFormat=mjpeg|EnableBasicSetup=yes|H264InstallationEnabled=yes
LiveViewVideo=1|OwnHomePageEnabled=no|OwnHomePagePath=dummy|PlainConfigEnabled=no|SetupLinkEnabled=yes
ShowAMCToolbar=yes|SnapshotEnabled=no|ViewerIE=activex|ViewerOther=spush|Trigger.T0.Enabled=no|Trigger.T1.Enabled=no
"""
_NETWORK = """
BootProto=dhcp|Broadcast=192.168.0.255|DefaultRouter=192.168.0.1|DNSServer1=0.0.0.0|DNSServer2=0.0.0.0
DomainName=|Enabled=yes|HostName=axis-{lower}|IPAddress={address}|Media=auto|SubnetMask=255.255.255.0
Bonjour.Enabled=yes|Bonjour.FriendlyName={name}|DHCP.VendorClass=AXIS,{type},{number},{version}
DNSUpdate.DNSName=|DNSUpdate.Enabled=no|DNSUpdate.TTL=30|eth0.Broadcast=192.168.0.255|eth0.IPAddress={address}
eth0.MACAddress={mac}|eth0.SubnetMask=255.255.255.0|eth0.IPv6.IPAddresses=|HTTP.AuthenticationPolicy={policy}
HTTP.AuthenticationPolicySet=yes|HTTP.AuthenticationWithQop={qop}|Interface.I0.SystemDevice=eth0
Interface.I0.Type=802.3|Interface.I0.Active.MACAddress={mac}|Interface.I0.dot1x.EAPOLVersion=1
Interface.I0.dot1x.Enabled=no|Interface.I0.dot1x.Status=Stopped|Interface.I0.dot1x.EAPTLS.Identity=
Interface.I0.dot1x.EAPTLS.PrivateKeyPassword={mask}|Interface.I0.Link.BootProto=dhcp|Interface.I0.Link.MTU=1500
IPv6.AcceptRA=yes|IPv6.DefaultRouter=|IPv6.DHCPv6=auto|IPv6.Enabled=no|IPv6.IPAddress=|QoS.Class1.Desc=AxisLiveVideo
QoS.Class1.DSCP=0|QoS.Class2.Desc=AxisLiveAudio|QoS.Class2.DSCP=0|QoS.Class3.Desc=AxisEventAlarm|QoS.Class3.DSCP=0
QoS.Class4.Desc=AxisManagement|QoS.Class4.DSCP=0|Resolver.NameServer1=192.168.0.1|Resolver.NameServer2=
Resolver.ObtainFromDHCP=yes|Resolver.Search=localdomain|Routing.DefaultRouter=192.168.0.1|RTP.EndPort=50999
RTP.StartPort=50000|RTP.AudioDSCP=0|RTP.VideoDSCP=0|RTSP.Enabled=yes|RTSP.Port=554|RTSP.ProtViewer=password
RTSP.Timeout=60|SSH.Enabled=no|UPnP.Enabled={upnp}|UPnP.FriendlyName={name} - {serial}
VolatileHostName.HostName=axis-{lower}|VolatileHostName.ObtainFromDHCP=yes|ZeroConf.Enabled=yes
ZeroConf.IPAddress=169.254.220.95|ZeroConf.SubnetMask=255.255.0.0
"""
_NETWORK_OLD = """
Filter.Enabled=no|Filter.Input.AcceptAddresses=|Filter.Input.Policy=allow|FTP.Enabled=yes
UPnP.NATTraversal.Active=no|UPnP.NATTraversal.Enabled=no|UPnP.NATTraversal.ExternalIPAddress=
UPnP.NATTraversal.MaxPort=65535|UPnP.NATTraversal.MinPort=32768|UPnP.NATTraversal.Router=
"""
_SYSTEM = """
AccessLog=Off|AlternateBoaPort=0|BoaDSCP=0|BoaKeepAliveTimeout=180|BoaPort={http_port}|BoaProtViewer=password
EditCgi=no|HTTPAuthRTSPOverHTTP=no|HTTPWatchDog=yes|RootPwdSet=yes|SkipDigestUriValidation=
WebInterfaceDisabled=no|BoaGroupPolicy.admin=both|BoaGroupPolicy.operator=both|BoaGroupPolicy.viewer=both
"""
_REMAINING = """
RemoteService.ClientCert=|RemoteService.Enabled=oneclick|RemoteService.ProxyAuth=basic|RemoteService.ProxyLogin=
RemoteService.ProxyPassword=|RemoteService.ProxyPort=3128|RemoteService.ProxyServer=|SNMP.DSCP=0|SNMP.Enabled=no
SNMP.InitialUserPasswd=*****|SNMP.InitialUserPasswdSet=no|SNMP.V1=no|SNMP.V1ReadCommunity=public
SNMP.V1WriteCommunity=write|SNMP.V2c=no|SNMP.V3=no|SNMP.Trap.Enabled=no|SNMP.Trap.T0.Address=
SNMP.Trap.T0.Community=public|SOCKS.Enabled=no|SOCKS.Password={mask}|SOCKS.Server=socks|SOCKS.ServerPort=1080
SOCKS.UserName=|StreamProfile.MaxGroups=26|StreamProfile.S0.Description=Every part of the picture
StreamProfile.S0.Name=Quality|StreamProfile.S0.Parameters=videocodec=h264&resolution={resolution}
StreamProfile.S1.Description=For thin lines|StreamProfile.S1.Name=Bandwidth
StreamProfile.S1.Parameters=videocodec=h264&resolution=640x360&fps=10|Time.ObtainFromDHCP=yes
Time.POSIXTimeZone=CET-1CEST,M3.5.0,M10.5.0/3|Time.ServerDate=|Time.ServerTime=|Time.SyncSource=NTP
Time.DST.Enabled=yes|Time.NTP.Server=0.0.0.0|Time.NTP.VolatileServer=0.0.0.0
WebService.UsernameToken.ReplayAttackProtection=yes|WebService.DiscoveryMode.Discoverable={discoverable}
"""
_PROPERTIES = """
API.Browser.Language=yes|API.Browser.RootPwdSetValue=yes|API.Browser.UserGroup=yes|API.HTTP.AdminPath=/
API.HTTP.Version=3|API.Metadata.Metadata=yes|API.Metadata.Version=1.0|API.RTSP.RTSPAuth=yes|API.RTSP.Version=2.01
API.WebService.WebService=yes|API.WebService.ONVIF.ONVIF=yes|EmbeddedDevelopment.EmbeddedDevelopment=yes
EmbeddedDevelopment.Version=2.16|Firmware.BuildDate={build_date}|Firmware.BuildNumber=26|Firmware.Version={version}
GuardTour.GuardTour=yes|HTTPS.HTTPS={https}|LocalStorage.LocalStorage={sd_card}|LocalStorage.SDCard={sd_card}
PTZ.DigitalPTZ=yes|PTZ.PTZ={ptz}|RemoteService.RemoteService=yes|RTC.RTC=yes|System.Architecture={architecture}
System.HardwareID={hardware_id}|System.Language=English|System.LanguageType=default|System.SerialNumber={serial}
System.Soc={soc}|VirtualInput.VirtualInput=yes
"""
_PTZ = (
    "AbsolutePan",
    "AbsoluteTilt",
    "AbsoluteZoom",
    "AreaZoom",
    "ContinuousPan",
    "ContinuousTilt",
    "ContinuousZoom",
)


_PERSONAL = ("serial", "lower", "mac", "name", "address", "http_port", "https_port")


def template(device: DeviceDescription, address: str, http_port: int, https_port: int | None) -> Overlay:
    """Every parameter by its full name (`root.…`)."""
    defaults, personal = _of_model(device.model)
    facts = {
        "serial": device.serial,
        "lower": device.serial.lower(),
        "mac": ":".join(device.serial[at : at + 2] for at in range(0, 12, 2)),
        "name": device.name or device.model.product,
        "address": address,
        "http_port": str(http_port),
        "https_port": str(https_port or 443),
    }
    own = {name: value.format_map(facts) for name, value in personal.items()}
    own |= {f"root.{name.removeprefix('root.')}": value for name, value in device.parameters.items()}
    return Overlay(defaults, own)


@lru_cache(maxsize=256)
def _of_model(model: DeviceModel) -> tuple[Defaults, dict[str, str]]:
    """What all devices of a model share, and the patterns of what each has for itself."""
    quirks = model.quirks
    facts = {name: f"{{{name}}}" for name in _PERSONAL} | {
        "number": model.number,
        "type": model.device_type,
        "version": model.version,
        "build_date": model.build_date,
        "hardware_id": model.hardware_id,
        "architecture": model.architecture,
        "soc": model.soc,
        "policy": quirks.authentication_policy,
        "qop": _yes(quirks.qop),
        "upnp": _yes(quirks.upnp),
        "https": _yes(quirks.https),
        "ptz": _yes(model.ptz),
        "sd_card": _yes(model.sd_card),
        "discoverable": "No" if quirks.name == "12" else "Yes",
        "resolution": model.resolutions[0] if model.resolutions else "",
        "mask": MASK,
    }
    values = {f"root.{name}": value.format_map(facts) for name, value in _all(model)}
    return Defaults(values), {name: value for name, value in values.items() if "{" in value}


def _all(model: DeviceModel) -> Pairs:
    yield from _audio(model)
    yield from _brand(model)
    if model.quirks.https:
        yield from _lines("HTTPS.", "Ciphers=ECDHE-RSA-AES256-GCM-SHA384|Enabled=yes|Port={https_port}")
    if model.video:
        yield from _image(model)
    yield from _ports(model)
    yield from _lines("Layout.", _LAYOUT)
    yield from _lines("Network.", _NETWORK)
    if model.generation in ("5.51", "8.45", "9.80"):
        yield from _lines("Network.", _NETWORK_OLD)
    if model.ptz:
        yield from ((f"PTZ.Support.S1.{what}", "true") for what in _PTZ)
        yield from ((f"PTZ.Limit.L1.{what}", "180") for what in ("MaxPan", "MaxTilt", "MinPan", "MinTilt"))
    if model.sd_card:
        yield from _lines(
            "Storage.S0.", "CleanupLevel=90|CleanupMaxAge=7|DiskID=SD_DISK|Enabled=yes|FriendlyName="
        )
    yield from _system(model)
    yield from _lines("", _REMAINING)
    yield from _properties(model)
    yield from _of_kind(model)
    yield from hardening(model)


def _audio(model: DeviceModel) -> Pairs:
    if not model.audio:
        return
    yield from _lines("Audio.", "DSCP=0|DuplexMode=half|MaxListeners=20|NbrOfConfigs=1|ReceiverBuffer=120")
    yield from _lines("Audio.A0.", "Enabled=no|HTTPMessageType=singlepart|Name=|NbrOfChannels=1|Source=0")
    yield from _lines(
        "AudioSource.A0.", "AlarmLevel=88|AudioEncoding=aac|AudioSupport=yes|BitRate=32000|InputGain=10"
    )


def _brand(model: DeviceModel) -> Pairs:
    scheme = "https" if model.generation == "12" else "http"
    yield "Brand.Brand", model.brand
    yield "Brand.ProdFullName", model.full_name
    yield "Brand.ProdNbr", model.number
    yield "Brand.ProdShortName", model.product
    yield "Brand.ProdType", model.device_type
    if model.generation != "5.51":
        yield "Brand.ProdVariant", ""
    yield "Brand.WebURL", f"{scheme}://www.axis.com"


def _image(model: DeviceModel) -> Pairs:
    yield from _lines(
        "Image.", "DateFormat=YYYY-MM-DD|MaxViewers=20|OwnDateFormat=%F|OwnTimeFormat=%T|TimeFormat=24"
    )
    yield "Image.NbrOfConfigs", str(model.views)
    for view in range(model.views):
        yield f"Image.I{view}.Name", f"View Area {view + 1}"
        yield from _lines(f"Image.I{view}.", _IMAGE)
    yield "ImageSource.NbrOfSources", "1"
    yield from _lines("ImageSource.I0.", _SENSOR)


def _ports(model: DeviceModel) -> Pairs:
    yield "Input.NbrOfInputs", str(model.io_ports)
    for port in range(model.io_ports):
        yield from _lines(
            f"IOPort.I{port}.",
            f"Configurable=no|Direction=input|Input.Name=Input {port + 1}|Input.Trig=closed",
        )


def _system(model: DeviceModel) -> Pairs:
    yield from _lines("System.", _SYSTEM)
    if model.quirks.throttling:
        prefix = "System.PreventDoSAttack."
        yield prefix + "ActivatePasswordThrottling", model.quirks.throttling
        yield from _lines(prefix, "DoSBlockingPeriod=10|DoSPageCount=20|DoSPageInterval=1|DoSSiteCount=20")


def _properties(model: DeviceModel) -> Pairs:
    yield from _lines("Properties.", _PROPERTIES)
    if model.quirks.api_list != "absent":
        yield "Properties.ApiDiscovery.ApiDiscovery", "yes"
    if model.video:
        yield "Properties.Image.Format", "jpeg,mjpeg,h264"
        yield "Properties.Image.NbrOfViews", str(model.views)
        yield "Properties.Image.Resolution", ",".join(model.resolutions)
        yield "Properties.Image.Rotation", "0,180"


_KINDS = {
    Kind.CAMERA: (),
    Kind.RADAR: (
        "Properties.Radar.Radar=yes",
        "Radar.Enabled=yes",
        "Radar.Sensitivity=50",
        "Radar.Channel=0",
    ),
    Kind.SPEAKER: (
        "Properties.AudioOutput.AudioOutput=yes",
        "AudioOutput.O0.Gain=0",
        "MediaClip.MaxGroups=100",
    ),
    Kind.SIREN: (
        "Properties.AudioOutput.AudioOutput=yes",
        "Properties.SirenAndLight.SirenAndLight=yes",
        "SirenAndLight.MaxProfiles=64",
    ),
    Kind.AIR_QUALITY: (
        "Properties.AirQualitySensor.AirQualitySensor=yes",
        "AirQualitySensor.TemperatureUnit=C",
    ),
    Kind.PEOPLE_COUNTER: ("Properties.PeopleCounter.PeopleCounter=yes", "PeopleCounter.Enabled=yes"),
}


def _of_kind(model: DeviceModel) -> Pairs:
    """By the pattern of the other groups; not recorded from devices."""
    yield from _lines("", "|".join(_KINDS[model.kind]))


def _lines(prefix: str, text: str) -> Pairs:
    for entry in text.replace("\n", "|").split("|"):
        name, equals, value = entry.partition("=")
        if equals:
            yield prefix + name, value


def _yes(flag: bool) -> str:
    return "yes" if flag else "no"
