from bisect import bisect_right
from dataclasses import replace
from math import inf, isfinite, log10, nan, nextafter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesim.network.lte import (
    CQI_EFFICIENCY,
    CQI_SINR_DB,
    DOWN_OVERHEAD,
    RESOURCE_BLOCKS,
    UP_OVERHEAD,
    LtePower,
    LteRates,
)

CHECK = settings(derandomize=True, deadline=None, max_examples=150)

POWER = LtePower(
    layers=2,
    idle_w=0.02,
    active_w=1.288,
    receive_w_per_bps=52e-9,
    transmit_w=((-40.0, 1.3), (0.0, 1.5), (5.0, 1.8), (15.0, 2.1), (20.0, 2.6)),
    promotion_s=0.26,
    promotion_w=1.21,
    inactivity_s=0.1,
    tail_s=11.576,
    tail_w=1.06,
    drx_cycle_s=0.04,
    paging_cycle_s=1.28,
)

rssis = st.floats(-140, 0)
cells = st.builds(
    LteRates,
    st.sampled_from(sorted(RESOURCE_BLOCKS)),
    st.integers(1, 4),
    interference_db=st.floats(0, 20),
    p0_dbm=st.floats(-126, 24),
    alpha=st.sampled_from([0, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1]),
    up_diversity_db=st.floats(0, 6),
)


# --- watts ----------------------------------------------------------------------------------------


def test_sending_draws_the_row_of_its_output_power() -> None:
    watts = [POWER.transmitting_w(dbm) for dbm in (-50, -40, -0.1, 0, 4.9, 5, 19.9, 20, 23)]
    assert watts == [1.3, 1.3, 1.3, 1.5, 1.5, 1.8, 2.1, 2.6, 2.6]


