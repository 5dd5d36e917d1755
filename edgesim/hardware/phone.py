"""A phone: processors, radios, a screen, a camera and a base that wakes with them, on one battery.

Around it the world moves on its own: apps of its owner, the screen, the charger, the temperature of
the air (:class:`Surroundings`). What these do to the phone, and what heat and the battery do, needs
no events while the phone has no job: nothing else depends on it then. It is *dormant*, and lives
through that time when somebody looks at it next, from one exact moment of change to the next. While
it has jobs, one wake-up is pending: at the next change around it, or at the earliest moment at which
its battery could be empty or a sensor reach a threshold whatever the phone did (as if it drew its
peak power from now on). Only when that moment is less than a second away does every change of power
move the wake-up to the exact one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf, nan
from types import MappingProxyType
from typing import Protocol

from edgesim.core.clock import Clock, Order, Timer
from edgesim.core.errors import SimulationError
from edgesim.core.power import LEDGER_TOLERANCE, NOBODY, Booking, Meter, User
from edgesim.core.signals import ConstantBank, Signal
from edgesim.hardware.battery import BOARD, EDGE_J, OVERDRAFT_J, Battery
from edgesim.hardware.camera import Camera
from edgesim.hardware.device import DeviceEnd
from edgesim.hardware.memory import Memory
from edgesim.hardware.processor import PERFORMANCE, Governor, MemoryBus, Processor
from edgesim.hardware.specs import AppSpec, PhoneSpec, Trip
from edgesim.hardware.thermal import Thermal
from edgesim.hardware.truth import AS_PUBLISHED, Truth
from edgesim.network.radio import Ether, Link, Network, Partner, Radio
from edgesim.network.roaming import Connection, RoamingRules
from edgesim.nn.cost import ProcessorSpec

__all__ = [
    "BATTERY_EMPTY",
    "NO_APP",
    "OVERHEATED",
    "QUIET",
    "RESTART_CHARGE",
    "Activity",
    "Attachment",
    "Phone",
    "Surroundings",
]

BATTERY_EMPTY = "battery_empty"
OVERHEATED = "overheated"

RESTART_CHARGE = 0.03
"""A phone that has run empty starts again at this charge; assumed: phones refuse to start with
less than a few per cent."""

_EXACT_WITHIN_S = 1.0

NO_APP = AppSpec("none", 0.0, 0.0, 0.0)


class Activity(User, Protocol):
    """Whatever keeps a phone awake: told when the phone goes off under it."""

    def phone_went_off(self, reason: str) -> None:
        """The phone is off: give everything back and record the failure."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the world does to a phone.

    Attributes:
        app: which of ``apps`` runs, by number.
        screen: 1 while the screen is on, else 0.
        plugged: 1 while the charger is connected, else 0.
        ambient_c: temperature of the air, Celsius.
        apps: the apps there are; the first is none.
        brightness: of the screen while it is on, in [0, 1].
    """

    app: Signal
    screen: Signal
    plugged: Signal
    ambient_c: Signal
    apps: tuple[AppSpec, ...] = (NO_APP,)
    brightness: float = 0.5

    def next_change(self, time_s: float) -> float:
        """When any of the signals changes next."""
        return min(
            self.app.next_change(time_s),
            self.screen.next_change(time_s),
            self.plugged.next_change(time_s),
            self.ambient_c.next_change(time_s),
        )

    def forget(self, time_s: float) -> None:
        """Free the past of the signals."""
        for signal in (self.app, self.screen, self.plugged, self.ambient_c):
            signal.forget(time_s)


def _constant(value: float) -> Signal:
    return ConstantBank([value]).signal(0)


QUIET = Surroundings(_constant(0.0), _constant(0.0), _constant(0.0), _constant(25.0))
"""No apps, the screen off, not plugged in, 25 degrees Celsius."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """One of a phone's networks.

    Attributes:
        network: the network.
        rssi: the strength of its signal at the phone, dBm.
        bandwidth: rates up and down that are known, bits per second; ``None``: those of the signal.
        host: the phone at the other end, for Wi-Fi Direct; built when it is first needed.
    """

    network: Network
    rssi: Signal
    bandwidth: tuple[Signal, Signal] | None = None
    host: Callable[[], Phone] | None = None


ROAMING = RoamingRules()


class Phone:
    """One phone. It has been there, resting, since the start of the run when it is built.

    Args:
        ether: the wake-ups that radios share, and the clock.
        name: the device's name.
        spec: its profile.
        charge: of the battery at the start, in [0, 1].
        attachments: its networks.
        surroundings: what the world does to it.
        governors: who sets the clock, by processor; the others are always at the top level.
        truth: how it differs from its profile.
        roaming: when it goes from one network to another.

    Attributes:
        is_on: whether it runs.
        off_reason: why it does not.
        active: what keeps it awake, each with the mark of its share of the base power.
        battery: its battery; its numbers are those of the last change of power.
        thermal: its temperatures, likewise; ``None`` if its profile knows nothing of heat.
        memory: what is in its memory.
        wifi, lte: its radios; LTE is on if it is attached to such a network, ``None`` if the profile
            has no LTE.
        camera: its camera; one without a specification if the profile has none.
        connection: its way to access points and cells; ``None`` if it has none.
        nearby: its links to other phones, by their names (Wi-Fi Direct),
        hosts: and these phones.
    """

    __slots__ = (
        "_app",
        "_base",
        "_bus",
        "_clock",
        "_due",
        "_due_s",
        "_engaged",
        "_exact",
        "_governors",
        "_is_dormant",
        "_off_s",
        "_off_since_s",
        "_peak_board_w",
        "_peak_die_w",
        "_processors",
        "_rest",
        "_screen",
        "_surroundings",
        "_throttled_s",
        "_throttled_since_s",
        "_timer",
        "_truth",
        "_watchers",
        "_weather_s",
        "active",
        "battery",
        "camera",
        "connection",
        "hosts",
        "is_on",
        "lte",
        "memory",
        "meter",
        "name",
        "nearby",
        "off_reason",
        "radios",
        "spec",
        "start_j",
        "thermal",
        "wifi",
    )

    def __init__(
        self,
        ether: Ether,
        name: str,
        spec: PhoneSpec,
        charge: float,
        attachments: Sequence[Attachment] = (),
        surroundings: Surroundings = QUIET,
        governors: Mapping[str, Governor] = MappingProxyType({}),
        truth: Truth = AS_PUBLISHED,
        roaming: RoamingRules = ROAMING,
    ) -> None:
        clock = ether.clock
        now_s = clock._now
        clock.revisit(0.0, now_s)
        self._clock = clock
        self.name = name
        self.spec = spec
        self.is_on = True
        self.off_reason = ""
        self.active: dict[Activity, float] = {}
        self._surroundings = surroundings
        self._governors = governors
        self._truth = truth
        ambient_c = surroundings.ambient_c.value(0.0)
        has_lte = any(one.network.kind == "lte" for one in attachments)
        resting_w = spec.suspend_w + spec.wifi.idle_w
        if has_lte and spec.lte is not None:
            resting_w += spec.lte.idle_w
        self.thermal = None
        if spec.thermal is not None:
            self.thermal = Thermal(spec.thermal, ambient_c, resting_w)
        self.battery = Battery(spec.battery, charge, self._skin_c, self.thermal)
        self.start_j = self.battery.left_j
        self.memory = Memory(spec.ram_bytes)
        self._bus = MemoryBus(spec.memory_bps)
        self.meter = Meter(clock, name, supply=self.battery)
        # The components of the board come first; processors are added when they are used.
        self._base = self.meter.component("base", spec.suspend_w, "suspend")
        self._screen = self.meter.component("screen", 0.0, "off")
        self.wifi = Radio(ether, self.meter, spec.wifi)
        self.lte: Radio | None = None
        if spec.lte is not None:
            self.lte = Radio(ether, self.meter, spec.lte, is_on=has_lte)
        else:
            self.meter.component("lte", 0.0, "off")
        self.camera = Camera(clock, self.meter, spec.camera)
        self.radios = (self.wifi,) if self.lte is None or not has_lte else (self.wifi, self.lte)
        self.nearby: dict[str, Link] = {}
        self.hosts: dict[str, Callable[[], Phone]] = {}
        self.connection = self._connect(ether, attachments, roaming)
        self._processors: dict[str, Processor] = {}
        self._peak_board_w = spec.peak_board_w + (
            spec.lte.peak_w if has_lte and spec.lte is not None else 0.0
        )
        self._peak_die_w = spec.peak_die_w * max(truth.hungrier.values(), default=1.0)
        self._app = NO_APP
        self._rest = (spec.suspend_w, "suspend")
        self._engaged: tuple[Trip, ...] = ()
        self._throttled_s = 0.0
        self._throttled_since_s = inf  # infinite: it is not
        self._off_s = 0.0
        self._off_since_s = inf
        self._watchers: tuple[Callable[[], None], ...] = ()
        self._timer = Timer(clock, Order.SUPPLY, self._wake)
        self._exact = False
        self._is_dormant = True
        self._weather_s = 0.0
        self._due_s = 0.0
        self._due: _Crossing | None = None
        if self.battery.is_empty:
            self._go_off(BATTERY_EMPTY)
        for sensor in _SENSORS:
            if self.thermal is not None:
                self._cross(_Crossing(sensor, self.thermal.at(sensor), rising=True))
        self._look_around()
        clock.revisit(now_s, now_s)

    def _connect(
        self, ether: Ether, attachments: Sequence[Attachment], roaming: RoamingRules
    ) -> Connection | None:
        """Make its links."""
        links = []
        alone = sum(one.host is None for one in attachments) == 1
        for one in attachments:
            radio = self.lte if one.network.kind == "lte" else self.wifi
            if radio is None:
                raise SimulationError(f"{self.name} has no radio for {one.network.name!r}")
            if one.host is None:
                links.append(
                    Link(ether, radio, one.network, one.rssi, one.bandwidth, forgets=alone)
                )
                continue
            (place,) = one.network.routes
            self.hosts[place] = one.host
            partner = _partner(one.host, one.network)
            self.nearby[place] = Link(ether, radio, one.network, one.rssi, one.bandwidth, partner)
        return Connection(ether, links, roaming) if links else None

    # -- for jobs ---------------------------------------------------------------------------------

    def processor(self, name: str) -> Processor:
        """The processor called ``name``; one that is never asked for is never built."""
        processor = self._processors.get(name)
        if processor is None:
            spec = self.spec.processors[name]
            processor = self._processors[name] = Processor(
                self._clock,
                self.meter,
                spec,
                self._governors.get(name, PERFORMANCE),
                self._bus,
                self._truth.slower.get(name, 1.0),
                self._truth.hungrier.get(name, 1.0),
            )
            stand_in = self._stand_in(spec)
            if stand_in:
                processor.stand_in = self.processor(stand_in)
            self._limit(processor)
            if self._app.cpu and spec.kind == "cpu":
                processor.set_apps(self._app.cpu)
            elif self._app.memory:
                processor.adjust()
        return processor

    def look(self) -> None:
        """Bring the phone up to the present moment, so that what it is asked is of now."""
        if self._is_dormant:
            self._catch_up()
        self.meter.bring_up_to_date()

    def begin(self, activity: Activity) -> None:
        """Be awake for ``activity``; it shares the base power with whatever else is active."""
        if self._is_dormant:
            self._catch_up()
            self._is_dormant = False
            self._aim()
        self.active[activity] = self._base.join(self.spec.awake_w, "awake")

    def end(self, activity: Activity) -> None:
        """``activity`` is over: book its share of the base power."""
        mark = self.active.pop(activity)
        if self.active:
            self._base.leave(activity, mark, "awake")
        else:
            self._base.leave(activity, mark, "awake", *self._rest)

    @property
    def clock(self) -> Clock:
        """The clock that it lives by."""
        return self._clock

    @property
    def base_power_share_w(self) -> float:
        """Watts of base power that each active thing answers for at present."""
        return self._base.power_w / max(len(self.active), 1)

    def awake_so_far_j(self, activity: Activity) -> float:
        """Base power that ``activity`` answers for up to now, as yet unbooked; 0 if it has ended."""
        mark = self.active.get(activity)
        return 0.0 if mark is None else self._base.due_j(mark)

    @property
    def processors(self) -> Mapping[str, Processor]:
        """The processors that have been used so far."""
        return self._processors

    @property
    def heat_w(self) -> tuple[float, float]:
        """Watts that heat it at present: in its processors, and in all with the battery's loss."""
        watts, power_w = self.meter.watts, self.meter.power_w
        return sum(watts[BOARD:]), power_w + self.battery.flow(power_w).loss_w

    @property
    def app(self) -> AppSpec:
        """The app that runs at present."""
        return self._app

    @property
    def app_asked_for(self) -> AppSpec:
        """The app that its owner would run at this moment, whether the phone is on or not."""
        around = self._surroundings
        return around.apps[int(around.app.value(self._clock._now))]

    @property
    def surroundings(self) -> Surroundings:
        """What the world does to it."""
        return self._surroundings

    @property
    def throttled_s(self) -> float:
        """Seconds so far during which heat limited a processor, or would have while it was off."""
        return self._throttled_s + max(self._clock._now - self._throttled_since_s, 0.0)

    @property
    def off_s(self) -> float:
        """Seconds so far during which it was off."""
        return self._off_s + max(self._clock._now - self._off_since_s, 0.0)

    def watch(self, watcher: Callable[[], None]) -> None:
        """Call ``watcher()`` after every change of its power or its state."""
        self._watchers = (*self._watchers, watcher)
        self.meter.watch(watcher)

    # -- what it has come to ----------------------------------------------------------------------

    def end_of_run(self, charge_start: float) -> DeviceEnd:
        """What it has come to; everything active must have ended or been cut off.

        Raises:
            SimulationError: if ledger and battery disagree, or more was drawn than there was.
        """
        self.look()
        battery, thermal = self.battery, self.thermal
        self.meter.audit()
        bookings: list[Booking] = self.meter.bookings()
        if battery.loss_j:
            bookings = sorted([*bookings, ("battery", "loss", NOBODY, battery.loss_j)])
        drawn_j = self.meter.drawn_j + battery.loss_j
        given_j = self.start_j + battery.charged_j - battery.left_j
        most_j = max(drawn_j, battery.charged_j, 1.0)
        if battery.overdrawn_j > OVERDRAFT_J:
            raise SimulationError(
                f"{self.name}: {battery.overdrawn_j!r} J more were drawn than the battery held"
            )
        if not abs(given_j + battery.overdrawn_j - drawn_j) <= LEDGER_TOLERANCE * most_j:
            raise SimulationError(
                f"{self.name}: battery and charger gave {given_j!r} J, but {drawn_j!r} J were drawn"
            )
        return DeviceEnd(
            device=self.name,
            profile=self.spec.profile,
            charge_start=charge_start,
            charge_end=battery.charge,
            energy_drawn_j=drawn_j,
            busy_s={
                key: self._processors[key].busy_s if key in self._processors else 0.0
                for key in self.spec.processors
            },
            bookings=bookings,
            stored_start_j=self.start_j,
            stored_end_j=battery.left_j,
            energy_charged_j=battery.charged_j,
            peak_die_c=nan if thermal is None else thermal.peak_die_c,
            peak_skin_c=nan if thermal is None else thermal.peak_skin_c,
            throttled_s=self.throttled_s,
            off_s=self.off_s,
        )

    # -- time -------------------------------------------------------------------------------------

    @property
    def _skin_c(self) -> float:
        if self.thermal is None:
            return self._surroundings.ambient_c.value(self._clock._now)
        return self.thermal.skin_c

    @property
    def _is_resting(self) -> bool:
        """Whether nothing else can depend on what happens to it."""
        return (
            not self.active
            and self.camera.tail_user is None
            and all(radio.tail_user is None for radio in self.radios)
        )

    def _wake(self) -> None:
        self.meter.bring_up_to_date()
        if self._due_s <= self._clock._now:
            self._happen()
        if self._is_resting:
            self._watch_power(False)
            self._is_dormant = True
        else:
            self._aim()

    def _catch_up(self) -> None:
        """Live through the time since it was last looked at."""
        clock = self._clock
        now_s = clock._now
        clock.revisit(self.meter.since_s, now_s)
        while True:
            self._foresee()
            if self._due_s > now_s:
                break
            clock.revisit(self._due_s, now_s)
            self.meter.bring_up_to_date()
            self._happen()
        clock.revisit(now_s, now_s)

    def _aim(self) -> None:
        """Have a wake-up at the next moment at which something may happen."""
        now_s = self._clock._now
        surely_s = self._surely_quiet_s(self._weather_s - now_s)
        exact = surely_s < _EXACT_WITHIN_S and now_s + surely_s < self._weather_s
        self._watch_power(exact)
        if exact:
            self._foresee()
        else:
            self._due_s, self._due = self._weather_s, None
        self._timer.set(self._due_s if exact else min(now_s + surely_s, self._weather_s))

    def _watch_power(self, exact: bool) -> None:
        if exact != self._exact:
            self._exact = exact
            (self.meter.watch if exact else self.meter.unwatch)(self._power_changed)

    def _power_changed(self) -> None:
        self._foresee()
        self._timer.set(self._due_s)

    def _surely_quiet_s(self, within_s: float) -> float:
        """For how long neither battery nor heat can do anything, whatever the phone does.

        Longer than ``within_s`` need not be known.
        """
        if not self.is_on:
            return 0.0
        peak_w = self._peak_board_w + self._peak_die_w
        thermal = self.thermal
        coldest_c = self._skin_c if thermal is None else min(thermal.skin_c, thermal.ambient_c)
        surely_s = self.battery.seconds_surely_left(peak_w, coldest_c)
        if thermal is None or surely_s < _EXACT_WITHIN_S:
            return surely_s
        # The temperatures grow with every watt. What the battery loses at the peak is a fraction of
        # the load unless its voltage breaks down; half is more than that.
        most_w = 1.5 * peak_w + (self.battery.spec.charger_w if self.battery.is_plugged else 0.0)
        for sensor in _SENSORS:
            upper_c, lower_c = self._thresholds(sensor)
            if upper_c < inf:
                up_s = thermal.crossing_s(sensor, upper_c, True, self._peak_die_w, most_w)
                surely_s = min(surely_s, up_s)
            if lower_c > -inf:
                down_s = thermal.crossing_s(sensor, lower_c, False, 0.0, 0.0)
                surely_s = min(surely_s, down_s)
        return surely_s

    def _foresee(self) -> None:
        """Work out what will happen next, and when, at the present power."""
        now_s, battery = self._clock._now, self.battery
        self._due_s, self._due = self._weather_s, None
        within_s = self._due_s - now_s
        power_w = self.meter.power_w
        # At every edge the loss is another, and with it the heat; and an empty phone that charges
        # looks whether it may start.
        edge_s = 0.0
        if not (self.is_on and battery.is_too_weak(power_w)):
            edge_s = battery.seconds_to_edge(power_w if self.is_on else 0.0)
        if edge_s < within_s:
            within_s, self._due_s = edge_s, now_s + edge_s
        thermal = self.thermal
        if thermal is None:
            return
        die_w, heat_w = self.heat_w
        for sensor in _SENSORS:
            upper_c, lower_c = self._thresholds(sensor)
            for celsius, rising in ((upper_c, True), (lower_c, False)):
                if abs(celsius) < inf:
                    crossing_s = thermal.crossing_s(sensor, celsius, rising, die_w, heat_w)
                    if crossing_s < within_s:
                        within_s, self._due_s = crossing_s, now_s + crossing_s
                        self._due = _Crossing(sensor, celsius, rising)

    def _happen(self) -> None:
        """Do what is due at this moment."""
        now_s, due = self._clock._now, self._due
        self._due = None
        if due is not None:
            self._cross(due)
        battery = self.battery
        battery.pass_edge(self.meter.power_w)
        if now_s >= self._weather_s:
            self._look_around()
        if self.is_on:
            load_w = self.meter.power_w
            is_over = battery.left_j <= EDGE_J or battery.is_too_weak(load_w)
            if is_over and battery.flow(load_w).stored_w < 0.0:
                self._go_off(BATTERY_EMPTY)
        elif self._may_start():
            self._come_back()
        for watcher in self._watchers:
            watcher()

    # -- the world around -------------------------------------------------------------------------

    def _look_around(self) -> None:
        """Take note of what is around it now, and until when that holds."""
        now_s, around, thermal = self._clock._now, self._surroundings, self.thermal
        around.forget(now_s)
        self._weather_s = around.next_change(now_s)
        if thermal is not None and around.ambient_c.value(now_s) != thermal.ambient_c:
            thermal.set_ambient(around.ambient_c.value(now_s))
        battery, is_plugged = self.battery, around.plugged.value(now_s) > 0.0
        if is_plugged != battery.is_plugged or thermal is None:
            battery.plug(is_plugged)
            battery.set_band(battery.band_at(self._skin_c), self._skin_c)
        if self.is_on:
            self._follow_use()

    def _follow_use(self) -> None:
        """Run the app that is in use, and light the screen if it is."""
        now_s, around, spec = self._clock._now, self._surroundings, self.spec
        is_lit = around.screen.value(now_s) > 0.0
        screen_w = spec.screen_on_w + around.brightness * spec.screen_full_w
        self._screen.set(screen_w if is_lit else 0.0, "on" if is_lit else "off")
        self._run_app(around.apps[int(around.app.value(now_s))])
        is_used = is_lit or self._app is not NO_APP
        self._rest = (spec.awake_w, "awake") if is_used else (spec.suspend_w, "suspend")
        if not self.active:
            self._base.set(*self._rest)

    def _run_app(self, app: AppSpec) -> None:
        if app is self._app:
            return
        self._app = app
        self._bus.apps = app.memory
        if app.cpu:
            for name, spec in self.spec.processors.items():
                if spec.kind == "cpu":
                    self.processor(name)
        for processor in self._processors.values():
            processor.set_apps(app.cpu if processor.spec.kind == "cpu" else 0.0)
        self.memory.set_apps(app.ram_bytes)

    # -- off and on -------------------------------------------------------------------------------

    def _go_off(self, reason: str) -> None:
        self.is_on = False
        self.off_reason = reason
        self._off_since_s = self._clock._now
        for activity in list(self.active):
            activity.phone_went_off(reason)
        self._run_app(NO_APP)
        self.memory.clear()
        self.camera.stop()
        for radio in self.radios:
            radio.stop()
        self.meter.switch_off()

    def _may_start(self) -> bool:
        hot = any(not trip.processor for trip in self._engaged)
        start_w = self.spec.awake_w + self.spec.screen_on_w + self.spec.screen_full_w
        weak = self.battery.charge < RESTART_CHARGE or self.battery.is_too_weak(start_w)
        return not (hot or weak)

    def _come_back(self) -> None:
        self.is_on = True
        self.off_reason = ""
        self._off_s, self._off_since_s = self.off_s, inf
        for radio in self.radios:
            radio.start()
        self._base.set(self.spec.suspend_w, "suspend")
        self._follow_use()

    # -- heat -------------------------------------------------------------------------------------

    def _thresholds(self, sensor: str) -> tuple[float, float]:
        """The temperatures above and below at which something happens next; infinite for nothing."""
        assert self.spec.thermal is not None
        upper_c, lower_c = inf, -inf
        for trip in self.spec.thermal.trips:
            if trip.sensor == sensor:
                if trip in self._engaged:
                    lower_c = max(lower_c, trip.clear_c)
                else:
                    upper_c = min(upper_c, trip.trip_c)
        if sensor == "skin" and self.battery.is_plugged:
            below_c, above_c = self.battery.band_edges_c()
            lower_c, upper_c = max(lower_c, below_c), min(upper_c, above_c)
        return upper_c, lower_c

    def _cross(self, crossing: _Crossing) -> None:
        """A sensor has reached a temperature."""
        assert self.spec.thermal is not None
        sensor, celsius, rising = crossing.sensor, crossing.celsius, crossing.rising
        engaged = tuple(
            trip
            for trip in self.spec.thermal.trips
            if (trip.sensor != sensor and trip in self._engaged)
            or (trip.sensor == sensor and rising and trip.trip_c <= celsius)
            or (trip.sensor == sensor and trip in self._engaged and _stays(trip, crossing))
        )
        battery = self.battery
        if sensor == "skin" and battery.is_plugged:
            below_c, above_c = battery.band_edges_c()
            if rising and celsius >= above_c:
                battery.set_band(battery.band + 1, celsius)
            elif not rising and celsius <= below_c:
                battery.set_band(battery.band - 1, celsius)
        if engaged == self._engaged:
            return
        if bool(engaged) != bool(self._engaged):
            self._throttled_s = self.throttled_s
            self._throttled_since_s = self._clock._now if engaged else inf
        self._engaged = engaged
        for processor in list(self._processors.values()):
            self._limit(processor)
        if self.is_on and any(not trip.processor for trip in engaged):
            self._go_off(OVERHEATED)

    def _limit(self, processor: Processor) -> None:
        """Have a processor keep within what the trips allow."""
        spec = processor.spec
        mine = [trip for trip in self._engaged if trip.processor == spec.name]
        top = min([trip.level for trip in mine] + [len(spec.levels) - 1])
        cores = min([trip.cores for trip in mine] + [spec.cores])
        if (top, cores) != (processor.top, processor.cores):
            processor.limit(top, cores)

    def _stand_in(self, spec: ProcessorSpec) -> str:
        """The cluster that takes over when this one is unplugged: Linux never unplugs the last."""
        thermal = self.spec.thermal
        if thermal is None or spec.kind != "cpu":
            return ""
        unplugged = {trip.processor for trip in thermal.trips if trip.cores == 0}
        if spec.name not in unplugged or not spec.efficiency:
            return ""
        others = [
            other
            for name, other in self.spec.processors.items()
            if other.kind == "cpu"
            and name not in unplugged
            and other.efficiency.keys() >= spec.efficiency.keys()
            and other.unsupported_layers <= spec.unsupported_layers
        ]
        best = max(others, key=lambda other: other.levels[-1].frequency_hz, default=None)
        return "" if best is None else best.name


def _partner(host: Callable[[], Phone], network: Network) -> Callable[[], Partner]:
    return lambda: Partner(host().wifi, network.table(host().spec.wifi))


_SENSORS = ("die", "skin")


@dataclass(frozen=True, slots=True)
class _Crossing:
    """A sensor reaches a temperature, from below or from above."""

    sensor: str
    celsius: float
    rising: bool


def _stays(trip: Trip, crossing: _Crossing) -> bool:
    return crossing.rising or trip.clear_c < crossing.celsius
