"""Events and automations against a server of Prefect's own and a receiver of HTTP."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID
from zoneinfo import ZoneInfo

import httpx
import pytest
import yaml
from planted_history import CLASSES, write_night
from prefect import flow
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.blocks.webhook import Webhook
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.schedules import CronSchedule
from prefect.events import emit_event
from prefect.events.worker import EventsWorker
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Crashed, Running

from audit.errors import ManifestError
from audit.findings import Findings, read_findings
from audit.pipeline.compare import with_history
from audit.pipeline.orders import AlarmOrder, Order
from audit.pipeline.progress import SILENT
from audit.pipeline.review import review
from audit.pipeline.session import Session
from flows import automations, outcome, tasks
from flows.audit_dataset import audit_dataset
from flows.automations import FILES, fill, register
from flows.deployments import deployment_file

SERVER = "prefect.server.api.server:create_app"
PATIENCE = 150.0
QUIET = dict.fromkeys(CLASSES, 0.01)


class Receiver(HTTPServer):
    """Keeps what is posted to it."""

    def __init__(self) -> None:
        self.posts: list[tuple[str, dict[str, Any]]] = []
        super().__init__(("127.0.0.1", 0), _Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def at(self, path: str) -> list[dict[str, Any]]:
        return [body for where, body in self.posts if where == path]

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.posts.append((self.path, json.loads(body)))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def until(true: Callable[[], Any], what: str) -> Any:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if found := true():
            return found
        time.sleep(0.1)
    raise AssertionError(f"not within {PATIENCE:.0f} s: {what}")


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server in a process of its own, with the services that watch events."""
    port, home = free_port(), tmp_path_factory.mktemp("prefect")
    told = {
        "PREFECT_HOME": str(home),
        "PREFECT_UI_ENABLED": "false",
        "PREFECT_SERVER_EVENTS_PROACTIVE_GRANULARITY": "PT1S",
        "PREFECT_SERVER_SERVICES_SCHEDULER_RECENT_DEPLOYMENTS_LOOP_SECONDS": "1",
    }
    address = ["--host", "127.0.0.1", "--port", str(port)]
    running = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "--factory", SERVER, "--log-level", "error", *address],
        env={**os.environ, **told},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}/api"

    def answers() -> bool:
        assert running.poll() is None, "the server ended"
        try:
            return httpx.get(f"{url}/health").is_success
        except httpx.HTTPError:
            return False

    try:
        end = time.monotonic() + 180
        while not answers():
            assert time.monotonic() < end, "the server does not start"
            time.sleep(0.2)
        # Of one process all events go to the server that it first had, until that is forgotten.
        EventsWorker.drain_all(timeout=30)
        with temporary_settings({PREFECT_API_URL: url}):
            yield url
        EventsWorker.drain_all(timeout=30)
    finally:
        running.terminate()
        running.wait(30)


@pytest.fixture(scope="module")
def client(server: str) -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as opened:
        yield opened


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("audit") / "audit.yaml"
    path.write_text("name: Farm\ndataset: {root: images}\nmodel: {loader: 'a:b'}\n")
    return path


@pytest.fixture(scope="module")
def deployment(client: SyncPrefectClient) -> UUID:
    flow = client.create_flow_from_name(audit_dataset.name)
    return client.create_deployment(flow_id=flow, name="farm")


@pytest.fixture(scope="module")
def scheduled(client: SyncPrefectClient, manifest: Path) -> UUID:
    """A deployment as `deploy` writes it."""
    order = Order(str(manifest), "0 2 * * 1", "Europe/Berlin")
    (written,) = yaml.safe_load(deployment_file(order, "audits"))["deployments"]
    flow = client.create_flow_from_name(audit_dataset.name)
    held = [
        DeploymentScheduleCreate(schedule=CronSchedule.model_validate(one))
        for one in written["schedules"]
    ]
    return client.create_deployment(flow_id=flow, name="weekly", schedules=held)


@pytest.fixture(scope="module")
def silent_and_done(client: SyncPrefectClient, scheduled: UUID) -> Iterator[tuple[UUID, UUID]]:
    """Two runs of which nothing was heard since their start; one has ended.

    Made first, since what is waited for takes its time beside the other tests.
    """
    flow = client.create_flow_from_name(audit_dataset.name)
    quick = client.create_deployment(flow_id=flow, name="quick")
    silent, done = (client.create_flow_run_from_deployment(quick) for _ in range(2))
    (rule, _) = fill("run_again.yaml", {"audit": "quick", "deployment_id": str(quick)})
    # Ten minutes are for people; ten seconds are the least that Prefect takes.
    made = automations.AutomationCore.model_validate(
        {**rule, "trigger": {**rule["trigger"], "within": 10}}
    )
    identity = client.create_automation(made)
    for run in (silent, done):
        client.set_flow_run_state(run.id, Running(), force=True)
        emit_event(
            "prefect.flow-run.heartbeat",
            {"prefect.resource.id": f"prefect.flow-run.{run.id}"},
            related=[
                {
                    "prefect.resource.id": f"prefect.deployment.{quick}",
                    "prefect.resource.role": "deployment",
                }
            ],
        )
    ended = {"type": StateType.FAILED, "name": "GateFailed"}
    client.set_flow_run_state(done.id, Crashed().model_copy(update=ended), force=True)
    yield silent.id, done.id
    client.delete_automation(identity)


