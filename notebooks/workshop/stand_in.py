"""Provide the earthquake API of the workshop: the live one, or a stand-in on this machine.

The live API is the event service of the United States Geological Survey (USGS), which needs no key:
https://earthquake.usgs.gov/fdsnws/event/1/. The stand-in answers the same requests as far as the
workshop needs them, with invented earthquakes. It can change (`day`) and fail (`fail_next`) on demand,
which the live API does only now and then. It uses the standard library alone, and listens on
the loopback interface only.

    api = earthquake_api()      # WORKSHOP_API=live or WORKSHOP_API=stand-in decides; otherwise the network
"""

from __future__ import annotations

import json
import math
import os
import random
import threading
import urllib.error
import urllib.request
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

LIVE_URL = "https://earthquake.usgs.gov/fdsnws/event/1"
VARIABLE = "WORKSHOP_API"
WEEK_BEGINS = datetime(2026, 3, 2, tzinfo=timezone.utc)
EVENTS_PER_DAY = (57, 3, 2)
"""New earthquakes on day 0 (the whole week before it), 1 and 2."""

REVISED_ON_DAY_1 = {"wk0004": 6.4, "wk0023": 4.7}
"""Earthquakes that existed on day 0, and their magnitude from day 1 on."""

NEW_FIELD = "shaking_model"
"""A property that earthquakes have from day 2 on."""

_PLACES = ("Kestrel Ridge", "Port Amber", "Lowmoor Trench", "Saint Orla Island", "Tannet Basin")
_KNOWN = {
    "format",
    "starttime",
    "endtime",
    "minmagnitude",
    "updatedafter",
    "limit",
    "offset",
    "orderby",
}


class Api:
    """Source of the earthquakes.

    Attributes:
        name: `live` or `stand-in`.
        url: What comes before `/query` and `/count`.
        params: The parameters of every request: a week of earthquakes of magnitude 4.5 and above.
        day: 0, 1 or 2. Sets the stand-in's clock; without effect on the live API.
    """

    name = "live"

    def __init__(self, url: str, begins: datetime) -> None:
        self.url = url
        self.day = 0
        self.params = {
            "format": "geojson",
            "starttime": begins.date().isoformat(),
            "minmagnitude": 4.5,
        }

    def __repr__(self) -> str:
        return f"the {self.name} API at {self.url}"

    def fail_next(self, status: int = 503, times: int = 1) -> None:
        """Let the next requests fail. Only the stand-in can do that."""
        print("The live API does not fail on demand. The stand-in would show 503, then 200.")


@dataclass(frozen=True)
class Answered:
    """A request that the stand-in has answered."""

    path: str
    parameters: dict[str, str]
    status: int


class StandIn(Api):
    """A server in a thread of this process; it ends with the process, or with `close()`."""

    name = "stand-in"

    def __init__(self) -> None:
        self.requests: list[Answered] = []
        self._failures: list[int] = []
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        super().__init__(f"http://127.0.0.1:{self._server.server_port}", WEEK_BEGINS)
        # A proxy cannot reach this machine's loopback interface.
        for name in ("no_proxy", "NO_PROXY"):
            known = os.environ.get(name, "")
            if "127.0.0.1" not in known:
                os.environ[name] = f"{known},127.0.0.1".lstrip(",")

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()

    def fail_next(self, status: int = 503, times: int = 1) -> None:
        """Answer the next requests with an error: 503 (overloaded) or 429 (too many requests)."""
        with self._lock:
            self._failures = [status] * times

    def answer(self, path: str, parameters: dict[str, str]) -> tuple[int, str]:
        """Return status and body of one request, which is recorded in `requests`."""
        with self._lock:
            if self._failures:
                status, body = self._failures.pop(0), "try again in a moment"
            else:
                status, body = _respond(path, parameters, self.day)
            self.requests.append(Answered(path, parameters, status))
        return status, body


def earthquake_api(which: str | None = None) -> Api:
    """Return the API to use: the live API if it can be reached, otherwise the stand-in.

    Args:
        which: `live` or `stand-in`; otherwise the variable WORKSHOP_API decides.

    Raises:
        ValueError: `which` has another value.
    """
    which = which or os.environ.get(VARIABLE) or ("live" if _reachable() else "stand-in")
    if which == "live":
        return Api(LIVE_URL, datetime.now(timezone.utc) - timedelta(days=7))
    if which == "stand-in":
        return StandIn()
    raise ValueError(f"{VARIABLE} is {which!r}; it can be 'live' or 'stand-in'.")


def earthquakes_on(day: int) -> list[dict[str, Any]]:
    """Return the earthquakes of the stand-in on a day, the latest first, as USGS sorts them."""
    chance = random.Random(2007)
    features: list[dict[str, Any]] = []
    for new_on, number in enumerate(EVENTS_PER_DAY):
        for _ in range(number):
            features.append(_earthquake(len(features) + 1, new_on, chance))
    known = [feature for feature in features if feature.pop("new_on") <= day]
    for feature in known:
        if day >= 1 and feature["id"] in REVISED_ON_DAY_1:
            magnitude = REVISED_ON_DAY_1[feature["id"]]
            feature["properties"] |= {
                "mag": magnitude,
                "title": f"M {magnitude} - {feature['properties']['place']}",
                "status": "reviewed",
                "updated": _milliseconds(WEEK_BEGINS + timedelta(days=7, hours=20)),
            }
    return sorted(known, key=lambda feature: -feature["properties"]["time"])


