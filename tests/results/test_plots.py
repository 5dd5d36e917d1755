from collections.abc import Iterator
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib.axes import Axes

from edgesim.core.errors import EdgesimError
from edgesim.results import plots
from edgesim.results.result import Comparison, Result
from edgesim.scenario.run import compare

matplotlib.use("Agg")

import matplotlib.pyplot as plt

NAMES = ["edge_cpu", "cloud"]


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    return compare("quickstart", overrides={"duration_s": 60, "compare.offloading": NAMES})


@pytest.fixture(autouse=True)
def _figures_are_closed() -> Iterator[None]:
    yield
    plt.close("all")


def texts(ax: Axes) -> list[str]:
    legend = ax.get_legend()
    assert legend is not None
    return [text.get_text() for text in legend.get_texts()]


# --- energy --------------------------------------------------------------------------------------


def phone_joules(result: Result) -> float:
    devices = result.devices
    return float(devices.energy_drawn_j[devices.kind == "phone"].sum())


def test_the_bars_of_each_controller_add_up_to_what_its_phones_drew(
    comparison: Comparison,
) -> None:
    ax = plots.energy_by_component(comparison)
    labels = [text.get_text() for text in ax.get_yticklabels()]
    assert labels == NAMES
    widths = np.array([[bar.get_width() for bar in stack] for stack in ax.containers])  # type: ignore[union-attr]
    totals = [phone_joules(result) for result in comparison.values()]
    assert widths.sum(axis=0) == pytest.approx(totals, rel=1e-9)
    assert (widths >= 0).all()
    assert [text.get_text() for text in ax.texts] == [f"{total:,.4g} J" for total in totals]


def test_the_bars_are_stacked_end_to_end(comparison: Comparison) -> None:
    ax = plots.energy_by_component(comparison)
    end = np.zeros(len(NAMES))
    for stack in ax.containers:
        starts = [bar.get_x() for bar in stack]  # type: ignore[union-attr]
        assert starts == pytest.approx(end)
        end += [bar.get_width() for bar in stack]  # type: ignore[union-attr]
    assert ax.get_xlim()[1] >= end.max()


def test_a_bar_shows_what_its_component_and_activity_cost(comparison: Comparison) -> None:
    ax = plots.energy_by_component(comparison)
    shown = dict(zip(texts(ax), ax.containers, strict=True))
    for position, result in enumerate(comparison.values()):
        energy = result.energy[result.energy.device != "cloud"]
        sending = energy[(energy.component == "wifi") & (energy.activity == "transmit")]
        bar = shown["wifi transmit"][position]  # type: ignore[index]
        assert bar.get_width() == pytest.approx(sending.energy_j.sum())


def test_a_use_has_the_same_colour_in_every_figure(comparison: Comparison) -> None:
    def colours(results: Result | Comparison) -> dict[str, object]:
        ax = plots.energy_by_component(results)
        stacks = zip(texts(ax), ax.containers, strict=True)
        return {label: stack[0].get_facecolor() for label, stack in stacks}  # type: ignore[index]

    everything = colours(comparison)
    assert len(set(everything.values())) == len(everything)
    for result in comparison.values():
        one = colours(result)
        assert one.items() <= everything.items()
        energy = result.energy[(result.energy.device != "cloud") & (result.energy.energy_j > 0)]
        assert set(one) == set(energy.component + " " + energy.activity)


def test_one_result_is_shown_under_the_name_of_its_scenario(comparison: Comparison) -> None:
    ax = plots.energy_by_component(comparison["cloud"])
    assert [text.get_text() for text in ax.get_yticklabels()] == ["quickstart"]


# --- latency -------------------------------------------------------------------------------------


def test_the_line_is_the_share_answered_within_a_multiple_of_the_deadline(
    comparison: Comparison,
) -> None:
    ax = plots.latency_against_deadline(comparison)
    lines = ax.get_lines()
    assert len(lines) == len(NAMES) + 1  # and the deadline itself
    for line, result in zip(lines, comparison.values(), strict=False):
        requests = result.requests
        multiple = (requests.latency_s / requests.deadline_s).dropna()
        x, y = np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float)
        assert x.tolist() == sorted(multiple)
        assert y[-1] == pytest.approx(len(multiple) / len(requests))
        at = float(y[np.searchsorted(x, 1.0, side="right") - 1]) if x[0] <= 1 else 0.0
        assert at == pytest.approx((multiple <= 1).sum() / len(requests))
    assert list(np.asarray(lines[-1].get_xdata(), float)) == [1.0, 1.0]
    assert ax.get_xscale() == "log"


def test_the_legend_of_latencies_tells_who_was_late(comparison: Comparison) -> None:
    ax = plots.latency_against_deadline(comparison)
    expected = [
        f"{name} ({result.summary['deadline_violation_ratio']:.0%} late)"
        for name, result in comparison.items()
    ]
    assert texts(ax) == expected


def test_latencies_of_one_job_are_its_own(comparison: Comparison) -> None:
    ax = plots.latency_against_deadline(comparison["cloud"], job="camera")
    requests = comparison["cloud"].requests
    done = requests[(requests.job == "camera") & (requests.status == "done")]
    assert len(np.asarray(ax.get_lines()[0].get_xdata())) == len(done)


