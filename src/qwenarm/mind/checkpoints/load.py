"""Finds and checks checkpoints. No remote code, no pickles, no torchvision.

Everything is checked before any weight is read, so that an unusable checkpoint is rejected at once, in one sentence.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

from qwenarm.errors import ModelUnavailable
from qwenarm.mind.checkpoints.gguf import GgufFile, gguf_in, read_gguf
from qwenarm.mind.checkpoints.limits import check_files, check_settings, check_size
from qwenarm.mind.checkpoints.memory import WeightCount, impossible_size, weights_in
from qwenarm.mind.families import TEXT_MODEL_TYPES, Family, family_of
from qwenarm.mind.model_sizes import MODEL_SIZES
from qwenarm.mind.prompt.chat_templates import read_json, template_in
from qwenarm.mind.prompt.presets import PROMPT_PRESETS, Preset, preset_named

BUNDLED_MODEL = "bundled"
PRESET_FILE = "qwenarm.json"
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")
SETTINGS_FILES = ("*.json", "*.jinja", "*.txt", "*.model")
"""A checkpoint's files besides its weights: settings, chat template, and the tokenizer's files."""
WEIGHT_FILES = "*.safetensors"
TOKENIZER_FILES = ("tokenizer.json", "vocab.json")
IMAGE_SETTINGS_FILES = ("preprocessor_config.json", "processor_config.json")
CONNECT_TIMEOUT_S = 10.0
MAX_REASON_CHARS = 300
"""Maximum length of an error message of another library that is repeated."""


@dataclass(frozen=True)
class Checkpoint:
    """A complete folder in the Hub's layout, or a GGUF file.

    Attributes:
        source: Its name as given by the user.
        folder: Where its files are.
        revision: A commit on the Hub, or "".
        preset: How the model was trained to be prompted.
        template: Its chat template.
        template_file: The file with the chat template.
        gguf: The header, if it is a GGUF file.
    """

    source: str
    folder: Path
    revision: str
    model_type: str
    family: Family
    preset: Preset
    template: str
    template_file: str
    gguf: GgufFile | None = None

    def describe(self) -> dict[str, Any]:
        """Returns what the record of a run says about it."""
        names = {"model": self.source, "family": self.family.name, "model_type": self.model_type}
        return {**names, "revision": self.revision, "sha256": self.sha256, "files": self.files}

    @property
    def has_eyes(self) -> bool:
        """Whether the model takes images."""
        return self.model_type not in TEXT_MODEL_TYPES

    @property
    def shards(self) -> list[Path]:
        """The files with the weights."""
        return [self.gguf.path] if self.gguf else sorted(self.folder.glob(WEIGHT_FILES))

    @property
    def weight_bytes(self) -> int:
        return sum(shard.stat().st_size for shard in self.shards)

    @contextlib.contextmanager
    def opened(self) -> Iterator[dict[str, Any]]:
        """Yields the arguments with which ``from_pretrained`` reads these files, no others, and no code."""
        safely = {"local_files_only": True, "trust_remote_code": False}
        if self.gguf is None:
            yield {"pretrained_model_name_or_path": self.folder, **safely}
            return
        with self.gguf.alone() as folder:
            yield {"pretrained_model_name_or_path": folder, "gguf_file": self.gguf.path.name, **safely}

    @cached_property
    def settings(self) -> Any:
        """transformers' config, completed with the defaults of its class. Raises ModelUnavailable."""
        from transformers import AutoConfig

        try:
            with quiet(), self.opened() as files:
                loaded = AutoConfig.from_pretrained(**files, **(self.gguf.config_overrides if self.gguf else {}))
                loaded.to_dict()  # fails for values that cannot be settings
                return loaded
        except Exception as error:  # of many kinds, all caused by the file
            raise ModelUnavailable(f"{self._settings_file} is not valid: {first_line(error)}") from error

    @property
    def _settings_file(self) -> str:
        return f"{'The header' if self.gguf else 'config.json'} of {self.source!r}"

    @cached_property
    def config(self) -> dict[str, Any]:
        """The settings as plain values, always with "text_config" and "vision_config". Raises ModelUnavailable."""
        config = self.settings.to_dict()
        if not self.has_eyes:
            config = {**config, "text_config": config, "vision_config": {}}
        if wrong := impossible_size(config):
            raise ModelUnavailable(f"{self._settings_file} is not valid: {wrong}.")
        if self.shards:
            check_size(config, self._weights_by(config).total, self.source)
        return config

    @cached_property
    def weights(self) -> WeightCount:
        """The number of weights, from the files' headers."""
        return self._weights_by(self.config)

    def _weights_by(self, config: dict[str, Any]) -> WeightCount:
        if self.gguf is not None:
            return WeightCount(self.gguf.weight_count, 0)  # dequantised; nothing quantises them again
        return weights_in(self.folder, config)

    @cached_property
    def sha256(self) -> str:
        """The hash of the weights, file by file in the order of their names."""
        digest = hashlib.sha256()
        for shard in self.shards:
            with shard.open("rb") as stream:
                while block := stream.read(1 << 22):
                    digest.update(block)
        return digest.hexdigest()

    @cached_property
    def files(self) -> str:
        """Returns 16 hex digits, a hash of all other files: whatever else the model's answers depend on."""
        patterns, digest = () if self.gguf else SETTINGS_FILES, hashlib.sha256()
        for path in sorted({path for pattern in patterns for path in self.folder.glob(pattern) if path.is_file()}):
            digest.update(f"{path.name} {path.stat().st_size}\n".encode() + path.read_bytes())
        return digest.hexdigest()[:16]


