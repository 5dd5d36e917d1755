"""Which of its networks serves a phone: a function of its signals, so the same under every controller.

A phone prefers Wi-Fi to LTE, joins a Wi-Fi network when its signal is good enough, and leaves it when
there is no rate any more, or another one is stronger by a margin. Between the old network and the new
one lies a gap without any. Two networks with one roaming name (access points of one extended service
set) keep a phone's connections: transfers pause in the gap and go on. From one name to another the
phone's address changes, and its connections are lost.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf
from typing import NamedTuple, Protocol

from edgesim.core.clock import Clock
from edgesim.network.radio import Ether, Link, LinkState

__all__ = ["Connection", "CoursePiece", "Roaming", "RoamingRules", "Session"]


@dataclass(frozen=True, slots=True)
class RoamingRules:
    """When a phone changes its network, and how long that takes.

    The margin and the join threshold are the order of what phones do (Android's Wi-Fi selection
    leaves 5 GHz below about -77 dBm and wants some dB more elsewhere); assumed. The gap between
    access points is that of a reassociation with full authentication, tens of milliseconds to
    seconds (Mishra, Shin, Arbaugh, "An empirical analysis of the IEEE 802.11 MAC layer handoff
    process", ACM CCR 33(2), 2003: 60-400 ms); that between kinds of network is assumed.

    Attributes:
        join_dbm: a Wi-Fi network is joined from this signal on.
        margin_db: and left for another that is stronger by so much.
        gap_s: from one to another of the same roaming name.
        switch_gap_s: between networks of different names.
    """

    join_dbm: float = -75.0
    margin_db: float = 8.0
    gap_s: float = 0.2
    switch_gap_s: float = 1.0


class Roaming:
    """The networks that serve a phone, one after the other.

    Args:
        links: its links, as ordered in the scenario; that matters only at equal signals.
        rules: when it changes.
    """

    __slots__ = ("_current", "_links", "_pieces", "_rules", "_starts_s", "_until_s")

    def __init__(self, links: Sequence[Link], rules: RoamingRules) -> None:
        self._links = links
        self._rules = rules
        self._starts_s: list[float] = []
        self._pieces: list[int] = []
        self._until_s = 0.0  # up to where the path is known
        self._current = -1

    @property
    def known_until_s(self) -> float:
        """Up to where the path has been worked out: it needs the links' signals from there on."""
        return self._until_s

    def segment(self, time_s: float) -> tuple[float, float, int]:
        """The piece that holds at ``time_s``: start, end (exclusive), number of the link.

        The number is -1 in the gap of a change, and while no network has ever been in reach.
        """
        while time_s >= self._until_s:
            self._extend()
        index = bisect_right(self._starts_s, time_s) - 1
        if index + 1 < len(self._starts_s):
            return self._starts_s[index], self._starts_s[index + 1], self._pieces[index]
        return self._starts_s[index], self._until_s, self._pieces[index]

    def forget(self, time_s: float) -> None:
        """Free what only times before ``time_s`` need."""
        index = bisect_right(self._starts_s, time_s) - 1
        if 2 * index > len(self._starts_s):
            del self._starts_s[:index]
            del self._pieces[:index]

    def _extend(self) -> None:
        """Go on to the next moment at which any signal changes."""
        now_s = self._until_s
        found = [link.segment(now_s) for link in self._links]
        chosen = self._choose([(rssi_dbm, state) for _, _, rssi_dbm, state in found])
        before = self._current
        if chosen != before and before >= 0:
            links, rules = self._links, self._rules
            same = links[chosen].network.roaming == links[before].network.roaming
            self._note(now_s, -1)
            now_s += rules.gap_s if same else rules.switch_gap_s
            self._note(now_s, chosen)
            self._until_s = min(link.segment(now_s)[1] for link in links)
        else:
            self._note(now_s, chosen)
            self._until_s = min(end_s for _, end_s, _, _ in found)
        self._current = chosen

    def _note(self, time_s: float, number: int) -> None:
        if not self._pieces or self._pieces[-1] != number:
            self._starts_s.append(time_s)
            self._pieces.append(number)

    def _choose(self, seen: Sequence[tuple[float, LinkState]]) -> int:
        """The link to use, given signal and state of each; the present one if none is better."""
        current, rules = self._current, self._rules
        alive = [k for k, (_, state) in enumerate(seen) if state.up_bps > 0 and state.down_bps > 0]
        wifi = [
            k
            for k in alive
            if self._links[k].network.kind == "wifi"
            and (k == current or seen[k][0] >= rules.join_dbm)
        ]
        pool = wifi or [k for k in alive if self._links[k].network.kind != "wifi"]
        if not pool:
            # A weak Wi-Fi network is better than none.
            pool = alive
        if not pool:
            return current
        best = max(pool, key=lambda k: seen[k][0])
        if current in pool and seen[best][0] < seen[current][0] + rules.margin_db:
            return current
        return best


class Session(Protocol):
    """Whoever needs the connection to last: one request that is sent elsewhere."""

    def moved(self, link: Link) -> None:
        """It goes on over another link."""

    def connection_lost(self) -> None:
        """It does not."""


class CoursePiece(NamedTuple):
    """What a connection goes through.

    Attributes:
        start_s, end_s: from when to when.
        link: over which link.
        state: what its signal means.
        is_gap: whether it is between two links and nothing flows.
    """

    start_s: float
    end_s: float
    link: Link
    state: LinkState
    is_gap: bool


class Connection:
    """A phone's way to its networks.

    Args:
        ether: shared wake-ups.
        links: its links.
        rules: when it goes from one to another.
    """

    __slots__ = ("_asked", "_clock", "_ether", "_followed_s", "_roaming", "_sessions", "links")

    def __init__(self, ether: Ether, links: Sequence[Link], rules: RoamingRules) -> None:
        self.links = links
        self._ether = ether
        self._clock: Clock = ether.clock
        self._roaming = Roaming(links, rules) if len(links) > 1 else None
        self._sessions: dict[Session, Link] = {}
        self._followed_s = -inf
        self._asked = 0

    def link(self) -> Link | None:
        """The link that serves the phone now; ``None`` in a gap, and if none has ever been."""
        roaming = self._roaming
        if roaming is None:
            return self.links[0]
        now_s = self._clock._now
        number = roaming.segment(now_s)[2]
        self._asked += 1
        if not self._asked & 63:
            roaming.forget(now_s)
            for link in self.links:
                link.forget(now_s)
        return self.links[number] if number >= 0 else None

    def link_at(self, time_s: float) -> Link | None:
        """The link that will serve the phone then."""
        roaming = self._roaming
        if roaming is None:
            return self.links[0]
        number = roaming.segment(time_s)[2]
        return self.links[number] if number >= 0 else None

    def open(self, session: Session, link: Link) -> None:
        """Tell ``session`` what becomes of its connection over ``link``, until it is closed."""
        if self._roaming is not None:
            link.resume()
            self._sessions[session] = link
            self._follow()

    def close(self, session: Session) -> None:
        """It needs the connection no longer."""
        if self._roaming is not None:
            self._sessions.pop(session, None)

    def signal_changed(self) -> None:
        """The moment has come at which another link may serve the phone."""
        roaming, now_s = self._roaming, self._clock._now
        assert roaming is not None
        if not self._sessions:
            return
        _, end_s, number = roaming.segment(now_s)
        if number >= 0:
            self._arrive(self.links[number])
        else:
            self._depart(self.links[roaming.segment(end_s)[2]])
        self._follow()

    def course(self, link: Link, start_s: float) -> Iterator[CoursePiece]:
        """What a session over ``link`` goes through from ``start_s`` until it is lost."""
        roaming, time_s = self._roaming, start_s
        while True:
            end_s, is_gap = inf, False
            if roaming is not None:
                _, end_s, number = roaming.segment(time_s)
                is_gap = number < 0
                serving = self.links[roaming.segment(end_s)[2] if is_gap else number]
                if serving.network.roaming != link.network.roaming:
                    return
                if not is_gap:
                    link = serving
            _, link_end_s, _, state = link.segment(time_s)
            end_s = min(end_s, link_end_s)
            yield CoursePiece(time_s, end_s, link, state, is_gap)
            time_s = end_s

    # -- inside -----------------------------------------------------------------------------------

    def _follow(self) -> None:
        roaming, now_s = self._roaming, self._clock._now
        if roaming is None or not self._sessions or self._followed_s > now_s:
            return
        self._followed_s = roaming.segment(now_s)[1]
        self._ether.follow(self, self._followed_s)

    def _depart(self, to: Link) -> None:
        """A gap has begun: sessions that cannot go on over ``to`` are lost."""
        for session, link in list(self._sessions.items()):
            if link.network.roaming == to.network.roaming:
                link.pause()
            elif session in self._sessions:
                del self._sessions[session]
                session.connection_lost()

    def _arrive(self, link: Link) -> None:
        """A link serves the phone: sessions over another one go on over it, or are lost."""
        for session, before in list(self._sessions.items()):
            if before is link or session not in self._sessions:
                continue
            if before.network.roaming != link.network.roaming:
                del self._sessions[session]
                session.connection_lost()
                continue
            for transfer in before.hand_over(link):
                transfer.user.connection_lost()
            if session in self._sessions:
                self._sessions[session] = link
                session.moved(link)
