"""Reads event files with TensorBoard's own reader: tensorboard_events.py DIRECTORY OUT.json

OUT.json: {tag: [[step, value, wall time], ...]}; a value that is not finite is the text "nan", "inf" or "-inf".
"""
import json
import math
import sys

import tensorboard.backend.event_processing.event_accumulator as event_accumulator


def main(directory, out):
    events = event_accumulator.EventAccumulator(directory, size_guidance={event_accumulator.SCALARS: 0})
    events.Reload()
    scalars = {}
    for tag in events.Tags()["scalars"]:
        scalars[tag] = [[event.step, event.value if math.isfinite(event.value) else str(event.value), event.wall_time]
                        for event in events.Scalars(tag)]
    with open(out, "w") as file:
        json.dump(scalars, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