def locate(source: str, weights: bool = True) -> Checkpoint:
    """Finds a checkpoint and checks it. A Hub id is downloaded once, then served from the local cache.

    Args:
        source: "bundled", a folder, a GGUF file, or a Hub id "org/name" or "org/name@revision".
        weights: Whether weights are needed; if not, none are downloaded or checked.

    Raises:
        ModelUnavailable: The checkpoint cannot be used; the message says why.
    """
    folder, revision = _folder(source, weights)
    if path := gguf_in(folder, source):
        gguf = read_gguf(path, source)
        kind, template, preset = gguf.model_type, gguf.template, preset_named("qwen")
        return Checkpoint(source, path.parent, "", kind, family_of(kind, template), preset, template, path.name, gguf)
    if not source or not folder.is_dir():
        raise ModelUnavailable(_no_such_model(source))
    check_files(folder, source, SETTINGS_FILES, WEIGHT_FILES)
    config = read_json(folder / "config.json", source)
    check_settings(folder, source, config)
    if weights:
        _check_weights(folder, source, downloaded=revision != "")
    model_type = str(config.get("model_type", ""))
    family_of(model_type)  # if the model is of another kind, say that first, whatever its chat template
    _check_settings(folder, source, has_eyes=model_type not in TEXT_MODEL_TYPES)
    template, file = template_in(folder, source)
    preset = _preset(folder, source)
    return Checkpoint(source, folder, revision, model_type, family_of(model_type, template), preset, template, file)


def _no_such_model(source: str) -> str:
    """What is told for a name that is no folder: a known model that it resembles, and how models are named."""
    near = get_close_matches(source, [BUNDLED_MODEL, *(name for size in MODEL_SIZES for name in size.ids)], n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    valid = f"{BUNDLED_MODEL}, ORG/NAME of the Hub, a folder, a server's URL; see `qwenarm list models`"
    return f"There is no folder {source!r} to load a model from.{hint} Valid: {valid}."


def bundled_folder() -> Path:
    """Returns the folder of the checkpoint that comes with the package."""
    return Path(str(files("qwenarm"))) / "assets" / "bundled"


def _is_hub_id(source: str) -> bool:
    """Returns whether a name is that of a model on the Hub rather than a folder."""
    if source == BUNDLED_MODEL or source.startswith((".", "/", "~")) or Path(source).expanduser().exists():
        return False
    return HUB_ID.fullmatch(source) is not None


def is_cached(source: str) -> bool:
    """Returns whether a checkpoint can be found without a download."""
    if not _is_hub_id(source):
        return True
    from huggingface_hub import errors, try_to_load_from_cache

    name, _, revision = source.partition("@")
    try:
        return isinstance(try_to_load_from_cache(name, "config.json", revision=revision or None), str)
    except errors.HFValidationError:  # a name such as "a--b/c", which is not valid on the Hub
        return False


def _folder(source: str, weights: bool) -> tuple[Path, str]:
    """Returns the folder of a checkpoint, and its revision on the Hub or ""."""
    if source == BUNDLED_MODEL:
        if not (bundled_folder() / "config.json").is_file():
            raise ModelUnavailable(
                f"The bundled model is missing from {str(bundled_folder())!r}; install qwenarm again."
            )
        return bundled_folder(), ""
    return _download(source, weights) if _is_hub_id(source) else (Path(source).expanduser(), "")


def _download(source: str, weights: bool) -> tuple[Path, str]:
    """Returns the snapshot of a Hub id in the local cache, downloaded if necessary, and its revision."""
    from huggingface_hub import errors, snapshot_download

    name, _, revision = source.partition("@")
    patterns = [*SETTINGS_FILES, *([WEIGHT_FILES] if weights else [])]
    try:
        with quiet():
            path = snapshot_download(
                name, revision=revision or None, allow_patterns=patterns, etag_timeout=CONNECT_TIMEOUT_S
            )
    except errors.GatedRepoError as error:
        raise ModelUnavailable(
            f"{name!r} is gated: accept its licence on the Hub and log in with `hf auth login`."
        ) from error
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError) as error:
        raise ModelUnavailable(f"The Hugging Face Hub has no model {source!r}, and there is no such folder.") from error
    except Exception as error:  # the Hub's client raises its own errors, httpx's and OSError
        raise ModelUnavailable(
            f"Cannot fetch {source!r} from the Hugging Face Hub, it is not in the local cache, and there is no such "
            f"folder: {first_line(error)}"
        ) from error
    return Path(path), Path(path).name


