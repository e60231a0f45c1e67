"""What DuckDB is asked for: the features of transactions. The golden files and the race of peers share it."""

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
CARD_WINDOWS = {"1h": HOUR_US, "24h": DAY_US, "7d": 7 * DAY_US, "30d": 30 * DAY_US}
TERMINAL_WINDOWS = {"1d": DAY_US, "7d": 7 * DAY_US, "30d": 30 * DAY_US}
LABEL_DELAY_US = 7 * DAY_US


def features(path):
    """The query, whose rows stand in no order: which transaction it is, `amount_cents`, and every feature."""
    columns, windows = [], []
    for name, length in CARD_WINDOWS.items():
        windows.append(
            f"card_{name} AS (PARTITION BY card_id ORDER BY us "
            f"RANGE BETWEEN {length} PRECEDING AND CURRENT ROW)"
        )
        columns += [
            f"count(*) OVER card_{name} AS card_count_{name}",
            f"(sum(amount_cents) OVER card_{name})::DOUBLE / 100.0 AS card_sum_{name}",
            f"(sum(amount_cents) OVER card_{name})::DOUBLE / (count(*) OVER card_{name}) / 100.0 AS card_avg_{name}",
            f"(max(amount_cents) OVER card_{name})::DOUBLE / 100.0 AS card_max_{name}",
        ]
    for name, length in TERMINAL_WINDOWS.items():
        windows.append(
            f"terminal_{name} AS (PARTITION BY terminal_id ORDER BY us "
            f"RANGE BETWEEN {LABEL_DELAY_US + length} PRECEDING AND {LABEL_DELAY_US} PRECEDING)"
        )
        frauds = f"(count(*) FILTER (WHERE is_fraud) OVER terminal_{name})"
        rows = f"(count(*) OVER terminal_{name})"
        columns += [
            f"{rows} AS terminal_count_{name}",
            f"CASE WHEN {rows} = 0 THEN 0.0 ELSE {frauds}::DOUBLE / {rows} END AS terminal_risk_{name}",
        ]
    windows.append("previous AS (PARTITION BY card_id ORDER BY us, transaction_id)")
    return f"""
        WITH transactions AS (SELECT *, epoch_us(event_time) AS us FROM '{path}'),
        looked AS (
            SELECT transaction_id, event_time, us, amount_cents, amount_cents::DOUBLE / 100.0 AS amount,
                {", ".join(columns)},
                (us - lag(us) OVER previous)::DOUBLE / 1e6 AS previous_seconds,
                sqrt(pow(terminal_x - lag(terminal_x) OVER previous, 2)
                    + pow(terminal_y - lag(terminal_y) OVER previous, 2)) AS previous_km
            FROM transactions WINDOW {", ".join(windows)}
        )
        SELECT * EXCLUDE (us),
            CASE WHEN previous_seconds > 0 THEN previous_km / (previous_seconds / 3600.0) END AS previous_km_per_hour,
            (us // {HOUR_US}) % 24 < 6 AS is_night,
            -- 1970-01-01 was a Thursday.
            (us // {DAY_US} + 3) % 7 >= 5 AS is_weekend
        FROM looked
    """
