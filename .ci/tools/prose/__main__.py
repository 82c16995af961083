"""Numbers in prose, from the committed records: `.ci/tool prose` writes them, `--check` compares them.

A document marks a number as `<!--=NAME-->1.24<!--/-->`, which GitHub shows as 1.24; figures.py says how each is read.
"""

import sys

from tools.prose.documents import documents, filled


def main(arguments):
    """Write every document whose figures differ, or with `--check` only name it; 1 if one differs under `--check`."""
    differ = False
    for path in documents():
        text = path.read_text(encoding="utf-8")
        if (expected := filled(path, text)) != text:
            differ = True
            if "--check" not in arguments:
                path.write_text(expected, encoding="utf-8")
            print(f"{'differs' if '--check' in arguments else 'written'}: {path}")
    return int(differ and "--check" in arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
