"""Which files a built kernel is loaded from, by a small library in the kernel's place that is built in the same way."""

import getpass
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from suite.attention.backends import needs
from suite.attention.backends.auto import choose
from suite.attention.backends.cpp import Cpp
from suite.attention.cpp_decode import kernel
from suite.machine.user_cache import INDUCTOR, KERNELS
from tests.kernels.shapes import GQA_8, drawn
from tests.machine.test_user_cache import OTHER_UID, needs_root

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps no owner and mode of this kind")
OURS, PLANTED = 7, 13
"""What the small libraries answer when they are asked for products."""


def as_another_user(script, *arguments, given=b""):
    """Run a script of the shell as another user; its exit code."""
    command = ["sh", "-c", script, "sh", *map(str, arguments)]
    return subprocess.run(command, user=OTHER_UID, group=OTHER_UID, extra_groups=[], input=given).returncode


def source(answer, more=""):
    functions = (
        f"int products_of(void*, int) {{ return {answer}; }} void decode_float() {{}} void decode_bfloat16() {{}}"
    )
    return f'{more}\nextern "C" {{ {functions} }}\n'


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A folder with the small kernel in it, and nothing else."""
    folder = tmp_path_factory.mktemp("built")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(kernel, "_source_text", lambda: source(OURS))
        patched.setenv(KERNELS, str(folder / "kernels"))
        kernel.library.cache_clear()
        kernel.library()
    return folder / "kernels"


@pytest.fixture
def path(monkeypatch, tmp_path, built):
    """The small kernel, as one that was built before."""
    monkeypatch.setattr(kernel, "_source_text", lambda: source(OURS))
    monkeypatch.setenv(KERNELS, str(tmp_path / "kernels"))
    path = kernel.kept_at()
    for suffix in (".so", ".txt"):
        shutil.copy(built / path.with_suffix(suffix).name, path.parent)
    kernel.library.cache_clear()
    yield path
    kernel.library.cache_clear()


@pytest.fixture
def builds(monkeypatch):
    """The builds of a kernel by now, each by its file."""
    paths, build = [], kernel._build
    monkeypatch.setattr(kernel, "_build", lambda path, dtype: (paths.append(path), build(path, dtype)))
    return paths


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """A library that leaves a mark where it is loaded, and the mark's place."""
    from torch._inductor.cpp_builder import get_cpp_compiler  # takes seconds to import

    folder = tmp_path_factory.mktemp("planted")
    mark = f'__attribute__((constructor)) static void mark() {{ fclose(fopen("{folder}/mark", "w")); }}'
    (folder / "planted.cpp").write_text(source(PLANTED, f"#include <cstdio>\n{mark}"))
    command = [get_cpp_compiler(), "-shared", "-fPIC", folder / "planted.cpp", "-o", folder / "planted.so"]
    subprocess.run(command, check=True)
    return (folder / "planted.so").read_bytes(), folder / "mark"


def digest(path, content):
    return f"{hashlib.sha256(content).hexdigest()}  {path.name}\nflags\n".encode()


def products(expected=OURS):
    return kernel.library().products_of(None, 0) == expected


def test_what_is_whole_and_ours_is_loaded(path, builds):
    assert products()
    assert builds == []


def test_its_digest_is_one_that_sha256sum_checks(path):
    if not shutil.which("sha256sum"):
        pytest.skip("there is no sha256sum")
    first = path.with_suffix(".txt").read_text().splitlines()[0]
    subprocess.run(["sha256sum", "--check", "--strict"], cwd=path.parent, input=first, text=True, check=True)


def pipe(path):
    path.unlink()
    os.mkfifo(path)


def link(path):
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def replace_whole(path, content, name=None):
    """Other content with its own digest, as of a file of this or another name."""
    path.write_bytes(content)
    path.with_suffix(".txt").write_bytes(digest(path.with_name(name or path.name), content))


# A build takes half a second, so only these are built anew.
BUILT_ANEW = {
    "cut": lambda path: os.truncate(path, 9000),
    "a pipe": pipe,
    "a link": link,
    "no library, though its digest is right": lambda path: replace_whole(path, b"no library"),
}
SPOILT = {
    "empty": lambda path: os.truncate(path, 0),
    "a text": lambda path: path.write_text("a text\n" * 100),
    "open to the group": lambda path: path.chmod(0o660),
    "without digest": lambda path: path.with_suffix(".txt").unlink(),
    "a cut digest": lambda path: os.truncate(path.with_suffix(".txt"), 20),
    "a pipe for its digest": lambda path: pipe(path.with_suffix(".txt")),
    "the digest of another name": lambda path: replace_whole(path, path.read_bytes(), "suite_decode_float_0.so"),
}


@pytest.mark.parametrize("spoil", [*SPOILT.values(), *BUILT_ANEW.values()], ids=[*SPOILT, *BUILT_ANEW])
def test_what_is_torn_or_may_be_anothers_is_not_loaded(path, spoil):
    spoil(path)
    with pytest.raises(OSError, match=path.stem):
        kernel._load(path)


