"""Networks: the air between phones and access points, and the wires behind them."""
