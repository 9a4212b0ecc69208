"""Every family of torchvision's classifiers, and timm's most used, as small as its code allows."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import timm
import torch
from torch import nn
from torchvision import models
from torchvision.models.convnext import CNBlockConfig
from torchvision.models.vgg import make_layers

K = 3
TINY_VIT: dict[str, Any] = {"img_size": 64, "embed_dim": 32, "depth": 2, "num_heads": 2}


def named(name: str, **more: Any) -> nn.Module:
    network: nn.Module = models.get_model(name, num_classes=K, **more)
    return network


def of_timm(name: str, **more: Any) -> nn.Module:
    network: nn.Module = timm.create_model(name, num_classes=K, **more)
    return network


def vgg() -> nn.Module:
    network = models.VGG(make_layers([8, "M", 16, "M", 16, "M"]), num_classes=K, init_weights=False)
    network.classifier = nn.Sequential(nn.Flatten(), nn.Linear(16 * 49, K))
    return network


def resnet(block: Any, **more: Any) -> nn.Module:
    return models.ResNet(block, [1, 1, 1, 1], num_classes=K, **more)


def convnext() -> nn.Module:
    settings = [CNBlockConfig(8, 16, 1), CNBlockConfig(16, 32, 1), CNBlockConfig(32, None, 1)]
    return models.ConvNeXt(settings, num_classes=K)


def vit() -> nn.Module:
    return models.VisionTransformer(64, 16, 2, 2, 32, 64, num_classes=K)


def swin(**more: Any) -> nn.Module:
    return models.SwinTransformer([4, 4], 16, [1, 1], [2, 2], [4, 4], num_classes=K, **more)


def swin_v2() -> nn.Module:
    from torchvision.models.swin_transformer import PatchMergingV2, SwinTransformerBlockV2

    return swin(block=SwinTransformerBlockV2, downsample_layer=PatchMergingV2)


def maxvit() -> nn.Module:
    return models.MaxVit((64, 64), 8, 2, [8, 16], [1, 1], 4, 0.0, num_classes=K)


FAMILIES: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "torchvision AlexNet": (partial(named, "alexnet"), 64),
    "torchvision VGG": (vgg, 64),
    "torchvision ResNet": (partial(resnet, models.resnet.BasicBlock), 64),
    "torchvision ResNeXt, Wide ResNet": (
        partial(resnet, models.resnet.Bottleneck, groups=2, width_per_group=8),
        64,
    ),
    "torchvision SqueezeNet": (partial(named, "squeezenet1_1"), 64),
    "torchvision DenseNet": (lambda: models.DenseNet(8, (1, 1, 1, 1), 16, num_classes=K), 64),
    "torchvision GoogLeNet": (partial(named, "googlenet", init_weights=False), 64),
    "torchvision Inception v3": (partial(named, "inception_v3", init_weights=False), 80),
    "torchvision ShuffleNet": (partial(named, "shufflenet_v2_x0_5"), 64),
    "torchvision MobileNet v2": (partial(named, "mobilenet_v2", width_mult=0.25), 64),
    "torchvision MobileNet v3": (partial(named, "mobilenet_v3_small"), 64),
    "torchvision MNASNet": (partial(named, "mnasnet0_5"), 64),
    "torchvision EfficientNet": (partial(named, "efficientnet_b0"), 64),
    "torchvision RegNet": (partial(named, "regnet_y_400mf"), 64),
    "torchvision ConvNeXt": (convnext, 64),
    "torchvision ViT": (vit, 64),
    "torchvision Swin": (swin, 64),
    "torchvision Swin v2": (swin_v2, 64),
    "torchvision MaxViT": (maxvit, 64),
    "timm ResNet": (partial(of_timm, "test_resnet"), 64),
    "timm ConvNeXt": (partial(of_timm, "test_convnext"), 64),
    "timm EfficientNet": (partial(of_timm, "test_efficientnet"), 64),
    "timm NFNet": (partial(of_timm, "test_nfnet"), 64),
    "timm BYOB (RepVGG and others)": (partial(of_timm, "test_byobnet"), 64),
    "timm MambaOut": (partial(of_timm, "test_mambaout"), 64),
    "timm ViT": (partial(of_timm, "test_vit", img_size=64), 64),
    "timm DeiT": (partial(of_timm, "deit_tiny_patch16_224", **TINY_VIT), 64),
    "timm DeiT III": (partial(of_timm, "deit3_small_patch16_224", **TINY_VIT), 64),
    "timm ViT of CLIP": (partial(of_timm, "vit_base_patch16_clip_224", **TINY_VIT), 64),
    "timm ViT of SigLIP": (partial(of_timm, "vit_base_patch16_siglip_224", **TINY_VIT), 64),
    "timm DINOv2 with registers": (
        partial(of_timm, "vit_small_patch14_reg4_dinov2", **{**TINY_VIT, "img_size": 56}),
        56,
    ),
    "timm BEiT": (partial(of_timm, "beit_base_patch16_224", **TINY_VIT), 64),
    "timm Swin": (
        partial(
            of_timm,
            "swin_tiny_patch4_window7_224",
            img_size=56,
            embed_dim=16,
            depths=(1, 1),
            num_heads=(2, 2),
        ),
        56,
    ),
}


def with_a_head(network: nn.Module) -> nn.Module:
    """Draw weights that start at zero, and let norms take the mean of all they see."""
    for module in network.modules():
        if isinstance(module, nn.Linear) and not bool(module.weight.any()):
            nn.init.normal_(module.weight, std=0.02)
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
    return network


def built(family: str) -> tuple[nn.Module, int]:
    """The network of a family in eval mode, and the side of its input."""
    build, side = FAMILIES[family]
    torch.manual_seed(0)
    network = with_a_head(build())
    if any(isinstance(module, nn.BatchNorm2d) for module in network.modules()):
        for module in network.eval().modules():
            if isinstance(module, nn.BatchNorm2d):
                module.train()
        with torch.no_grad():
            network(torch.rand(4, 3, side, side))
    return network.eval(), side
