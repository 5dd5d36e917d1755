"""A phone's camera at work: opened, frame by frame, developed, kept open for a while, closed.

    closed -> open (open_s) -> n frames (frame_s each) -> n developments on the ISP -> the next user

Captures are served one after another, first come first served. From its opening to its closing the
camera draws one number of watts (its profile's: sensor and image signal processor together), and
all of that is booked to whoever it works for. The pictures of one user are one chain: all frames,
then all developments on the ISP, which follow the frames and do not overlap with them. A real ISP
works on one frame while the next is exposed, so that a series takes longer here than it need.

After the last capture in line the camera stays open for as long as its user wants, at the cost of
that user, until the next capture begins or it closes: as a radio's tail. Pictures that a CPU
develops (:class:`Development`) leave the camera after their frames.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from math import inf
from typing import Protocol

from edgesim.core.clock import Clock, Order, Timer
from edgesim.core.errors import SimulationError
from edgesim.core.power import Meter, PowerState, User
from edgesim.hardware.processor import PERFORMANCE, Governor, alone_level
from edgesim.hardware.specs import CameraSpec
from edgesim.nn.cost import ProcessorSpec

__all__ = [
    "MACS_PER_PIXEL",
    "TRAFFIC_BYTES_PER_PIXEL",
    "Camera",
    "CameraUser",
    "Capture",
    "Development",
    "developing_cpu",
]

MACS_PER_PIXEL = 174.0
"""What developing one pixel of RAW on a CPU takes, in multiply-accumulates in FP32 at the peak rate.

