"""PP-YOLOE+ SOD in PyTorch in its trainable form.

Parameter names and the order of execution are ppdet's, so that weights can be exchanged.

Architecture: PP-YOLOE (Xu et al. 2022, arXiv:2203.16250) with the small-object neck and head of PaddleDetection's
`configs/smalldet` (transformer encoder on the coarsest level, distances binned from -2 to 7).
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from finetune.variants import INPUT_SIZE, STRIDES, VARIANTS, Variant

GRID = INPUT_SIZE // STRIDES[0]  # cells of the coarsest level along each side of the input
BINS = (-2, 8)  # range of the binned distances in cells, the upper bound excluded


@dataclass(frozen=True, slots=True)
class HeadOutput:
    """The head's output for all anchors, coarsest level first.

    Attributes:
        logits: float32 [N, A, C].
        bins: float32 [N, A, 4, 10]: logits of the distances to the left, top, right and bottom edge.
        points: float32 [A, 2]: anchor centres, pixels.
        strides: float32 [A, 1], pixels.
    """

    logits: Tensor
    bins: Tensor
    points: Tensor
    strides: Tensor

    def boxes(self) -> Tensor:
        """Boxes in pixels of the input, float32 [N, A, 4], xyxy."""
        steps = torch.arange(*BINS, dtype=self.bins.dtype, device=self.bins.device)
        distances = self.bins.softmax(-1) @ steps
        centres = self.points / self.strides
        return torch.cat([centres - distances[..., :2], centres + distances[..., 2:]], -1) * self.strides


class ConvBN(nn.Module):
    """Convolution, batch norm, and SiLU if `active`."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, active: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, (kernel - 1) // 2, bias=False)
        self.bn = nn.BatchNorm2d(outputs)
        self.active = active

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn(self.conv(x))
        return functional.silu(x) if self.active else x


class RepVGG(nn.Module):
    """A 3x3 and a weighted 1x1 convolution in parallel; the export folds them into one convolution."""

    def __init__(self, channels: int, alpha: bool) -> None:
        super().__init__()
        self.conv1 = ConvBN(channels, channels, 3, active=False)
        self.conv2 = ConvBN(channels, channels, 1, active=False)
        self.alpha = nn.Parameter(torch.ones(1)) if alpha else None

    def forward(self, x: Tensor) -> Tensor:
        point = self.conv2(x)
        return functional.silu(self.conv1(x) + (point if self.alpha is None else self.alpha * point))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions, with a shortcut in the backbone and without one in the neck."""

    def __init__(self, channels: int, shortcut: bool, alpha: bool) -> None:
        super().__init__()
        self.conv1 = ConvBN(channels, channels, 3)
        self.conv2 = RepVGG(channels, alpha)
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv2(self.conv1(x))
        return x + y if self.shortcut else y


class ChannelAttention(nn.Module):
    """Effective squeeze-and-excitation: scales each channel by a function of the channels' means."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * functional.hardsigmoid(self.fc(x.mean((2, 3), keepdim=True)))


