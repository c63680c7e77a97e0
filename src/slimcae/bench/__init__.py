"""Our codec beside others on the same pictures: rate, quality and time.

codecs → measure → report, plots. Importing it is cheap: torch and matplotlib load when used.
"""
