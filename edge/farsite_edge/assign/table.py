"""Rows out of a CSV file, a list or a rule; free of I/O."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator
from ipaddress import IPv4Interface, ip_interface

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

DHCP = "dhcp"
_COLUMNS = {
    "device": ("device", "serial", "serialnumber", "mac", "id"),
    "host_name": ("hostname", "host", "name"),
    "address": ("address", "ip", "ipaddress"),
    "prefix": ("prefix", "prefixlength", "mask", "netmask", "subnetmask"),
    "router": ("router", "gateway", "defaultrouter"),
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
        return shown.model_copy(update={"problem": message.removeprefix("Value error, ")})
    except ValueError as error:
        return shown.model_copy(update={"problem": str(error)})


def _good(row: AssignRow) -> dict[str, object]:
    if row.host_name and not re.fullmatch(LABEL, row.host_name):
        raise ValueError("a host name has letters, digits and hyphens, at most 63, and no hyphen at its ends")
    mode = row.mode or ("static" if row.address else None)
    dns = [str(ip_interface(one).ip) for one in row.dns]
    if mode is None and (row.router or not (row.host_name or dns)):
        raise ValueError("a router needs an address" if row.router else "nothing is asked for this device")
    if mode is None:
        return {"dns": dns}
    task = NetworkTask(mode=mode, address=row.address or None, router=row.router or None)
    return {"dns": dns, "address": task.address or DHCP, "router": task.router or ""}


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
        word = re.sub(r"[^a-z]", "", cell.lower())
        name = next((name for name, words in _COLUMNS.items() if word in words), None)
        if name is None:
            raise _invalid(f"The column {cell[:40]!r} is not known. There are: {', '.join(_COLUMNS)}.")
        if name in found:
            raise _invalid(f"Two columns are for {name}.")
        found[name] = index
    if "device" not in found:
        raise _invalid("The table has no column with serial numbers.")
    return found


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
            dns=[one for one in re.split(r"[\s,|;]+", values.get("dns", "")) if one],
        )
    except ValidationError as error:
        message = error.errors(include_input=False, include_url=False)[0]["msg"]
        return AssignPlanRow(line=number, device=values["device"][:64], problem=message)
    return checked(number, row)


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
    free = _range(rule, taken) if rule.first else None
    for number, device in enumerate(dict.fromkeys(rule.ids), 1):
        name = host_name(rule.host_name, device, model_of(device), number) if rule.host_name else None
        address = next(free, None) if free is not None else None
        row = AssignRow(
            device=device,
            host_name=name,
            mode="dhcp" if rule.dhcp else None,
            address=address,
            router=rule.router if address else None,
            dns=rule.dns,
        )
        plan = checked(number, row)
        if free is not None and address is None:
            plan = plan.model_copy(update={"problem": "The range has no further free address."})
        yield plan


def host_name(pattern: str, serial: str, model: str, number: int) -> str:
    values = {
        "serial": serial.lower(),
        "model": re.sub(r"[^a-z0-9]+", "-", model.lower()).strip("-"),
        "n": str(number),
    }
    return _FIELD.sub(lambda match: values[match[1]].zfill(int(match[2] or 0)), pattern)


def _range(rule: AssignRule, taken: Callable[[str], bool]) -> Iterator[str]:
    try:
        first = IPv4Interface(rule.first or "")
        last = IPv4Interface(rule.last).ip if rule.last else first.network.broadcast_address - 1
    except ValueError:
        raise _invalid("A range begins with an address and its prefix, such as 10.0.0.20/24.") from None
    if "/" not in (rule.first or "") or last not in first.network or last < first.ip:
        raise _invalid(f"The range from {first} to {last} is not within one network.")
    for number in range(int(first.ip), int(last) + 1):
        address = str(type(first.ip)(number))
        if address != rule.router and not taken(address):
            yield f"{address}/{first.network.prefixlen}"


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
