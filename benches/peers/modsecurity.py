#!/usr/bin/env python3
"""ModSecurity 3 for the comparison, through its Python wheel `libmodsecurity`. Started by the program beside it.

usage: modsecurity.py RULES REQUESTS

RULES is a rule file, REQUESTS a file with a JSON object for each request. For each line on standard input, all requests
are run once and a line with [[nanoseconds, blocked], ...] is written. The time is the processor time of this thread
around the calls into the library; what Python adds to them is some microseconds.
"""
import base64
import json
import sys
import time

import libmodsecurity


def load(rules, path):
    if rules.load_from_uri(path) < 0:
        sys.exit(f"modsecurity: {rules.get_parser_error()}")


def blocks(transaction):
    intervention = transaction.intervention()
    return intervention is not None and intervention.disruptive


def converse(transaction, request, body):
    transaction.process_connection("127.0.0.1", 40000, "127.0.0.1", 443)
    transaction.process_uri(request["target"], request["method"], request["version"])
    if blocks(transaction):
        return True
    for name, value in request["headers"]:
        transaction.add_request_header(name, value)
    transaction.process_request_headers()
    if blocks(transaction):
        return True
    if body:
        transaction.append_request_body(body)
    transaction.process_request_body()
    if blocks(transaction):
        return True
    for name, value in request["response_headers"]:
        transaction.add_response_header(name, value)
    transaction.process_response_headers(200, "HTTP/1.1")
    if blocks(transaction):
        return True
    transaction.process_response_body()
    return blocks(transaction)


def main():
    engine, rules = libmodsecurity.ModSecurity(), libmodsecurity.RulesSet()
    # Without a callback it prints every match to standard error.
    engine.set_log_callback(lambda line: None)
    load(rules, sys.argv[1])
    with open(sys.argv[2], encoding="ascii") as file:
        requests = [json.loads(line) for line in file]
    bodies = [base64.b64decode(request["body"]) for request in requests]
    print(json.dumps(engine.who_am_i()), flush=True)
    for _ in sys.stdin:
        answers = []
        for request, body in zip(requests, bodies):
            before = time.thread_time_ns()
            transaction = libmodsecurity.Transaction(engine, rules, "bench-0000000001")
            is_blocked = converse(transaction, request, body)
            transaction.process_logging()
            del transaction
            answers.append([time.thread_time_ns() - before, is_blocked])
        print(json.dumps(answers), flush=True)
    engine.set_log_callback(None)


main()
