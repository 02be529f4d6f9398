"""The weights a training starts from: sources.py reads them, registered.py fetches a model of the registry, matching.py
fits their names to the backbone's."""
