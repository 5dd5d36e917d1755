"""Learning that is real: data sets, partitions among clients, models, local training, aggregation.

Nothing here knows of phones or of time; all of it can be used without the simulator.
"""
