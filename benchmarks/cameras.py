"""What cameras do to a model: the numbers of docs/cameras.md, beside those of HeteroSwitch's table 2.

    python benchmarks/cameras.py [PART ...] [--data NAME,...] [--cifar FOLDER] [--seeds 0,1]
        [--look NAME=X,...] [--plots DIR] [--jobs N]

Parts (all but ``calibrate`` by default):

    matrix      a plain CNN trained on each phone's pictures, tested on every phone's; beside the paper's
    mechanisms  the same with one difference between the phones at a time: tone, colour, all else
    raw         the same with RAW in place of pictures
    stages      trained with every stage at the paper's baseline, tested with one changed
    speed       milliseconds per picture of 32 x 32, one core
    calibrate   how many times the look makes the mean of the matrix the paper's

Data: ``photo_patches`` (2,000 patches to train with, 500 to test) and ``cifar10`` (5,000 and 2,000 of the
folder's). Sensors and looks of the phones are synthetic: only their effect is calibrated, by one number per
data set. Numbers are means over seeds; a seed decides the model's weights and batches, not the pictures.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from study_tables import show

from edgesim.core.random import Streams
from edgesim.hardware.catalogue import shipped
from edgesim.learning.data import Dataset, Samples, photo_patches
from edgesim.learning.devices import degradations, photographed, plot_degradations
from edgesim.learning.federation import evaluate
from edgesim.learning.files import from_hub
from edgesim.learning.isp import BASELINE, RAW, STAGES, Camera, Isp, photograph
from edgesim.learning.models import build_model
from edgesim.learning.program import LocalProgram
from edgesim.learning.tasks import Layout, Task, Tensors
from edgesim.learning.training import train

Reals = NDArray[np.float64]
Cameras = Mapping[str, Camera]

PHONES = {
    "Pixel 5": "pixel_5",
    "Pixel 2": "pixel_2",
    "Nexus 5X": "nexus_5x",
    "VELVET": "lg_velvet",
    "G7": "lg_g7",
    "G4": "lg_g4",
    "S22": "galaxy_s22",
    "S9": "galaxy_s9",
    "S6": "galaxy_s6",
}
NAN = float("nan")
PAPER = np.array(
    [
        [NAN, 5.7, 21.3, 10.0, 20.0, 21.2, 22.4, 12.9, 24.6],
        [1.0, NAN, 11.4, 5.2, 11.8, 14.1, 19.0, 10.5, 15.3],
        [28.1, 19.6, NAN, 24.9, 6.7, 33.9, 43.0, 20.2, 19.8],
        [9.4, 10.8, 15.6, NAN, 11.0, 11.9, 20.6, 4.3, 18.7],
        [32.7, 21.3, 12.5, 17.7, NAN, 19.1, 42.7, 11.6, 17.9],
        [14.0, 17.3, 16.7, 13.5, 15.8, NAN, 26.8, 12.0, 13.6],
        [25.8, 21.4, 25.9, 18.4, 20.5, 26.4, NAN, 21.9, 35.8],
        [29.6, 25.5, 14.7, 10.6, 11.1, 29.4, 50.7, NAN, 16.4],
        [29.2, 24.9, 15.5, 24.7, 9.8, 17.2, 43.7, 17.2, NAN],
    ]
)
"""Kim et al., "HeteroSwitch", MLSys 2024, table 2: per cent, in the order of :data:`PHONES`."""
PAPER_MEAN = 19.4

LOOKS = {"cifar10": 1.0, "photo_patches": 0.375}
"""How many times the look makes our mean the paper's: what part ``calibrate`` has found."""

PROGRAMS = {
    "cifar10": LocalProgram(learning_rate=0.02, batch_size=32, epochs=12, momentum=0.9),
    "photo_patches": LocalProgram(learning_rate=0.02, batch_size=32, epochs=15, momentum=0.9),
}


