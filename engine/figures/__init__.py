"""Figures over time: what the server has measured of its mail, kept by the minute, by ten minutes and by the hour."""
