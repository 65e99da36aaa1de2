"""What other engines published, case by case: the one place that knows. Numbers are texts, as they stand there."""

from decimal import ROUND_HALF_UP, Decimal


def printed(value: float, like: str) -> str:
    """The value with as many decimals as the text has, halves away from zero; the 15th digit is noise."""
    exponent = Decimal(like).as_tuple().exponent
    rounded = Decimal(f"{value:.14g}").quantize(Decimal(1).scaleb(int(exponent)), ROUND_HALF_UP)
    return f"{rounded if rounded else abs(rounded):f}"


# `filled` counts orders that filled: of the 85 orders that LEAN counts in L4, one never did.
LEAN = {
    "L2": {
        "case": "basic_template_hourly",
        "filled": 1,
        "end_equity": "101529.08",
        "fees": "3.44",
        "drawdown": "2.0",
    },
    "L3": {
        "case": "basic_template_daily",
        "filled": 1,
        "end_equity": "104486.22",
        "fees": "3.49",
        "drawdown": "0.8",
    },
    "L4": {"case": "macd_trend", "filled": 84, "end_equity": "137751.04", "fees": "468.54", "drawdown": "34.9"},
    "L6": {"case": "dividend_regression", "filled": 1, "end_equity": "120462.08", "fees": "2.56", "drawdown": "28.2"},
    "L7": {"case": "split_holdings_daily", "filled": 1, "end_equity": "98919.60", "fees": "1.00", "drawdown": "2.2"},
    "L10": {"case": "margin_remaining", "filled": 2, "end_equity": "119303.75", "fees": "45.18", "drawdown": "42.1"},
    "L12": {
        "case": "set_holdings_multiple_targets",
        "filled": 11,
        "end_equity": "101952.99",
        "fees": "15.02",
        "drawdown": "2.3",
    },
    "L16": {"case": "market_on_open", "filled": 2, "end_equity": "99981.16", "fees": "2.00", "drawdown": "0.0"},
}

ZIPLINE = {
    "buyapple": {
        "fills": 210,
        "days": 211,
        "final": "10228181.07",
        "max_drawdown": "-0.00575311728717",
        "sharpe": "2.28764363264",
        "sortino": "3.69727445939",
        "volatility": "0.0118097627111",
    },
    "dual_moving_average": {
        "fills": 1,
        "days": 502,
        "final": "9996406.00",
        "max_drawdown": "-0.0019225339775",
        "sharpe": "-0.159395767099",
        "sortino": "-0.233009427745",
        "volatility": "0.00112809325937",
    },
}

BT1 = {"final": "10284.10", "cash": "6164.16", "buys": 12, "sells": 11}
BP1 = {
    "trades": 66,
    "final": 51422.98999999996,
    "peak": "75787.44",
    "max_drawdown": -47.98012705007589,
    "win_rate": 46.96969696969697,
    "best": 53.59595229490424,
    "worst": -18.39887353835481,
    "profit_factor": 2.167945974262033,
    "exposure": 96.74115456238361,
}
PA2 = {"final": "876350.83", "return": "-12.36", "daily_std": "0.0176", "sharpe": "-0.33"}
PA4 = {"final": "1395359.58", "fills": 6, "refused": 7}
FILLS_OF = {"macd_trend": "L4", "set_holdings_multiple_targets": "L12", "long_on_cross": "BT1", "bollinger": "PA4"}

Q1 = {"days": 399, "holdings": 19_900, "final": 127218399.78055352}