class Study:
    """One data set, trained by one device at a time.

    Args:
        name: of the data set.
        look: how many times the phones' look.
        seeds: of the trainings.
        cifar: folder of CIFAR-10.
        plots: where pictures of tables go; ``None``: nowhere.
        jobs: trainings at a time.
    """

    def __init__(
        self,
        name: str,
        look: float,
        seeds: Sequence[int],
        cifar: Path,
        plots: Path | None,
        jobs: int,
    ) -> None:
        self.name = name
        self.data = _data(name, cifar)
        self.look = look
        self.seeds = seeds
        self.plots = plots
        self.jobs = jobs

    def cameras(self, look: float | None = None) -> dict[str, Camera]:
        """Those of the nine phones."""
        strength = self.look if look is None else look
        found = {}
        for name, profile in PHONES.items():
            optics = _optics(profile)
            found[name] = replace(optics, isp=optics.isp.with_look(strength))
        return found

    def accuracy(self, trained: Cameras, tested: Cameras) -> Reals:
        """Mean over the seeds, of the model trained on each (rows) on each other (columns)."""
        work = joblib.delayed(_accuracies)
        found = joblib.Parallel(n_jobs=self.jobs)(
            work(self.data, PROGRAMS[self.name], seed, name, camera, dict(tested))
            for seed in self.seeds
            for name, camera in trained.items()
        )
        every = np.array(found, np.float64).reshape(len(self.seeds), len(trained), len(tested))
        return np.asarray(every.mean(axis=0), np.float64)

    def matrix(self) -> None:
        """The table, and the paper's."""
        cameras = self.cameras()
        accuracy = self.accuracy(cameras, cameras)
        ours = degradations(accuracy)
        show(f"{self.name}: lost on other phones, %, look x {self.look:g}", _table(ours), 1)
        show("The paper's table 2, on its own pictures", _table(PAPER), 1)
        known = ~np.isnan(PAPER)
        correlation = np.corrcoef(ours[known], PAPER[known])[0, 1]
        rows = {
            "accuracy on its own, %": 100 * np.diag(accuracy),
            "as source: ours": np.nanmean(ours, axis=1),
            "as source: paper": np.nanmean(PAPER, axis=1),
            "as target: ours": np.nanmean(ours, axis=0),
            "as target: paper": np.nanmean(PAPER, axis=0),
            "mean without it": [np.nanmean(_without(ours, k)) for k in range(len(PHONES))],
        }
        show(f"{self.name}: by phone", pd.DataFrame(rows, index=pd.Index(PHONES, name="phone")), 1)
        print(f"\nmean {np.nanmean(ours):.1f} (paper {PAPER_MEAN}), correlation {correlation:.2f}")
        if self.plots is not None:
            self.plots.mkdir(parents=True, exist_ok=True)
            axes = plot_degradations(accuracy, list(PHONES))
            figure = axes.get_figure(root=True)
            assert figure is not None
            figure.savefig(self.plots / f"cameras_{self.name}.png", dpi=110)

    def mechanisms(self) -> None:
        """One difference between the phones at a time."""
        every = self.cameras()
        middle = Camera()
        variants: dict[str, Callable[[Camera], Camera]] = {
            "all": lambda camera: camera,
            "tone alone": lambda camera: replace(
                middle, isp=_look(middle.isp, camera.isp, "tone_exponent", "s_curve")
            ),
            "colour alone": lambda camera: replace(
                middle, isp=_look(middle.isp, camera.isp, "cast", "saturation")
            ),
            "sensors and options alone": lambda camera: replace(
                camera, isp=camera.isp.with_look(0.0)
            ),
        }
        rows = []
        for name, variant in variants.items():
            cameras = {phone: variant(camera) for phone, camera in every.items()}
            lost = degradations(self.accuracy(cameras, cameras))
            rows.append(_spread(name, lost))
        show(f"{self.name}: what differs, lost %", pd.DataFrame(rows), 1)

    def raw(self) -> None:
        """RAW in place of pictures."""
        rows = []
        for name, isp in (("pictures", None), ("RAW", RAW)):
            cameras = {
                phone: camera if isp is None else replace(camera, isp=isp)
                for phone, camera in self.cameras().items()
            }
            accuracy = self.accuracy(cameras, cameras)
            own = f"{100 * np.diag(accuracy).mean():.1f}"
            rows.append({**_spread(name, degradations(accuracy)), "accuracy on its own, %": own})
        rows.append({"what": "paper, pictures", "mean": PAPER_MEAN, "target": "13.3 to 33.6"})
        rows.append({"what": "paper, RAW", "mean": "-", "target": "31.7 to 56.4"})
        frame = pd.DataFrame(rows).astype(object).fillna("-")
        show(f"{self.name}: pictures and RAW, lost %", frame, 1)

    def stages(self) -> None:
        """Every stage at the baseline to train with, one changed to test with; the sensor is the S9's."""
        sensor = self.cameras()["S9"].sensor
        tested = {"baseline": Camera(sensor, BASELINE)}
        for stage, options in STAGES.items():
            for option in options[1:]:
                changed = replace(BASELINE, **{stage: option})  # type: ignore[arg-type]
                tested[f"{stage}: {option}"] = Camera(sensor, changed)
        accuracy = self.accuracy({"S9": tested["baseline"]}, tested)[0]
        paper = {"white_balance: none": "56.0", "tone: none": "49.2"}
        rows = [
            {
                "stage: option": name,
                "accuracy, %": 100 * value,
                "lost, %": 100 * (1 - value / accuracy[0]),
                "paper": paper.get(name, "-"),
            }
            for name, value in zip(tested, accuracy, strict=True)
        ]
        show(f"{self.name}: one stage changed at test", pd.DataFrame(rows), 1)

    def calibrate(self) -> None:
        """Look for the look: what is lost grows about in proportion to it."""

        def lost(strength: float) -> float:
            cameras = self.cameras(strength)
            mean = float(np.nanmean(degradations(self.accuracy(cameras, cameras))))
            print(
                f"{self.name}: look x {strength:.3f}: {mean:.1f} %, wanted {PAPER_MEAN}", flush=True
            )
            return mean

        without, strength = lost(0.0), self.look
        for _ in range(5):
            mean = lost(strength)
            if abs(mean - PAPER_MEAN) < 0.3:
                break
            strength *= (PAPER_MEAN - without) / (mean - without)


