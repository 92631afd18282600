"""Says what it was given: a list of payloads for each batch, and a module that only dependencies.sh makes."""

import logging
import os
import time

import made_by_script


class PythonPredictor:
    def __init__(self, config):
        logging.info("an info that is below the level")
        logging.warning("constructed")

    def predict(self, payload):
        size = len(payload)
        time.sleep(0.05)  # who comes meanwhile is of the next batch
        variables = [os.environ["GREETING"], os.environ["SECRET"]]
        return [{"got": item, "batch": size, "made": made_by_script.answer, "env": variables} for item in payload]
