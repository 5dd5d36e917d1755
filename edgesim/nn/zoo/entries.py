"""What is published of every model of the zoo: accuracies, counts and where they come from.

Accuracies of one model share one metric, and wherever a pair of precisions was published
together, both come from there. A precision that nobody published is left out, so the model is
not offered in it.

Detectors have one convention: mean average precision at an overlap of 0.5 on PASCAL VOC 2007, as
published for the same network trained on VOC. On COCO's stricter scale the same networks score
about 0.22, which no quality target of a classifier's kind lets pass. BlazeFace is measured on its
authors' own photographs of faces, at the same overlap.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Final

from edgesim.nn.model import Accuracy, Layer, ModelCost, Published, StateCounts
from edgesim.nn.zoo import classics, detectors, mobilenets, shufflenets, transformers

__all__ = ["ENTRIES", "ZooEntry", "count_layers"]

_TOP1: Final = "top-1 on ImageNet"
_VOC: Final = "mAP at overlap 0.5 on PASCAL VOC 2007 test"
_SQUAD: Final = "F1 on SQuAD v1.1 dev"
_FACES: Final = "average precision of faces at overlap 0.5 on the authors' 2000 photographs"

_HOSTED: Final = "tensorflow/tensorflow, tensorflow/lite/g3doc/guide/hosted_models.md"
_TORCHVISION: Final = "torchvision 0.28, weights of"
_QUANTIZED: Final = "torchvision 0.28, quantized weights of"
_ONNX: Final = "ONNX model zoo, validated/vision/classification"
_INTEL: Final = "intel/neural-compressor, docs/source/validated_model_list.md of mid-2023"
_NCNN_INT8: Final = "BUG1989/caffe-int8-convert-tools, README, measured with ncnn"
_OPENVINO: Final = "OpenVINO open model zoo"
_FP16: Final = (
    "assumed equal to fp32: TensorFlow's guide to float16 quantization reports a minimal effect "
    "on accuracy, and no separate measurement was found"
)
_DETECTIONS: Final = 100 * 6 * 4
"""Bytes of 100 boxes, each four edges, a class and a score in float32."""


@dataclass(frozen=True, slots=True)
class ZooEntry:
    """A model without its layers, which are built when they are asked for.

    Attributes:
        layers: builds them.
        state_counts: AutoScale's; counted from the layers where it has none.
        task: as in :class:`~edgesim.nn.model.ModelCost`, like all that follows.
        input: likewise.
        input_bytes: likewise.
        output_bytes: likewise.
        accuracy: likewise.
        published: likewise.
        source: likewise.
        unsupported_on: likewise.
    """

    layers: Callable[[], list[Layer]]
    task: str
    input: str
    input_bytes: int
    output_bytes: int
    accuracy: Mapping[str, Accuracy]
    source: str
    published: Published | None = None
    state_counts: StateCounts | None = None
    unsupported_on: frozenset[str] = frozenset()

    def build(self, name: str) -> ModelCost:
        """The model with its layers."""
        layers = tuple(self.layers())
        return ModelCost(
            name=name,
            task=self.task,
            input=self.input,
            layers=layers,
            input_bytes=self.input_bytes,
            output_bytes=self.output_bytes,
            accuracy=self.accuracy,
            state_counts=self.state_counts or count_layers(layers),
            source=self.source,
            published=self.published,
            unsupported_on=self.unsupported_on,
        )


def count_layers(layers: tuple[Layer, ...]) -> StateCounts:
    """Layer counts by the rule that gives AutoScale's for four of its models.

    Convolutions are counted but for depthwise ones, and dense layers including those of
    squeeze-and-excite. That gives AutoScale's counts of MobileNet v1 and v2, Inception v3 and
    ResNet-50; what it counted in its other models is not known.
    """
    return StateCounts(
        conv=sum(layer.kind in ("conv", "pointwise", "grouped") for layer in layers),
        fc=sum(layer.kind == "dense" for layer in layers),
        rc=sum(layer.kind == "recurrent" for layer in layers),
        source=(
            "counted from the layers: convolutions other than depthwise, dense layers with those "
            "of squeeze-and-excite; the rule gives AutoScale's counts of MobileNet v1 and v2, "
            "Inception v3 and ResNet-50"
        ),
    )


def _autoscale(conv: int, fc: int, rc: int = 0) -> StateCounts:
    return StateCounts(
        conv,
        fc,
        rc,
        "Kim and Wu, AutoScale, MICRO 2020 (arXiv 2005.02544), table of workloads, recalled from "
        "the paper and not re-read",
    )


def _accuracy(
    metric: str,
    fp32: tuple[float, str],
    int8: tuple[float, str] | None = None,
    *,
    fp16: bool = True,
) -> Mapping[str, Accuracy]:
    values = {"fp32": Accuracy(fp32[0], metric, fp32[1])}
    if fp16:
        values["fp16"] = Accuracy(fp32[0], metric, _FP16)
    if int8 is not None:
        values["int8"] = Accuracy(int8[0], metric, int8[1])
    return MappingProxyType(values)


def _classifier(
    layers: Callable[[], list[Layer]],
    accuracy: Mapping[str, Accuracy],
    published: Published,
    layers_from: str,
    *,
    side: int = 224,
    classes: int = 1000,
    state_counts: StateCounts | None = None,
) -> ZooEntry:
    return ZooEntry(
        layers=layers,
        task="image classification",
        input=f"{side} x {side} x 3 uint8",
        input_bytes=side * side * 3,
        output_bytes=classes * 4,
        accuracy=accuracy,
        published=published,
        state_counts=state_counts,
        source=f"layers: {layers_from}; input: raw pixels; output: {classes} float32 class scores",
    )


def _detector(
    layers: Callable[[], list[Layer]],
    accuracy: Mapping[str, Accuracy],
    published: Published | None,
    layers_from: str,
    *,
    side: int = 300,
    state_counts: StateCounts | None = None,
) -> ZooEntry:
    return ZooEntry(
        layers=layers,
        task="object detection",
        input=f"{side} x {side} x 3 uint8",
        input_bytes=side * side * 3,
        output_bytes=_DETECTIONS,
        accuracy=accuracy,
        published=published,
        state_counts=state_counts,
        source=(
            f"layers: {layers_from}, without the suppression of overlapping boxes; input: raw "
            "pixels; output: 100 boxes of 6 float32 values"
        ),
    )


_VOC_PORT: Final = "chuanqi305/MobileNet-SSD, weights for VOC (its author reports 72.7)"

ENTRIES: Final[Mapping[str, ZooEntry]] = MappingProxyType(
    {
        "inception_v1": _classifier(
            classics.inception_v1_layers,
            _accuracy(
                _TOP1,
                (0.6778, f"{_ONNX}/inception_and_googlenet/googlenet, GoogleNet (67.78)"),
                (0.6773, f"{_ONNX}/inception_and_googlenet/googlenet, GoogleNet-int8 (67.73)"),
            ),
            Published(
                1.55e9,
                6.8e6,
                "Howard et al., MobileNets (arXiv 1704.04861), table 8, GoogleNet (1550 million, "
                "6.8 million)",
            ),
            "Szegedy et al., CVPR 2015, table 1",
            state_counts=_autoscale(49, 1),
        ),
        "inception_v3": _classifier(
            classics.inception_v3_layers,
            _accuracy(
                _TOP1,
                (0.779, f"{_HOSTED}, Inception_V3"),
                (0.775, f"{_HOSTED}, Inception_V3_quant"),
            ),
            Published(
                5.713e9,
                23_817_000,
                "macs: torchvision Inception_V3_Weights (5.713 G, multiply-accumulates despite "
                f"the name GFLOPS); parameters: {_OPENVINO}, googlenet-v3-pytorch (23.817 "
                "million, without the auxiliary head)",
            ),
            "Szegedy et al., CVPR 2016, as in TensorFlow-slim and torchvision",
            side=299,
            classes=1001,
            state_counts=_autoscale(94, 1),
        ),
        "mobilenet_v1": _classifier(
            mobilenets.mobilenet_v1_layers,
            _accuracy(
                _TOP1,
                (0.710, f"{_HOSTED}, Mobilenet_V1_1.0_224"),
                (0.700, f"{_HOSTED}, Mobilenet_V1_1.0_224_quant"),
            ),
            Published(
                569e6,
                4.24e6,
                "tensorflow/models, research/slim/nets/mobilenet_v1.md (569 million, 4.24 million)",
            ),
            "Howard et al., 2017 (arXiv 1704.04861), table 1",
            classes=1001,
            state_counts=_autoscale(14, 1),
        ),
        "mobilenet_v1_128": _classifier(
            partial(mobilenets.mobilenet_v1_layers, 128),
            _accuracy(
                _TOP1,
                (0.652, f"{_HOSTED}, Mobilenet_V1_1.0_128"),
                (0.633, f"{_HOSTED}, Mobilenet_V1_1.0_128_quant"),
            ),
            Published(
                186e6,
                4.24e6,
                "tensorflow/models, research/slim/nets/mobilenet_v1.md (186 million, 4.24 million)",
            ),
            "Howard et al., 2017 (arXiv 1704.04861), tables 1 and 7: 128 x 128 pixels",
            side=128,
            classes=1001,
        ),
        "mobilenet_v2": _classifier(
            mobilenets.mobilenet_v2_layers,
            _accuracy(
                _TOP1,
                (0.718, f"{_HOSTED}, Mobilenet_V2_1.0_224"),
                (0.708, f"{_HOSTED}, Mobilenet_V2_1.0_224_quant"),
            ),
            Published(0.301e9, 3_504_872, f"{_TORCHVISION} mobilenet_v2 (0.301 G, 3504872)"),
            "Sandler et al., CVPR 2018, table 2",
            classes=1001,
            state_counts=_autoscale(35, 1),
        ),
        "mobilenet_v3_large": _classifier(
            mobilenets.mobilenet_v3_large_layers,
            _accuracy(
                _TOP1,
                (0.74042, f"{_TORCHVISION} mobilenet_v3_large, IMAGENET1K_V1 (74.042)"),
                (
                    0.73004,
                    f"{_QUANTIZED} mobilenet_v3_large, IMAGENET1K_QNNPACK_V1 (73.004)",
                ),
            ),
            Published(0.217e9, 5_483_032, f"{_TORCHVISION} mobilenet_v3_large (0.217 G, 5483032)"),
            "Howard et al., ICCV 2019, table 1",
            state_counts=_autoscale(23, 20),
        ),
        "resnet_18": _classifier(
            partial(classics.resnet_layers, 18),
            _accuracy(
                _TOP1,
                (0.69758, f"{_TORCHVISION} resnet18, IMAGENET1K_V1 (69.758)"),
                (0.69494, f"{_QUANTIZED} resnet18, IMAGENET1K_FBGEMM_V1 (69.494)"),
            ),
            Published(1.814e9, 11_689_512, f"{_TORCHVISION} resnet18 (1.814 G, 11689512)"),
            "He et al., CVPR 2016, table 1",
        ),
        "resnet_50": _classifier(
            partial(classics.resnet_layers, 50),
            _accuracy(
                _TOP1,
                (
                    0.7613,
                    "pytorch.org, torchvision.models.resnet50, IMAGENET1K_V1 (76.13)",
                ),
                (
                    0.7592,
                    "pytorch/vision, torchvision/models/quantization/resnet.py, "
                    "ResNet50_QuantizedWeights.IMAGENET1K_FBGEMM_V1 (75.920)",
                ),
            ),
            Published(
                4.089e9,
                25_557_032,
                "pytorch.org, torchvision.models.resnet50, IMAGENET1K_V1 (4.089 G, 25557032)",
            ),
            "He et al., CVPR 2016, table 1, stride at the 3 x 3 convolution",
            state_counts=_autoscale(53, 1),
        ),
        "ssd_mobilenet_v1": _detector(
            detectors.ssd_mobilenet_v1_layers,
            _accuracy(
                _VOC,
                (
                    0.7049,
                    f"{_NCNN_INT8} (70.49): {_VOC_PORT}, a port of this network with VOC's classes "
                    "instead of COCO's",
                ),
                (0.6892, f"{_NCNN_INT8} (68.92): {_VOC_PORT}"),
            ),
            Published(
                2.494e9 / 2,
                6.807e6,
                f"{_OPENVINO}, ssd_mobilenet_v1_coco (2.494 GFLOPs of two per "
                "multiply-accumulate, 6.807 million with batch normalisation folded)",
            ),
            "TensorFlow object detection API, ssd_mobilenet_v1_coco, 91 classes",
            state_counts=_autoscale(19, 1),
        ),
        "ssd_mobilenet_v2": _detector(
            detectors.ssd_mobilenet_v2_layers,
            _accuracy(
                _VOC,
                (
                    0.687,
                    "AIMET model zoo (Qualcomm), PyTorch MobileNetV2-SSD-lite (68.7): weights of "
                    "qfgaohao/pytorch-ssd for VOC, not for COCO",
                ),
                (
                    0.686,
                    "AIMET model zoo (Qualcomm), PyTorch MobileNetV2-SSD-lite, int8 (68.6)",
                ),
            ),
            Published(
                1.525e9 / 2,
                4.475e6,
                f"{_OPENVINO}, ssdlite_mobilenet_v2 (1.525 GFLOPs of two per "
                "multiply-accumulate, 4.475 million with batch normalisation folded)",
            ),
            "TensorFlow object detection API, ssdlite_mobilenet_v2_coco (the lite variant), 91 "
            "classes",
            state_counts=_autoscale(52, 1),
        ),
        "ssd_mobilenet_v3": _detector(
            detectors.ssd_mobilenet_v3_layers,
            _accuracy(
                _VOC,
                (
                    0.679,
                    "shaoshengsong/MobileNetV3-SSD-Compact-Version, README (0.679): an SSD on the "
                    "same backbone trained on VOC 2007 and 2012 only; its head was not compared",
                ),
            ),
            Published(
                0.51e9,
                3.22e6,
                "Howard et al., ICCV 2019 (arXiv 1905.02244), table of SSDLite on COCO, V3 with "
                "halved last channels (0.51 billion, 3.22 million), recalled",
            ),
            "TensorFlow object detection API, ssd_mobilenet_v3_large_coco, SSDLite, 91 classes",
            side=320,
            state_counts=_autoscale(28, 20),
        ),
        # At 384 tokens, 8.68 GMAC in the 74 ms published for a Pixel 4 would be 117 GMAC/s, more
        # than the 81 GMAC/s peak of its four big cores (8 fp32 multiply-accumulates per cycle
        # each); at 128 tokens both that and the Pixel 3's 123 ms come out near the rate of
        # convolutional networks, and the paper reports 62 ms (at 128 tokens, as recalled). The
        # page with the phones' latencies does not give the length.
        "mobilebert": ZooEntry(
            layers=transformers.mobilebert_layers,
            task="question answering",
            input="128 tokens",
            input_bytes=3 * 128 * 4,
            output_bytes=2 * 128 * 4,
            accuracy=_accuracy(
                _SQUAD,
                (
                    0.900,
                    "Sun et al., MobileBERT, ACL 2020 (90.0), at 384 tokens; the F1 of 128 tokens "
                    "is lower by an amount not found published",
                ),
                (
                    0.88,
                    "MLPerf Mobile, MobileBERT TensorFlow Lite models (int8 with "
                    "quantization-aware training: 88; their fp32: 90), at 384 tokens",
                ),
                fp16=False,
            ),
            published=Published(
                5.7e9 / 2,
                25.3e6,
                "Sun et al., ACL 2020 (5.7 billion floating-point operations, here two per "
                "multiply-accumulate; 25.3 million; both recalled); the layers have 5.5 % fewer "
                "multiply-accumulates, and what else the authors counted is not known",
            ),
            state_counts=_autoscale(0, 1, 24),
            unsupported_on=frozenset({"mobile_gpu", "mobile_dsp"}),
            source=(
                "layers: google-research/mobilebert, uncased_L-24_H-128_B-512_A-4_F-4_OPT; input: "
                "token ids, mask and segment ids, int32; output: start and end scores, float32; "
                "processors that cannot run it: AutoScale, MICRO 2020, recalled"
            ),
        ),
        "squeezenet": _classifier(
            classics.squeezenet_layers,
            _accuracy(
                _TOP1,
                (0.58178, f"{_TORCHVISION} squeezenet1_1 (58.178)"),
                (
                    0.5782,
                    f"{_NCNN_INT8}, 5000 images (57.82; fp32 on the same images and weights: "
                    "57.78)",
                ),
            ),
            Published(
                0.785e9 / 2,
                1.236e6,
                f"{_OPENVINO}, squeezenet1.1 (0.785 GFLOPs of two per multiply-accumulate, 1.236 "
                "million)",
            ),
            "Iandola et al., 2016, version 1.1 of its repository",
            side=227,
        ),
        "alexnet": _classifier(
            classics.alexnet_layers,
            _accuracy(
                _TOP1,
                (0.5480, f"{_ONNX}/alexnet, AlexNet (54.80)"),
                (0.5468, f"{_ONNX}/alexnet, AlexNet-int8 (54.68)"),
            ),
            Published(
                720e6,
                60e6,
                "Howard et al., MobileNets (arXiv 1704.04861), table 9, AlexNet (720 million, 60 "
                "million)",
            ),
            "Krizhevsky et al., NeurIPS 2012, as released with Caffe, two groups",
            side=227,
        ),
        "vgg_16": _classifier(
            classics.vgg16_layers,
            _accuracy(
                _TOP1,
                (0.7089, f"{_INTEL}, Intel Extension for TensorFlow 1.2.0, VGG16, fp32 (70.89)"),
                (0.7084, f"{_INTEL}, Intel Extension for TensorFlow 1.2.0, VGG16, int8 (70.84)"),
            ),
            Published(15.47e9, 138_357_544, f"{_TORCHVISION} vgg16 (15.47 G, 138357544)"),
            "Simonyan and Zisserman, ICLR 2015, configuration D",
        ),
        "mnasnet": _classifier(
            mobilenets.mnasnet_layers,
            _accuracy(_TOP1, (0.73456, f"{_TORCHVISION} mnasnet1_0 (73.456)")),
            Published(0.314e9, 4_383_312, f"{_TORCHVISION} mnasnet1_0 (0.314 G, 4383312)"),
            "Tan et al., CVPR 2019, MnasNet-B1",
        ),
        "efficientnet_b0": _classifier(
            mobilenets.efficientnet_b0_layers,
            _accuracy(
                _TOP1,
                (0.7676, f"{_INTEL}, Intel TensorFlow 2.12.0, EfficientNet B0, fp32 (76.76)"),
                (0.7614, f"{_INTEL}, Intel TensorFlow 2.12.0, EfficientNet B0, int8 (76.14)"),
            ),
            Published(0.386e9, 5_288_548, f"{_TORCHVISION} efficientnet_b0 (0.386 G, 5288548)"),
            "Tan and Le, ICML 2019, table 1",
        ),
        "shufflenet_v1": _classifier(
            shufflenets.shufflenet_v1_layers,
            _accuracy(
                _TOP1,
                (
                    0.678,
                    "megvii-model/ShuffleNet-Series, ShuffleNetV1 1.0x, 3 groups (error 32.2)",
                ),
            ),
            Published(
                138e6,
                1.9e6,
                "megvii-model/ShuffleNet-Series, ShuffleNetV1 1.0x, 3 groups (138 million, 1.9 "
                "million)",
            ),
            "Zhang et al., CVPR 2018, table 1, and ncnn's shufflenet.param",
        ),
        "shufflenet_v2": _classifier(
            shufflenets.shufflenet_v2_layers,
            _accuracy(
                _TOP1,
                (0.69362, f"{_TORCHVISION} shufflenet_v2_x1_0 (69.362)"),
                (0.68360, f"{_QUANTIZED} shufflenet_v2_x1_0, IMAGENET1K_FBGEMM_V1 (68.360)"),
            ),
            Published(0.145e9, 2_278_604, f"{_TORCHVISION} shufflenet_v2_x1_0 (0.145 G, 2278604)"),
            "Ma et al., ECCV 2018, table 5",
        ),
        "proxylessnas": _classifier(
            mobilenets.proxylessnas_layers,
            _accuracy(_TOP1, (0.746, "Cai et al., ICLR 2019, ProxylessNAS (mobile) (74.6)")),
            Published(
                320e6,
                4.1e6,
                "macs: mit-han-lab/ProxylessNAS, README of early 2019, mobile (320 million); "
                "parameters: Cai et al., Once-for-All, ICLR 2020 (4.1 million, recalled)",
            ),
            "Cai et al., ICLR 2019, figure of the mobile network",
        ),
        "regnety_400m": _classifier(
            classics.regnety_400m_layers,
            _accuracy(_TOP1, (0.74046, f"{_TORCHVISION} regnet_y_400mf, IMAGENET1K_V1 (74.046)")),
            Published(0.402e9, 4_344_144, f"{_TORCHVISION} regnet_y_400mf (0.402 G, 4344144)"),
            "Radosavovic et al., CVPR 2020",
        ),
        "blazeface": ZooEntry(
            layers=detectors.blazeface_layers,
            task="face detection",
            input="128 x 128 x 3 uint8",
            input_bytes=128 * 128 * 3,
            output_bytes=896 * 17 * 4,
            accuracy=_accuracy(
                _FACES,
                (0.9861, "Bazarevsky et al., 2019 (arXiv 1907.05047), front camera (98.61)"),
            ),
            source=(
                "layers: MediaPipe's release (3 x 3 windows, single blocks), for which no count "
                "of multiply-accumulates was found published; input: raw pixels; output: 17 "
                "float32 values for each of 896 anchors"
            ),
        ),
        "squeezenet_ssd": _detector(
            detectors.squeezenet_ssd_layers,
            _accuracy(
                _VOC,
                (
                    0.6180,
                    f"{_NCNN_INT8} (61.80): chuanqi305/SqueezeNet-SSD (its author reports 62.7)",
                ),
                (0.6127, f"{_NCNN_INT8} (61.27): chuanqi305/SqueezeNet-SSD"),
            ),
            None,
            "chuanqi305/SqueezeNet-SSD and ncnn's squeezenet_ssd.param, 21 classes (no published "
            "count of multiply-accumulates was found; the weights fill 21.1 MiB in fp32, "
            "BUG1989/caffe-int8-convert-tools)",
        ),
        "mobilenet_ssd": _detector(
            detectors.mobilenet_ssd_layers,
            _accuracy(
                _VOC,
                (0.7049, f"{_NCNN_INT8} (70.49): {_VOC_PORT}"),
                (0.6892, f"{_NCNN_INT8} (68.92): {_VOC_PORT}"),
            ),
            Published(
                2.316e9 / 2,
                5.783e6,
                f"{_OPENVINO}, mobilenet-ssd (2.316 GFLOPs of two per multiply-accumulate, 5.783 "
                "million with batch normalisation folded)",
            ),
            "chuanqi305/MobileNet-SSD and ncnn's mobilenet_ssd.param, 21 classes",
        ),
    }
)
"""By name, in the order in which they are listed."""