def _optics(profile: str) -> Camera:
    camera = shipped().phone(profile).camera
    assert camera is not None
    assert camera.optics is not None
    return camera.optics


def _look(isp: Isp, like: Isp, *names: str) -> Isp:
    return replace(isp, white_balance="illuminant", **{name: getattr(like, name) for name in names})


def _spread(name: str, lost: Reals) -> dict[str, object]:
    target = np.nanmean(lost, axis=0)
    return {
        "what": name,
        "mean": float(np.nanmean(lost)),
        "target": f"{target.min():.1f} to {target.max():.1f}",
    }


def _without(lost: Reals, k: int) -> Reals:
    return np.delete(np.delete(lost, k, axis=0), k, axis=1)


def _table(lost: Reals) -> pd.DataFrame:
    names = list(PHONES)
    frame = pd.DataFrame(lost, index=pd.Index(names, name="trained on"), columns=names)
    frame["mean"] = np.nanmean(lost, axis=1)
    frame.loc["mean"] = [*np.nanmean(lost, axis=0), np.nanmean(lost)]
    return frame


def _data(name: str, cifar: Path) -> Dataset:
    if name == "photo_patches":
        return photo_patches()
    every = from_hub(str(cifar))
    rng = Streams(0).generator("cameras", "rows")
    some = [
        np.sort(rng.permutation(len(part))[:count])
        for part, count in ((every.train, 5000), (every.test, 2000))
    ]
    return Dataset(name, every.train.take(some[0]), every.test.take(some[1]), every.classes)