def _earthquake(number: int, new_on: int, chance: random.Random) -> dict[str, Any]:
    if new_on == 0:
        minutes = number * 7 * 24 * 60 / (EVENTS_PER_DAY[0] + 1)
    else:
        minutes = (6 + new_on) * 24 * 60 + number * 7
    happened = WEEK_BEGINS + timedelta(minutes=minutes)
    # The small ones are many, as on Earth; the last one before the workshop has no decimals.
    magnitude = round(4.5 - math.log10(chance.uniform(0.02, 0.9)), 1)
    if number == EVENTS_PER_DAY[0]:
        magnitude = 5.0
    place = f"{chance.randint(4, 160)} km {chance.choice('NESW')} of {chance.choice(_PLACES)}"
    code = f"{number:04d}"
    properties = {
        "mag": _shortest(magnitude),
        "place": place,
        "time": _milliseconds(happened),
        "updated": _milliseconds(happened + timedelta(minutes=40)),
        "tz": None,
        "felt": chance.choice([None, None, None, chance.randint(1, 400)]),
        "status": chance.choice(["automatic", "reviewed"]),
        "tsunami": int(magnitude >= 6),
        "sig": round(magnitude**2 * 15),
        "net": "wk",
        "code": code,
        "magType": chance.choice(["mb", "mww"]),
        "type": "earthquake",
        "title": f"M {magnitude} - {place}",
    }
    if new_on == 2:
        properties[NEW_FIELD] = "v2"
    return {
        "type": "Feature",
        "properties": properties,
        "geometry": {
            "type": "Point",
            "coordinates": [
                round(chance.uniform(-180, 180), 4),
                round(chance.uniform(-60, 60), 4),
                _shortest(round(chance.uniform(5, 300), 1)),
            ],
        },
        "id": f"wk{code}",
        "new_on": new_on,
    }


def _shortest(number: float) -> float | int:
    """Return 5 instead of 5.0, as USGS writes it."""
    return int(number) if number == int(number) else number


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _respond(path: str, parameters: dict[str, str], day: int) -> tuple[int, str]:
    if path == "/version":
        return 200, "stand-in"
    if path not in ("/query", "/count"):
        return 404, f"Not Found: {path}"
    try:
        found, offset, limit = _select(parameters, day)
    except ValueError as error:
        return 400, f"Bad Request: {error}"
    if path == "/count":
        return 200, json.dumps({"count": len(found), "maxAllowed": 20000})
    page = found[offset - 1 :] if limit is None else found[offset - 1 : offset - 1 + limit]
    metadata = {
        "title": "Made-up earthquakes",
        "status": 200,
        "api": "stand-in",
        "count": len(page),
    }
    return 200, json.dumps({"type": "FeatureCollection", "metadata": metadata, "features": page})


def _select(parameters: dict[str, str], day: int) -> tuple[list[dict[str, Any]], int, int | None]:
    unknown = sorted(set(parameters) - _KNOWN)
    if unknown:
        raise ValueError(f'Unknown parameter "{unknown[0]}".')
    if parameters.get("format") != "geojson":
        raise ValueError("the stand-in speaks format=geojson only.")
    offset = int(parameters.get("offset", 1))
    if offset < 1:
        raise ValueError(f'Bad offset value "{offset}". Valid values are 1 or greater.')
    limit = int(parameters["limit"]) if "limit" in parameters else None
    if limit is not None and not 0 <= limit <= 20000:
        raise ValueError(f'Bad limit value "{limit}". Valid values are between 0 and 20000.')
    found = earthquakes_on(day)
    for parameter, field, keep in (
        ("starttime", "time", lambda value, bound: value >= bound),
        ("endtime", "time", lambda value, bound: value <= bound),
        ("updatedafter", "updated", lambda value, bound: value > bound),
    ):
        if parameter in parameters:
            bound = _parse_time(parameters[parameter])
            found = [event for event in found if keep(event["properties"][field], bound)]
    least = float(parameters.get("minmagnitude", 0))
    return [event for event in found if event["properties"]["mag"] >= least], offset, limit


def _parse_time(text: str) -> int:
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return _milliseconds(moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc))


def _reachable() -> bool:
    try:
        with urllib.request.urlopen(f"{LIVE_URL}/version", timeout=4):
            return True
    except (urllib.error.URLError, OSError):
        return False


def _handler_of(stand_in: StandIn) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            status, body = stand_in.answer(parts.path, dict(parse_qsl(parts.query)))
            content = body.encode()
            self.send_response(status)
            self.send_header(
                "Content-Type", "application/json" if body[:1] == "{" else "text/plain"
            )
            self.send_header("Content-Length", str(len(content)))
            if status == 429:
                self.send_header("Retry-After", "1")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            """Log nothing: the notebook shows `requests`."""

    return Handler
