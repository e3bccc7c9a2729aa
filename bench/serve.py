#!/usr/bin/env python3
"""Tokens a second of a server with several clients that stream at once.

    serve.py PROGRAM MODEL [--clients 1 2 4 8] [--tokens 128] [--rounds 3] [--flags "FLAGS OF serve"]

Each client asks for as many tokens from a prompt of its own, and reads what comes without looking into it, so that the
clients take as little of the machine as they can. The rate of a round counts from the moment at which every client has its
first token to the first one's end; the best and the median round are printed, and the ratio to one client.
"""

import argparse
import json
import os
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import time


def start(program, model, parallel, flags):
    log = tempfile.NamedTemporaryFile("w+", suffix=".log")
    process = subprocess.Popen([program, "serve", "--port", "0", "--model", f"bench={model}" if "/" in model else model, "--parallel", str(parallel), *flags],
                               stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    until = time.monotonic() + 300
    while time.monotonic() < until and process.poll() is None:
        text = open(log.name, encoding="utf-8").read()
        if "listening on" in text:
            return process, log, int(text.split("listening on ")[1].split()[0].rsplit(":", 1)[1])
        time.sleep(0.05)
    sys.exit(f"the server did not start: {open(log.name, encoding='utf-8').read()}")


def ask(port, model, number, tokens, greedy):
    """A connection that has sent its request."""
    body = json.dumps({"model": model, "prompt": f"Chapter {number}. It was a day in", "raw": True,
                       "options": {"num_predict": tokens, "seed": number, **({"temperature": 0} if greedy else {})}}).encode()
    connection = socket.create_connection(("127.0.0.1", port))
    connection.sendall(b"POST /api/generate HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    return connection


def round_of(port, model, clients, tokens, greedy, first):
    """Tokens a second of all clients together."""
    selector = selectors.DefaultSelector()
    lines = {}
    for number in range(clients):
        connection = ask(port, model, first + number, tokens, greedy)
        lines[connection] = 0
        selector.register(connection, selectors.EVENT_READ)
    begin = None
    counted = 0
    while True:
        for key, _ in selector.select():
            data = key.fileobj.recv(1 << 16)
            if not data or b'"done":true' in data:
                rate = counted / (time.monotonic() - begin)
                for connection in lines:
                    connection.close()
                return rate
            pieces = data.count(b'"done":false')
            lines[key.fileobj] += pieces
            if begin is not None:
                counted += pieces
            elif all(lines.values()):
                begin = time.monotonic()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("model")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--greedy", action="store_true")
    parser.add_argument("--flags", default="", help="further flags of serve")
    arguments = parser.parse_args()
    process, log, port = start(arguments.program, arguments.model, max(arguments.clients), ["--ctx-size", "1024", *arguments.flags.split()])
    name = "bench:latest" if "/" in arguments.model else arguments.model
    try:
        round_of(port, name, 1, 8, arguments.greedy, 1000)
        alone = None
        rates = {clients: [] for clients in arguments.clients}
        # In turn, so that what else the machine does meets all of them.
        for turn in range(arguments.rounds):
            for clients in arguments.clients:
                rates[clients].append(round_of(port, name, clients, arguments.tokens, arguments.greedy, 100 * turn + 10 * clients))
        for clients, all_rounds in rates.items():
            best, median = max(all_rounds), statistics.median(all_rounds)
            alone = alone or (best, median)
            print(f"{clients:3} clients: {best:8.1f} tokens/s at best ({best / alone[0]:.2f}x), {median:8.1f} median ({median / alone[1]:.2f}x)")
        print(f"load of the machine: {os.getloadavg()[0]:.1f}")
    finally:
        process.terminate()
        process.wait(60)
        log.close()


main()