@pytest.fixture(scope="module")
def receiver(server: str) -> Iterator[Receiver]:
    held = Receiver()
    Webhook(url=held.url("/classes"), allow_private_urls=True).save("tickets")
    CustomWebhookNotificationBlock(
        name="team",
        url=held.url("/people"),
        json_data={"subject": "{{subject}}", "text": "{{body}}"},
    ).save("team")
    yield held
    held.shutdown()
    held.server_close()


@pytest.fixture(scope="module")
def registered(manifest: Path, deployment: UUID, receiver: Receiver) -> list[str]:
    wanted = AlarmOrder(str(manifest), ["webhook/tickets", "custom-webhook/team"])
    first = register(wanted)
    assert register(wanted) == first
    return first


def nights(folder: Path, *gaps: dict[str, float]) -> Findings:
    """What the last of some nights found."""
    for number, lost in enumerate(gaps, 1):
        made = write_night(folder / f"night-{number}", {**QUIET, **lost}, started=number)
    return with_history(made, read_findings(made.findings))


def test_automations_are_brought_up_to_date_and_not_doubled(
    registered: list[str], silent_and_done: tuple[UUID, UUID], client: SyncPrefectClient
) -> None:
    held = [one for one in client.read_automations() if "quick" not in one.name]
    assert sorted(one.name for one in held) == sorted(registered)
    assert len(held) == 5


def test_people_get_one_message_a_run_and_programs_one_a_class(
    registered: list[str], receiver: Receiver, tmp_path: Path
) -> None:
    found = nights(tmp_path, {"bee": 0.5}, {"cat": 0.6, "dog": 0.4})
    outcome.tell_events(found, "https://audits.example/zoo/report.html")
    until(lambda: len(receiver.at("/classes")) >= 3 and receiver.at("/people"), "the posts")
    told = {body["class"]: body for body in receiver.at("/classes")}
    assert {name: body["change"] for name, body in told.items()} == {
        "bee": "fixed",
        "cat": "new",
        "dog": "new",
    }
    assert told["cat"]["gap"] == pytest.approx(0.6, abs=0.05)
    assert {"gap_low", "gap_high", "verdict", "kind", "report"} <= told["cat"].keys()
    (message,) = receiver.at("/people")
    assert message["subject"] == "Saliency audit farm: SuspectClasses"
    lines = message["text"].splitlines()
    assert "New: cat, dog" in lines
    assert "Fixed: bee" in lines
    assert lines[-1] == "https://audits.example/zoo/report.html"


def runs_of(client: SyncPrefectClient, deployment: UUID) -> list[FlowRun]:
    wanted = DeploymentFilter(id=DeploymentFilterId(any_=[deployment]))
    return client.read_flow_runs(deployment_filter=wanted)


def test_what_crashed_is_run_again(
    registered: list[str], client: SyncPrefectClient, deployment: UUID, receiver: Receiver
) -> None:
    made = client.create_flow_run_from_deployment(deployment)
    client.set_flow_run_state(made.id, Running(), force=True)
    client.set_flow_run_state(made.id, Crashed(message="the machine died"), force=True)
    again = until(
        lambda: [one for one in runs_of(client, deployment) if one.id != made.id], "a second run"
    )
    assert len(again) == 1
    assert again[0].expected_start_time is not None
    assert again[0].expected_start_time > datetime.now(UTC) + timedelta(seconds=5)
    until(
        lambda: [body for body in receiver.at("/people") if "Crashed" in body["subject"]],
        "the message",
    )


def test_a_silent_run_is_called_crashed_and_a_finished_one_is_not(
    silent_and_done: tuple[UUID, UUID], client: SyncPrefectClient
) -> None:
    silent, done = silent_and_done
    found = until(
        lambda: (state := client.read_flow_run(silent).state) and state.is_crashed() and state,
        "the state",
    )
    assert found.message == "Silent for ten minutes."
    held = client.read_flow_run(done).state
    assert held is not None
    assert held.name == "GateFailed"


