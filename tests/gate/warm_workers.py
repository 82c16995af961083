"""Workers of the gate that are forked from a process which has imported what they import: a start costs 0.1 s of CPU in
place of 1 s with pytest and 2.5 s with torch. Run by path, this file is that process; a test imports `WarmPopen`.

A worker is a process as it otherwise is: a child of the tests, of a session of its own, with its own pipes, working
folder and environment, in which `-S -E -P` hold and site has yet to run.
"""

import ctypes
import gc
import importlib
import json
import os
import site
import socket
import subprocess
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from runpy import run_path

PR_SET_CHILD_SUBREAPER = 36
PRELOADED = {
    "case_worker.py": ("torch", "hydra", "hydra._internal.config_loader_impl", "hydra.core.plugins", "psutil"),
    "light_worker.py": ("queue", "random"),
    "pytest_worker.py": (
        "pytest",
        "pytest_benchmark",
        "_pytest.logging",
        "_pytest.python",
        "concurrent.futures.thread",
    ),
}
"""By the script of a worker. Only the first holds torch: so large a process does not fork at once."""


class WarmPopen(subprocess.Popen):
    """A worker whose Python is this one comes from the warm process, any other as ever."""

    servers: "dict[str, WarmServer]"

    def _execute_child(self, args, executable, preexec_fn, close_fds, pass_fds, cwd, env, *rest):
        script = Path(args[-2]).name
        if args[0] != sys.executable or script not in PRELOADED:
            super()._execute_child(args, executable, preexec_fn, close_fds, pass_fds, cwd, env, *rest)
            return
        _, _, _, read_in, _, _, write_out, _, write_error, *_ = rest
        if script not in self.servers:
            self.servers[script] = WarmServer(script)
        request = {"argv": args[-2:], "has_site": "-S" not in args, "cwd": str(cwd), "env": env}
        self.pid = self.servers[script].fork(request, [read_in, write_out, write_error])
        self._child_created = True
        os.close(read_in)
        os.close(write_out)


class WarmServer:
    """The test's end of the warm process."""

    def __init__(self, script):
        self._socket, theirs = socket.socketpair()
        command = [sys.executable, "-S", "-E", "-P", __file__, script, str(theirs.fileno())]
        self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
        theirs.close()

    def fork(self, request, pipes):
        """Its parent ends at once, so that the worker becomes a child of this process, which waits for it."""
        prctl = ctypes.CDLL(None).prctl
        prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        try:
            socket.send_fds(self._socket, [json.dumps(request).encode() + b"\n"], pipes)
            return int(self._socket.recv(100))
        finally:
            prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)

    def close(self):
        self._socket.close()
        self._process.wait()


def main(script, descriptor):
    bare = list(sys.path)
    site.main()
    for name in PRELOADED[script]:
        with suppress(ImportError):
            importlib.import_module(name)
    sys.path[:] = bare
    gc.freeze()  # a collection would write to every page that is shared
    with socket.socket(fileno=int(descriptor)) as requests:
        while True:
            message, pipes, *_ = socket.recv_fds(requests, 1 << 20, 3)
            if not message:
                return
            while not message.endswith(b"\n"):
                message += requests.recv(1 << 20)
            told, tell = os.pipe()
            if (middle := os.fork()) == 0:
                if (worker := os.fork()) != 0:
                    os.write(tell, str(worker).encode())
                    os._exit(0)
                for unused in (requests.fileno(), told, tell):
                    os.close(unused)
                become(pipes=pipes, **json.loads(message))
            os.waitpid(middle, 0)
            requests.sendall(os.read(told, 100))  # now it has its new parent
            for pipe in (*pipes, told, tell):
                os.close(pipe)


def become(argv, has_site, cwd, env, pipes):
    """Be this worker to the end of the process, as the interpreter would have started it."""
    os.setsid()
    for number, pipe in enumerate(pipes):
        os.dup2(pipe, number)
        os.close(pipe)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    sys.dont_write_bytecode = bool(env.get("PYTHONDONTWRITEBYTECODE"))
    importlib.invalidate_caches()
    if has_site:
        site.main()
        sys.path.insert(0, str(Path(argv[0]).parent))
    sys.argv = argv
    try:
        run_path(argv[0], run_name="__main__")
    except SystemExit as end:
        os._exit(end.code if isinstance(end.code, int) else 1)
    except BaseException:
        traceback.print_exc()
    os._exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
