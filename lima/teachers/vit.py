"""DINOv2's vision transformers, patch 14, under the names of their published weights.

Offers `VisionTransformer`, `vit_small`, `vit_base` and `vit_large`. What the methods use is the
output of the last block before the final LayerNorm (so do the released ScaLR and SuperFlow).
Architecture: Oquab et al., "DINOv2", 2023, without registers.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

PATCH = 14
NATIVE = 37
"""Patches per side that the position embedding was trained at (518 pixels)."""

_OFFSET = 0.1
"""Added to the grid size when resampling; the authors' guard against rounding, kept because it
moves the sampling positions."""


class PatchEmbedding(nn.Module):
    """Cuts the image into patches and projects each to a token."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, kernel_size=PATCH, stride=PATCH)

    def forward(self, pixels: Float[Tensor, "batch 3 H W"]) -> Float[Tensor, "batch width h w"]:
        """Tokens on their grid."""
        tokens: Tensor = self.proj(pixels)
        return tokens


class Attention(nn.Module):
    """Multi-head self-attention with one matrix for queries, keys and values."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(
        self, tokens: Float[Tensor, "batch tokens width"]
    ) -> Float[Tensor, "batch tokens width"]:
        """Every token looks at every other."""
        batch, n_tokens, width = tokens.shape
        parts = self.qkv(tokens).reshape(batch, n_tokens, 3, self.heads, width // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(query, key, value)
        mixed: Tensor = self.proj(seen.transpose(1, 2).reshape(batch, n_tokens, width))
        return mixed


class Mlp(nn.Module):
    """Two layers, four times as wide in between."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(
        self, tokens: Float[Tensor, "batch tokens width"]
    ) -> Float[Tensor, "batch tokens width"]:
        """Each token by itself."""
        out: Tensor = self.fc2(F.gelu(self.fc1(tokens)))
        return out


class LayerScale(nn.Module):
    """A learnt factor per channel on a residual branch; 1 before training."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(
        self, tokens: Float[Tensor, "batch tokens width"]
    ) -> Float[Tensor, "batch tokens width"]:
        """Scaled tokens."""
        return tokens * self.gamma


class Block(nn.Module):
    """Attention and MLP, each normalised before, scaled and added after."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width, heads)
        self.ls1 = LayerScale(width)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = Mlp(width)
        self.ls2 = LayerScale(width)

    def forward(
        self, tokens: Float[Tensor, "batch tokens width"]
    ) -> Float[Tensor, "batch tokens width"]:
        """One layer of the transformer."""
        tokens = tokens + self.ls1(self.attn(self.norm1(tokens)))
        tokens = tokens + self.ls2(self.mlp(self.norm2(tokens)))
        return tokens


class VisionTransformer(nn.Module):
    """DINOv2's backbone; maps normalised pixels to the last block's patch tokens.

    Args:
        width: Channels per token, D.
        depth: Blocks.
        heads: Attention heads, 64 channels each.
    """

    def __init__(self, width: int, depth: int, heads: int) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + NATIVE * NATIVE, width))
        self.mask_token = nn.Parameter(torch.zeros(1, width))  # in the files; used in training only
        self.patch_embed = PatchEmbedding(width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)  # in the files; its output is not used

    def forward(self, pixels: Float[Tensor, "batch 3 H W"]) -> Float[Tensor, "batch h w width"]:
        """Patch tokens before the final LayerNorm, without the class token, channels last."""
        patches = self.patch_embed(pixels)
        batch, width, rows, cols = patches.shape
        place, cls_place = position_embedding(self.pos_embed, (rows, cols))
        tokens = torch.cat(
            [
                (self.cls_token + cls_place).expand(batch, -1, -1),
                patches.flatten(2).transpose(1, 2) + place,
            ],
            dim=1,
        )
        for block in self.blocks:
            tokens = block(tokens)
        return tokens[:, 1:].reshape(batch, rows, cols, width)


def position_embedding(
    learnt: Float[Tensor, "1 positions width"], grid: tuple[int, int]
) -> tuple[Float[Tensor, "1 patches width"], Float[Tensor, "1 1 width"]]:
    """The learnt embedding resampled to `grid` (rows, columns), and that of the class token.

    Bicubic without antialiasing; the scale factors are (size + 0.1) / 37, as its authors do.
    """
    cls_place, places = learnt[:, :1], learnt[:, 1:]
    if grid == (NATIVE, NATIVE):
        return places, cls_place
    native = places.reshape(1, NATIVE, NATIVE, -1).permute(0, 3, 1, 2)
    factors = [(side + _OFFSET) / NATIVE for side in grid]
    resampled = F.interpolate(native, scale_factor=factors, mode="bicubic", antialias=False)
    return resampled.flatten(2).transpose(1, 2), cls_place


def vit_small() -> VisionTransformer:
    """ViT-S/14: 22,056,576 parameters."""
    return VisionTransformer(width=384, depth=12, heads=6)


def vit_base() -> VisionTransformer:
    """ViT-B/14: 86,580,480 parameters."""
    return VisionTransformer(width=768, depth=12, heads=12)


def vit_large() -> VisionTransformer:
    """ViT-L/14: 304,368,640 parameters."""
    return VisionTransformer(width=1024, depth=24, heads=16)
