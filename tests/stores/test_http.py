"""Results on a web server, as `python -m http.server` lists them: names without sizes. Port 80 alone needs no port."""

import sys
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from suite.commands.results import list_runs, verify
from suite.records.stores.objects import StoreError
from tests.records.factory import build, store
from tests.records.stores.places import CACHE

pytest.importorskip("aiohttp")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="another address of loopback's, as Linux has them")


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


class Endless(BaseHTTPRequestHandler):
    asked = 0

    def do_GET(self):
        Endless.asked += 1
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'<a href="d/">d/</a>')

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


@pytest.fixture
def serve(tmp_path, monkeypatch):
    monkeypatch.setattr(CACHE, lambda: tmp_path / "cache")
    servers = []

    def begin(handler):
        try:
            servers.append(ThreadingHTTPServer(("127.0.0.80", 80), handler))
        except PermissionError:
            pytest.skip("only root may have port 80")
        Thread(target=servers[0].serve_forever, daemon=True).start()

    yield begin
    for server in servers:
        server.shutdown()
        server.server_close()


def test_runs_on_a_web_server_are_read(tmp_path, serve, capsys):
    store(tmp_path / "runs", build(), build(seq_len=8192))
    serve(partial(Quiet, directory=str(tmp_path)))
    assert list_runs(["http://127.0.0.80/runs"], status=None, as_json=False) == 0
    assert "2 runs, 0 damaged, 0 unfinished" in capsys.readouterr().out
    assert verify(["http://127.0.0.80/runs"]) == 0


def test_a_server_that_lists_without_end_is_not_followed(serve):
    serve(Endless)
    with pytest.raises(StoreError, match="has more than 32 levels or 10,000 folders"):
        verify(["http://127.0.0.80/runs"])
    assert Endless.asked < 40