def _accuracies(
    data: Dataset, program: LocalProgram, seed: int, phone: str, camera: Camera, tested: Cameras
) -> list[float]:
    """Train on a phone's pictures, test on those of all."""
    torch.set_num_threads(1)
    pictures = photographed(data.train, camera, phone, "train")
    layout = Layout(build_model("strided_cnn", data, seed))
    start = layout.read()
    rows = np.arange(len(pictures))
    tensors = Tensors(torch.from_numpy(pictures.inputs), torch.from_numpy(pictures.labels))
    rng = Streams(seed).generator("batches", phone)
    (update,) = train(layout, tensors, [Task(0, rows, program, start, rng)])
    weights = start + update.delta
    found = []
    for other, its in tested.items():
        scenes: Samples = photographed(data.test, its, other.partition(":")[0], "test")
        found.append(evaluate(layout, weights, scenes)[0].accuracy)
    return found


def speed() -> None:
    """Milliseconds per picture."""
    pictures = np.asarray(photo_patches().train.inputs[:1000], np.float32)
    keys = Streams(0).keys("speed", [str(k) for k in range(len(pictures))])
    rows = []
    cases = {name: _optics(profile) for name, profile in PHONES.items()}
    own = cases["S9"].sensor
    cases |= {"paper's baseline": Camera(own, BASELINE), "RAW": Camera(own, RAW)}
    second = {stage: options[2] for stage, options in STAGES.items()}
    cases["every second option"] = Camera(own, Isp(**second))  # type: ignore[arg-type]
    for name, camera in cases.items():
        photograph(pictures[:10], camera, keys[:10])
        begin = time.perf_counter()
        photograph(pictures, camera, keys)
        took_ms = 1e3 * (time.perf_counter() - begin) / len(pictures)
        rows.append({"camera": name, "ms": took_ms, "s for 10,000": 10 * took_ms})
    show("Photographs of 32 x 32", pd.DataFrame(rows), 2)


PARTS: Mapping[str, Callable[[Study], None]] = {
    "matrix": Study.matrix,
    "mechanisms": Study.mechanisms,
    "raw": Study.raw,
    "stages": Study.stages,
    "calibrate": Study.calibrate,
}


def main() -> int:
    """Run the parts that are asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("parts", nargs="*", choices=[*PARTS, "speed", []], help="default: most")
    parser.add_argument("--data", default=",".join(LOOKS))
    parser.add_argument("--cifar", type=Path, default=Path("../shared/data/cifar10"))
    parser.add_argument("--seeds", default="0,1")
    parser.add_argument("--look", default="", help="NAME=X,...; default: as calibrated")
    parser.add_argument("--plots", type=Path, default=None)
    parser.add_argument("--jobs", type=int, default=joblib.cpu_count())
    arguments = parser.parse_args()
    looks = LOOKS | {
        name: float(value)
        for name, _, value in (pair.partition("=") for pair in arguments.look.split(",") if pair)
    }
    chosen = arguments.parts or [name for name in (*PARTS, "speed") if name != "calibrate"]
    names = arguments.data.split(",")
    if not set(names) <= set(LOOKS):
        parser.error(f"--data: there are {', '.join(LOOKS)}")
    if "cifar10" in names and not arguments.cifar.is_dir():
        print(f"no CIFAR-10 at {arguments.cifar}: left out; give its folder with --cifar")
        names.remove("cifar10")
    seeds = [int(seed) for seed in arguments.seeds.split(",")]
    for name in names:
        study = Study(name, looks[name], seeds, arguments.cifar, arguments.plots, arguments.jobs)
        for part in chosen:
            if part in PARTS:
                PARTS[part](study)
    if "speed" in chosen:
        speed()
    return 0


if __name__ == "__main__":
    sys.exit(main())
