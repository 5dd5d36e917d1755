"""Which places a scenario's networks reach, and over which wires; what is wrong with that."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from edgesim.core.documents import Document, KeyPath
from edgesim.core.errors import Problem
from edgesim.core.units import ms_to_s
from edgesim.hardware.catalogue import Catalogue
from edgesim.scenario.schema import (
    NetworkSpec,
    PhoneGroupSpec,
    Scenario,
    SiteSpec,
    WifiDirectSpec,
)

__all__ = ["Way", "disconnected", "ways"]


class Way(NamedTuple):
    """From a network to a place.

    Attributes:
        place: a site, or the phone of a Wi-Fi Direct group.
        links: names of the wires between, in order.
        rtt_s: round-trip time without transfers.
    """

    place: str
    links: tuple[str, ...]
    rtt_s: float


def ways(scenario: Scenario, network: str) -> Iterator[Way]:
    """The ways from a network to all places that it reaches."""
    spec = scenario.networks[network]
    if isinstance(spec, WifiDirectSpec):
        yield Way(spec.to, (), ms_to_s(spec.rtt_ms))
        return
    for place, site in sorted(scenario.sites.items()):
        if _reaches(network, site):
            backhaul = [] if site.at == network else spec.backhaul
            links = (*backhaul, *site.links)
            rtt_ms = spec.rtt_ms + sum(scenario.links[link].rtt_ms for link in links) + site.rtt_ms
            yield Way(place, links, ms_to_s(rtt_ms))


def _reaches(network: str, site: SiteSpec) -> bool:
    if site.at is not None:
        return network == site.at
    return site.networks is None or network in site.networks


def disconnected(document: Document, scenario: Scenario, catalogue: Catalogue) -> list[Problem]:
    """Networks, sites and phones that do not fit together."""
    problems: list[Problem] = []

    def wrong(path: KeyPath, message: str) -> None:
        problems.append(document.problem(path, message))

    for name, network in scenario.networks.items():
        for path, message in _wrong_with_network(name, network, scenario):
            wrong(path, message)
    for name, site in scenario.sites.items():
        for path, message in _wrong_with_site(name, site, scenario):
            wrong(path, message)
    for name, group in scenario.phones.items():
        for path, message in _wrong_with_group(name, group, scenario, catalogue):
            wrong(path, message)
    if problems:
        return problems
    for name, job in scenario.inference_jobs.items():
        groups = [scenario.phones[group] for group in job.phones or scenario.phones]
        reached = {
            way.place
            for group in groups
            for network in group.attachments
            for way in ways(scenario, network)
        }
        for index, place in enumerate(job.sites or ()):
            if place not in reached:
                path = ("jobs", name, "sites", index)
                wrong(path, f"{place!r} cannot be reached: {_why_not(place, scenario)}")
    for name, federated in scenario.federated_jobs.items():
        for member in federated.phones or scenario.phones:
            networks = scenario.phones[member].attachments
            reached = {way.place for network in networks for way in ways(scenario, network)}
            if federated.site not in reached:
                message = (
                    f"{federated.site!r} cannot be reached by phones of group {member!r}, which take "
                    "part; attach them to a network that leads there, or leave them out with 'phones'"
                )
                wrong(("jobs", name, "site"), message)
    return problems


def _why_not(place: str, scenario: Scenario) -> str:
    networks = [
        network
        for network in scenario.networks
        if any(way.place == place for way in ways(scenario, network))
    ]
    if not networks:
        return "no network leads there; add one to 'networks'"
    return f"no phone of the job is attached to {' or '.join(networks)}; attach one"


Wrong = Iterator[tuple[KeyPath, str]]


def _wrong_with_network(name: str, network: NetworkSpec, scenario: Scenario) -> Wrong:
    path: KeyPath = ("networks", name)
    if isinstance(network, WifiDirectSpec):
        if scenario.phones[network.to].count != 1:
            yield (*path, "to"), f"{network.to!r} is several phones; a group is joined to one"
        return
    for index, link in enumerate(network.backhaul):
        if link in network.backhaul[:index]:
            yield (*path, "backhaul", index), f"{link!r} is given twice"


def _wrong_with_site(name: str, site: SiteSpec, scenario: Scenario) -> Wrong:
    path: KeyPath = ("sites", name)
    if site.at is not None and site.networks is not None:
        yield (*path, "networks"), "a site that stands 'at' a network is reached from there only"
        return
    if site.networks == []:
        yield (
            (*path, "networks"),
            "it cannot be reached from any network; name one, or leave it out",
        )
    for index, network in enumerate(site.networks or ()):
        if isinstance(scenario.networks[network], WifiDirectSpec):
            message = f"{network!r} is a Wi-Fi Direct group, which leads to its phone only"
            yield (*path, "networks", index), message
    if site.at is not None and isinstance(scenario.networks[site.at], WifiDirectSpec):
        yield (*path, "at"), f"{site.at!r} is a Wi-Fi Direct group; nothing can stand there"
    entrances = [site.at] if site.at is not None else site.networks
    attached = {network for group in scenario.phones.values() for network in group.attachments}
    if entrances and not attached & set(entrances):
        yield path, f"it cannot be reached: no phone is attached to {' or '.join(entrances)}"
    for index, link in enumerate(site.links):
        if link in site.links[:index]:
            yield (*path, "links", index), f"{link!r} is given twice"
    for network, spec in scenario.networks.items():
        if isinstance(spec, WifiDirectSpec) or site.at is not None or not _reaches(network, site):
            continue
        for index, link in enumerate(site.links):
            if link in spec.backhaul:
                message = f"{link!r} is already in the backhaul of {network!r}; keep one of them"
                yield (*path, "links", index), message


def _wrong_with_group(
    name: str, group: PhoneGroupSpec, scenario: Scenario, catalogue: Catalogue
) -> Wrong:
    path: KeyPath = ("phones", name)
    if group.mobility is not None and not any(
        one.rssi_dbm is None for one in group.attachments.values()
    ):
        yield (*path, "mobility"), "nothing depends on it: every network has its rssi_dbm"
    for network, attachment in group.attachments.items():
        spec = scenario.networks[network]
        place: KeyPath = (*path, "network") if group.network else (*path, "networks", network)
        if spec.kind == "lte" and catalogue.phone(group.profile).lte is None:
            yield place, f"the profile {group.profile} has no LTE; add a section 'lte' there"
        if isinstance(spec, WifiDirectSpec) and spec.to == name:
            yield place, "a phone cannot connect to itself"
        if attachment.rssi_dbm is not None:
            continue
        if isinstance(spec, WifiDirectSpec):
            yield place, "give rssi_dbm: the distance between two phones is not known"
        elif group.mobility is None:
            yield place, "give rssi_dbm, or say where the phones are with 'mobility'"
        elif spec.x_m is None:
            yield place, f"give rssi_dbm, or say where {network!r} stands with x_m and y_m"
