"""`param.cgi?action=listdefinitions`: what values a simulated device's parameters take, and who may write them."""

from __future__ import annotations

from xml.sax.saxutils import quoteattr

from farsite_edge.simulator.parameter_store import ADMIN_ONLY, CHOICES, READ_ONLY, ParameterStore

_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n<parameterDefinitions xmlns="http://www.axis.com/ParameterDefinitionsSchema">\n'


def definitions(store: ParameterStore, groups: str | None, level: str) -> str:
    names = store.names(groups, level)
    if groups and not names:
        return f"# Error: Error -1 getting param in group '{groups}'\n"
    return f"{_HEAD}{''.join(_nested(store, name) for name in names)}</parameterDefinitions>\n"


def _nested(store: ParameterStore, name: str) -> str:
    *groups, last = name.split(".")
    opened = "".join(f"<group name={quoteattr(group)}>" for group in groups)
    value = quoteattr(store.shown(name))
    names = f"name={quoteattr(last)} niceName={quoteattr(last)}"
    head = f'<parameter {names} value={value} securityLevel="{_security(name)}">'
    return f"{opened}{head}<type>{_type(store, name)}</type></parameter>{'</group>' * len(groups)}\n"


def _security(name: str) -> str:
    if name.startswith(READ_ONLY):
        return "7707"
    return "7766" if name.startswith(ADMIN_ONLY) else "6644"


def _type(store: ParameterStore, name: str) -> str:
    if name.startswith(READ_ONLY):
        return "<const/>"
    if name == "root.Network.HTTP.AuthenticationPolicy":
        entries = "".join(f'<entry value="{word}" niceName="{word}"/>' for word in store.policies)
        return f"<enum>{entries}</enum>"
    if name.endswith("Port") and store.shown(name).isdigit():
        return '<int min="0" max="65535"/>'
    words = next((words for words in CHOICES if store.shown(name) in words), None)
    if words is None:
        return '<string maxlen="2048"/>'
    true, false = sorted(words, key=lambda word: word.lower() not in ("yes", "on", "true"))
    return f'<bool true="{true}" false="{false}"/>'