def test_the_peak_is_sending_at_the_limit_while_a_whole_cell_is_received() -> None:
    # 100 blocks x 168,000 elements/s x 5.5547 bits, two layers.
    assert POWER.peak_w == pytest.approx(2.6 + 52e-9 * 2 * 93.319e6, rel=1e-4)
    assert replace(POWER, promotion_w=20.0).peak_w == 20
    assert replace(POWER, receive_w_per_bps=0.0, active_w=3.0).peak_w == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layers": 0}, "layers"),
        ({"transmit_w": ()}, "rows of increasing output power"),
        ({"transmit_w": ((0.0, 1.0), (0.0, 2.0))}, "rows of increasing output power"),
        ({"transmit_w": ((5.0, 1.0), (0.0, 2.0))}, "rows of increasing output power"),
        ({"transmit_w": ((0.0, -1.0),)}, "not below 0"),
        ({"idle_w": -0.1}, "not below 0"),
        ({"tail_w": inf}, "finite"),
        ({"receive_w_per_bps": nan}, "finite"),
        ({"tail_s": 0.05}, "not below inactivity_s"),
    ],
)
def test_no_modem_is_like_that(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(POWER, **changes)  # type: ignore[arg-type]


# --- rates, by hand -------------------------------------------------------------------------------


def test_overheads_are_those_of_their_parts() -> None:
    assert pytest.approx(1 - (132 / 168) * 0.9 * 0.97) == DOWN_OVERHEAD
    assert pytest.approx(1 - (12 / 14) * 0.9 * 0.9 * 0.97) == UP_OVERHEAD


def test_a_strong_downlink_has_all_layers_at_the_highest_indicator() -> None:
    elements_per_s = 50 * 12 * 14 * 1000
    one, two = LteRates(10, 1), LteRates(10, 2)
    assert one.down_bps(-50) == pytest.approx(5.5547 * elements_per_s * 0.685929)
    assert two.down_bps(-50) == pytest.approx(2 * one.down_bps(-50))
    assert two.down_bps(-50) == pytest.approx(64.0e6, rel=1e-3)


def test_the_downlink_by_hand_at_one_antenna() -> None:
    """Noise of 9 MHz is -174 + 69.54 + 9 = -95.46 dBm, with interference -92.46."""
    rates = LteRates(10, 1)
    noise_dbm = -174 + 10 * log10(9e6) + 9 + 3
    assert noise_dbm == pytest.approx(-92.46, abs=0.01)
    for place, (sinr_db, bits) in enumerate(zip(CQI_SINR_DB, CQI_EFFICIENCY, strict=True)):
        here_bps = bits * 8.4e6 * (1 - DOWN_OVERHEAD)
        assert rates.down_bps(noise_dbm + sinr_db + 0.01) == pytest.approx(here_bps)
        below_bps = CQI_EFFICIENCY[place - 1] * 8.4e6 * (1 - DOWN_OVERHEAD) if place else 0
        assert rates.down_bps(noise_dbm + sinr_db - 0.01) == pytest.approx(below_bps)


def test_the_second_layer_comes_with_enough_signal() -> None:
    """At 10 dB: one layer at 13 dB is CQI 10, two at 7 dB are twice CQI 7, which is more. At 2 dB:
    one at 5 dB is CQI 6, two at -1 dB are twice CQI 3, which is less."""
    rates = LteRates(10, 2, down_overhead=0)
    noise_dbm = -174 + 10 * log10(9e6) + 9 + 3
    assert rates.down_bps(noise_dbm + 10) == pytest.approx(2 * 1.4766 * 8.4e6)
    assert rates.down_bps(noise_dbm + 2) == pytest.approx(1.1758 * 8.4e6)


def test_output_power_follows_the_path_loss_up_to_the_limit() -> None:
    rates = LteRates(10, 2)
    # -67 + 10 log10(50) + 0.7 x (46 + 50) = 17.19
    assert rates.tx_dbm(-50) == pytest.approx(17.1897, abs=1e-4)
    assert rates.tx_dbm(-70) == 23
    assert rates.tx_dbm(-20) == pytest.approx(17.1897 - 21, abs=1e-4)
    assert rates.transmitting_w(POWER, -50) == 2.1
    assert rates.transmitting_w(POWER, -70) == 2.6


def test_the_uplink_by_hand() -> None:
    """At -72 dBm the path loses 118 dB and 23 dBm arrive as -95. Noise is -174 + 69.54 + 5 - 3 of
    diversity + 3 of interference = -99.46, so 4.46 dB: CQI 6 over 50 blocks."""
    rates = LteRates(10, 2)
    assert rates.up_bps(-72) == pytest.approx(1.1758 * 8.4e6 * (1 - UP_OVERHEAD))
    # No more than 16-QAM, one layer.
    assert rates.up_bps(-50) == pytest.approx(2.4063 * 8.4e6 * (1 - UP_OVERHEAD))
    assert rates.up_bps(-50) == LteRates(10, 1).up_bps(-50) == LteRates(10, 4).up_bps(-50)


def test_power_control_can_keep_a_strong_uplink_slow() -> None:
    """All loss made up for, -113.9 dBm a block arrive from anywhere, -96.91 over 50 blocks; that is
    2.55 dB above noise: CQI 5, 0.15 dB above its threshold."""
    rates = LteRates(10, 2, p0_dbm=-113.9, alpha=1)
    assert rates.tx_dbm(-50) == pytest.approx(-113.9 + 16.99 + 96, abs=0.01)
    assert rates.up_bps(-50) == pytest.approx(0.877 * 8.4e6 * (1 - UP_OVERHEAD))
    assert rates.up_bps(-50) == rates.up_bps(0)
    assert LteRates(10, 2, p0_dbm=-126, alpha=1).up_bps(-50) == 0


def test_at_its_limit_a_phone_sends_on_fewer_blocks() -> None:
    """At -90 dBm 23 - 136 = -113 dBm arrive, 13.54 dB below the noise of 50 blocks. On 12 blocks it
    is 7.34 below, on 6 it is 4.33 below: CQI 2; on 3 it is 1.32 below: CQI 3. 6 x 0.2344 is most."""
    rates = LteRates(10, 2)
    assert rates.up_bps(-90) == pytest.approx(6 * 0.2344 * 168e3 * (1 - UP_OVERHEAD))
    assert rates.up_bps(-101) == 0


def test_out_of_reach_there_is_no_rate() -> None:
    rates = LteRates(20, 2)
    for rssi_dbm in (-130, -1000, -inf):
        assert rates.down_bps(rssi_dbm) == rates.up_bps(rssi_dbm) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"bandwidth_mhz": 12}, "no LTE cell has 12 MHz; known: 1.4, 3, 5, 10, 15, 20"),
        ({"layers": 0}, "layers"),
        ({"alpha": 1.1}, "shares"),
        ({"down_overhead": 1.0}, "shares"),
        ({"up_overhead": -0.1}, "shares"),
    ],
)
def test_no_cell_is_like_that(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LteRates(**{"bandwidth_mhz": 10, "layers": 2, **arguments})  # type: ignore[arg-type]


# --- rates, of any cell ---------------------------------------------------------------------------


@CHECK
@given(cells, rssis, rssis)
def test_more_signal_is_never_slower_and_needs_no_more_power(
    rates: LteRates, one: float, other: float
) -> None:
    weak, strong = sorted((one, other))
    assert rates.down_bps(weak) <= rates.down_bps(strong)
    assert rates.up_bps(weak) <= rates.up_bps(strong)
    assert rates.tx_dbm(weak) >= rates.tx_dbm(strong)
    assert rates.transmitting_w(POWER, weak) >= rates.transmitting_w(POWER, strong)


@CHECK
@given(cells, rssis)
def test_between_edges_nothing_changes(rates: LteRates, rssi_dbm: float) -> None:
    edges = rates.edges_dbm(POWER)
    assert edges == sorted(set(edges))
    assert all(map(isfinite, edges))
    begin = (-inf, *edges)[bisect_right(edges, rssi_dbm)]
    assert _all_of(rates, begin) == _all_of(rates, rssi_dbm)


@CHECK
@given(cells)
def test_at_every_edge_something_changes(rates: LteRates) -> None:
    for edge in rates.edges_dbm(POWER):
        assert _all_of(rates, edge) != _all_of(rates, nextafter(edge, -inf))


def _all_of(rates: LteRates, rssi_dbm: float) -> tuple[float, float, float]:
    return (
        rates.down_bps(rssi_dbm),
        rates.up_bps(rssi_dbm),
        rates.transmitting_w(POWER, rssi_dbm),
    )


@CHECK
@given(cells, st.floats(-40, 30))
def test_the_rssi_of_an_output_power_is_exact(rates: LteRates, tx_dbm: float) -> None:
    edge = rates.below_tx_dbm(tx_dbm)
    if isfinite(edge):
        assert rates.tx_dbm(edge) < tx_dbm <= rates.tx_dbm(nextafter(edge, -inf))
    else:
        assert all((rates.tx_dbm(x) < tx_dbm) == (edge < 0) for x in (-140.0, -70.0, 0.0))


@CHECK
@given(st.sampled_from([5, 10, 15, 20]), rssis)
def test_a_wider_cell_is_no_slower_at_the_same_density(mhz: int, rssi_dbm: float) -> None:
    """With twice the blocks and twice the power over them, the downlink is twice as fast."""
    wide, half = RESOURCE_BLOCKS[mhz], RESOURCE_BLOCKS[5]
    stronger_dbm = rssi_dbm + 10 * log10(wide / half) + 1e-9
    assert (
        LteRates(mhz, 2).down_bps(stronger_dbm)
        >= wide / half * LteRates(5, 2).down_bps(rssi_dbm) - 1e-3
    )
