"""Figures into tables, sentences and plots. Knows documents (design: names of the figures), never the engine."""
