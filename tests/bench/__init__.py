"""Measures how fast one artifact reaches N hosts, with corvus.murder and with its rivals, on the same links in the same run.

README.md beside this file says what is where. Standard library only, so that it runs without the virtual environment.
"""
