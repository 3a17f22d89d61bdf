"""Keeps what the observers' hooks are told."""

from gateway import hookimpl


class Plugin:
    def __init__(self):
        self.attempts = []
        self.records = []
        self.calls = []

    @hookimpl
    def attempt_finished(self, call, attempt):
        self.attempts.append(attempt)

    @hookimpl
    def after_call(self, call, record):
        self.calls.append(call)
        self.records.append(record)
