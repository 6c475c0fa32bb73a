"""Checkpoints of the true shape with random weights: whatever they hear, the whole chain works."""

import json

import pytest
import torch
from safetensors.torch import load_file
from tests.voice.test_sphinx import FOLDER
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    PreTrainedTokenizerFast,
    Qwen3ASRConfig,
    Qwen3ASRFeatureExtractor,
    Qwen3ASRForConditionalGeneration,
    Qwen3ASRProcessor,
    Wav2Vec2Config,
    Wav2Vec2CTCTokenizer,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForCTC,
    Wav2Vec2Processor,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperProcessor,
    WhisperTokenizer,
)

from qwenarm.errors import ModelUnavailable
from qwenarm.voice import open_recognizer
from qwenarm.voice.sound import SAMPLE_RATE_HZ, read_wav

LETTERS = "abcdefghijklmnopqrstuvwxyz"


def sounds():
    return read_wav(FOLDER / "put.wav").samples


@pytest.fixture
def wav2vec2(tmp_path):
    """A CTC model whose bias makes it write "a" everywhere."""
    vocabulary = {name: i for i, name in enumerate(["<pad>", "<s>", "</s>", "<unk>", "|", *LETTERS])}
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary))
    tokenizer = Wav2Vec2CTCTokenizer(str(tmp_path / "vocab.json"), word_delimiter_token="|")
    Wav2Vec2Processor(Wav2Vec2FeatureExtractor(sampling_rate=SAMPLE_RATE_HZ), tokenizer).save_pretrained(tmp_path)
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    convolutions = {"conv_dim": (8, 8), "conv_kernel": (10, 8), "conv_stride": (40, 8), "num_feat_extract_layers": 2}
    config = Wav2Vec2Config(
        vocab_size=len(vocabulary), **small, **convolutions, num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=2
    )
    model = Wav2Vec2ForCTC(config)
    model.lm_head.bias.data[vocabulary["a"]] = 100.0
    model.save_pretrained(tmp_path)
    return tmp_path


@pytest.fixture
def whisper(tmp_path):
    """A model of the shape of Whisper that can say nothing but "a"."""
    letters = [chr(i) for i in (*range(33, 127), *range(161, 173), *range(174, 256), *range(256, 324))]  # byte level
    special = [
        "<|endoftext|>",
        "<|startoftranscript|>",
        "<|en|>",
        "<|transcribe|>",
        "<|translate|>",
        "<|notimestamps|>",
    ]
    vocabulary = {name: i for i, name in enumerate([*letters, *special])}
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary))
    (tmp_path / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = WhisperTokenizer(str(tmp_path / "vocab.json"), str(tmp_path / "merges.txt"))
    extractor = WhisperFeatureExtractor(feature_size=80)
    WhisperProcessor(extractor, tokenizer).save_pretrained(tmp_path)
    end, start = vocabulary["<|endoftext|>"], vocabulary["<|startoftranscript|>"]
    small = {"encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2}
    ids = {"bos_token_id": end, "eos_token_id": end, "pad_token_id": end, "decoder_start_token_id": start}
    sizes = {"d_model": 16, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16, "max_target_positions": 300}
    model = WhisperForConditionalGeneration(WhisperConfig(vocab_size=len(vocabulary), **small, **ids, **sizes))
    model.generation_config.max_length = 24
    model.generation_config.is_multilingual = False
    model.generation_config.suppress_tokens = [i for name, i in vocabulary.items() if name != "a"]
    model.generation_config.no_timestamps_token_id = vocabulary["<|notimestamps|>"]
    model.save_pretrained(tmp_path)
    return tmp_path


CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{% for part in message.content %}"
    "{% if part.type == 'audio' %}<|audio_start|><|audio_pad|><|audio_end|>{% else %}{{ part.text }}{% endif %}"
    "{% endfor %}<|im_end|>\n{% endfor %}"
)


@pytest.fixture
def qwen3_asr(tmp_path):
    """A model of the shape of Qwen3-ASR that can say nothing but "a"."""
    raw = Tokenizer(models.BPE({letter: i for i, letter in enumerate(pre_tokenizers.ByteLevel.alphabet())}, []))
    raw.pre_tokenizer, raw.decoder = pre_tokenizers.ByteLevel(False), decoders.ByteLevel()
    audio = {"audio_token": "<|audio_pad|>", "audio_bos_token": "<|audio_start|>", "audio_eos_token": "<|audio_end|>"}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw, eos_token="<|im_end|>", pad_token="<|im_end|>", extra_special_tokens=audio
    )
    Qwen3ASRProcessor(Qwen3ASRFeatureExtractor(), tokenizer, chat_template=CHAT_TEMPLATE).save_pretrained(tmp_path)
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8}
    text = {"vocab_size": len(tokenizer), "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, **heads}
    encoder = {"encoder_layers": 1, "encoder_attention_heads": 2, "encoder_ffn_dim": 16, "downsample_hidden_size": 8}
    model = Qwen3ASRForConditionalGeneration(
        Qwen3ASRConfig(
            audio_config={"d_model": 16, "output_dim": 16, **encoder},
            text_config=text,
            audio_token_id=tokenizer.convert_tokens_to_ids("<|audio_pad|>"),
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
    )
    (only,) = tokenizer.encode("a")
    model.generation_config.suppress_tokens = [i for i in range(len(tokenizer)) if i != only]
    model.save_pretrained(tmp_path)
    return tmp_path


def test_a_model_of_the_shape_of_qwen3_asr_is_asked_for_a_transcription(qwen3_asr):
    assert set(open_recognizer(str(qwen3_asr)).transcribe(sounds())) == {"a"}


def test_a_ctc_model_transcribes(wav2vec2):
    recognizer = open_recognizer(str(wav2vec2))
    assert recognizer.transcribe(sounds()).lower() == "a" and recognizer.name == str(wav2vec2)


def test_a_model_of_whispers_shape_transcribes(whisper):
    assert set(open_recognizer(str(whisper)).transcribe(sounds())) == {"a"}


def test_what_is_no_recogniser_is_told_in_one_sentence(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "no_such_model"}')
    for name in (tmp_path, tmp_path / "missing"):
        with pytest.raises(ModelUnavailable, match="cannot be loaded") as told:
            open_recognizer(str(name))
        assert "\n" not in str(told.value)


def test_weights_outside_of_safetensors_are_not_opened(wav2vec2):
    torch.save(load_file(wav2vec2 / "model.safetensors"), wav2vec2 / "pytorch_model.bin")
    (wav2vec2 / "model.safetensors").unlink()
    with pytest.raises(ModelUnavailable, match="no file named model"):
        open_recognizer(str(wav2vec2))