def test_latencies_of_a_job_without_deadlines_are_refused(comparison: Comparison) -> None:
    with pytest.raises(EdgesimError, match="no requests of job 'camrea' have a deadline"):
        plots.latency_against_deadline(comparison, job="camrea")


def test_several_results_have_different_colours(comparison: Comparison) -> None:
    many = {f"run {i}": comparison["cloud"] for i in range(8)}
    ax = plots.latency_against_deadline(many)
    colours = [line.get_color() for line in ax.get_lines()[:-1]]
    assert len(set(map(str, colours))) == 8


def test_no_result_is_dropped_however_many_there_are(comparison: Comparison) -> None:
    many = {f"run {i}": comparison["cloud"] for i in range(11)}
    ax = plots.latency_against_deadline(many)
    assert len(ax.get_lines()) == 11 + 1


# --- charge --------------------------------------------------------------------------------------


def test_the_charge_runs_from_the_start_to_the_end_of_the_run(comparison: Comparison) -> None:
    result = comparison["cloud"]
    ax = plots.charge_over_time(result)
    assert texts(ax) == ["galaxy_s10e", "mi_8_pro", "moto_x_force"]
    ends = result.devices.set_index("device")
    for line, phone in zip(ax.get_lines(), texts(ax), strict=True):
        x, y = np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float)
        assert (x[0], x[-1]) == (0.0, 60.0)
        assert y[0] == pytest.approx(100 * ends.charge_start[phone])
        assert y[-1] == pytest.approx(100 * ends.charge_end[phone])
        assert (np.diff(x) >= 0).all()
        assert (np.diff(y) <= 1e-12).all()


def test_the_charge_of_one_device_has_a_line_per_controller(comparison: Comparison) -> None:
    ax = plots.charge_over_time(comparison, device="mi_8_pro")
    assert texts(ax) == NAMES
    assert ax.get_title(loc="left") == "mi_8_pro"


def test_the_charge_of_several_devices_is_told_apart_by_controller(comparison: Comparison) -> None:
    ax = plots.charge_over_time(comparison)
    assert texts(ax) == list(comparison)
    assert len(ax.get_lines()) == 3 * len(comparison)
    assert len({line.get_color() for line in ax.get_lines()}) == len(comparison)


def test_a_charge_that_was_not_recorded_is_refused_with_the_way_to_record_it() -> None:
    off = {"duration_s": 5, "record.states": None, "compare.offloading": ["cloud"]}
    with pytest.raises(EdgesimError, match="recorded"):
        plots.charge_over_time(compare("quickstart", overrides=off))
    power = {**off, "record.states": {"quantities": ["power_w"]}}
    with pytest.raises(EdgesimError, match=r"record: \{states: \{\}\}"):
        plots.charge_over_time(compare("quickstart", overrides=power))


def test_the_charge_of_a_device_that_is_not_there_is_refused_by_its_name(
    comparison: Comparison,
) -> None:
    with pytest.raises(EdgesimError, match="mi_9"):
        plots.charge_over_time(comparison, device="mi_9")


# --- all of them ---------------------------------------------------------------------------------

EVERY: list[Any] = [
    plots.energy_by_component,
    plots.latency_against_deadline,
    plots.charge_over_time,
]


@pytest.mark.parametrize("plot", EVERY)
def test_a_plot_goes_where_it_is_told_to(plot: Any, comparison: Comparison) -> None:
    _, ax = plt.subplots()
    assert plot(comparison, ax=ax) is ax
    assert len(plt.get_fignums()) == 1


@pytest.mark.parametrize("plot", EVERY)
def test_a_plot_has_labels_with_units_and_can_be_drawn(plot: Any, comparison: Comparison) -> None:
    ax = plot(comparison)
    assert ax.get_xlabel()
    assert ax.get_legend() is not None
    ax.figure.canvas.draw()
    assert len(plt.get_fignums()) == 1


def test_a_plot_that_is_refused_leaves_no_empty_figure_behind(comparison: Comparison) -> None:
    with pytest.raises(EdgesimError):
        plots.latency_against_deadline(comparison, job="camrea")
    with pytest.raises(EdgesimError):
        plots.charge_over_time(comparison, device="mi_9")
    assert plt.get_fignums() == []


# --- where requests ran --------------------------------------------------------------------------


def test_the_places_of_each_result_add_up_to_all_requests(comparison: Comparison) -> None:
    ax = plots.placement(comparison)
    assert [text.get_text() for text in ax.get_yticklabels()] == NAMES
    shares = {str(stack.get_label()): [bar.get_width() for bar in stack] for stack in ax.containers}  # type: ignore[union-attr]
    assert np.sum(list(shares.values()), axis=0) == pytest.approx([1, 1])
    assert shares["device cpu"][0] == 1
    ran = comparison["cloud"].requests.target.dropna().astype(str)
    assert shares["device cpu"][1] == pytest.approx(ran.str.startswith("device/cpu").mean())
    assert next(iter(shares)).startswith("device ")
