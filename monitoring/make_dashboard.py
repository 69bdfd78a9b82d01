"""Makes dashboard.json, which Grafana imports, from the rows below: `python monitoring/make_dashboard.py`."""

import json
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("dashboard.json")

_OF = '{instance=~"$instance"}'


def _rate(name: str, by: str, where: str = "") -> str:
    """How much more a counter becomes in a second."""
    return f'sum by ({by}) (rate({name}{{instance=~"$instance"{where}}}[$__rate_interval]))'


def _quantile(share: float, name: str, by: str) -> str:
    """What that share of all is not larger than."""
    return f"histogram_quantile({share:g}, {_rate(f'{name}_bucket', f'{by}, le')})"


_WIDTH, _HEIGHT = 8, 8  # of a panel: three stand side by side

# A panel: its title, unit, and what it shows with the name of each line.
Panel = tuple[str, str, list[tuple[str, str]]]

ROWS: list[tuple[str, list[Panel]]] = [
    ("Now", [
        ("Workers that answer", "none", [(f"sum(postroad_up{_OF})", "up"), (f"count(postroad_up{_OF})", "expected")]),
        ("Messages in the queue", "none", [(
            f"sum by (state) (postroad_queue_messages{_OF})", "{{state}}")]),
        ("Oldest message", "s", [(f"max(postroad_queue_oldest_seconds{_OF})", "oldest")]),
    ]),
    ("Traffic", [
        ("Messages taken in", "ops", [(
            _rate("postroad_link_messages_total", "link", ',link=~".*/queue"'),
            "{{link}}")]),
        ("Messages that came, by the answer", "ops", [(
            _rate("postroad_arrivals_total", "lane, answer"), "{{lane}} {{answer}}")]),
        ("Time from acceptance to delivery: all but one in a hundred", "s", [(
            _quantile(0.99, "postroad_delivery_seconds", "to"), "{{to}}")]),
        ("Scanned", "ops", [
            (_rate("postroad_scanned_total", "result"), "{{result}}"),
            (_rate("postroad_viruses_total", "instance"), "viruses")]),
        ("The busiest domains of ours", "ops", [(
            f'topk(15, {_rate("postroad_domain_recipients_total", "domain, what")})', "{{domain}} {{what}}")]),
        ("What became of recipients", "ops", [(
            _rate("postroad_recipients_total", "outcome"), "{{outcome}}")]),
        ("Replies by class", "ops", [(
            _rate("postroad_replies_total", "class"), "{{class}}")]),
        ("Connections that came", "ops", [(
            _rate("postroad_connections_total", "listener"), "{{listener}}")]),
        ("Connections open", "none", [(f"sum by (listener) (postroad_connections_open{_OF})", "{{listener}}")]),
        ("Refused at the door", "ops", [
            (_rate("postroad_stage_refusals_total", "stage, hook"), "{{stage}} {{hook}}"),
            (_rate("postroad_connections_refused_total", "why"), "no place: {{why}}"),
            (_rate("postroad_relay_refusals_total", "instance"), "relaying")]),
    ]),
    ("Stages", [
        ("Verdicts", "ops", [(
            _rate("postroad_stage_messages_total", "stage, verdict"),
            "{{stage}} {{verdict}}")]),
        ("Time of half of the messages", "s", [(
            _quantile(0.5, "postroad_stage_seconds", "stage"),
            "{{stage}}")]),
        ("Time of all but one in a hundred", "s", [(
            _quantile(0.99, "postroad_stage_seconds", "stage"),
            "{{stage}}")]),
        ("Time in stages", "s", [(
            _rate("postroad_stage_seconds_sum", "stage"), "{{stage}}")]),
        ("Failures", "ops", [(
            _rate("postroad_stage_failures_total", "stage"), "{{stage}}")]),
        ("What stages ask: without an answer", "ops", [
            (_rate("postroad_asked_failures_total", "what, why"), "{{what}} {{why}}"),
            (f"min by (what) (postroad_reachable{_OF}) == 0", "{{what}} is left alone")]),
        ("What stages ask: time of all but one in a hundred", "s", [(
            _quantile(0.99, "postroad_asked_seconds", "what"),
            "{{what}}")]),
    ]),
    ("Links", [
        ("Messages", "ops", [(
            _rate("postroad_link_messages_total", "link"), "{{link}}")]),
        ("Waiting for a credit", "none", [(f"sum by (link) (postroad_link_depth{_OF})", "{{link}}")]),
        ("With workers, as a share of the window", "percentunit", [(
            f"max by (link) (postroad_link_out{_OF} / postroad_link_window{_OF})", "{{link}}")]),
    ]),
    ("Queue", [
        ("Messages by shard", "none", [(
            f"sum by (shard, state) (postroad_queue_messages{_OF})", "{{shard}} {{state}}")]),
        ("Oldest message by shard", "s", [(f"max by (shard) (postroad_queue_oldest_seconds{_OF})", "{{shard}}")]),
        ("Takes no mail", "none", [
            (f"postroad_queue_accepts{_OF} == 0", "shard {{shard}}: no room"),
            (f"postroad_queue_unwritten{_OF} > 0", "shard {{shard}}: changes not written")]),
    ]),
    ("Sites", [
        ("The busiest: messages that wait", "none", [(
            f"topk(15, sum by (site, source) (postroad_site_waiting{_OF}))", "{{site}} {{source}}")]),
        ("The busiest: connections", "none", [
            (f"topk(15, sum by (site, source) (postroad_site_connections{_OF}))", "{{site}} {{source}}"),
            (f"sum(postroad_site_connections_limit{_OF})", "how many there may be, in all")]),
        ("Pauses", "s", [
            (f"topk(15, max by (site, source) (postroad_site_paused_seconds{_OF}) > 0)", "{{site}} {{source}}")]),
        ("Sites that have mail or connections", "none", [(f"sum(postroad_sites{_OF})", "sites")]),
    ]),
    ("TLS", [
        ("Versions", "ops", [(
            _rate("postroad_tls_connections_total", "side, version"),
            "{{side}} {{version}}")]),
        ("Cipher suites", "ops", [(
            _rate("postroad_tls_ciphers_total", "side, cipher"),
            "{{side}} {{cipher}}")]),
        ("Sessions with other servers that failed, as they are reported", "ops", [(
            _rate("postroad_tls_sessions_total", "policy, result", ',result!="success"'), "{{policy}} {{result}}")]),
        ("Failed handshakes", "ops", [(
            _rate("postroad_tls_failures_total", "side"), "{{side}}")]),
        ("Certificates expire in", "s", [(
            f"min by (certificate) (postroad_certificate_expiry_seconds{_OF}) - time()", "{{certificate}}"),
            (f"min by (certificate) (postroad_certificate_late_seconds{_OF}) - time()", "{{certificate}}, late")]),
    ]),
    ("Logins and authentication", [
        ("By protocol and result", "ops", [(
            _rate("postroad_logins_total", "protocol, result"),
            "{{protocol}} {{result}}")]),
        ("Who mail is from: results", "ops", [(
            _rate("postroad_authentication_total", "method, result"),
            "{{method}} {{result}}")]),
    ]),
    ("Storage", [
        ("Stores", "bytes", [(f"sum by (store) (postroad_storage_bytes{_OF})", "{{store}}")]),
        ("Share of the map size", "percentunit", [(
            f"sum by (store) (postroad_storage_bytes{_OF}) / sum by (store) (postroad_storage_limit_bytes{_OF})",
            "{{store}}")]),
        ("Disk", "bytes", [
            (f"postroad_disk_free_bytes{_OF}", "free"), (f"postroad_disk_reserve_bytes{_OF}", "reserve"),
            (f"postroad_disk_size_bytes{_OF}", "in all")]),
        ("Commits", "ops", [(_rate("postroad_commits_total", "store"), "{{store}}")]),
        ("Changes a commit", "none", [(
            _rate("postroad_commit_size_sum", "store") + " / " + _rate("postroad_commit_size_count", "store"),
            "{{store}}")]),
        ("Time of all commits but one in a hundred", "s", [
            (_quantile(0.99, "postroad_commit_seconds", "store"), "{{store}}"),
            (_rate("postroad_commit_failures_total", "store"), "{{store}}: failures a second")]),
    ]),
    ("Processes", [
        ("Processor", "percentunit", [(
            f"rate(postroad_process_cpu_seconds_total{_OF}[$__rate_interval])", "{{worker}}")]),
        ("Memory, with mapped stores", "bytes", [(f"postroad_process_resident_bytes{_OF}", "{{worker}}")]),
        ("Event loop: late by at worst", "s", [(f"postroad_loop_lag_seconds{_OF}", "{{worker}}")]),
        ("Open files, as a share of the limit", "percentunit", [(
            f"postroad_process_open_files{_OF} / postroad_process_open_files_limit{_OF}", "{{worker}}")]),
        ("Restarts in an hour", "none", [(f"increase(postroad_worker_restarts_total{_OF}[1h])", "{{worker}}")]),
        ("Age, and configuration in force", "s", [
            (f"time() - postroad_process_start_time_seconds{_OF}", "{{worker}}"),
            (f"max(postroad_revision{_OF})", "revision")]),
        ("Requests to the web process", "ops", [(
            _rate("postroad_web_requests_total", "path, status"), "{{path}} {{status}}")]),
        ("Traces: spans told, and what was lost", "ops", [
            (_rate("postroad_trace_spans_total", "instance"), "told"),
            (_rate("postroad_trace_lost_total", "why"), "lost: {{why}}")]),
        ("Requests to the admin API", "ops", [(
            _rate("postroad_api_requests_total", "operation, status"), "{{operation}} {{status}}")]),
    ]),
]  # fmt: skip