class BackboneStage(nn.Module):
    """One stage of CSPResNet; halves the resolution."""

    def __init__(self, inputs: int, outputs: int, blocks: int) -> None:
        super().__init__()
        middle = (inputs + outputs) // 2
        self.conv_down = ConvBN(inputs, middle, 3, 2)
        self.conv1 = ConvBN(middle, middle // 2, 1)
        self.conv2 = ConvBN(middle, middle // 2, 1)
        self.blocks = nn.Sequential(*(BasicBlock(middle // 2, shortcut=True, alpha=True) for _ in range(blocks)))
        self.attn = ChannelAttention(middle)
        self.conv3 = ConvBN(middle, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_down(x)
        left = self.conv1(x)
        return self.conv3(self.attn(torch.cat([left, self.blocks(self.conv2(x))], 1)))


class Stem(nn.Module):
    """Three convolutions; halves the resolution."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.conv1 = ConvBN(3, outputs // 2, 3, 2)
        self.conv2 = ConvBN(outputs // 2, outputs // 2, 3)
        self.conv3 = ConvBN(outputs // 2, outputs, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv3(self.conv2(self.conv1(x)))


class Backbone(nn.Module):
    """CSPResNet; returns features of strides 8, 16 and 32."""

    def __init__(self, variant: Variant) -> None:
        super().__init__()
        channels = [max(round(c * variant.width), 1) for c in (64, 128, 256, 512, 1024)]
        blocks = [max(round(b * variant.depth), 1) for b in (3, 6, 6, 3)]
        self.stem = Stem(channels[0])
        self.stages = nn.Sequential(*(BackboneStage(channels[i], channels[i + 1], blocks[i]) for i in range(4)))
        self.channels = channels[2:]

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.stem(x)
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features[1:]


class SpatialPyramidPooling(nn.Module):
    """Max pooling at three scales, concatenated with the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = ConvBN(channels * 4, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(torch.cat([x, *(functional.max_pool2d(x, k, 1, k // 2) for k in (5, 9, 13))], 1))


class NeckStage(nn.Module):
    """Cross-stage-partial stage of the neck, with spatial pyramid pooling if `pools`."""

    def __init__(self, inputs: int, outputs: int, blocks: int, pools: bool) -> None:
        super().__init__()
        middle = outputs // 2
        self.conv1 = ConvBN(inputs, middle, 1)
        self.conv2 = ConvBN(inputs, middle, 1)
        self.convs = nn.Sequential()
        for i in range(blocks):
            self.convs.add_module(str(i), BasicBlock(middle, shortcut=False, alpha=False))
            if pools and i == (blocks - 1) // 2:
                self.convs.add_module("spp", SpatialPyramidPooling(middle))
        self.conv3 = ConvBN(middle * 2, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        left = self.conv1(x)
        return self.conv3(torch.cat([left, self.convs(self.conv2(x))], 1))


class Attention(nn.Module):
    """Self-attention of four heads; the position embedding is added to queries and keys only."""

    def __init__(self, size: int, heads: int = 4) -> None:
        super().__init__()
        self.in_proj_weight = nn.Parameter(nn.init.xavier_uniform_(torch.empty(size, 3 * size)))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * size))
        self.out_proj = nn.Linear(size, size)
        self.heads = heads

    def forward(self, x: Tensor, position: Tensor) -> Tensor:
        weights, biases = self.in_proj_weight.chunk(3, 1), self.in_proj_bias.chunk(3)
        query, key, value = (
            (source @ w + b).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for source, w, b in zip((x + position, x + position, x), weights, biases, strict=True)
        )
        attended = functional.scaled_dot_product_attention(query, key, value)
        return self.out_proj(attended.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


class EncoderLayer(nn.Module):
    """Attention and feed-forward, each with a shortcut and followed by a layer norm; without dropout."""

    def __init__(self, size: int, feed_forward: int) -> None:
        super().__init__()
        self.self_attn = Attention(size)
        self.linear1 = nn.Linear(size, feed_forward)
        self.linear2 = nn.Linear(feed_forward, size)
        self.norm1 = nn.LayerNorm(size)
        self.norm2 = nn.LayerNorm(size)

    def forward(self, x: Tensor, position: Tensor) -> Tensor:
        x = self.norm1(x + self.self_attn(x, position))
        return self.norm2(x + self.linear2(functional.gelu(self.linear1(x))))  # type: ignore[no-any-return]


class Encoder(nn.Module):
    """The transformer encoder: a stack of layers."""

    def __init__(self, size: int, variant: Variant) -> None:
        super().__init__()
        self.layers = nn.ModuleList(EncoderLayer(size, variant.feed_forward) for _ in range(variant.encoder_layers))

    def forward(self, x: Tensor, position: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x, position)
        return x


class Neck(nn.Module):
    """CSP-PAN: a transformer on the coarsest level, then a top-down and a bottom-up path through the pyramid."""

    position: Tensor

    def __init__(self, channels: list[int], variant: Variant) -> None:
        super().__init__()
        outputs = [max(round(c * variant.width), 1) for c in (768, 384, 192)]
        blocks = max(round(3 * variant.depth), 1)
        self.encoder = Encoder(channels[-1], variant)
        self.register_buffer("position", position_embedding(GRID, channels[-1]), persistent=False)
        inputs = [channels[2], channels[1] + outputs[0] // 2, channels[0] + outputs[1] // 2]
        self.fpn_stages = nn.ModuleList(
            nn.Sequential(NeckStage(inputs[i], outputs[i], blocks, pools=i == 0)) for i in range(3)
        )
        self.fpn_routes = nn.ModuleList(ConvBN(outputs[i], outputs[i] // 2, 1) for i in range(2))
        self.pan_stages = nn.ModuleList(
            nn.Sequential(NeckStage(outputs[i] + outputs[i + 1], outputs[i], blocks, pools=False)) for i in range(2)
        )
        self.pan_routes = nn.ModuleList(ConvBN(outputs[i + 1], outputs[i + 1], 3, 2) for i in range(2))
        self.outputs = outputs

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        coarse = features[-1]
        height, width = coarse.shape[2:]
        tokens = self.encoder(coarse.flatten(2).transpose(1, 2), self._positions(height, width))
        x = tokens.transpose(1, 2).unflatten(2, (height, width)).contiguous()
        down = [self.fpn_stages[0](x)]
        for i in (1, 2):
            route = functional.interpolate(self.fpn_routes[i - 1](down[-1]), scale_factor=2.0)
            down.append(self.fpn_stages[i](torch.cat([route, features[2 - i]], 1)))
        up = [down[2]]
        for i in (1, 0):
            up.append(self.pan_stages[i](torch.cat([self.pan_routes[i](up[-1]), down[i]], 1)))
        return up[::-1]

    def _positions(self, height: int, width: int) -> Tensor:
        """Position embeddings, float32 [1, height * width, C].

        An input smaller than 640 px gets a window of the embeddings: a random one in training, else the upper left.

        Raises:
            ValueError: the input is larger than 640 px.
        """
        spare = (GRID - height, GRID - width)
        if min(spare) < 0:
            msg = f"the input is {height * 32} by {width * 32} px, but may be at most {INPUT_SIZE} by {INPUT_SIZE}"
            raise ValueError(msg)
        top, left = (int(torch.randint(s + 1, ())) if self.training else 0 for s in spare)
        return self.position[:, top : top + height, left : left + width].flatten(1, 2)


class HeadAttention(nn.Module):
    """Scales each channel by a function of the channels' means, then applies a 1x1 convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc = nn.Conv2d(channels, channels, 1)
        self.conv = ConvBN(channels, channels, 1)

    def forward(self, x: Tensor, mean: Tensor) -> Tensor:
        return self.conv(x * self.fc(mean).sigmoid())  # type: ignore[no-any-return]


class Head(nn.Module):
    """Decoupled head: class logits and binned distances of every anchor."""

    def __init__(self, channels: list[int], classes: int) -> None:
        super().__init__()
        bins = BINS[1] - BINS[0]
        self.stem_cls = nn.ModuleList(HeadAttention(c) for c in channels)
        self.stem_reg = nn.ModuleList(HeadAttention(c) for c in channels)
        self.pred_cls = nn.ModuleList(nn.Conv2d(c, classes, 3, padding=1) for c in channels)
        self.pred_reg = nn.ModuleList(nn.Conv2d(c, 4 * bins, 3, padding=1) for c in channels)
        for scores, distances in zip(self.pred_cls, self.pred_reg, strict=True):
            for layer, bias in ((scores, -math.log(99)), (distances, 1.0)):
                nn.init.zeros_(layer.weight)
                nn.init.constant_(layer.bias, bias)

    def forward(self, features: list[Tensor]) -> HeadOutput:
        logits, bins, points, strides = [], [], [], []
        for i, x in enumerate(features):
            mean = x.mean((2, 3), keepdim=True)
            logits.append(self.pred_cls[i](self.stem_cls[i](x, mean) + x).flatten(2).transpose(1, 2))
            bins.append(self.pred_reg[i](self.stem_reg[i](x, mean)).flatten(2).transpose(1, 2).unflatten(2, (4, -1)))
            height, width = x.shape[2:]
            rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
            points.append((torch.stack([columns, rows], -1).reshape(-1, 2) + 0.5) * STRIDES[i])
            strides.append(torch.full((height * width, 1), float(STRIDES[i])))
        device = features[0].device
        return HeadOutput(
            torch.cat(logits, 1).float(),
            torch.cat(bins, 1).float(),
            torch.cat(points).to(device),
            torch.cat(strides).to(device),
        )


class Detector(nn.Module):
    """The whole network.

    Its input is float32 [N, 3, H, W], RGB, 0..1; H and W are multiples of 32, at most 640.
    """

    def __init__(self, variant: Variant = VARIANTS["demo"], classes: int = 10) -> None:
        super().__init__()
        self.backbone = Backbone(variant)
        self.neck = Neck(self.backbone.channels, variant)
        self.yolo_head = Head(self.neck.outputs, classes)

    def forward(self, pixels: Tensor) -> HeadOutput:
        return self.yolo_head(self.neck(self.backbone(pixels)))  # type: ignore[no-any-return]


def position_embedding(grid: int, size: int) -> Tensor:
    """Sine and cosine embeddings of row and column, float32 [1, grid, grid, size]."""
    frequencies = 1.0 / 10000.0 ** (torch.arange(size // 4, dtype=torch.float32) / (size // 4))
    angles = torch.arange(grid, dtype=torch.float32)[:, None] * frequencies
    rows = angles[:, None].expand(grid, grid, -1)
    columns = angles[None].expand(grid, grid, -1)
    return torch.cat([rows.sin(), rows.cos(), columns.sin(), columns.cos()], -1)[None]
