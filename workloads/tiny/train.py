"""Train the tiny masked-diffusion model: `python -m workloads.tiny.train -o weights.npz` (needs PyTorch).

LLaDA's objective (arXiv 2502.09992, section 2.2): a share t ~ U(0, 1] of the answer is masked, and the cross
entropy of the masked tokens, divided by t, is minimised. Prompts are never masked.
"""

from __future__ import annotations

import argparse
import math
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from workloads.tiny.tasks import ANSWER, MASK, PROMPT, VOCAB, example

LAYERS, HIDDEN, HEADS, FFN = 4, 128, 4, 384
HEAD_DIM = HIDDEN // HEADS
ROPE_THETA, NORM_EPS = 10000.0, 1e-5


class Norm(nn.Module):
    """RMSNorm with a gain."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(HIDDEN))

    def forward(self, x: Tensor) -> Tensor:
        """Rows of `x`, each divided by its root mean square, times the gain."""
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + NORM_EPS) * self.weight


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions, rotate-half form."""
    first, second = x.chunk(2, -1)
    return x * cos + torch.cat((-second, first), -1) * sin


class Layer(nn.Module):
    """A transformer layer: bidirectional attention and a SwiGLU feed-forward part, both behind norms."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = Norm(), Norm()
        self.q, self.k, self.v, self.o = (nn.Linear(HIDDEN, HIDDEN, bias=False) for _ in range(4))
        self.gate, self.up = (nn.Linear(HIDDEN, FFN, bias=False) for _ in range(2))
        self.down = nn.Linear(FFN, HIDDEN, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Rows [batch, position, HIDDEN] through the layer."""
        batch, length, _ = x.shape
        h = self.norm1(x)
        q, k, v = (part(h).view(batch, length, HEADS, HEAD_DIM).transpose(1, 2) for part in (self.q, self.k, self.v))
        a = functional.scaled_dot_product_attention(rotate(q, cos, sin), rotate(k, cos, sin), v)
        x = x + self.o(a.transpose(1, 2).reshape(batch, length, HIDDEN))
        h = self.norm2(x)
        out: Tensor = x + self.down(functional.silu(self.gate(h)) * self.up(h))
        return out


class Model(nn.Module):
    """The whole model."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCAB, HIDDEN)
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))
        self.norm = Norm()
        self.head = nn.Linear(HIDDEN, VOCAB, bias=False)
        for name, weight in self.named_parameters():
            if weight.dim() == 2:
                scale = 1 / math.sqrt(2 * LAYERS) if name.endswith(("o.weight", "down.weight")) else 1.0
                nn.init.normal_(weight, std=scale / math.sqrt(weight.shape[1]))

    def forward(self, ids: Tensor) -> Tensor:
        """Logits [batch, position, VOCAB] of token ids [batch, position]."""
        length = ids.shape[1]
        rates = ROPE_THETA ** (-torch.arange(0, HEAD_DIM, 2) / HEAD_DIM)
        angles = torch.arange(length)[:, None] * rates[None].repeat(1, 2).view(1, -1)
        cos, sin = angles.cos().to(ids.device), angles.sin().to(ids.device)
        x = self.embedding(ids)
        for layer in self.layers:
            x = layer(x, cos, sin)
        out: Tensor = self.head(self.norm(x))
        return out


def batch(rng: random.Random, size: int) -> Tensor:
    """`size` whole canvases; six of ten are additions."""
    tasks = rng.choices(("addition", "sorting", "infilling"), (6, 2, 2), k=size)
    rows = [example(task, rng, test=False) for task in tasks]
    return torch.tensor([row.prompt_ids + row.answer_ids for row in rows])


def loss_of(model: Model, canvas: Tensor, noise: torch.Generator) -> Tensor:
    """Mean over canvases of the masked tokens' cross entropy, divided by the share masked."""
    share = torch.rand(len(canvas), 1, generator=noise) * 0.98 + 0.02
    masked = torch.rand(canvas.shape, generator=noise) < share
    masked[:, :PROMPT] = False
    share, masked = share.to(canvas.device), masked.to(canvas.device)
    logits = model(torch.where(masked, MASK, canvas))
    each = functional.cross_entropy(logits.transpose(1, 2), canvas, reduction="none")
    return (each * masked / share).sum() / (len(canvas) * ANSWER)


def train(steps: int, size: int, rate: float, seed: int, minutes: float, device: str) -> Model:
    """A trained model; the learning rate falls to zero over `steps`, or over `minutes` if those end before."""
    torch.manual_seed(seed)
    rng, noise = random.Random(seed), torch.Generator().manual_seed(seed)
    model = Model().to(device)
    decay: list[Any] = [p for p in model.parameters() if p.dim() == 2]
    rest: list[Any] = [p for p in model.parameters() if p.dim() != 2]
    groups = [{"params": decay, "weight_decay": 0.05}, {"params": rest, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98))
    start, mean = time.monotonic(), 0.0
    for step in range(steps):
        done = max(step / steps, (time.monotonic() - start) / (60 * minutes)) if minutes else step / steps
        if done >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, (step + 1) / 100) * 0.5 * (1 + math.cos(math.pi * done))
        loss = loss_of(model, batch(rng, size).to(device), noise)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        mean += (loss.item() - mean) * max(0.02, 1 / (step + 1))
        if step % 100 == 0:
            print(f"step {step}: loss {mean:.4f}, {time.monotonic() - start:.0f} s", flush=True)
    return model


def export(model: Model, path: Path) -> None:
    """Weights as BF16 bits (uint16) by name: what the reference and the program both compute with."""
    arrays = {}
    for name, weight in model.state_dict().items():
        bits = weight.detach().cpu().to(torch.bfloat16).view(torch.int16).numpy().view(np.uint16)
        arrays[name] = bits
    np.savez_compressed(path, **arrays)


def main() -> None:
    """Train and write the weights."""
    parser = argparse.ArgumentParser(description="Train the tiny masked-diffusion model.")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=0, help="stop after that long; 0: after all steps")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model = train(options.steps, options.batch, options.rate, options.seed, options.minutes, options.device)
    export(model, options.output)


if __name__ == "__main__":
    main()
