"""Logits of a GGUF file computed in f32 from its dequantized weights, with numpy and nothing of Mullama's or llama.cpp's.

Knows the two families that the comparison needs: llama (dense) and gemma3.
"""

import gguf
import numpy as np


class Reference:
    def __init__(self, path):
        reader = gguf.GGUFReader(path)
        self.fields = {name: field.contents() for name, field in reader.fields.items() if not name.startswith("tokenizer.")}
        self.tensors = {tensor.name: tensor for tensor in reader.tensors}
        self.family = self.fields["general.architecture"]
        if self.family not in ("llama", "gemma3"):
            raise SystemExit(f"{path}: no reference for the family '{self.family}'")
        self.gemma = self.family == "gemma3"
        self.width = self.field("embedding_length")
        self.heads = self.field("attention.head_count")
        self.kv_heads = self.field("attention.head_count_kv", self.heads)
        self.head_width = self.field("attention.key_length", self.width // self.heads)
        self.epsilon = np.float32(self.field("attention.layer_norm_rms_epsilon"))
        if f"{self.family}.rope.scaling.type" in self.fields or "rope_freqs.weight" in self.tensors:
            raise SystemExit(f"{path}: the reference knows no rope scaling")

    def field(self, name, default=None):
        value = self.fields.get(f"{self.family}.{name}", default)
        if value is None:
            raise SystemExit(f"the file has no {self.family}.{name}")
        return value

    def weight(self, name):
        tensor = self.tensors[name]
        return gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)

    def norm(self, x, name):
        scale = 1 / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + self.epsilon)
        return x * scale * self.weight(name)

    def rotate(self, x, base):
        """Rope over the last axis of x[position, head, value]: halves for Gemma, neighbours for Llama."""
        half = self.head_width // 2
        angles = np.arange(len(x))[:, None, None] * base ** (-np.arange(half) / half)
        cos, sin = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
        out = np.empty_like(x)
        first, second = (np.s_[..., :half], np.s_[..., half:]) if self.gemma else (np.s_[..., 0::2], np.s_[..., 1::2])
        out[first] = x[first] * cos - x[second] * sin
        out[second] = x[first] * sin + x[second] * cos
        return out

    def attention(self, x, layer):
        prefix = f"blk.{layer}."
        q = (x @ self.weight(prefix + "attn_q.weight").T).reshape(len(x), self.heads, self.head_width)
        k = (x @ self.weight(prefix + "attn_k.weight").T).reshape(len(x), self.kv_heads, self.head_width)
        v = (x @ self.weight(prefix + "attn_v.weight").T).reshape(len(x), self.kv_heads, self.head_width)
        base, window = self.field("rope.freq_base", 10000.0), len(x)
        if self.gemma:
            q, k = self.norm(q, prefix + "attn_q_norm.weight"), self.norm(k, prefix + "attn_k_norm.weight")
            if (layer + 1) % 6 != 0:  # five local layers before each global one
                base, window = 10000.0, self.field("attention.sliding_window")
        q, k = self.rotate(q, base), self.rotate(k, base)
        k, v = (np.repeat(each, self.heads // self.kv_heads, axis=1) for each in (k, v))
        scores = np.einsum("ihd,jhd->hij", q, k) / np.float32(np.sqrt(self.head_width))
        distance = np.arange(len(x))[:, None] - np.arange(len(x))[None, :]
        scores = np.where((distance < 0) | (distance >= window), np.float32(-np.inf), scores)
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        scores /= scores.sum(axis=-1, keepdims=True)
        mixed = np.einsum("hij,jhd->ihd", scores, v).reshape(len(x), -1)
        return mixed @ self.weight(prefix + "attn_output.weight").T

    def feed_forward(self, x, layer):
        prefix = f"blk.{layer}."
        gate = x @ self.weight(prefix + "ffn_gate.weight").T
        if self.gemma:
            gate = gate * np.float32(0.5) * (1 + np.tanh(np.float32(np.sqrt(2 / np.pi)) * (gate + np.float32(0.044715) * gate**3)))
        else:
            gate = gate / (1 + np.exp(-gate))
        return (gate * (x @ self.weight(prefix + "ffn_up.weight").T)) @ self.weight(prefix + "ffn_down.weight").T

    def logits(self, tokens):
        """f32[len(tokens), vocabulary]."""
        embedding = self.weight("token_embd.weight")
        x = embedding[tokens]
        if self.gemma:
            x = x * np.float32(np.sqrt(self.width))
        for layer in range(self.field("block_count")):
            mixed = self.attention(self.norm(x, f"blk.{layer}.attn_norm.weight"), layer)
            x = x + (self.norm(mixed, f"blk.{layer}.post_attention_norm.weight") if self.gemma else mixed)
            mixed = self.feed_forward(self.norm(x, f"blk.{layer}.ffn_norm.weight"), layer)
            x = x + (self.norm(mixed, f"blk.{layer}.post_ffw_norm.weight") if self.gemma else mixed)
        x = self.norm(x, "output_norm.weight")
        return x @ (self.weight("output.weight") if "output.weight" in self.tensors else embedding).T
