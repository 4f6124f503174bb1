"""Every operation of the OpenAPI document, with requests made up from its schemas: no error of the server, no answer
that is not in the document.

More: `FARSITE_FUZZ=200 python -m pytest tests/cloud/test_openapi_fuzz.py`, as many examples for each operation, and
the limits of each schema one by one.
"""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from farsite_cloud.api.system import description
from farsite_cloud.api.table import route_table
from farsite_signaling.wire.errors import ErrorCode
from tests.cloud.fuzz_rig import CloudThread, Site, cloud_thread

EXAMPLES = int(os.environ.get("FARSITE_FUZZ", "4"))
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
TIMEOUT = 20
# In a body, the names of what exists already.
NAMED = {"folder_id": "folder", "parent_id": "folder", "account_id": "account", "edge_id": "edge"}


def _document() -> dict[str, Any]:
    """Without the answers that stand for all others: each must be named."""
    document = description(route_table())
    for path in document["paths"].values():
        for operation in path.values():
            del operation["responses"]["default"]
    return document


def _config() -> SchemathesisConfig:
    config = SchemathesisConfig(seed=1)
    config.projects.default.phases.coverage.enabled = "FARSITE_FUZZ" in os.environ
    return config


schema = schemathesis.openapi.from_dict(_document(), config=_config())


@pytest.fixture(scope="module")
def cloud() -> Iterator[CloudThread]:
    with cloud_thread() as running:
        yield running


@pytest.fixture
def site(cloud: CloudThread) -> Site:
    return cloud.site()


@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_every_answer_is_documented(case: Case, site: Site) -> None:
    _aim(case, site)
    response = case.call(base_url=site.url, headers=site.headers, session=site.http, timeout=TIMEOUT)
    case.validate_response(response, checks=CHECKS)
    if response.status_code >= 400:
        _check_problem(response.json(), response.status_code)


def _aim(case: Case, site: Site) -> None:
    """At what exists, so that it is not `not_found` alone that is tried."""
    for name, made_up in case.path_parameters.items():
        if name == "org" or zlib.crc32(repr(made_up).encode()) % 4:
            case.path_parameters[name] = site.id_of(name, case.path) or made_up
    if isinstance(case.body, dict):
        for name in NAMED.keys() & case.body.keys():
            if isinstance(case.body[name], str):
                case.body[name] = site.id_of(NAMED[name])


def _check_problem(problem: dict[str, Any], status: int) -> None:
    assert problem["code"] in set(ErrorCode), problem
    assert problem["status"] == status
    assert re.fullmatch(r"[A-Z\"'].{8,}", problem["detail"], re.DOTALL), problem