def first_line(error: Exception) -> str:
    """Returns the first line of a message, with the second if the first ends in a colon ("... of field 'x':").

    Long lines are cut, because transformers lists hundreds of models in one.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    text = " ".join(lines[: 2 if lines[0].endswith(":") else 1])
    return text if len(text) <= MAX_REASON_CHARS else f"{text[:MAX_REASON_CHARS]} …"


def _check_weights(folder: Path, source: str, downloaded: bool) -> None:
    """Checks that all weight files are there, and as long as their headers say."""
    from safetensors import SafetensorError, safe_open

    shards = {path.name for path in folder.glob(WEIGHT_FILES)}
    if missing := _indexed_shards(folder, source) - shards:
        hint = "; start again with a connection to the Hub to finish its download" if downloaded else ""
        raise ModelUnavailable(f"{source!r} is incomplete: {len(missing)} of its weight files are missing{hint}.")
    if not shards and downloaded:  # without a connection it is impossible to tell which of the two it is
        raise ModelUnavailable(
            f"The cache has no safetensors files of {source!r}: either its download is incomplete (then start again "
            "with a connection to the Hub), or it is published in other formats only, which are not loaded."
        )
    if not shards:
        raise ModelUnavailable(f"{source!r} has no weights in safetensors files; other formats are not loaded.")
    for name in sorted(shards):
        try:
            with safe_open(folder / name, framework="numpy"):
                pass
        except (SafetensorError, OSError) as error:
            raise ModelUnavailable(f"{name} of {source!r} is truncated or damaged: {first_line(error)}.") from error


def _indexed_shards(folder: Path, source: str) -> set[str]:
    """Returns the weight files listed in the index; none if there is no index."""
    index = folder / "model.safetensors.index.json"
    weight_map = read_json(index, source).get("weight_map", {}) if index.is_file() else {}
    if not isinstance(weight_map, dict) or not all(isinstance(name, str) for name in weight_map.values()):
        raise ModelUnavailable(f"{index.name} of {source!r} is broken: its weight_map must map weights to file names.")
    return set(weight_map.values())


def _check_settings(folder: Path, source: str, has_eyes: bool) -> None:
    """Checks that the processor's files are there. transformers would make an empty tokenizer if there is none."""
    needed = {"tokenizer": TOKENIZER_FILES, **({"image settings": IMAGE_SETTINGS_FILES} if has_eyes else {})}
    for what, names in needed.items():
        if not any((folder / name).is_file() for name in names):
            raise ModelUnavailable(f"{source!r} is incomplete: it has no {what} ({' or '.join(names)}).")


def _preset(folder: Path, source: str) -> Preset:
    """Returns the preset named in the folder's ``qwenarm.json``, or the default one for Qwen-VL."""
    file = folder / PRESET_FILE
    if not file.is_file():
        return preset_named("bundled" if source == BUNDLED_MODEL else "qwen")
    name = read_json(file, source).get("preset")
    if not isinstance(name, str):
        raise ModelUnavailable(f"{PRESET_FILE} of {source!r} names no preset. Valid: {', '.join(PROMPT_PRESETS)}.")
    return preset_named(name)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silences progress bars and messages of transformers and the Hub's client, which would break a live view."""
    from huggingface_hub import utils as hub
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), not hub.are_progress_bars_disabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    hub.disable_progress_bars()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)
        logging.enable_progress_bar()
        if bars:
            hub.enable_progress_bars()
