"""Rows out of a CSV file, a list or a rule; free of I/O."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator
from ipaddress import IPv4Interface, IPv6Address, IPv6Interface, ip_interface

from pydantic import ValidationError

from farsite_signaling.wire.assign_api import (
    LABEL,
    MAX_ROWS,
    AssignPlanRow,
    AssignRequest,
    AssignRow,
    AssignRule,
)
from farsite_signaling.wire.device_api import NetworkTask
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.ipv6 import AUTO, OFF, device_address, device_router
from farsite_signaling.wire.refusals import plain

DHCP = "dhcp"
_COLUMNS = {
    "device": ("device", "serial", "serialnumber", "mac", "id"),
    "host_name": ("hostname", "host", "name"),
    "address": ("address", "ip", "ipaddress"),
    "prefix": ("prefix", "prefixlength", "mask", "netmask", "subnetmask"),
    "router": ("router", "gateway", "defaultrouter"),
    "ipv6": ("ipv6", "ipv6address", "ip6", "address6"),
    "prefix6": ("prefix6", "ipv6prefix", "ipv6prefixlength"),
    "ipv6_router": ("ipv6router", "ipv6gateway", "router6", "gateway6"),
    "dns": ("dns", "nameserver", "nameservers"),
    "mode": ("mode", "dhcp"),
}
_FIELD = re.compile(r"\{(serial|model|n)(?::0?([1-9]))?\}")


def planned(
    request: AssignRequest, model_of: Callable[[str], str], taken: Callable[[str], bool]
) -> list[AssignPlanRow]:
    """Each with its own problem, if it has one. `taken` tells addresses a rule leaves out. Raises `invalid_request`."""
    given = sum(map(bool, (request.rows, request.csv, request.rule)))
    if given != 1:
        raise _invalid("Give one of rows, csv and rule.")
    if request.rule is not None:
        return list(_by_rule(request.rule, model_of, taken))
    if request.csv is not None:
        return list(_by_csv(request.csv))
    return [checked(number, row) for number, row in enumerate(request.rows, 1)]


def checked(line: int, row: AssignRow) -> AssignPlanRow:
    shown = AssignPlanRow(line=line, device=_serial(row.device), host_name=row.host_name or "", dns=row.dns)
    try:
        return shown.model_copy(update=_good(row))
    except ValidationError as error:
        message = error.errors(include_input=False, include_url=False)[0]["msg"]
        return shown.model_copy(update={"problem": plain(message)})
    except ValueError as error:
        return shown.model_copy(update={"problem": str(error)})


def _good(row: AssignRow) -> dict[str, object]:
    """What of a row is to be done, in its normal form. Raises `ValueError`."""
    dns = [str(ip_interface(one).ip) for one in row.dns]
    good = _ipv4(row) | _ipv6(row)
    if not (good or row.host_name or dns):
        raise ValueError("nothing is asked for this device")
    if good.get("ipv6") == OFF and any(":" in one for one in dns):
        raise ValueError("a name server with an IPv6 address is of no use with IPv6 switched off")
    if row.host_name and not re.fullmatch(LABEL, row.host_name):
        raise ValueError("a host name has letters, digits and hyphens, at most 63, and no hyphen at its ends")
    return {"dns": dns} | good


def _ipv4(row: AssignRow) -> dict[str, object]:
    if row.address and ":" in row.address:
        raise ValueError(f"{row.address} is an IPv6 address: it belongs to ipv6")
    mode = row.mode or ("static" if row.address else None)
    if mode is None:
        if row.router:
            raise ValueError("a router needs an address")
        return {}
    task = NetworkTask(mode=mode, address=row.address or None, router=row.router or None)
    return {"address": task.address or DHCP, "router": task.router or ""}


def _ipv6(row: AssignRow) -> dict[str, object]:
    word = (row.ipv6 or "").lower()
    if word in ("", AUTO, OFF):
        if row.ipv6_router:
            raise ValueError("an IPv6 router needs an IPv6 address")
        return {"ipv6": word} if word else {}
    address = device_address(row.ipv6 or "")
    router = device_router(row.ipv6_router, address) if row.ipv6_router else ""
    return {"ipv6": address, "ipv6_router": router}


def _serial(text: str) -> str:
    return text.strip().upper().replace(":", "").replace("-", "")[:64]


def _by_csv(text: str) -> Iterator[AssignPlanRow]:
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    head = next((line for line in lines.split("\n") if line.strip() and not line.startswith("#")), "")
    separator = ";" if ";" in head else "\t" if "\t" in head else ","
    columns: dict[str, int] | None = None
    count = 0
    for number, cells in _cells(lines, separator):
        if columns is None:
            columns = _header(cells)
            continue
        count += 1
        if count > MAX_ROWS:
            raise _invalid(f"The table has more than {MAX_ROWS} devices. Divide it.")
        yield _line(number, cells, columns)
    if columns is None:
        raise _invalid(
            "The table is empty: it needs a header, such as serial,hostname,address,prefix,gateway,dns."
        )


def _cells(text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text), delimiter=separator, skipinitialspace=True)
    try:
        for cells in reader:
            found = [cell.strip(" \u00a0\u200b'") for cell in cells]
            if any(found) and not found[0].startswith("#"):
                yield reader.line_num, found
    except csv.Error as error:
        raise _invalid(f"Line {reader.line_num} of the table is damaged: {error}.") from None


def _header(cells: list[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for index, cell in enumerate(cells):
        name = _column(re.sub(r"[^a-z0-9]", "", cell.lower()))
        if name is None:
            raise _invalid(f"The column {cell[:40]!r} is not known. There are: {', '.join(_COLUMNS)}.")
        if name in found:
            raise _invalid(f"Two columns are for {name}.")
        found[name] = index
    if "device" not in found:
        raise _invalid("The table has no column with serial numbers.")
    return found


def _column(word: str) -> str | None:
    """Numbers count in ipv6, and not in dns1."""
    for form in (word, word.rstrip("0123456789")):
        for name, words in _COLUMNS.items():
            if form in words:
                return name
    return None


def _line(number: int, cells: list[str], columns: dict[str, int]) -> AssignPlanRow:
    values = {name: cells[index] if index < len(cells) else "" for name, index in columns.items()}
    address, mode = values.get("address", ""), values.get("mode", "").lower()
    if address.lower() == DHCP or mode in (DHCP, "yes", "true", "on"):
        address, mode = ("" if address.lower() == DHCP else address), DHCP
    if address and "/" not in address and (prefix := values.get("prefix", "")):
        address = f"{address}/{_prefix(prefix)}"
    try:
        row = AssignRow(
            device=values["device"],
            host_name=values.get("host_name") or None,
            mode="dhcp" if mode == DHCP else None,
            address=address or None,
            router=values.get("router") or None,
            ipv6=_with_prefix(values.get("ipv6", ""), values.get("prefix6", "")) or None,
            ipv6_router=values.get("ipv6_router") or None,
            dns=[one for one in re.split(r"[\s,|;]+", values.get("dns", "")) if one],
        )
    except ValidationError as error:
        message = plain(error.errors(include_input=False, include_url=False)[0]["msg"])
        return AssignPlanRow(line=number, device=values["device"][:64], problem=message)
    return checked(number, row)


def _with_prefix(address: str, prefix: str) -> str:
    return f"{address}/{prefix.lstrip('/')}" if ":" in address and "/" not in address and prefix else address


def _prefix(text: str) -> str:
    try:
        return str(IPv4Interface(f"0.0.0.0/{text.lstrip('/')}").network.prefixlen)
    except ValueError:
        return text


def _by_rule(
    rule: AssignRule, model_of: Callable[[str], str], taken: Callable[[str], bool]
) -> Iterator[AssignPlanRow]:
    if rule.dhcp and rule.first:
        raise _invalid("dhcp and a range of addresses do not go together.")
    if rule.host_name and (_FIELD.sub("", rule.host_name).strip("{}") != _FIELD.sub("", rule.host_name)):
        raise _invalid("Host names may hold {serial}, {model}, {n} and {n:03}.")
    if rule.ipv6 and rule.ipv6_first:
        raise _invalid(f"ipv6 {rule.ipv6} and a range of IPv6 addresses do not go together.")
    free = _range(rule.first, rule.last, rule.router, taken) if rule.first else None
    free6 = _range6(rule, taken) if rule.ipv6_first else None
    for number, device in enumerate(dict.fromkeys(rule.ids), 1):
        name = host_name(rule.host_name, device, model_of(device), number) if rule.host_name else None
        address = next(free, None) if free is not None else None
        address6 = next(free6, None) if free6 is not None else None
        row = AssignRow(
            device=device,
            host_name=name,
            mode="dhcp" if rule.dhcp else None,
            address=address,
            router=rule.router if address else None,
            ipv6=address6 or rule.ipv6,
            ipv6_router=rule.ipv6_router if address6 else None,
            dns=rule.dns,
        )
        plan = checked(number, row)
        if (free is not None and address is None) or (free6 is not None and address6 is None):
            plan = plan.model_copy(update={"problem": "The range has no further free address."})
        yield plan


def host_name(pattern: str, serial: str, model: str, number: int) -> str:
    values = {
        "serial": serial.lower(),
        "model": re.sub(r"[^a-z0-9]+", "-", model.lower()).strip("-"),
        "n": str(number),
    }
    return _FIELD.sub(lambda match: values[match[1]].zfill(int(match[2] or 0)), pattern)


def _range(begin: str, end: str | None, router: str | None, taken: Callable[[str], bool]) -> Iterator[str]:
    try:
        first = IPv4Interface(begin)
        last = IPv4Interface(end).ip if end else first.network.broadcast_address - 1
    except ValueError:
        raise _invalid("A range begins with an address and its prefix, such as 10.0.0.20/24.") from None
    if "/" not in begin or last not in first.network or last < first.ip:
        raise _invalid(f"The range from {first} to {last} is not within one network.")
    return _free(first, int(last), router, taken)


def _range6(rule: AssignRule, taken: Callable[[str], bool]) -> Iterator[str]:
    begin = rule.ipv6_first or ""
    try:
        first = IPv6Interface(begin)
        last = IPv6Address(rule.ipv6_last) if rule.ipv6_last else first.network.broadcast_address
        router = str(IPv6Address(rule.ipv6_router)) if rule.ipv6_router else None
    except ValueError:
        raise _invalid(
            "A range of IPv6 begins with an address and its prefix, such as fd00::20/64."
        ) from None
    if "/" not in begin or last not in first.network or last < first.ip:
        raise _invalid(f"The range from {first} to {last} is not within one network.")
    return _free(first, int(last), router, taken)


def _free(
    first: IPv4Interface | IPv6Interface, last: int, router: str | None, taken: Callable[[str], bool]
) -> Iterator[str]:
    number = int(first.ip)
    while number <= last:
        address = str(type(first.ip)(number))
        if address != router and not taken(address):
            yield f"{address}/{first.network.prefixlen}"
        number += 1


def conflicts(rows: Iterable[AssignPlanRow]) -> dict[int, str]:
    """Within the table, by line: the first one of each stays good."""
    found: dict[int, str] = {}
    seen: dict[tuple[str, str], int] = {}
    for row in rows:
        if row.problem is not None:
            continue
        address = row.address.partition("/")[0] if row.address not in ("", DHCP) else ""
        for what, value in (
            ("device", row.device),
            ("address", address),
            ("IPv6 address", row.ipv6.partition("/")[0] if "/" in row.ipv6 else ""),
            ("host name", row.host_name.lower()),
        ):
            if not value:
                continue
            before = seen.setdefault((what, value), row.line)
            if before != row.line:
                found.setdefault(row.line, f"The {what} {value} is in line {before} already.")
    return found


def _invalid(detail: str) -> FarsiteError:
    return FarsiteError(ErrorCode.INVALID_REQUEST, detail)