def dashboard() -> dict[str, Any]:
    """What Grafana reads; https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/"""
    panels: list[dict[str, Any]] = []
    top = 0
    for title, row in ROWS:
        panels.append({"type": "row", "title": title, "collapsed": False, "panels": [], **_place(0, top, 24, 1)})
        top += 1
        for number, panel in enumerate(row):
            line, column = divmod(number, 24 // _WIDTH)
            panels.append({**_panel(*panel), **_place(column * _WIDTH, top + line * _HEIGHT, _WIDTH, _HEIGHT)})
        top += -(-len(row) // (24 // _WIDTH)) * _HEIGHT
    for identity, panel in enumerate(panels, 1):
        panel["id"] = identity
    return {
        "title": "Postroad",
        "uid": "postroad",
        "tags": ["mail"],
        "schemaVersion": 39,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": [_source(), _instance()]},
        "annotations": {"list": []},
        "panels": panels,
    }


def _place(left: int, top: int, width: int, height: int) -> dict[str, Any]:
    return {"gridPos": {"x": left, "y": top, "w": width, "h": height}}


def _panel(title: str, unit: str, shows: list[tuple[str, str]]) -> dict[str, Any]:
    return {
        "type": "timeseries",
        "title": title,
        "datasource": {"type": "prometheus", "uid": "${source}"},
        "fieldConfig": {
            "defaults": {"unit": unit, "min": 0, "custom": {"fillOpacity": 10, "showPoints": "never"}},
            "overrides": [],
        },
        "options": {
            "legend": {"displayMode": "table", "placement": "bottom", "calcs": ["lastNotNull", "max"]},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        "targets": [
            {"refId": chr(ord("A") + number), "expr": expression, "legendFormat": legend}
            for number, (expression, legend) in enumerate(shows)
        ],
    }


def _source() -> dict[str, Any]:
    return {"type": "datasource", "name": "source", "label": "Data source", "query": "prometheus"}


def _instance() -> dict[str, Any]:
    return {
        "type": "query",
        "name": "instance",
        "label": "Server",
        "datasource": {"type": "prometheus", "uid": "${source}"},
        "query": {"query": "label_values(postroad_up, instance)", "refId": "A"},
        "definition": "label_values(postroad_up, instance)",
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "current": {"text": "All", "value": "$__all"},
    }


def text() -> str:
    """The file."""
    return json.dumps(dashboard(), indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(text())
