"""Traces: the way of a message as spans for OpenTelemetry, made of what the history is told.

``spans`` says which; ``export`` gathers and sends them; ``otlp`` alone knows the packages of the extra `traces`.
"""
