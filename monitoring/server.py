"""The page, Evidently's reports and the metrics, behind the installation's monitoring token.

A browser sends it as the password of user `flywheel`, Prometheus as a bearer token. The application only reads.
"""

import base64
import binascii
import hmac

import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from feature_repo.contracts import USE_CASES
from infra.database import require_database
from infra.settings import Settings
from monitoring.drawing import reports_folder
from monitoring.exporter import exposition
from monitoring.history import History, Numbers, mismatches_found, numbers_of, read_history, requests_seen_by_client
from monitoring.page import page

USER = "flywheel"
REFUSED = f"the monitoring token is missing or wrong: send it as bearer token, or as the password of user {USER}\n"
CONTENT_TYPE_OF_METRICS = "text/plain; version=0.0.4; charset=utf-8"


class RequireToken:
    """401 to every request without the token, whatever its path."""

    def __init__(self, app: ASGIApp, *, token: str) -> None:
        self.app = app
        self.token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not self.knows(Headers(scope=scope).get("authorization", "")):
            answer = Response(REFUSED, 401, {"WWW-Authenticate": "Basic"})
            await answer(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def knows(self, authorization: str) -> bool:
        scheme, _, credentials = authorization.partition(" ")
        if scheme.lower() == "bearer":
            return hmac.compare_digest(credentials.encode(), self.token)
        if scheme.lower() == "basic":
            return hmac.compare_digest(decoded(credentials), USER.encode() + b":" + self.token)
        return False


def decoded(credentials: str) -> bytes:
    try:
        return base64.b64decode(credentials, validate=True)
    except (binascii.Error, ValueError):
        return b""


def read_histories(settings: Settings) -> list[tuple[History, Numbers]]:
    histories = [read_history(settings.database, name) for name in USE_CASES]
    return [(history, read_numbers(settings, history)) for history in histories]


def read_numbers(settings: Settings, history: History) -> Numbers:
    requests = requests_seen_by_client(settings.root, history.releases)
    mismatches = mismatches_found(settings.root, history.use_case)
    return numbers_of(history, requests=requests, num_mismatches=mismatches)


def make_app(settings: Settings) -> Starlette:
    """Raises DatabaseError or FileNotFoundError, with what to run, if the installation has no database or no token."""
    require_database(settings.database)

    def show_page(_request: Request) -> HTMLResponse:
        return HTMLResponse(page(read_histories(settings)))

    def show_metrics(_request: Request) -> Response:
        return Response(exposition(read_histories(settings)), media_type=CONTENT_TYPE_OF_METRICS)

    token = settings.secret("monitoring_token")
    reports = reports_folder(settings)
    reports.mkdir(parents=True, exist_ok=True)
    return Starlette(
        routes=[
            Route("/", show_page),
            Route("/metrics", show_metrics),
            Mount("/reports", StaticFiles(directory=reports)),
        ],
        middleware=[Middleware(RequireToken, token=token)],
    )


def run_server(settings: Settings) -> None:
    uvicorn.run(make_app(settings), host=settings.bind, port=settings.monitoring_port, log_level="warning")
