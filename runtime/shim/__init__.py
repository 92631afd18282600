"""The part of the runtime that runs in the user's environment, beside the user's class.

Standard library only, Python 3.8 and later, and no import of anything outside this folder: the worker process must see
the user's packages and nothing of ours. The front imports `frames` from here so that the protocol has one home.
"""
