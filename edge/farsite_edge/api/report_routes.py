"""Routes for auditors: drift and hardening score, as JSON or CSV."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from farsite_edge.api.guard import PRINCIPAL
from farsite_edge.api.policy_routes import ReportQuery
from farsite_edge.policies.report import PolicyReports, drift_csv, score_csv
from farsite_signaling.rest import Api, read_query
from farsite_signaling.rest.csv_table import csv_response
from farsite_signaling.wire.policy_api import DriftReport, HardeningReport
from farsite_signaling.wire.rights import Right


class ReportRoutes:
    def __init__(self, reports: PolicyReports, edge_name: Callable[[], str]) -> None:
        self._reports = reports
        self._edge_name = edge_name

    def api(self) -> Api:
        api = Api()
        read = Right.DEVICE_READ
        api.route("GET", "/policy-drift", need=read, response=DriftReport, query=ReportQuery)(self.drift)
        api.route("GET", "/hardening", need=read, response=HardeningReport, query=ReportQuery)(self.hardening)
        return api

    async def drift(self, request: web.Request) -> DriftReport | web.Response:
        """Settings that are other than policies want them: found, wanted, since when."""
        report = self._reports.drift(self._edge_name(), request[PRINCIPAL].sees)
        if read_query(request, ReportQuery).format == "csv":
            return csv_response(drift_csv(report), "drift.csv")
        return report

    async def hardening(self, request: web.Request) -> HardeningReport | web.Response:
        """The hardening score of the site and of each device, explained."""
        report = self._reports.hardening(self._edge_name(), request[PRINCIPAL].sees)
        if read_query(request, ReportQuery).format == "csv":
            return csv_response(score_csv(report), "hardening.csv")
        return report
