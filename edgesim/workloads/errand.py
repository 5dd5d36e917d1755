"""One attempt to have a request carried out elsewhere: at a site's server, or on a phone nearby.

    uplink -> half RTT -> server's queue and processor, or the other phone -> half RTT -> downlink

The connection must last from the first bit up to the last bit down. If it does not, or the other side
says no, the attempt has failed; what the other side is doing then goes on unless it is told.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from edgesim.core.clock import Order
from edgesim.hardware.phone import Phone
from edgesim.hardware.server import Server, Submission, Tenant
from edgesim.network.radio import Link, TransferUser
from edgesim.workloads.computation import Computation
from edgesim.workloads.menu import Plan

__all__ = ["CONNECTION_LOST", "REJECTED", "AtServer", "Errand", "OtherSide", "Owner", "Visit"]

CONNECTION_LOST = "connection_lost"
REJECTED = "rejected"


class Owner(TransferUser, Protocol):
    """Whoever sends somebody on an errand."""

    def errand_done(self) -> None:
        """The result is back."""

    def errand_failed(self, reason: str) -> None:
        """It has come to nothing."""


class OtherSide(Protocol):
    """Who does the work there.

    Attributes:
        goes_on: whether it goes on when the connection is lost, since it does not hear of that.
    """

    goes_on: bool

    @property
    def at_partner(self) -> TransferUser | None:
        """Who answers for the transfers at the other end of a Wi-Fi Direct link."""

    def run(self, plan: Plan, done: Callable[[], None], failed: Callable[[str], None]) -> None:
        """Carry it out, then call ``done()``, or ``failed(reason)``."""

    def withdraw(self) -> None:
        """Stop it."""


class AtServer:
    """Work at a site's server.

    Args:
        server: the server.
        tenant: the job's account there.
    """

    __slots__ = ("_server", "_submission", "_tenant")

    at_partner = None
    goes_on = True

    def __init__(self, server: Server, tenant: Tenant) -> None:
        self._server = server
        self._tenant = tenant
        self._submission: Submission | None = None

    def run(self, plan: Plan, done: Callable[[], None], failed: Callable[[str], None]) -> None:
        """Join the line, or be turned away."""
        self._submission = self._server.submit(
            plan.processor, self._tenant, plan.task, done, lambda: failed(REJECTED)
        )

    def withdraw(self) -> None:
        """Leave the line."""
        if self._submission is not None:
            self._submission.withdraw()


class Visit:
    """A request's stay on another phone: what that phone's joules are booked to.

    Args:
        host: the other phone.
        job: the request's job.
        left: called when the last joule there has been booked.
        run_is_over: called when the run ends while it is there.

    Attributes:
        job: likewise.
        energy_j: what has been booked to it there.
        is_open: whether the last joule is still to come.
    """

    __slots__ = (
        "_computation",
        "_failed",
        "_left",
        "_run_is_over",
        "energy_j",
        "host",
        "is_open",
        "job",
    )

    goes_on = False

    def __init__(
        self,
        host: Phone,
        job: str,
        left: Callable[[], None],
        run_is_over: Callable[[], None],
    ) -> None:
        self.host = host
        self.job = job
        self.energy_j = 0.0
        self.is_open = False
        self._left = left
        self._run_is_over = run_is_over
        self._computation: Computation | None = None
        self._failed: Callable[[str], None] | None = None

    @property
    def at_partner(self) -> TransferUser | None:
        """It answers for the other phone's radio itself."""
        return self

    @property
    def is_cold(self) -> bool:
        """Whether its model had to be loaded."""
        return self._computation is not None and self._computation.is_cold

    def begin(self, failed: Callable[[str], None]) -> None:
        """Wake the host up."""
        self.is_open = True
        self._failed = failed
        self.host.begin(self)

    def end(self) -> None:
        """Let the host go back to sleep; its radio's tail may go on."""
        if self in self.host.active:
            self.host.end(self)
        self._failed = None
        if self.is_open and self.host.wifi.tail_user is not self:
            self.tail_ended()

    def run(self, plan: Plan, done: Callable[[], None], failed: Callable[[str], None]) -> None:
        """Run it on the host."""
        self._computation = Computation(
            self.host, self, plan, done, lambda: failed("host_out_of_memory")
        )
        self._computation.start()

    def withdraw(self) -> None:
        """Stop it."""
        if self._computation is not None:
            self._computation.cancel()

    def phone_went_off(self, reason: str) -> None:
        """The host has gone off."""
        if self._failed is not None:
            self._failed("host_" + reason)

    def cut_off(self) -> None:
        """The run is over."""
        self._run_is_over()

    def transferred(self) -> None:
        """The phone that came is told, not the host."""

    def connection_lost(self) -> None:
        """Likewise."""

    def tail_ended(self) -> None:
        """The host's radio has left the tail after a transfer with this request."""
        if self.is_open and self not in self.host.active:
            self.is_open = False
            self._left()