# Reference 7.1: date, account, cash, return, turnover, cost, bench.
TOPK_DROPOUT_3_1 = """
01-03 999530.3913 60312.8921 0.000000000 0.939217499 0.0004696087 -0.000625014
01-04 994191.1112 22947.4644 -0.004689553 0.670601422 0.0006522360 -0.002499998
01-05 988411.4486 18556.2847 -0.005107557 0.707730518 0.0007058750 0.002499938
01-08 968321.8441 19205.5654 -0.019624533 0.699932036 0.0007006108 -0.019999981
01-09 968688.9565 19557.8541 0.001013347 0.633725410 0.0006342244 0.016875029
01-10 980541.5894 2324.2893 0.012244638 0.017781716 0.0000088909 0.003749967
01-11 987327.3753 314347.2167 0.007398486 0.318692923 0.0004780394 0.001875043
01-12 978893.9924 32705.7472 -0.007774611 0.909261519 0.0007670168 -0.013125062
01-15 983221.1479 31430.1214 0.005624539 1.204134385 0.0012040849 0.004999995
01-16 997755.1431 3862.8013 0.014827536 0.059511405 0.0000455153 0.003124952
01-17 993824.8662 20164.8540 -0.003263030 0.667581917 0.0006760893 0.001250029
01-18 986354.0640 32279.6105 -0.006320370 1.190159071 0.0011968525 -0.000625014
01-19 979556.7611 31953.2789 -0.005717935 1.172985844 0.0011734071 -0.002499998
01-22 982795.5595 4985.3747 0.003407014 0.114336913 0.0001006219 0.002500057
"""
TOPK_DROPOUT_3_1_ORDERS = """
01-03 B S5 6800, B S2 10300, B S7 5700 · 01-04 S S5 6800, B S6 7000 · 01-05 S S6 7000, B S4 8800 ·
01-08 S S4 8800, B S5 7600 · 01-09 S S2 10300, B S6 6100 · 01-10 B S1 700 · 01-11 S S6 6100 ·
01-12 S S7 5700, B S0 29200 · 01-15 S S0 29200, B S4 15200 · 01-16 S S1 700, B S0 2100 · 01-17 S S5 7600, B S6 6500 ·
01-18 S S4 15200, B S7 10700 · 01-19 S S7 10700, B S2 19300 · 01-22 S S0 2100, B S5 1500
"""
TOPK_DROPOUT_3_1_RISK = {
    "mean": "-0.00039156942",
    "std": "0.0070452618",
    "annual": "-0.093193522",
    "ir": "-0.85743284",
    "mdd": "-0.025283284",
    "mean_with_cost": "-0.0010210746",
    "std_with_cost": "0.0072530938",
    "annual_with_cost": "-0.24301576",
    "ir_with_cost": "-2.1718142",
    "mdd_with_cost": "-0.02797623",
    "mean_product": "-0.0010455524",
    "std_product": "0.0072668292",
    "annual_product": "-0.22039792",
    "ir_product": "-2.2196746",
    "mdd_product": "-0.027760057",
}
SIGNAL_METRICS = {
    "ic": "0.06372353",
    "icir": "0.17604074",
    "rank_ic": "0.09773220",
    "rank_icir": "0.28990621",
    "long_short": "0.00187499",
    "market": "-0.00058036",
}
OTHER_SETTINGS = {
    "nothing_to_drop": {"final": "943998.2166", "holdings": [3, 0, 3, 0]},
    "four_names_two_drops": {"final": "989397.2896", "most": 5},
    "all_cash_no_costs": {"final": "1005853.6289"},
}
NO_SUSPENSION = {
    "topk_dropout": {"final": "966850.9024305", "turnover": "9.560842576", "cost": "0.009076103358"},
    "equal_weight": {
        "final": "973390.7001124",
        "turnover": "14.243667380",
        "cost": "0.013794847352",
        "first_days": [{}, {2: 10300.0, 4: 8000.0, 6: 6200.0}],
        "cash": "55993.7611",
    },
}

# BT4: mean of 30 weekly closes at the first bar that has one and at the last.
WEEKLY_MEAN = {"first": "3703.962333", "last": "3836.453333"}

# Bars that equal the published ones in all five fields: R1, R2, and the weeks of BT4.
BARS = {"hours_to_days": 29_245, "minutes_to_five": 25_917, "days_to_weeks": 52}
