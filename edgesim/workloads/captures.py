"""Pictures that jobs take: on the camera, then developed by its ISP or by a CPU of the phone.

    camera: opened, frames (, ISP) -> (CPU: development) -> done

With the CPU the camera is free again after the frames.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from edgesim.core.errors import SimulationError
from edgesim.hardware.camera import CameraUser, Capture, Development, developing_cpu
from edgesim.hardware.phone import Phone
from edgesim.hardware.processor import PERFORMANCE, Execution, Governor, alone_level
from edgesim.hardware.specs import PhoneSpec
from edgesim.workloads.what_if import play

__all__ = ["CaptureTerms", "Photography", "Pictures"]


@dataclass(frozen=True, slots=True)
class CaptureTerms:
    """How a job wants its pictures.

    Attributes:
        pixels: of each; ``None``: as many as the phone's camera has.
        on_isp: whether the camera's ISP develops them; else a CPU does.
        keep_open_s: so long the camera stays open afterwards.
    """

    pixels: float | None = None
    on_isp: bool = True
    keep_open_s: float = 0.0


class Photography:
    """How phones of one kind take the pictures of a job.

    Args:
        spec: their profile; it has a camera.
        governors: who sets their clocks, by processor.
        terms: how the job wants them.

    Attributes:
        terms: likewise.
        processor: the CPU cluster that develops them; empty where the ISP does.

    Raises:
        SimulationError: if such phones cannot take them so.
    """

    __slots__ = ("_camera", "_governor", "_spec", "_tasks", "processor", "terms")

    def __init__(
        self, spec: PhoneSpec, governors: Mapping[str, Governor], terms: CaptureTerms
    ) -> None:
        if spec.camera is None:
            raise SimulationError(f"{spec.profile} has no camera")
        self.terms = terms
        self.processor = "" if terms.on_isp else developing_cpu(spec.processors, governors)
        if not (terms.on_isp or self.processor):
            raise SimulationError(f"{spec.profile} has no CPU that can develop pictures")
        self._spec = spec
        self._camera = spec.camera
        self._governor = governors.get(self.processor, PERFORMANCE)
        self._tasks: dict[int, Development] = {}

    def task(self, pictures: int) -> Development:
        """What developing so many of them is for the CPU."""
        found = self._tasks.get(pictures)
        if found is None:
            found = self._tasks[pictures] = Development(pictures * self._pixels)
        return found

    def promised_s(self, pictures: float) -> float:
        """What so many take undisturbed by the profile, the camera being closed before."""
        camera = self._camera
        taking_s = camera.open_s + pictures * camera.frame_s
        if not self.processor:
            return taking_s + pictures * self._pixels / camera.isp_pixels_per_s
        processor = self._spec.processors[self.processor]
        level = alone_level(processor, self._governor)
        developing = Development(pictures * self._pixels)
        return taking_s + developing.seconds(processor, level, processor.cores)[0]

    def forecast(self, phone: Phone, pictures: int) -> tuple[float, float]:
        """What would come of taking so many on a phone now: when they are there, and joules.

        Those of the camera's being kept open afterwards included; nobody comes later.
        """
        terms = self.terms
        end_s, energy_j = phone.camera.forecast(
            pictures, on_isp=terms.on_isp, pixels=terms.pixels, keep_open_s=terms.keep_open_s
        )
        if self.processor:
            place = phone.processor(self.processor).place
            end_s, developing_j = play(phone, place, self.task(pictures), None, end_s)
            energy_j += developing_j
        return end_s, energy_j

    @property
    def _pixels(self) -> float:
        return self._camera.pixels if self.terms.pixels is None else self.terms.pixels


class Pictures:
    """Pictures being taken on one phone; it begins at once.

    Args:
        phone: where.
        user: who answers for their joules.
        how: what is done.
        pictures: how many.
        done: called when they are there.
    """

    __slots__ = (
        "_capture",
        "_done",
        "_execution",
        "_how",
        "_phone",
        "_pictures",
        "_spent_j",
        "_user",
    )

    def __init__(
        self,
        phone: Phone,
        user: CameraUser,
        how: Photography,
        pictures: int,
        done: Callable[[], None],
    ) -> None:
        self._phone = phone
        self._user = user
        self._how = how
        self._pictures = pictures
        self._done = done
        self._spent_j = 0.0  # by what is over
        self._execution: Execution | None = None
        terms = how.terms
        self._capture: Capture | None = phone.camera.take(
            user,
            pictures,
            self._taken,
            on_isp=terms.on_isp,
            pixels=terms.pixels,
            keep_open_s=terms.keep_open_s,
        )

    @property
    def energy_j(self) -> float:
        """What camera and CPU have booked for them; what keeps the camera open afterwards apart."""
        capture_j = 0.0 if self._capture is None else self._capture.energy_j
        developing_j = 0.0 if self._execution is None else self._execution.energy_j
        return self._spent_j + capture_j + developing_j

    def cancel(self) -> None:
        """Give them up, if they are not there yet; nobody is told."""
        if self._capture is not None:
            self._capture.cancel()
        if self._execution is not None:
            self._execution.cancel()
        self._forget()

    def _taken(self) -> None:
        how = self._how
        self._forget()
        if how.processor:
            processor = self._phone.processor(how.processor)
            task = how.task(self._pictures)
            self._execution = processor.run(self._user, task, self._developed)
        else:
            self._done()

    def _developed(self) -> None:
        self._forget()
        self._done()

    def _forget(self) -> None:
        """Something is over: keep what it has cost, and leave no cycle behind."""
        self._spent_j = self.energy_j
        self._capture = self._execution = None
