"""Any speech recognition checkpoint of transformers: Qwen3-ASR, Whisper, Wav2Vec2, Parakeet, ..."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from qwenarm.errors import ModelUnavailable
from qwenarm.mind.checkpoints.load import first_line, quiet
from qwenarm.voice.sound import SAMPLE_RATE_HZ

MAX_NEW_TOKENS = 256
Transcribe = Callable[[np.ndarray], str]


class SpeechCheckpoint:
    """One checkpoint in this process, on the GPU if there is one.

    Args:
        name: A folder, or a Hub id "org/name" or "org/name@revision".

    Raises:
        ModelUnavailable: It cannot be found or loaded, or is no speech recogniser. No remote code runs, and weights
            are read from safetensors files only.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        folder = Path(name).expanduser()
        source, _, revision = (str(folder), "", "") if folder.is_dir() else name.partition("@")
        try:
            with quiet():
                self._transcribe = _load(source, {"revision": revision or None, "trust_remote_code": False})
        except Exception as error:  # of many kinds: the Hub, the files, or the architecture are to blame
            raise ModelUnavailable(f"The speech recogniser {name!r} cannot be loaded: {_reason(error)}") from error

    def transcribe(self, samples: np.ndarray) -> str:
        """See ``Recognizer``."""
        try:
            with quiet():
                return self._transcribe(samples)
        except Exception as error:
            raise ModelUnavailable(f"The speech recogniser {self.name!r} failed: {first_line(error)}") from error


def _reason(error: Exception) -> str:
    """Why loading failed, on one line. A pipeline tries several classes and quotes the traceback of each."""
    lines = str(error).split("\n")
    quoted = [line for line in lines if line.strip() and not line.startswith(" ")]
    return quoted[-1].strip() if lines[0].startswith("Could not load model") else first_line(error)


def _load(source: str, options: Mapping[str, Any]) -> Transcribe:
    """What transcribes sound with a checkpoint."""
    import torch
    from transformers import AutoProcessor, pipeline

    device = "cuda" if torch.cuda.is_available() else "cpu"
    processor = AutoProcessor.from_pretrained(source, **options)
    if hasattr(processor, "apply_transcription_request"):
        return _language_model(source, processor, device, options)
    recognize: Any = pipeline(
        "automatic-speech-recognition",
        model=source,
        device=device,
        dtype="auto",
        model_kwargs={"use_safetensors": True},
        **options,
    )
    return lambda samples: recognize({"raw": samples, "sampling_rate": SAMPLE_RATE_HZ})["text"]


def _language_model(source: str, processor: Any, device: str, options: Mapping[str, Any]) -> Transcribe:
    """A language model that hears, such as Qwen3-ASR: its processor knows how it is asked for a transcription."""
    import torch
    from transformers import AutoModelForMultimodalLM

    model: Any = AutoModelForMultimodalLM.from_pretrained(source, dtype="auto", use_safetensors=True, **options)
    model = model.to(device).eval()

    def transcribe(samples: np.ndarray) -> str:
        inputs = processor.apply_transcription_request(samples).to(device, model.dtype)
        with torch.inference_mode():
            tokens = model.generate(**inputs, max_new_tokens=MAX_NEW_TOKENS, do_sample=False)
        answer = processor.decode(tokens[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        return answer.rpartition("<asr_text>")[2]  # Qwen3-ASR names the language first

    return transcribe
