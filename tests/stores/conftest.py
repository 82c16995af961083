"""A server on loopback that answers as S3 does, and processes that know no other."""

import os
import tempfile
import time
import uuid
from contextlib import ExitStack
from pathlib import Path
from threading import Lock, Thread

import pytest

from suite.records.machine.user_cache import KERNELS, kernels_folder
from tests.forked import forked

FOLDER_OF_KERNELS = str(kernels_folder())
"""A machine of its own would build a decode kernel again."""
LONGEST_S = 240
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
        # A fork would keep the port open when it is closed here.
        os.register_at_fork(after_in_child=lambda: self._server.socket.close())

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
    """Make this process, and those that it forks, a machine that reaches the server. Another's differs in
    XDG_CACHE_HOME."""
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
    }
    for name, value in own.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def bucket(environment):
    """A bucket of its own, and boto3's client, which is none of the code that is tried."""
    import boto3

    client, name = boto3.client("s3"), f"bucket-{uuid.uuid4().hex}"
    client.create_bucket(Bucket=name)
    yield name, client
    client.close()


class Command:
    """`suite ARGUMENTS` in a fork of this process, with what a test asks of a process."""

    def __init__(self, output, pid):
        self._output, self.pid = output, pid

    def wait(self):
        deadline = time.monotonic() + LONGEST_S
        while time.monotonic() < deadline:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.01)
        raise AssertionError(f"it does not end: {self._output.read_text()}")

    def ended(self):
        return self.wait(), self._output.read_text()


@pytest.fixture
def suite(environment, tmp_path, monkeypatch):
    """Start `suite ARGUMENTS` in a folder of its own; `cache`: as another machine, by its name."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    with ExitStack() as started:

        def start(*arguments, cache="cache"):
            output = Path(tempfile.mkdtemp(dir=tmp_path), "output")
            home = {"XDG_CACHE_HOME": str(tmp_path / cache)}
            return Command(output, started.enter_context(forked(output, *arguments, **home)))

        yield start
