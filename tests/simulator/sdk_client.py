"""A client that is nothing but the vendor's official SDK: subscribes, collects pushes, asks everything it can.

A process of its own, because the SDK reads HOME when imported, starts threads, and installs a signal handler.

    python sdk_client.py PORT SYMBOLS OUT [--ticks N] [--rsa KEY]

Collects until it has N different ticks, then asks every query, and writes one JSON document to OUT.
"""

from __future__ import annotations

import argparse
import json
import threading
from pathlib import Path
from typing import Any

import futu
from futu import RET_OK, OpenQuoteContext, SubType, SysConfig, TickerHandlerBase


class Collected(TickerHandlerBase):  # type: ignore[misc]
    """Keeps every pushed tick by its identity."""

    def __init__(self, wanted: int) -> None:
        super().__init__()
        self.ticks: dict[tuple[str, int], list[Any]] = {}
        self.push_types: dict[str, int] = {}
        self.complete = threading.Event()
        self._wanted = wanted

    def on_recv_rsp(self, rsp_pb: Any) -> Any:
        """Called by the SDK, on a thread of its own, for every push."""
        code, rows = self.parse_rsp_pb(rsp_pb)
        assert code == RET_OK, rows
        for row in rows:
            self.ticks[row["code"], row["sequence"]] = [
                row["code"],
                row["sequence"],
                row["time"],
                row["price"],
                row["volume"],
                row["turnover"],
                row["ticker_direction"],
                row["type"],
            ]
            kind = row["push_data_type"]
            self.push_types[kind] = self.push_types.get(kind, 0) + 1
        if len(self.ticks) >= self._wanted:
            self.complete.set()
        return code, rows


def ask_everything(context: Any, symbols: list[str]) -> dict[str, Any]:
    """The answer of each query that the collector's operators use, as plain values."""

    def plain(answer: tuple[int, Any]) -> list[Any]:
        code, data = answer
        return [code, json.loads(data.to_json(orient="records")) if hasattr(data, "to_json") else data]

    return {
        "global_state": plain(context.get_global_state()),
        "subscriptions": plain(context.query_subscription()),
        "trading_days": plain(context.request_trading_days(futu.TradeDateMarket.HK, "2026-11-16", "2026-11-22")),
        "basicinfo": plain(context.get_stock_basicinfo(futu.Market.HK, futu.SecurityType.STOCK)),
        "snapshot": plain(context.get_market_snapshot(symbols)),
        "quote": plain(context.get_stock_quote(symbols)),
        "tickers": {symbol: plain(context.get_rt_ticker(symbol, 1000)) for symbol in symbols},
        "unsubscribe": plain(context.unsubscribe(symbols[:1], [SubType.TICKER])),
        "unknown": plain(context.subscribe(["HK.99998"], [SubType.TICKER])),
        "order_book": plain(context.get_order_book(symbols[0])),
    }


def main() -> None:
    """Connects, collects, asks, writes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("symbols")
    parser.add_argument("out", type=Path)
    parser.add_argument("--ticks", type=int, default=0)
    parser.add_argument("--rsa")
    options = parser.parse_args()
    symbols = options.symbols.split(",")
    SysConfig.set_all_thread_daemon(True)
    if options.rsa:
        SysConfig.set_init_rsa_file(options.rsa)
        SysConfig.enable_proto_encrypt(True)
    context = OpenQuoteContext("127.0.0.1", options.port)
    collected = Collected(options.ticks)
    context.set_handler(collected)
    code, words = context.subscribe(symbols, [SubType.QUOTE], subscribe_push=False)
    assert code == RET_OK, words
    code, words = context.subscribe(symbols, [SubType.TICKER])
    assert code == RET_OK, words
    complete = collected.complete.wait(30) if options.ticks else True
    answers = ask_everything(context, symbols)
    context.close()
    document = {
        "complete": complete,
        "ticks": list(collected.ticks.values()),
        "push_types": collected.push_types,
        "answers": answers,
    }
    options.out.write_text(json.dumps(document))


if __name__ == "__main__":
    main()
