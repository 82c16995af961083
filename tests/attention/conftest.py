"""A machine without a compiler."""

import sys

import pytest


@pytest.fixture
def no_compiler(monkeypatch, tmp_path):
    """torch finds no C++ compiler."""
    from torch._inductor.cpp_builder import cpp_compiler_search  # takes seconds to import

    if sys.platform == "win32":
        pytest.skip("a compiler there is found by other means than the path")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    cpp_compiler_search.cache_clear()
