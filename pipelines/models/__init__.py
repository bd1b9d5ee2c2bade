"""Models: their files, which are checked before they are parsed, what they score, and where each version stands.

files      skops files, and the types that the platform trusts
scoring    one score per row
states     which state may follow which
registry   versions and aliases: register, approve, promote, roll back, quarantine
"""
