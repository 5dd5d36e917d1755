"""The neural networks that scenarios name, and what one inference of each costs.

Costs are transcribed from published sources, named with each number. Latencies are not here:
they belong to a processor and stand in the device profiles, whose rows may only name these models.

MobileBERT's cost depends on its sequence length, fixed here at 128 tokens. Its accuracies were
measured at 384 tokens, and the F1 of a 128-token model is lower by an amount not found published.
The length was inferred, because the page with the phones' latencies (Pixel 3 123 ms, Pixel 4
74 ms) does not give one. At 384 tokens, 8.68 GMAC in 74 ms would be 117 GMAC/s, more than the
81 GMAC/s peak of a Pixel 4's four big cores (8 fp32 multiply-accumulates per cycle each). At 128
tokens both phones come out near the rate of their convolutional networks, and the paper reports
62 ms on a Pixel 4 (at 128 tokens, as recalled).
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from edgesim.nn.model import Accuracy, ModelCost

__all__ = ["INCEPTION_V3", "MOBILEBERT", "MOBILENET_V1", "RESNET_50", "ZOO"]

_TOP1: Final = "top-1 on ImageNet"
_SQUAD: Final = "F1 on SQuAD v1.1 dev"
_HOSTED: Final = "tensorflow/tensorflow, tensorflow/lite/g3doc/guide/hosted_models.md"
_TORCHVISION: Final = "pytorch.org, torchvision.models.resnet50, IMAGENET1K_V1"
_FP16: Final = (
    "assumed equal to fp32: TensorFlow's guide to float16 quantization reports a minimal effect "
    "on accuracy, and no separate measurement was found"
)

MOBILENET_V1: Final = ModelCost(
    name="mobilenet_v1",
    task="image classification",
    input="224 x 224 x 3 uint8",
    macs=569_000_000,
    parameters=4_240_000,
    input_bytes=224 * 224 * 3,
    output_bytes=1001 * 4,
    accuracy=MappingProxyType(
        {
            "fp32": Accuracy(0.710, _TOP1, f"{_HOSTED}, Mobilenet_V1_1.0_224"),
            "fp16": Accuracy(0.710, _TOP1, _FP16),
            "int8": Accuracy(0.700, _TOP1, f"{_HOSTED}, Mobilenet_V1_1.0_224_quant"),
        }
    ),
    source=(
        "macs, parameters: tensorflow/models, research/slim/nets/mobilenet_v1.md (569 million, "
        "4.24 million); input: raw pixels; output: 1001 float32 class scores"
    ),
)

INCEPTION_V3: Final = ModelCost(
    name="inception_v3",
    task="image classification",
    input="299 x 299 x 3 uint8",
    macs=5_713_000_000,
    parameters=23_817_000,
    input_bytes=299 * 299 * 3,
    output_bytes=1001 * 4,
    accuracy=MappingProxyType(
        {
            "fp32": Accuracy(0.779, _TOP1, f"{_HOSTED}, Inception_V3"),
            "fp16": Accuracy(0.779, _TOP1, _FP16),
            "int8": Accuracy(0.775, _TOP1, f"{_HOSTED}, Inception_V3_quant"),
        }
    ),
    source=(
        "macs: torchvision Inception_V3_Weights (5.713 G, multiply-accumulates despite the name "
        "GFLOPS); parameters: OpenVINO model zoo, googlenet-v3-pytorch (23.817 million, without "
        "the auxiliary head); input: raw pixels; output: 1001 float32 class scores"
    ),
)

RESNET_50: Final = ModelCost(
    name="resnet_50",
    task="image classification",
    input="224 x 224 x 3 uint8",
    macs=4_089_000_000,
    parameters=25_557_032,
    input_bytes=224 * 224 * 3,
    output_bytes=1000 * 4,
    accuracy=MappingProxyType(
        {
            "fp32": Accuracy(0.7613, _TOP1, f"{_TORCHVISION} (76.13)"),
            "fp16": Accuracy(0.7613, _TOP1, _FP16),
            "int8": Accuracy(
                0.7592,
                _TOP1,
                "pytorch/vision, torchvision/models/quantization/resnet.py, "
                "ResNet50_QuantizedWeights.IMAGENET1K_FBGEMM_V1 (75.920)",
            ),
        }
    ),
    source=(
        f"macs, parameters: {_TORCHVISION} (4.089 G, 25557032); input: raw pixels; output: 1000 "
        "float32 class scores"
    ),
)

MOBILEBERT: Final = ModelCost(
    name="mobilebert",
    task="question answering",
    input="128 tokens",
    macs=2_692_874_240,
    parameters=25_300_000,
    input_bytes=3 * 128 * 4,
    output_bytes=2 * 128 * 4,
    accuracy=MappingProxyType(
        {
            "fp32": Accuracy(
                0.900, _SQUAD, "Sun et al., MobileBERT, ACL 2020 (90.0), at 384 tokens"
            ),
            "int8": Accuracy(
                0.88,
                _SQUAD,
                "MLPerf Mobile, MobileBERT TensorFlow Lite models (int8 with quantization-aware "
                "training: 88; their fp32: 90), at 384 tokens",
            ),
        }
    ),
    source=(
        "macs: derived from uncased_L-24_H-128_B-512_A-4_F-4_OPT (google-research/mobilebert): "
        "128 x (24 x (835584 + 2 x 128 x 128) + 384 x 512 + 2 x 512); the paper's 5.7 billion "
        "FLOPS would be 2.85 G, 6% more; parameters: Sun et al., ACL 2020 (25.3 million; both "
        "recalled, not re-read); input: token ids, mask and segment ids, int32; output: start and "
        "end scores, float32"
    ),
)

ZOO: Final[Mapping[str, ModelCost]] = MappingProxyType(
    {model.name: model for model in (MOBILENET_V1, INCEPTION_V3, RESNET_50, MOBILEBERT)}
)
"""Every model, by name."""
