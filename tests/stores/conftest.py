"""A server on loopback that answers as S3 does, and processes that know no other."""

import os
import subprocess
import sys
import uuid
from pathlib import Path
from threading import Lock, Thread

import pytest

from suite.records.machine.user_cache import KERNELS, kernels_folder

FOLDER_OF_KERNELS = str(kernels_folder())
"""A machine of its own would build a decode kernel again."""
ROOT = Path(__file__).parents[2]
SECRET = "a-secret-of-the-tests-0123"


class Server:
    """moto behind a port that can be closed and opened, by which the network is cut, with all that it was asked.

    moto looks whether an object lies there and puts it in two steps; here one request comes after another, as if in S3.
    """

    def __init__(self):
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

        self._application, self._one_at_a_time = DomainDispatcherApplication(create_backend_app), Lock()
        self.port, self.asked, self.before = 0, [], lambda request: None
        """`before` is told of each request, as `PUT /bucket/name`, before it is answered."""
        self.open()

    def open(self):
        from werkzeug.serving import make_server

        self._server = make_server("127.0.0.1", self.port, self._answer, threaded=True, request_handler=_quiet())
        self.port = self._server.server_port
        self._thread = Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _answer(self, environ, start_response):
        with self._one_at_a_time:
            request = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}"
            self.asked.append(request)
            self.before(request)
            return list(self._application(environ, start_response))


def _quiet():
    from werkzeug.serving import WSGIRequestHandler

    class Quiet(WSGIRequestHandler):
        def log(self, *_):
            pass

    return Quiet


@pytest.fixture(scope="session")
def only_server():
    server = Server()
    yield server
    server.close()


@pytest.fixture
def server(only_server):
    yield only_server
    only_server.before = lambda request: None
    only_server.asked.clear()


@pytest.fixture
def environment(server, tmp_path, monkeypatch):
    """The environment of a machine that reaches the server; another's differs in XDG_CACHE_HOME. It is this process's
    too."""
    own = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.port}",
        "AWS_ACCESS_KEY_ID": "tests",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_MAX_ATTEMPTS": "1",
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        KERNELS: FOLDER_OF_KERNELS,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
    }
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    return {**os.environ, **own}


@pytest.fixture
def bucket(environment):
    """A bucket of its own, and boto3's client, which is none of the code that is tried."""
    import boto3

    client, name = boto3.client("s3"), f"bucket-{uuid.uuid4().hex}"
    client.create_bucket(Bucket=name)
    yield name, client
    client.close()


@pytest.fixture
def suite(environment, tmp_path):
    """Start `suite ARGUMENTS` in a folder of its own; `cache`: as another machine, by its name."""
    work = tmp_path / "work"
    work.mkdir()
    started = []

    def start(*arguments, cache="cache"):
        process = subprocess.Popen(
            [sys.executable, "-m", "suite", *arguments],
            cwd=work,
            env={**environment, "XDG_CACHE_HOME": str(tmp_path / cache)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()
