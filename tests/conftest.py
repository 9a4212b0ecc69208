from __future__ import annotations

import atexit
import os
import shutil
import tempfile

import pytest
from hypothesis import settings

# Before Prefect is imported by any test, and for the processes that tests start: a home of its
# own, so that a test neither sees nor leaves anything in the user's.
# Threads that spin while they wait slow each other down where several processes share few cores.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Estimated outlines of tests neither come from the user's cache nor stay in it.
for _name in ("PREFECT_HOME", "SALIENCY_AUDIT_CACHE"):
    os.environ[_name] = tempfile.mkdtemp(prefix="saliency-audit-tests-")
    atexit.register(shutil.rmtree, os.environ[_name], ignore_errors=True)
os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "180")

# How long an example takes says nothing of whether it holds.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def prefect_server() -> str:
    """Address of the server that runs in this process use, for those in processes of their own.

    Starting one costs as much as a small audit.
    """
    from prefect.server.api.server import SubprocessASGIServer

    server = SubprocessASGIServer()
    server.start(timeout=180)
    return server.api_url
