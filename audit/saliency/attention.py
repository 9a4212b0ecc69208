"""Maps from what the tokens of a transformer attend to, as far as it speaks for the class."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge

from audit.errors import ModelError, NoAttentionError
from audit.saliency.grids import Grid, find_grid
from audit.saliency.intercepted import Handler, Intercepted
from audit.saliency.microbatches import Microbatches

_Attention = tuple[Tensor, GradientEdge]
"""Shares ``(N, heads, T, T)`` of each token's attention, and where their derivative is had."""


def gradient_rollout(
    model: nn.Module, images: Tensor, targets: Tensor, *, seeds: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Attention times its derivative, positive part, carried on from block to block.

    Chefer, Gur and Wolf 2021, "Generic attention-model explainability for interpreting bi-modal and
    encoder-decoder transformers", the rule for self-attention: with ``A`` the attention of a block
    and ``A'`` the derivative of the class score by it, ``R += mean over heads of (A' * A)+ @ R``
    from ``R = I``. The map is the mean of those rows of ``R - I`` that the class score reads: the
    class token's, all the places' where they are averaged. Columns of class tokens and registers
    are left out.

    Attention is seen wherever PyTorch computes it: fused, in ``nn.MultiheadAttention`` or by a
    softmax of its own. Attention within windows (Swin, MaxViT) has no common tokens to carry it
    on; the map is that of the layers behind, where the last windows are the whole grid, and else
    there is none.

    Parameters
    ----------
    model : nn.Module
        From images in 0..1 to class scores.
    images : float (N, 3, H, W)
        In 0..1.
    targets : int64 (N,)
        The classes that are explained.
    seeds : sequence of N int
        Unused: nothing is drawn.

    Returns
    -------
    maps : float32 (N, H, W)
        Token resolution, enlarged bilinearly; >= 0.
    scores : float32 (N, K)
        Class scores of the same pass.

    Raises
    ------
    NoAttentionError
        No layer attends from all tokens of a grid to all of them.
    """
    if len(images) == 0:
        return images.new_zeros((0, *images.shape[2:]), dtype=torch.float32), images.new_zeros(0, 0)
    # One image at a time on a CPU: what was tried of the network is its attention in one kernel,
    # and products of matrices of odd sizes round by place in the batch.
    batches = Microbatches(images, targets, seeds, model=model)

    def explain(x: Tensor, t: Tensor, _seeds: Sequence[int]) -> tuple[Tensor, ...]:
        relevance, scores = _relevance(model, x, t)
        grid = _grid_of(relevance.shape[-1], (x.shape[2], x.shape[3]))
        small = grid.maps(relevance[..., None])
        large = F.interpolate(small, size=x.shape[2:], mode="bilinear", align_corners=False)
        return large[:, 0], scores.float()

    maps, scores = batches.map(explain)
    return maps, scores


def check_attention(model: nn.Module, image: Tensor) -> None:
    """Send one image through and look for attention over a grid.

    Parameters
    ----------
    model : nn.Module
        From images in 0..1 to class scores.
    image : float (1, 3, H, W)
        In 0..1.

    Raises
    ------
    NoAttentionError
        No layer attends from all tokens of a grid to all of them.
    """
    relevance, _ = _relevance(model, image, image.new_zeros(1, dtype=torch.int64))
    _grid_of(relevance.shape[-1], (image.shape[2], image.shape[3]))


def _relevance(model: nn.Module, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """How much each token speaks for the class, float32 ``(N, T)``, and the class scores."""
    kept: list[_Attention] = []
    with torch.inference_mode(False), torch.enable_grad():
        pixels = images.detach().clone().requires_grad_(True)
        with Intercepted(_handlers(len(images), kept)):
            scores = model(pixels)
        tokens = kept[-1][0].shape[-1] if kept else 0
        layers = [one for one in kept if one[0].shape[-1] == tokens]
        own = scores.gather(1, targets.clone()[:, None]).sum()
        if not layers or not own.requires_grad:
            raise NoAttentionError(_NO_ATTENTION)
        slopes = torch.autograd.grad(own, [edge for _, edge in layers], allow_unused=True)
    return _rolled_out([one for one, _ in layers], slopes), scores.detach()


def _rolled_out(attentions: Sequence[Tensor], slopes: Sequence[Tensor | None]) -> Tensor:
    count, _, tokens, _ = attentions[0].shape
    total = torch.eye(tokens, device=attentions[0].device).repeat(count, 1, 1)
    read = total.new_zeros(count, tokens)
    for attention, slope in zip(attentions, slopes, strict=True):
        if slope is None:
            continue
        steep = slope.view_as(attention).float()
        weighted = (steep * attention.float()).clamp_min(0).mean(1)
        total = total + weighted @ total
        # Of the last one that counts: the rows without a derivative are read by nothing.
        read = (steep != 0).any(3).any(1).float()
    rows = (read[:, None] @ (total - torch.eye(tokens, device=total.device)))[:, 0]
    return rows / read.sum(1, keepdim=True).clamp_min(1)


def _grid_of(tokens: int, image: tuple[int, int]) -> Grid:
    grid = find_grid((1, tokens, 1), image)
    if grid is None:
        raise NoAttentionError(_NO_ATTENTION)
    return grid


_NO_ATTENTION = (
    "saliency.method: gradient_rollout needs layers that attend from all tokens of the image to "
    "all of them (ViT, DeiT, BEiT, DINOv2), and none was seen inside this network (it attends "
    "within windows or not at all, or is a scripted or exported graph, say). Use "
    "saliency.method: gradcam."
)


def _handlers(count: int, kept: list[_Attention]) -> Mapping[Callable[..., Any], Handler]:
    """What sees attention among all tokens of each of `count` images, in order."""

    def softmax(function: Callable[..., Any], args: Any, keywords: Any) -> Any:
        shares: Tensor = function(*args, **keywords)
        _keep(shares, _edge(shares), count, kept)
        return shares

    def fused(_function: Callable[..., Any], args: Any, keywords: Any) -> Any:
        shares, value = _explicit(*args, **keywords)
        _keep(shares, _edge(shares), count, kept)
        return shares @ value

    def multi_head(function: Callable[..., Any], args: Any, keywords: Any) -> Any:
        asked = {**keywords, "need_weights": True, "average_attn_weights": False}
        output, shares = function(*args, **asked)
        # What is returned is a view beside the way to the class score; its origin lies on it.
        origin = shares.grad_fn and shares.grad_fn.next_functions[0]
        _keep(shares, GradientEdge(*origin) if origin else None, count, kept)
        return output, (shares if keywords.get("need_weights", True) else None)

    return {
        F.softmax: softmax,
        torch.softmax: softmax,
        torch.Tensor.softmax: softmax,
        F.scaled_dot_product_attention: fused,
        F.multi_head_attention_forward: multi_head,
    }


def _edge(shares: Tensor) -> GradientEdge | None:
    return get_gradient_edge(shares) if shares.requires_grad else None


def _keep(shares: Tensor, edge: GradientEdge | None, count: int, kept: list[_Attention]) -> None:
    form = shares.shape
    if edge is not None and len(form) == 4 and form[0] == count and form[2] == form[3] > 1:
        kept.append((shares.detach(), edge))


def _explicit(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> tuple[Tensor, Tensor]:
    """Attention and values of a fused call, by the formula of PyTorch's documentation."""
    if dropout_p or is_causal or enable_gqa:
        raise ModelError(
            "saliency.method: gradient_rollout cannot follow attention with dropout, a causal mask "
            "or grouped queries; use saliency.method: gradcam"
        )
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    logits = (query * scale) @ key.transpose(-2, -1)
    if attn_mask is not None:
        logits = (
            logits.masked_fill(~attn_mask, -math.inf)
            if attn_mask.dtype == torch.bool
            else logits + attn_mask
        )
    return logits.softmax(-1), value