class Errand:
    """One attempt.

    Args:
        owner: the request; the joules of the phone's radio are booked to it.
        phone: its phone.
        link: the way there.
        plan: what is to be done there, and where.
        other_side: who does it.
        input_bytes, output_bytes: payload there and back.

    Attributes:
        send_s, receive_s: how long the transfers took, once they are over.
    """

    __slots__ = (
        "_begun_s",
        "_input_bytes",
        "_is_back",
        "_is_over",
        "_is_withdrawn",
        "_link",
        "_other_side",
        "_output_bytes",
        "_owner",
        "_phone",
        "_plan",
        "receive_s",
        "send_s",
    )

    def __init__(
        self,
        owner: Owner,
        phone: Phone,
        link: Link,
        plan: Plan,
        other_side: OtherSide,
        input_bytes: float,
        output_bytes: float,
    ) -> None:
        self._owner = owner
        self._phone = phone
        self._link = link
        self._plan = plan
        self._other_side = other_side
        self._input_bytes = input_bytes
        self._output_bytes = output_bytes
        self._begun_s = 0.0
        self.send_s = 0.0
        self.receive_s = 0.0
        self._is_back = False
        self._is_over = False
        self._is_withdrawn = False

    def start(self) -> None:
        """Send the input."""
        connection = self._phone.connection
        if connection is not None and self._link in connection.links:
            connection.open(self, self._link)
        self._begun_s = self._phone.clock._now
        self._link.send(
            self._owner, self._input_bytes, self._plan.place, self._other_side.at_partner
        )

    def abandon(self, *, tell: bool) -> None:
        """Give it up.

        Args:
            tell: whether the other side hears of it and stops; else it goes on for nothing.
        """
        self._end()
        self._link.radio.abort(self._owner)
        if tell or not self._other_side.goes_on:
            self._is_withdrawn = True
            self._other_side.withdraw()

    # -- its way ----------------------------------------------------------------------------------

    def transferred(self) -> None:
        """A transfer has ended."""
        took_s = self._phone.clock._now - self._begun_s
        if self._is_back:
            self.receive_s = took_s
            self._end()
            self._owner.errand_done()
        else:
            self.send_s = took_s
            self._wait(self._arrive)

    def _arrive(self, _: None) -> None:
        # Whether the phone is still there does not concern the other side.
        if not self._is_withdrawn:
            self._other_side.run(self._plan, self._served, self._refused)

    def _served(self) -> None:
        self._wait(self._return)

    def _refused(self, reason: str) -> None:
        self._wait(self._hear_refusal, reason)

    def _hear_refusal(self, reason: str) -> None:
        if not self._is_over:
            self._fail(reason)

    def _return(self, _: None) -> None:
        if not self._is_over:
            self._is_back = True
            self._begun_s = self._phone.clock._now
            self._link.receive(
                self._owner, self._output_bytes, self._plan.place, self._other_side.at_partner
            )

    def _wait(
        self, then: Callable[[str], None] | Callable[[None], None], what: str | None = None
    ) -> None:
        """Half a round trip, then on."""
        clock, route = self._phone.clock, self._link.network.routes[self._plan.place]
        clock.call_at(clock._now + route.half_rtt_s, Order.COMPLETION, then, what)

    # -- as a session -----------------------------------------------------------------------------

    def moved(self, link: Link) -> None:
        """It goes on over another link."""
        if self._plan.place in link.network.routes:
            self._link = link
        else:
            self._fail(CONNECTION_LOST)

    def connection_lost(self) -> None:
        """It does not."""
        self._fail(CONNECTION_LOST)

    def host_failed(self, reason: str) -> None:
        """The phone at the other end has gone off: that is known at once."""
        self._fail(reason)

    def _fail(self, reason: str) -> None:
        if not self._is_over:
            self.abandon(tell=False)
            self._owner.errand_failed(reason)

    def _end(self) -> None:
        self._is_over = True
        if self._phone.connection is not None:
            self._phone.connection.close(self)
