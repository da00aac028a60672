"""Measures llama.cpp with the language model of a checkpoint, to set beside `spark-mlx bench`.

    pip install llama-cpp-python gguf
    python benchmarks/beside_llama.py CHECKPOINT

The weights are written as GGUF, without a tokenizer, and quantised to q8_0 and q4_0 by llama.cpp
itself. Each file reads a prompt of 80 tokens, then writes speech greedily.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np

PROMPT, TOKENS, REPEATS = 80, 64, 5
# GGUF's names of a Qwen2 layer's parts.
PARTS = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path, help="a folder in the published layout")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="(all cores)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gguf") as name:
        plain = Path(name) / "float32.gguf"
        first, count = write_gguf(args.checkpoint / "LLM", plain)
        for path in (plain, *quantised(plain, args.threads)):
            rates, prefills = measure(path, range(first, first + count), args.threads)
            print(
                f"{path.stem:8} {statistics.median(rates):6.1f} tokens/s "
                f"({min(rates):.1f} - {max(rates):.1f}), "
                f"prefill of {PROMPT} {statistics.median(prefills):.3f} s"
            )


def write_gguf(folder: Path, path: Path) -> tuple[int, int]:
    """Writes a Qwen2 in float32; the first id of the semantic tokens, and how many there are."""
    import gguf

    config = json.loads((folder / "config.json").read_text())
    writer = gguf.GGUFWriter(path, "qwen2")
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_rope_freq_base(config["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_tokenizer_model("no_vocab")
    writer.add_vocab_size(config["vocab_size"])
    names = {"model.embed_tokens": "token_embd", "model.norm": "output_norm"}
    for i in range(config["num_hidden_layers"]):
        names |= {f"model.layers.{i}.{ours}": f"blk.{i}.{its}" for ours, its in PARTS.items()}
    for name, weight in mx.load(str(folder / "model.safetensors")).items():
        module, _, kind = name.rpartition(".")
        if module in names:  # the output layer is the embedding
            writer.add_tensor(f"{names[module]}.{kind}", np.array(weight.astype(mx.float32)))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    added = json.loads((folder / "tokenizer.json").read_text())["added_tokens"]
    ids = [token["id"] for token in added if token["content"].startswith("<|bicodec_semantic_")]
    return min(ids), len(ids)


def quantised(plain: Path, threads: int) -> list[Path]:
    """The same weights in llama.cpp's formats of 8 and 4 bits."""
    import llama_cpp

    paths = []
    for name, kind in (
        ("q8_0", llama_cpp.LLAMA_FTYPE_MOSTLY_Q8_0),
        ("q4_0", llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_0),
    ):
        settings = llama_cpp.llama_model_quantize_default_params()
        settings.ftype, settings.nthread = kind, threads
        paths.append(plain.with_name(f"{name}.gguf"))
        failed = llama_cpp.llama_model_quantize(
            os.fsencode(plain), os.fsencode(paths[-1]), settings
        )
        if failed:
            raise SystemExit(f"llama.cpp cannot write {name} of these weights")
    return paths


def measure(path: Path, speech: range, threads: int) -> tuple[list[float], list[float]]:
    """Tokens a second and seconds of prefill, of each repeat."""
    import llama_cpp as llama

    llama.llama_backend_init()
    model = llama.llama_model_load_from_file(os.fsencode(path), llama.llama_model_default_params())
    settings = llama.llama_context_default_params()
    settings.n_ctx = 1024
    settings.n_threads = settings.n_threads_batch = threads
    context = llama.llama_init_from_model(model, settings)
    size = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(model))

    def likeliest(*ids: int) -> int:
        """The speech token that follows."""
        tokens = (llama.llama_token * len(ids))(*ids)  # a batch only points to them
        if llama.llama_decode(context, llama.llama_batch_get_one(tokens, len(ids))):
            raise SystemExit("llama.cpp cannot go on")
        logits: Any = np.ctypeslib.as_array(llama.llama_get_logits(context), (size,))
        return speech.start + int(logits[speech.start : speech.stop].argmax())

    rates, prefills = [], []
    for _ in range(1 + REPEATS):
        llama.llama_memory_clear(llama.llama_get_memory(context), True)
        start = time.perf_counter()
        id_ = likeliest(*range(speech.start, speech.start + PROMPT))
        prefills.append(time.perf_counter() - start)
        start = time.perf_counter()
        for _ in range(TOKENS):
            id_ = likeliest(id_)
        rates.append(TOKENS / (time.perf_counter() - start))
    llama.llama_free(context)
    llama.llama_model_free(model)
    return rates[1:], prefills[1:]


if __name__ == "__main__":
    main()