@pytest.mark.parametrize("spoil", BUILT_ANEW.values(), ids=BUILT_ANEW)
def test_what_cannot_be_loaded_is_built_once(path, builds, spoil):
    spoil(path)
    assert products()
    kernel.library.cache_clear()
    assert products()
    assert builds == [path]


def test_whatever_the_umask_is_it_can_be_loaded_again(path, builds, capsys):
    path.unlink()
    umask = os.umask(0o002)
    try:
        assert products()
    finally:
        os.umask(umask)
    begins, ends = capsys.readouterr().err.splitlines()  # and nothing goes to standard output, which may be JSON
    assert begins.startswith("compiling the C++ decode kernel for float32 on this CPU, once")
    assert ends.startswith("compiled the C++ decode kernel for float32 in ")
    kernel.library.cache_clear()
    assert products()
    assert builds == [path]


def test_of_two_that_need_it_at_once_one_builds(path, builds):
    os.truncate(path, 9000)
    with ThreadPoolExecutor(2) as pool:
        assert all(pool.map(lambda _: kernel.library.__wrapped__().products_of(None, 0) == OURS, range(2)))
    assert builds == [path]


@needs_root
def test_a_file_of_another_user_is_never_loaded(path, builds, planted):
    content, mark = planted
    replace_whole(path, content)
    os.chown(path, OTHER_UID, OTHER_UID)
    assert products()
    assert builds == [path]
    assert not mark.exists()


@pytest.fixture
def shared(monkeypatch):
    """A folder where all users may write, as the temporary folder of a machine."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o1777)
        monkeypatch.setattr(tempfile, "tempdir", name)
        monkeypatch.delenv(INDUCTOR, raising=False)
        yield Path(name)


PLANT = 'mkdir -p "$(dirname "$1")" && cat > "$1"'


@needs_root
def test_what_another_user_plants_is_not_loaded(path, planted, shared):
    content, mark = planted
    old = shared / f"torchinductor_{getpass.getuser()}" / path.name
    assert as_another_user(PLANT, old, given=content) == 0
    assert as_another_user(PLANT, path, given=content) != 0
    path.unlink()
    assert products()
    assert not mark.exists()
    needs.kernels_folder("flex")
    assert Path(os.environ[INDUCTOR]).parent == path.parent


@needs_root
def test_auto_goes_on_where_another_user_was_first(monkeypatch, path, planted, shared):
    content, mark = planted
    monkeypatch.setenv(KERNELS, str(shared / "kernels"))
    for suffix, written in ((".so", content), (".txt", digest(path, content))):
        assert as_another_user(PLANT, shared / "kernels" / path.with_suffix(suffix).name, given=written) == 0
    inputs = drawn(GQA_8)
    backend = choose(GQA_8).autotuned(*inputs)
    assert backend.name != "cpp"
    assert "not tried: cpp has no folder for kernels" in backend.form
    with pytest.raises(needs.AbsentError, match=f"must belong to this user.*of {OTHER_UID}"):
        Cpp(GQA_8)
    assert not mark.exists()


def test_auto_goes_on_where_no_kernel_can_be_kept(monkeypatch, tmp_path, path):
    (tmp_path / "taken").touch()
    monkeypatch.setenv(KERNELS, str(tmp_path / "taken" / "kernels"))
    backend = choose(GQA_8).autotuned(*drawn(GQA_8))
    assert backend.name != "cpp"
    assert "not tried: cpp has no folder for kernels (NotADirectoryError" in backend.form


def test_a_kernel_that_cannot_be_loaded_is_no_failure(monkeypatch, path):
    missing = 'extern "C" void no_such_function(); static int called = (no_such_function(), 0);'
    monkeypatch.setattr(kernel, "_source_text", lambda: source(OURS, missing))
    with pytest.raises(needs.AbsentError, match=r"^cpp cannot be built or loaded here \(OSError: .*no_such_function"):
        Cpp(GQA_8).autotuned(*drawn(GQA_8))


def test_a_folder_that_somebody_chose_for_torch_stays(monkeypatch, tmp_path, path):
    monkeypatch.setenv(INDUCTOR, str(tmp_path / "chosen"))
    needs.kernels_folder("flex")
    assert os.environ[INDUCTOR] == str(tmp_path / "chosen")


def test_torch_compiles_for_each_cpu_apart(monkeypatch, path):
    folders = set()
    for flags in ("sse2", "avx2"):
        monkeypatch.delenv(INDUCTOR, raising=False)
        monkeypatch.setattr(kernel, "_instructions", lambda flags=flags: flags)
        needs.kernels_folder("flex")
        folders.add(os.environ[INDUCTOR])
    assert len(folders) == 2
    assert torch._inductor.runtime.cache_dir_utils.cache_dir() in folders
