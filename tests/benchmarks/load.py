"""Load by wrk: every connection asks one question after the other, as fast as it is answered."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.processes import Asked

#: The questions are gone through in one order by all connections together, so that no two ask the same at once.
_SCRIPT = """
local asked, number = {%s}, 0
function request()
  number = number %% #asked + 1
  local one = asked[number]
  return wrk.format(one[1], one[2], {["Content-Type"] = "application/json"}, one[3])
end
function done(summary, latency)
  local e = summary.errors
  io.write(string.format('\\n{"per_second": %%f, "p50": %%f, "p95": %%f, "p99": %%f, "errors": %%d}\\n',
    summary.requests / summary.duration * 1e6, latency:percentile(50) / 1e3, latency:percentile(95) / 1e3,
    latency:percentile(99) / 1e3, e.connect + e.read + e.write + e.status + e.timeout))
end
"""


@dataclass(frozen=True, slots=True)
class Load:
    """What a number of clients got: questions answered per second, milliseconds that answers took, and faults.

    wrk corrects the percentiles for the questions that a slow answer kept from being asked.
    """

    per_second: float
    p50: float
    p95: float
    p99: float
    errors: int


def write_script(path: Path, questions: Sequence[Asked]) -> None:
    rows = (f"{{{_lua(one.method)}, {_lua(one.path)}, {_lua(one.body)}}}" for one in questions)
    path.write_text(_SCRIPT % ",\n".join(rows))


def _lua(text: str) -> str:
    return '"' + "".join(f"\\{byte:03}" for byte in text.encode()) + '"'


def press(port: int, script: Path, clients: int, seconds: int) -> Load:
    """Ask for some seconds; answers that come later than a minute count as faults."""
    command = ["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "--timeout", "60s", "-s", str(script)]
    told = subprocess.run([*command, f"http://127.0.0.1:{port}"], check=True, capture_output=True, text=True).stdout
    return Load(**json.loads(told.splitlines()[-1]))