def test_a_schedule_makes_runs(scheduled: UUID, client: SyncPrefectClient) -> None:
    """The server, too, must be able to: with SQLAlchemy 2.1 Prefect's made none."""
    made = until(lambda: runs_of(client, scheduled), "a scheduled run")
    first = min(run.expected_start_time for run in made if run.expected_start_time)
    there = first.astimezone(ZoneInfo("Europe/Berlin"))
    assert (there.weekday(), there.hour, there.minute) == (0, 2, 0)
    assert all(run.auto_scheduled for run in made)


def test_what_the_server_lacks_is_said(manifest: Path, deployment: UUID, tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="no block 'slack-webhook/nowhere'"):
        register(AlarmOrder(str(manifest), ["slack-webhook/nowhere"]))
    with pytest.raises(ManifestError, match="expected type/name"):
        register(AlarmOrder(str(manifest), ["nowhere"]))
    other = tmp_path / "other.yaml"
    other.write_text(manifest.read_text().replace("Farm", "Zoo"))
    with pytest.raises(ManifestError, match="no deployment 'audit-dataset/zoo'"):
        register(AlarmOrder(str(other)))


def test_every_shipped_file_can_be_created_by_prefect() -> None:
    values = {"audit": "a", "deployment_id": str(UUID(int=1)), "block_id": str(UUID(int=2))}
    files = sorted(path.name for path in FILES.glob("*.yaml"))
    assert files == ["notify.yaml", "run_again.yaml", "webhook.yaml"]
    for file in files:
        for held in fill(file, {**values, "block_name": "slack-webhook/team"}):
            automations.AutomationCore.model_validate(held)


def told(monkeypatch: pytest.MonkeyPatch, findings: Findings) -> list[dict[str, Any]]:
    said: list[dict[str, Any]] = []
    monkeypatch.setattr(outcome, "emit_event", lambda **event: said.append(event))
    outcome.tell_events(findings)
    return said


def test_a_first_run_calls_its_suspects_new_and_a_waiver_is_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = write_night(tmp_path / "night", {**QUIET, "bee": 0.5, "cat": 0.4}, started=1)
    review(made.path, "cat", "waive", by="Ada", reason="known")
    said = told(monkeypatch, with_history(made, read_findings(made.findings)))
    assert [event["event"].rpartition(".")[2] for event in said] == ["new", "completed"]
    assert said[0]["resource"]["prefect.resource.id"] == "saliency-audit.class.farm.bee"
    assert said[0]["resource"]["prefect.resource.name"] == "bee"
    assert said[1]["resource"]["saliency-audit.alarm"] == "yes"
    assert said[1]["payload"]["suspect"] == 2


def test_a_quiet_night_wakes_nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (event,) = told(monkeypatch, nights(tmp_path, {}, {}))
    assert event["resource"]["saliency-audit.alarm"] == "no"
    assert event["resource"]["saliency-audit.outcome"] == "Unchanged"


def test_a_server_that_is_away_costs_the_events_and_no_work(tmp_path: Path) -> None:
    findings = nights(tmp_path, {"bee": 0.5})
    program = (
        "import sys\n"
        "from audit.findings import Findings\n"
        "from flows.outcome import tell_events\n"
        "tell_events(Findings.model_validate_json(open(sys.argv[1]).read()))\n"
        "print('done')\n"
    )
    (tmp_path / "findings").write_text(findings.model_dump_json())
    away = {"PREFECT_API_URL": f"http://127.0.0.1:{free_port()}/api"}
    ended = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "findings")],
        env={**os.environ, **away, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (ended.returncode, ended.stdout) == (0, "done\n"), ended.stderr


def test_a_shard_that_takes_too_long_is_tried_again_and_a_step_ends_the_run(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[int] = []

    def score(session: object, shard: int, progress: object) -> bool:
        tries.append(shard)
        for _ in range(200 if shard == 0 and tries.count(0) == 1 else 1):
            time.sleep(0.05)
        return True

    monkeypatch.setattr(
        tasks,
        "Handle",
        lambda session, progress: SimpleNamespace(session=session, progress=progress),
    )
    quick = tasks.make_part.with_options(retry_delay_seconds=0)
    monkeypatch.setattr(tasks, "make_part", quick)

    @flow(persist_result=False)
    def night(step: bool) -> str:
        by_tasks = tasks.AsTasks(1.0)
        if step:
            by_tasks.run_step("slow", time.sleep, 20.0)
        by_tasks.run_parts("part", score, cast(Session, None), SILENT, {0: 3, 1: 3})
        return "done"

    assert night(step=False) == "done"
    assert sorted(tries) == [0, 0, 1]
    with pytest.raises(TimeoutError):
        night(step=True)
