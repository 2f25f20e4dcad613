"""Measurements of one part of a machine by itself, each a command under `archsim micro`."""