Source: Ragan-Kelley et al., "Decoupling algorithms from schedules for easy optimization of image
processing pipelines" (Halide), SIGGRAPH 2012 (recalled, medium confidence): the camera pipeline takes
741 ms for a RAW of 5 megapixels (2592 x 1968) on a Nokia N900 (ARM Cortex-A8 at 600 MHz), which is
87 cycles per pixel; times 2 multiply-accumulates per cycle of that core's NEON unit in FP32. That
pipeline corrects hot pixels, demosaics, corrects colour and applies a tone curve; JPEG is not in it.
"""

TRAFFIC_BYTES_PER_PIXEL = 5.0
"""What that reads and writes in memory: 2 bytes of RAW, 3 of the picture."""


class CameraUser(User, Protocol):
    """Whoever has pictures taken."""

    def tail_ended(self) -> None:
        """The camera that was kept open for it has closed, or works for another."""


class Development:
    """Pictures developed from RAW on a CPU, as a task of a processor.

    Args:
        pixels: of all of them.
    """

    __slots__ = ("_macs", "traffic_bytes")

    def __init__(self, pixels: float) -> None:
        self._macs = pixels * MACS_PER_PIXEL
        self.traffic_bytes = pixels * TRAFFIC_BYTES_PER_PIXEL

    def seconds(self, spec: ProcessorSpec, level: int, cores: int) -> tuple[float, float]:
        """As :meth:`~edgesim.hardware.processor.Task.seconds`; infinite where it cannot run."""
        macs_per_cycle = spec.macs_per_cycle.get("fp32", 0.0)
        if not macs_per_cycle:
            return inf, 0.0
        macs_per_s = macs_per_cycle * spec.levels[level].frequency_hz * max(cores, 1)
        return self._macs / macs_per_s, 0.0


def developing_cpu(
    processors: Mapping[str, ProcessorSpec], governors: Mapping[str, Governor]
) -> str:
    """The CPU cluster that develops pictures; empty if none can.

    Of those whose peak in FP32 is known, the one of the highest clock that its governor sets for a
    job alone; of equals the first by name.

    Args:
        processors: of a phone, by name.
        governors: who sets their clocks, by processor; the others are always at the top level.
    """
    clocks = {
        name: spec.levels[alone_level(spec, governors.get(name, PERFORMANCE))].frequency_hz
        for name, spec in sorted(processors.items())
        if spec.kind == "cpu" and spec.macs_per_cycle.get("fp32")
    }
    return max(clocks, key=clocks.__getitem__, default="")


class Capture:
    """Pictures of one user; made by :meth:`Camera.take`.

    Attributes:
        energy_j: what the camera has booked for them so far; what it costs to keep it open
            afterwards is not in it.
    """

    __slots__ = (
        "_camera",
        "_done",
        "_isp_s",
        "_keep_open_s",
        "_mark",
        "_pictures",
        "_user",
        "energy_j",
    )

    def __init__(
        self,
        camera: Camera,
        user: CameraUser,
        pictures: int,
        isp_s: float,
        keep_open_s: float,
        done: Callable[[], None],
    ) -> None:
        self._camera = camera
        self._user = user
        self._pictures = pictures
        self._isp_s = isp_s
        self._keep_open_s = keep_open_s
        self._done = done
        self._mark = 0.0
        self.energy_j = 0.0

    def cancel(self) -> None:
        """Give it up, booking what it has cost so far; nobody is told of its end."""
        self._camera._cancel(self)


class Camera:
    """One camera of one phone. While it is closed it draws nothing.

    Args:
        clock: the clock.
        meter: the phone's meter.
        spec: what it is; ``None``: the phone has none, and nothing can be asked of it.

    Attributes:
        spec: likewise.
        tail_user: for whom it is kept open, if it is.
    """

    __slots__ = (
        "_clock",
        "_line",
        "_ready_s",
        "_stage",
        "_state",
        "_tail_j",
        "_tail_mark",
        "_timer",
        "spec",
        "tail_user",
    )

    def __init__(self, clock: Clock, meter: Meter, spec: CameraSpec | None) -> None:
        self.spec = spec
        self.tail_user: CameraUser | None = None
        self._clock = clock
        self._state: PowerState = meter.component("camera", 0.0, "off")
        self._line: deque[Capture] = deque()  # the first of them is being served
        self._stage = ""  # of the first: open, capture, isp
        self._ready_s = inf  # when it is, or was, open; infinite: it is closed
        self._tail_mark = 0.0
        self._tail_j = 0.0  # of the tail that goes on, if nobody ends it
        self._timer = Timer(clock, Order.COMPLETION, self._time_is_up)

    # -- for jobs ---------------------------------------------------------------------------------

    def take(
        self,
        user: CameraUser,
        pictures: int,
        done: Callable[[], None],
        *,
        on_isp: bool = True,
        pixels: float | None = None,
        keep_open_s: float = 0.0,
    ) -> Capture:
        """Take pictures for ``user``, one series after another, then call ``done()``.

        Args:
            user: who answers for its joules.
            pictures: how many.
            done: called when the last of them has been taken, and developed if the ISP does that.
            on_isp: whether the ISP develops them.
            pixels: of each; by default the profile's. A frame takes the same time whatever they are.
            keep_open_s: so long it stays open afterwards if nobody else wants it.

        Raises:
            SimulationError: if the phone has no camera.
        """
        isp_s = self.isp_s(pictures, pixels) if on_isp else 0.0
        capture = Capture(self, user, pictures, isp_s, keep_open_s, done)
        self._line.append(capture)
        if len(self._line) == 1:
            self._serve()
        return capture

    def isp_s(self, pictures: float, pixels: float | None = None) -> float:
        """What its ISP takes to develop so many pictures of so many pixels (by default its own)."""
        spec = self._known()
        return pictures * (spec.pixels if pixels is None else pixels) / spec.isp_pixels_per_s

    def tail_left_j(self, user: CameraUser) -> float:
        """Joules that its being kept open will have cost ``user``, as yet unbooked.

        If nobody ends that before its time; 0 if it is not kept open for them.
        """
        return self._tail_j if self.tail_user is user else 0.0

    def forecast(
        self, pictures: int, *, on_isp: bool, pixels: float | None, keep_open_s: float
    ) -> tuple[float, float]:
        """What would come of :meth:`take` at this moment if nobody comes later.

        Returns:
            When it would be done, and joules, those of its being kept open afterwards included.
        """
        spec, now_s = self._known(), self._clock._now
        pays_from_s = begins_s = now_s
        if self._line:
            begins_s = self._timer.due_s  # of the stage of the first in line
            for number, capture in enumerate(self._line):
                if number or self._stage == "open":
                    begins_s += capture._pictures * spec.frame_s
                if number or self._stage != "isp":
                    begins_s += capture._isp_s
            pays_from_s = begins_s
        elif self._ready_s == inf:
            begins_s += spec.open_s
        end_s = begins_s + pictures * spec.frame_s
        if on_isp:
            end_s += self.isp_s(pictures, pixels)
        return end_s, spec.power_w * (end_s - pays_from_s + keep_open_s)

    # -- for the phone ----------------------------------------------------------------------------

    def stop(self) -> None:
        """Forget everything and close: the phone has gone off."""
        for capture in list(reversed(self._line)):
            self._cancel(capture)
        self.settle()

    def settle(self) -> None:
        """Close, if it is only kept open, and book that."""
        if self.tail_user is not None:
            self._timer.stop()
            self._ready_s = inf
            self._close_tail(0.0, "off")

    # -- inside -----------------------------------------------------------------------------------

    def _known(self) -> CameraSpec:
        if self.spec is None:
            raise SimulationError("a picture is to be taken on a phone that has no camera")
        return self.spec

    def _serve(self) -> None:
        """Begin with the first in line."""
        spec, capture, now_s = self._known(), self._line[0], self._clock._now
        if self._ready_s == inf:
            self._ready_s = now_s + spec.open_s
        # Whoever opened it may have given up: then it goes on opening for the next.
        opens = self._ready_s > now_s
        self._stage = stage = "open" if opens else "capture"
        if self.tail_user is capture._user:  # its own tail: it goes on paying
            capture._mark = self._state.book(
                capture._user, self._tail_mark, "open", spec.power_w, stage
            )
            self.tail_user = None
        else:
            if self.tail_user is not None:
                self._close_tail(spec.power_w, stage)
            capture._mark = self._state.join(spec.power_w, stage)
        self._timer.set(
            self._ready_s if opens else now_s + capture._pictures * spec.frame_s,
        )

    def _time_is_up(self) -> None:
        """A stage has lasted its time, or the tail has."""
        if self.tail_user is not None:
            self.settle()
            return
        spec, capture, now_s = self._known(), self._line[0], self._clock._now
        if self._stage == "open":
            self._next_stage(capture, "capture")
            self._timer.set(now_s + capture._pictures * spec.frame_s)
        elif self._stage == "capture" and capture._isp_s:
            self._next_stage(capture, "isp")
            self._timer.set(now_s + capture._isp_s)
        else:
            self._finish(capture)

    def _next_stage(self, capture: Capture, stage: str) -> None:
        user = capture._user
        before_j = user.energy_j
        capture._mark = self._state.book(
            user, capture._mark, self._stage, self._state.power_w, stage
        )
        capture.energy_j += user.energy_j - before_j
        self._stage = stage

    def _finish(self, capture: Capture) -> None:
        """The first in line has been served: the next one's turn, a tail, or nothing more."""
        if len(self._line) > 1 or not capture._keep_open_s:
            self._leave(capture)
        else:
            keep_open_s = capture._keep_open_s
            self._line.popleft()
            self._next_stage(capture, "open")
            self._tail_mark = capture._mark
            self._tail_j = self._state.power_w * keep_open_s
            self.tail_user = capture._user
            self._timer.set(self._clock._now + keep_open_s)
        capture._done()

    def _leave(self, capture: Capture) -> None:
        """The first in line goes, having paid; the next begins, or the camera closes."""
        self._line.popleft()
        user, state = capture._user, self._state
        before_j = user.energy_j
        if self._line:
            state.leave(user, capture._mark, self._stage)
        else:
            state.leave(user, capture._mark, self._stage, 0.0, "off")
        capture.energy_j += user.energy_j - before_j
        if self._line:
            self._serve()
        else:
            self._ready_s = inf
            self._timer.stop()

    def _cancel(self, capture: Capture) -> None:
        if self._line and self._line[0] is capture:
            self._leave(capture)
        elif capture in self._line:
            self._line.remove(capture)

    def _close_tail(self, power_w: float, next_activity: str) -> None:
        """Book the tail to its user, who leaves; draw ``power_w`` for ``next_activity`` after it."""
        user = self.tail_user
        assert user is not None
        self._state.leave(user, self._tail_mark, "open", power_w, next_activity)
        self.tail_user = None
        user.tail_ended()
