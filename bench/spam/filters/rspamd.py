"""rspamd with its rules and, from redis, what it has learnt. No module asks the network."""

import contextlib
import http.client
import json
import subprocess
from collections.abc import Sequence
from functools import partial
from typing import ClassVar, Self

from bench.spam.corpus import Mail
from bench.spam.filters.base import Filter, free_port, until

_ASKING = (
    "rbl", "surbl", "fuzzy_check", "dkim", "dkim_signing", "spf", "dmarc", "arc", "asn", "mx_check", "phishing",
    "greylist", "ratelimit", "replies", "history_redis", "neural", "reputation", "mid", "maillist", "url_redirector",
    "hfilter", "milter_headers", "known_senders", "elastic", "rspamd_update", "antivirus", "external_services", "bimi",
)  # fmt: skip


class Rspamd(Filter):
    name: ClassVar[str] = "rspamd"
    programs: ClassVar[tuple[str, ...]] = ("rspamd", "redis-server")
    cut: ClassVar[float] = 6.0  # add header

    def __enter__(self) -> Self:
        redis, self._scan, self._learn = free_port(), free_port(), free_port()
        settings = {f"{module}.conf": "enabled = false;" for module in _ASKING}
        settings |= {
            "options.inc": f'dns {{ nameserver = "127.0.0.1:{free_port()}"; timeout = 0.1s; retransmits = 1; }}\n',
            "redis.conf": f'servers = "127.0.0.1:{redis}";\n',
            "classifier-bayes.conf": f'servers = "127.0.0.1:{redis}"; autolearn = false;\n',
            "worker-normal.inc": f'bind_socket = "127.0.0.1:{self._scan}";\ncount = 1;\n',
            "worker-controller.inc": f'bind_socket = "127.0.0.1:{self._learn}";\nsecure_ip = "127.0.0.1";\n',
            "worker-proxy.inc": "enabled = false;\n",
            "worker-fuzzy.inc": "enabled = false;\n",
            "logging.inc": f'type = "file"; filename = "{self.folder}/log"; level = "warning";\n',
        }
        local = self.folder / "local.d"
        local.mkdir()
        for name, text in settings.items():
            (local / name).write_text(text)
        command = ["redis-server", "--port", str(redis), "--bind", "127.0.0.1", "--save", "", "--dir", str(self.folder)]
        self._processes = [subprocess.Popen(command, stdout=subprocess.DEVNULL)]
        places = [f"--var={name}={self.folder}" for name in ("DBDIR", "RUNDIR", "LOGDIR", "LOCAL_CONFDIR")]
        command = ["rspamd", "-f", "-i", "-u", "root", "-g", "root", "-c", "/etc/rspamd/rspamd.conf", *places]
        self._processes.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        try:
            for port in (self._scan, self._learn):
                until(partial(self._ask, port, "/ping", b""), self.name)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self._processes):
            process.terminate()
            process.wait()

    def learn(self, mail: Sequence[Mail]) -> None:
        for one in mail:
            self._ask(self._learn, "/learnspam" if one.is_spam else "/learnham", one.octets)

    def score(self, mail: Mail) -> float:
        return float(json.loads(self._ask(self._scan, "/checkv2", mail.octets))["score"])

    def version(self) -> str:
        told = subprocess.run(["rspamd", "--version"], capture_output=True, text=True, check=True).stdout
        return told.split()[-1]

    def _ask(self, port: int, path: str, octets: bytes) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        with contextlib.closing(connection):
            connection.request("POST", path, octets, {"From": "x@sender.test", "Rcpt": "y@rcpt.test"})
            answer: bytes = connection.getresponse().read()
            return answer


class RspamdRules(Rspamd):
    """As it is before it has learnt anything."""

    name: ClassVar[str] = "rspamd, rules alone"
    learns: ClassVar[bool] = False
