"""What lies in folders and zip archives, by one rule for data sets and for the client.

Needs the standard library alone.
"""
